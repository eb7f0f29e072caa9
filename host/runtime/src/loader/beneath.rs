//! Opening a file of a folder without leaving the folder, and without waiting for whoever is at the other end.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open as open_folder, openat2};
use rustix::io::Errno;

/// Without blocking, since opening a pipe would wait for its writer.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens what `path` names in `folder`. Links are followed as long as they stay inside; the kernel sees to that while it
/// walks, so no link can be exchanged behind our back.
pub(super) fn open(folder: &Path, path: &str) -> io::Result<File> {
    let at = open_folder(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks to be asked again when something was renamed while it walked.
    for _ in 0..8 {
        match openat2(&at, path, FLAGS, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => {
                return Err(io::Error::other("it leads out of the folder of the set, or is an absolute link"));
            }
            opened => return Ok(File::from(opened?)),
        }
    }
    Err(io::Error::other("it was renamed again and again"))
}

/// Opens any file.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    Ok(File::from(rustix::fs::openat(CWD, path, FLAGS, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        fs::create_dir_all(set.join("..2026")).unwrap();
        fs::write(set.join("..2026/p.wasm"), "inside").unwrap();
        fs::write(folder.path().join("secret"), "outside").unwrap();
        symlink("..2026", set.join("..data")).unwrap();
        symlink("..data/p.wasm", set.join("p.wasm")).unwrap();
        symlink("../secret", set.join("up.wasm")).unwrap();
        symlink(folder.path().join("secret"), set.join("away.wasm")).unwrap();
        symlink("/proc/self/exe", set.join("magic.wasm")).unwrap();
        symlink("loop.wasm", set.join("loop.wasm")).unwrap();
        let read = |path| open(&set, path).and_then(io::read_to_string);
        assert_eq!(read("p.wasm").unwrap(), "inside");
        for path in ["up.wasm", "away.wasm", "magic.wasm", "loop.wasm", "missing.wasm", "../secret"] {
            assert!(read(path).is_err(), "{path}");
        }
        assert!(read("up.wasm").unwrap_err().to_string().contains("leads out of the folder"));
    }
}
