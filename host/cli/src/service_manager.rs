//! Tells a service manager how far a server is, as systemd's `sd_notify` protocol has it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whoever started this process is told that it answers now, if they want to know.
pub(crate) fn ready() {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        // A service manager that cannot be told waits in vain and says so itself.
        let _ = tell(&socket, b"READY=1");
    }
}

fn tell(socket: &std::ffi::OsStr, word: &[u8]) -> std::io::Result<usize> {
    let name = socket.as_encoded_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(word, &address)
}
