//! How the process ends: one code per class, and errors that know theirs.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;

/// The classes of endings, as documented in `weir --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Allowed, or done.
    Done,
    /// Denied, or refused.
    Denied,
    /// The command line or an input is wrong.
    Input,
    /// Waits for people.
    Review,
    /// Port, disk, engine: what the command stands on failed.
    Environment,
    /// Ended by this signal, as shells count it: 128 and its number.
    Interrupted(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Denied => 1,
            Exit::Input => 2,
            Exit::Review => 3,
            Exit::Environment => 4,
            Exit::Interrupted(signal) => 128 + signal,
        })
    }
}

impl From<weir::Effect> for Exit {
    fn from(effect: weir::Effect) -> Exit {
        match effect {
            weir::Effect::Allow => Exit::Done,
            weir::Effect::Review => Exit::Review,
            weir::Effect::Deny => Exit::Denied,
        }
    }
}

/// An error and the code it ends the process with.
#[derive(Debug)]
pub(crate) struct Failed {
    exit: Exit,
    /// Stands before the message, as it is.
    details: Option<String>,
    error: anyhow::Error,
    help: Option<String>,
}

impl Failed {
    pub(crate) fn refused(message: impl Display) -> Failed {
        Failed { exit: Exit::Denied, details: None, error: anyhow!("{message}"), help: None }
    }

    pub(crate) fn input(message: impl Display) -> Failed {
        Failed { exit: Exit::Input, details: None, error: anyhow!("{message}"), help: None }
    }

    pub(crate) fn environment(error: impl Into<anyhow::Error>) -> Failed {
        Failed { exit: Exit::Environment, details: None, error: error.into(), help: None }
    }

    /// Adds a way out.
    pub(crate) fn help(self, help: impl Into<String>) -> Failed {
        Failed { help: Some(help.into()), ..self }
    }

    /// Puts a text before the message.
    pub(crate) fn details(self, details: impl Display) -> Failed {
        Failed { details: Some(details.to_string()), ..self }
    }

    /// What went wrong in a line, and what stands before it.
    pub(crate) fn told(&self) -> (String, &str) {
        (format!("{:#}", self.error), self.details.as_deref().unwrap_or_default())
    }

    /// Says on stderr what went wrong; the answer is how to end.
    pub(crate) fn report(self) -> Exit {
        // A reader that wanted no more is no error, as with every other command of a pipe.
        let closed = |cause: &(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        };
        if self.error.chain().any(closed) {
            return Exit::Done;
        }
        let mut stderr = io::stderr().lock();
        // When stderr is gone there is nobody left to tell.
        if let Some(details) = &self.details {
            let _ = writeln!(stderr, "{details}");
        }
        let _ = writeln!(stderr, "weir: {}", self.error);
        for cause in self.error.chain().skip(1) {
            let _ = writeln!(stderr, "  cause: {cause}");
        }
        if let Some(help) = &self.help {
            let _ = writeln!(stderr, "  help: {help}");
        }
        self.exit
    }
}

/// Ends as `exit` says even if nobody read the answer: a closed pipe turns no refusal into a success.
pub(crate) fn printed(written: io::Result<()>, exit: Exit) -> Result<Exit, Failed> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(exit),
    }
}

/// Gives the errors of the system their class.
pub(crate) trait OrFail<T> {
    /// An input of the caller: cannot `action` `path`.
    fn or_input(self, action: &str, path: impl Display) -> Result<T, Failed>;
    /// The environment: cannot `action` `path`.
    fn or_environment(self, action: &str, path: impl Display) -> Result<T, Failed>;
}

impl<T> OrFail<T> for io::Result<T> {
    fn or_input(self, action: &str, path: impl Display) -> Result<T, Failed> {
        self.or_environment(action, path).map_err(|failed| Failed { exit: Exit::Input, ..failed })
    }

    fn or_environment(self, action: &str, path: impl Display) -> Result<T, Failed> {
        self.map_err(|source| {
            Failed::environment(anyhow::Error::new(source).context(format!("cannot {action} `{path}`")))
        })
    }
}

impl From<io::Error> for Failed {
    /// Of writing to stdout, the only writes without a name.
    fn from(error: io::Error) -> Failed {
        Failed::environment(anyhow::Error::new(error).context("cannot write to stdout"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(Failed::from(broken()).report(), Exit::Done);
        assert_eq!(Failed::from(io::Error::from(io::ErrorKind::StorageFull)).report(), Exit::Environment);
    }

    #[test]
    fn inputs_and_environment_differ() {
        let missing = || io::Result::<()>::Err(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(missing().or_input("read", "x").unwrap_err().exit, Exit::Input);
        assert_eq!(missing().or_environment("write", "x").unwrap_err().exit, Exit::Environment);
    }
}
