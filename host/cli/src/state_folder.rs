//! The state folder: where a host keeps what is its own, `SET/.weir` unless somebody says otherwise.
//!
//! ```text
//! SET/.weir/          0700: whoever can write here runs code in the host, whoever can enter commands it
//!           code/     machine code, so that a module is compiled once
//!           in-force/ which generation is in force, and the files of the last few, for a restart
//!           lock      held by the one host that follows the set
//!           socket    where that host is asked; see `control`
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::exit::{Failed, OrFail};

/// The way out of every trouble with the folder.
pub(crate) const ANOTHER: &str = "`--state DIR` chooses another folder for what the host keeps";
/// Longest path of a socket: the system has 108 bytes for it, with a zero at the end.
const LONGEST_SOCKET: usize = 107;

/// Name of the folder a host keeps its state in; whether it is there is another question.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder {
    path: PathBuf,
}

/// The right to be the host of a set: while it lives, no other process has it.
#[derive(Debug)]
pub(crate) struct Held {
    /// The kernel releases it when the process ends, however that happens.
    _lock: File,
}

impl StateFolder {
    /// The folder somebody chose, or the one inside the set's.
    pub(crate) fn of(set: &Path, chosen: Option<&Path>) -> StateFolder {
        StateFolder { path: chosen.map_or_else(|| set.join(".weir"), Path::to_owned) }
    }

    /// For machine code.
    pub(crate) fn code(&self) -> PathBuf {
        self.path.join("code")
    }

    /// For what a restart has to know.
    pub(crate) fn in_force(&self) -> PathBuf {
        self.path.join("in-force")
    }

    /// The path of the control socket, where the system can have one.
    pub(crate) fn socket(&self) -> Result<PathBuf, Failed> {
        let socket = self.path.join("socket");
        let bytes = socket.as_os_str().len();
        if bytes <= LONGEST_SOCKET {
            return Ok(socket);
        }
        let told =
            format!("`{}` is too long for a socket: {bytes} bytes, {LONGEST_SOCKET} at most", socket.display());
        Err(Failed::environment(anyhow::anyhow!(told)).help("use `--state DIR` with a shorter path"))
    }

    /// Makes the folder if it is missing; one that others could use is refused.
    pub(crate) fn make(&self) -> Result<(), Failed> {
        let name = self.path.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.or_environment("make", name).map_err(|failed| failed.help(ANOTHER))?;
        self.check().map_err(|what| {
            Failed::environment(anyhow::anyhow!("cannot keep the host's state in `{}`: {what}", self.path.display()))
                .help(format!("`chmod 700 {}` if it is yours; {ANOTHER}", self.path.display()))
        })
    }

    /// Whether it is there, and nobody else's.
    pub(crate) fn is_usable(&self) -> bool {
        self.path.is_dir() && self.check().is_ok()
    }

    fn check(&self) -> Result<(), String> {
        // A link in the folder of a set is its author's word, and this folder is not his to choose.
        let metadata = fs::symlink_metadata(&self.path).map_err(|error| error.to_string())?;
        if !metadata.is_dir() {
            return Err("it is no folder".to_owned());
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err("it belongs to somebody else".to_owned());
        }
        match metadata.mode() & 0o777 {
            mode if mode & 0o077 != 0 => Err(format!("others have rights in it (mode {mode:04o}, 0700 is needed)")),
            _ => Ok(()),
        }
    }

    /// Becomes the one host with this folder; none where another process is.
    pub(crate) fn hold(&self) -> Result<Option<Held>, Failed> {
        let path = self.path.join("lock");
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.or_environment("open", path.display()).map_err(|failed| failed.help(ANOTHER))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Held { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).or_environment("lock", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_for_its_owner_alone_and_refused_otherwise() {
        let set = tempfile::tempdir().unwrap();
        let state = StateFolder::of(set.path(), None);
        assert!(!state.is_usable());
        state.make().unwrap();
        let mode = || fs::metadata(&state.path).unwrap().permissions().mode() & 0o777;
        assert!(state.is_usable() && state.path.ends_with(".weir") && mode() == 0o700);
        state.make().unwrap();
        fs::set_permissions(&state.path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(state.make().is_err() && !state.is_usable());
    }

    #[test]
    fn one_holds_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::of(Path::new("elsewhere"), Some(&folder.path().join("state")));
        state.make().unwrap();
        let held = state.hold().unwrap();
        assert!(held.is_some() && state.hold().unwrap().is_none());
        drop(held);
        assert!(state.hold().unwrap().is_some());
    }

    #[test]
    fn the_path_of_a_socket_fits_the_system() {
        let of = |bytes: usize| StateFolder::of(Path::new("s"), Some(Path::new(&"x".repeat(bytes)))).socket();
        assert_eq!(of(LONGEST_SOCKET - "/socket".len()).unwrap().as_os_str().len(), LONGEST_SOCKET);
        assert!(of(LONGEST_SOCKET).is_err());
    }
}
