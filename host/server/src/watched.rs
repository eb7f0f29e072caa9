//! What a server reads from files that are replaced while it runs.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// What some files say, read again when one of them has changed.
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    now: RwLock<(Vec<Stamp>, Arc<T>)>,
    stale: AtomicBool,
}

/// What tells one state of a file from another.
type Stamp = (Option<SystemTime>, u64, u64);

impl<T> Watched<T> {
    /// Reads the files for the first time.
    pub(crate) fn open<E>(paths: Vec<PathBuf>, read: impl FnOnce() -> Result<T, E>) -> Result<Watched<T>, E> {
        // Stamped before they are read: what changes meanwhile is seen at the next look.
        let stamps = stamps(&paths);
        let now = RwLock::new((stamps, Arc::new(read()?)));
        Ok(Watched { paths, now, stale: AtomicBool::new(false) })
    }

    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Whether what the files say now could not be read.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// Reads the files again where one has changed. What cannot be read leaves everything as it was.
    pub(crate) fn refresh<E: fmt::Display>(&self, what: &str, read: impl FnOnce() -> Result<T, E>) {
        let seen = stamps(&self.paths);
        if self.now.read().unwrap_or_else(PoisonError::into_inner).0 == seen {
            return;
        }
        let new = read();
        self.stale.store(new.is_err(), Relaxed);
        match new {
            Ok(new) => {
                tracing::info!(what, "files were read again");
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = (seen, Arc::new(new));
            }
            Err(error) => {
                tracing::warn!(what, %error, "files that changed cannot be used, and what was read before stays");
                // Told once for each change.
                self.now.write().unwrap_or_else(PoisonError::into_inner).0 = seen;
            }
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        std::fs::metadata(path)
            .map_or((None, 0, 0), |metadata| (metadata.modified().ok(), metadata.len(), metadata.ino()))
    };
    paths.iter().map(|path| stamp(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_once_and_one_that_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("number");
        let read = || std::fs::read_to_string(&path).expect("it is there").parse::<u32>();
        std::fs::write(&path, "1").expect("it can be written");
        let watched = Watched::open(vec![path.clone()], read).expect("a number");
        watched.refresh("a number", || -> Result<u32, String> { panic!("nothing has changed") });
        for (text, expected) in [("20", 20), ("three", 20), ("4000", 4000)] {
            std::fs::write(&path, text).expect("it can be written");
            watched.refresh("a number", read);
            assert_eq!((*watched.current(), watched.is_stale()), (expected, text == "three"));
        }
    }
}
