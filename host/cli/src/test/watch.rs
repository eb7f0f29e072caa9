//! Waiting for a file of a folder to change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

/// When files of a folder were changed last; what a build makes is left out.
pub(super) fn stamps(folder: &Path) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let mut stamps = BTreeMap::new();
    collect(folder, &mut stamps);
    stamps
}

fn collect(folder: &Path, stamps: &mut BTreeMap<PathBuf, Option<SystemTime>>) {
    let made = |name: &str| name.starts_with('.') || ["build", "target", "Cargo.lock"].contains(&name);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_str().is_none_or(made) {
            continue;
        }
        if path.is_dir() {
            collect(&path, stamps);
        } else {
            stamps.insert(path, entry.metadata().and_then(|metadata| metadata.modified()).ok());
        }
    }
}

/// Comes back when something has changed since.
pub(super) fn change(folder: &Path, since: &BTreeMap<PathBuf, Option<SystemTime>>) {
    const LOOK: Duration = Duration::from_millis(300);
    let (_never, silent) = mpsc::channel::<()>();
    while stamps(folder) == *since {
        let _ = silent.recv_timeout(LOOK);
    }
}
