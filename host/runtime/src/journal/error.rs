//! What can go wrong: opening the log, and appending to it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::MAX_LINE_BYTES;

/// Why a log could not be opened. Nothing was changed, and the text names the way out.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// The host's name cannot stand in a record's name.
    Host {
        /// The name as given.
        host: String,
    },
    /// Another journal, here or in another process, has the folder open.
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The system refused a step.
    Io {
        /// The step, as in "cannot `read`".
        action: &'static str,
        /// The file or folder it was for.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is named nearly like a segment, so which one is the newest is not certain.
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The newest segment ends with the record of another host.
    Foreign {
        /// The segment.
        path: PathBuf,
        /// The record's name.
        found: String,
        /// The host the log was opened for.
        host: String,
    },
    /// The newest segment was written in a version of the format that this build does not know.
    Version {
        /// The segment.
        path: PathBuf,
        /// Its `v`.
        found: String,
    },
    /// More than a torn tail is wrong with the newest segment; cutting it would destroy records.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the last readable part ends, in bytes from the start.
        at: u64,
    },
    /// The thread that syncs could not be started.
    Thread(io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Host { host } => write!(
                f,
                "host name `{}` cannot name records: use 1 to 253 letters, digits, `.`, `-` and `_`",
                host.escape_default()
            ),
            JournalError::Locked { dir } => write!(
                f,
                "the records in `{}` are in use by another process: stop it, or give this one a folder of its own",
                dir.display()
            ),
            JournalError::Io { action, path, .. } => {
                write!(f, "cannot {action} `{}`: check that it exists and who may use it", path.display())
            }
            JournalError::Name { path } => write!(
                f,
                "`{}` is named like a segment of records but its number does not have 20 digits: move it elsewhere",
                path.display()
            ),
            JournalError::Foreign { path, found, host } => write!(
                f,
                "`{}` ends with record `{}`, which is not of host `{host}`: \
                 give the host its former name, or choose an empty folder",
                path.display(),
                found.escape_default()
            ),
            JournalError::Version { path, found } => write!(
                f,
                "`{}` is written in version `{found}` of the format, this build writes version `1`: \
                 use a newer build, or choose an empty folder",
                path.display()
            ),
            JournalError::Damaged { path, at } => write!(
                f,
                "`{}` is damaged at byte {at}, which a crash cannot explain; nothing was changed: \
                 keep the folder as it is for examination and choose an empty one",
                path.display()
            ),
            JournalError::Thread(_) => write!(f, "cannot start the thread that syncs the records"),
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JournalError::Io { source, .. } | JournalError::Thread(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a record is not in the log, or not known to be.
#[derive(Clone, Debug)]
pub(crate) enum AppendError {
    /// The system refused the write; the record is not in the log. Shared by all callers of the batch.
    Write(Arc<io::Error>),
    /// The sync that should have covered the record failed: it may be in the log or not.
    Sync(Arc<io::Error>),
    /// Too many bytes wait to be written; the record is not in the log.
    Full,
    /// The line would be longer than [`MAX_LINE_BYTES`]; the record is not in the log.
    TooLong {
        /// The body's length in bytes.
        bytes: usize,
    },
    /// The body is empty or has a line break in it; the record is not in the log.
    Malformed,
    /// The journal ended without an answer; not known to happen.
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Write(_) => write!(f, "the record could not be written"),
            AppendError::Sync(_) => {
                write!(f, "the record could not be made safe against power loss")
            }
            AppendError::Full => write!(f, "too many records wait to be written"),
            AppendError::TooLong { bytes } => {
                write!(f, "a record of {bytes} bytes is longer than the limit of {MAX_LINE_BYTES} bytes")
            }
            AppendError::Malformed => {
                write!(f, "the record's body is empty or has a line break in it")
            }
            AppendError::Closed => {
                write!(f, "the journal was closed before the record was written")
            }
        }
    }
}

impl Error for AppendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AppendError::Write(source) | AppendError::Sync(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
