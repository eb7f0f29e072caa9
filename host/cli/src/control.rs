//! The control socket of a host: how a person asks it, and tells it to go back.
//!
//! ```text
//! client ─► one line of JSON, at most 64 KiB, within a second ─► answer ─► one line of JSON, taken within another ─► closed
//! ```
//!
//! Only the host's own user and root are answered: the folder is 0700, the socket 0600, and the kernel says who is at the
//! other end. What goes through is in [`message`], what is done in [`answer`], how to ask in [`client`].

mod answer;
pub(crate) mod client;
pub(crate) mod message;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir::Runtime;

pub(crate) use self::answer::About;
use self::message::ProblemKind;
use crate::exit::{Failed, OrFail};
use crate::state_folder::Held;
use crate::task::{Stopped, Task};

/// Bytes of a line; every command is far shorter.
const LONGEST_LINE: u64 = 64 << 10;
/// How long a client may take to send its line, and as long again to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Clients at once; the next ones wait in the kernel's queue.
const MOST_AT_ONCE: usize = 16;
/// How long clients that are being answered hold up the end of the host.
const GRACE: Duration = Duration::from_millis(500);

/// A socket that takes clients; they wait until somebody answers.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: UnixListener,
    socket: SocketFile,
}

/// Answers on the socket until it is closed.
#[derive(Debug)]
pub(crate) struct Control {
    task: Task,
    socket: SocketFile,
}

impl Bound {
    /// Binds the socket, in the place of one that a dead host left: whoever holds the folder knows that it is dead. Must be
    /// called inside a tokio runtime.
    pub(crate) fn new(_held: &Held, path: &Path) -> Result<Bound, Failed> {
        let (socket, listener) = SocketFile::bind(path).or_environment("listen on", path.display())?;
        Ok(Bound { listener, socket })
    }

    /// Begins to answer.
    pub(crate) fn serve(self, runtime: &Arc<Runtime>, about: About) -> Control {
        let host = Arc::new(Host { runtime: Arc::clone(runtime), about });
        Control { task: Task::spawn(|stopped| serve(self.listener, host, stopped)), socket: self.socket }
    }
}

impl Control {
    /// Takes the socket away and waits a moment for those who are being answered.
    pub(crate) async fn close(self) {
        drop(self.socket);
        self.task.end().await;
    }
}

/// Who answers.
struct Host {
    runtime: Arc<Runtime>,
    about: About,
}

/// A bound socket's file; removed on drop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: the set's folder, and this file with it, may be another's by the time of the drop.
    identity: (u64, u64),
}

impl SocketFile {
    fn bind(path: &Path) -> io::Result<(SocketFile, UnixListener)> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::other("something that is no socket has this name")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        let socket = SocketFile { path: path.to_owned(), identity: identity(path)? };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok((socket, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // A file that stays is a dead host's, and so replaced by the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

async fn serve(listener: UnixListener, host: Arc<Host>, mut stopped: Stopped) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped.wait() => break,
            // Those who are done make room; without any, this is never ready.
            Some(_) = clients.join_next() => {}
            accepted = listener.accept(), if clients.len() < MOST_AT_ONCE => match accepted {
                Ok((stream, _)) => drop(clients.spawn(serve_one(stream, Arc::clone(&host)))),
                // Such as too many open files: it will be better later, and must not be asked again at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(listener);
    let _ = timeout(GRACE, async { while clients.join_next().await.is_some() {} }).await;
}

/// Answers one client. Whatever goes wrong is its own affair.
async fn serve_one(stream: UnixStream, host: Arc<Host>) {
    if !stream.peer_cred().is_ok_and(|peer| may_ask(peer.uid())) {
        return;
    }
    let mut stream = BufReader::new(stream);
    let answer = match timeout(PATIENCE, read_line(&mut stream)).await {
        Ok(Ok(Some(line))) => {
            // It may block, which is not for a thread that judges.
            let answered = tokio::task::spawn_blocking(move || answer::answer(&line, &host.runtime, &host.about));
            let Ok(answer) = answered.await else { return };
            answer
        }
        Ok(Ok(None)) => too_long(),
        Ok(Err(_)) | Err(_) => return,
    };
    let _ = timeout(PATIENCE, async {
        stream.get_mut().write_all(&answer).await?;
        stream.get_mut().shutdown().await
    })
    .await;
}

fn may_ask(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

/// A line without its end, which may be the end of the stream; none where it is too long.
async fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    // The end of the line is one byte more.
    stream.take(LONGEST_LINE + 1).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok((line.len() as u64 <= LONGEST_LINE).then_some(line))
}

fn too_long() -> Vec<u8> {
    let message = format!("not a command: longer than {LONGEST_LINE} bytes");
    answer::refusal(answer::problem(ProblemKind::BadCommand, message))
}
