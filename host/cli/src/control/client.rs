//! Asking the host of a set.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{Command, Error, Problem, ProblemKind, Status};
use crate::exit::{Exit, Failed, printed};
use crate::set;
use crate::state_folder::StateFolder;
use crate::terminal::plain;

/// How long a host may take; a busy machine keeps a small answer this long, and nothing else does.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are believed possible: ten thousand policies that differ in everything.
const LONGEST_ANSWER: u64 = 256 << 20;

/// Which host to ask, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// Folder of the set that the host follows
    set: PathBuf,
    /// The host's state folder, if it was started with --state
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print the host's answer as it came: one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The line a host answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    line: Vec<u8>,
}

impl Target {
    /// The set as it was named.
    pub(crate) fn set(&self) -> &Path {
        &self.set
    }

    /// Asks the host and waits for its answer.
    pub(crate) fn ask(&self, command: &Command) -> Result<Answer, Failed> {
        // A folder that is elsewhere is there even when the set's is gone.
        let set = if self.state.is_some() { self.set.clone() } else { set::folder(&self.set)? };
        let socket = StateFolder::of(&set, self.state.as_deref()).socket()?;
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|error| Failed::environment(anyhow::Error::new(error)))?;
        executor.block_on(ask(&socket, command, PATIENCE)).map_err(|error| self.unanswered(error))
    }

    fn unanswered(&self, error: io::Error) -> Failed {
        let set = self.set.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
                let state = self.state.as_ref().map(|state| format!(" --state {}", state.display()));
                Failed::environment(anyhow::anyhow!("no host follows `{set}`"))
                    .help(format!("`weir eval {set} --follow{}` starts one", state.unwrap_or_default()))
            }
            ErrorKind::PermissionDenied => {
                Failed::environment(anyhow::Error::new(error).context(format!("may not ask the host of `{set}`")))
                    .help("only the user it runs as, and root, may ask it")
            }
            _ => {
                Failed::environment(anyhow::Error::new(error).context(format!("the host of `{set}` does not answer")))
                    .help("when it was told to do something, `weir status` shows whether it did")
            }
        }
    }
}

impl Answer {
    /// Prints it as it is; an error in it is how to end.
    pub(crate) fn print(&self) -> Result<Exit, Failed> {
        let mut stdout = io::stdout().lock();
        let exit = self.problem().map_or(Exit::Done, |problem| exit(problem.kind));
        printed(stdout.write_all(&self.line), exit)
    }

    /// What it says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        if let Some(problem) = self.problem() {
            let message = plain(&problem.message);
            return Err(match exit(problem.kind) {
                Exit::Denied => Failed::refused(message),
                _ => Failed::input(message),
            });
        }
        serde_json::from_slice(&self.line).map_err(|error| {
            Failed::environment(anyhow::Error::new(error).context("the host's answer is not understood"))
                .help("it may be another version of weir; `--json` prints the answer as it is")
        })
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.line).ok().map(|Error { error }| error)
    }
}

fn exit(kind: ProblemKind) -> Exit {
    match kind {
        ProblemKind::BadCommand | ProblemKind::NotLoaded => Exit::Input,
        ProblemKind::Refused => Exit::Denied,
    }
}

/// The host that holds a state folder, as it answers; none where it does not.
pub(crate) async fn holder(socket: &Path) -> Option<Status> {
    /// It only makes a message better.
    const PATIENCE: Duration = Duration::from_secs(2);
    ask(socket, &Command::Status {}, PATIENCE).await.ok()?.read().ok()
}

async fn ask(socket: &Path, command: &Command, patience: Duration) -> io::Result<Answer> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        let mut line = serde_json::to_vec(command).expect("commands always serialise");
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut line = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut line).await?;
        let whole = line.last() == Some(&b'\n');
        if whole { Ok(Answer { line }) } else { Err(io::Error::from(ErrorKind::UnexpectedEof)) }
    };
    match timeout(patience, asked).await {
        // The other end of this command's stdout is what a broken pipe means elsewhere, and no error there.
        Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => Err(ErrorKind::ConnectionReset.into()),
        Ok(answered) => answered,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}
