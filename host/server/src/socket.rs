//! What a server listens to: an address, a file of this machine, or a socket that somebody else has opened for it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use listenfd::ListenFd;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::tls::Tls;

/// Connections the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;
const UNIX: &str = "unix:";
/// Who may connect through a file: its owner, and those of its group.
const UNIX_MODE: u32 = 0o660;

/// Where a server listens: `127.0.0.1:7171`, or `unix:` and the path of a socket's file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// An address and a port; the system chooses the port where it is 0.
    Tcp(SocketAddr),
    /// A file. Its owner and its group may connect, as far as the folder lets them.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        match text.strip_prefix(UNIX) {
            Some(path) if !path.is_empty() => Ok(Address::Unix(path.into())),
            _ => text.parse().map(Address::Tcp).map_err(|_| {
                let expected = "expected an IP address with a port such as `127.0.0.1:7171`, not a name, or";
                format!("`{text}` is no address: {expected} `{UNIX}` and a path")
            }),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Address, String> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Address {
    /// The address and the port, where it is no file.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

/// A socket that clients connect to.
pub struct Socket {
    listener: Listener,
    /// Whether somebody else keeps it open when this process has gone.
    inherited: bool,
    tls: Option<Arc<Tls>>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, File),
}

/// A connection as it was accepted.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// One that is to be encrypted.
    Encrypted(TcpStream, TlsAcceptor),
}

impl Socket {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The system does not let it, or somebody else listens there.
    pub fn bind(address: &Address) -> io::Result<Socket> {
        Socket::listen(address, false)
    }

    /// As [`Socket::bind`], but others that do the same may listen to the same port, such as a successor before this one has gone.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn bind_shared(address: &Address) -> io::Result<Socket> {
        Socket::listen(address, true)
    }

    fn listen(address: &Address, shared: bool) -> io::Result<Socket> {
        let listener = match address {
            Address::Tcp(address) => Listener::Tcp(tcp(*address, shared)?),
            Address::Unix(path) => unix(path)?,
        };
        Ok(Socket { listener, inherited: false, tls: None })
    }

    /// The sockets that a service manager has opened for this process, in their order, as systemd says in `LISTEN_FDS`.
    ///
    /// # Errors
    /// One is no socket that listens.
    pub fn inherited() -> io::Result<Vec<Socket>> {
        let mut given = ListenFd::from_env();
        let count = given.len();
        let mut socket = |index| {
            let listener = if let Ok(Some(listener)) = given.take_tcp_listener(index) {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            } else {
                let listener = given.take_unix_listener(index)?;
                let listener = listener.ok_or_else(|| io::Error::other("it is no socket that listens"))?;
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?, File::others())
            };
            Ok(Socket { listener, inherited: true, tls: None })
        };
        (0..count).map(&mut socket).collect()
    }

    /// Encrypts what is accepted from now on. What comes through a file stays on this machine, and is not encrypted.
    pub(crate) fn encrypted(self, tls: Option<Arc<Tls>>) -> Socket {
        Socket { tls, ..self }
    }

    /// Whether somebody else keeps it open when this process has gone.
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Whether what comes through it is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some() && matches!(self.listener, Listener::Tcp(_))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<Address> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Listener::Unix(listener, file) => match file.path() {
                Some(path) => Ok(Address::Unix(path.to_owned())),
                None => Ok(Address::Unix(listener.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned())),
            },
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, IpAddr)> {
        match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                // Answers are small, and somebody waits for each.
                let _ = stream.set_nodelay(true);
                let stream = match &self.tls {
                    Some(tls) => Stream::Encrypted(stream, tls.acceptor()),
                    None => Stream::Tcp(stream),
                };
                Ok((stream, from.ip()))
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Ipv4Addr::LOCALHOST.into()))
            }
        }
    }
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens under a name of its own and renames it into place: whoever connects finds the old listener or the new one.
fn unix(path: &Path) -> io::Result<Listener> {
    let mut name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(UNIX_MODE))?;
    let inode = std::fs::symlink_metadata(&new)?.ino();
    if let Ok(there) = std::fs::symlink_metadata(path)
        && !std::os::unix::fs::FileTypeExt::is_socket(&there.file_type())
    {
        std::fs::remove_file(&new)?;
        return Err(io::Error::other("there is a file of this name that is no socket"));
    }
    std::fs::rename(&new, path)?;
    Ok(Listener::Unix(listener, File(Some((path.to_owned(), inode)))))
}

/// The file of a socket: removed at the end, unless a successor has taken its name or it belongs to somebody else.
struct File(Option<(PathBuf, u64)>);

impl File {
    fn others() -> File {
        File(None)
    }

    fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|(path, _)| path.as_path())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.0
            && std::fs::symlink_metadata(path).is_ok_and(|there| there.ino() == *inode)
        {
            // A file that stays is replaced by the next server.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["127.0.0.1:7171", "[::1]:80", "unix:/run/weir/admin.sock"] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
            assert!(address.is_local());
        }
        for text in ["", "unix:", "localhost:80", "127.0.0.1", "/run/weir.sock"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert!(!"0.0.0.0:80".parse::<Address>().expect("it is one").is_local());
    }
}
