//! Which folders have to be watched so that every change of a file in them gives an event.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Subfolders of the folder that hold no policies but change often: the host's own state, and the store of a checkout.
const UNWATCHED: [&str; 2] = [".weir", ".git"];
/// Folders that are watched at most, the subfolders of subfolders included.
const MOST_FOLDERS: usize = 4096;

/// All folders below one, itself included, each with what tells it from another in its place.
pub(super) type Folders = BTreeMap<PathBuf, Identity>;
/// Device, inode and birth; birth because a file system gives the inode of a deleted folder to the next one.
pub(super) type Identity = (u64, u64, Option<SystemTime>);

/// Lists what has to be watched; the error says, for people, why nothing can be.
///
/// Links are not followed, except `root` itself. A subfolder that cannot be read is left out: no module can be loaded
/// from it either.
pub(super) fn folders(root: &Path) -> Result<Folders, String> {
    let mut found = Folders::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(folder) = ahead.pop() {
        match identity(&folder).and_then(|identity| Ok((identity, subfolders(root, &folder)?))) {
            Ok((identity, inside)) => {
                ahead.extend(inside);
                found.insert(folder, identity);
            }
            Err(error) if folder == root => return Err(unreadable(&error)),
            Err(_) => {}
        }
        if found.len() + ahead.len() > MOST_FOLDERS {
            return Err(format!("the folder has more than {MOST_FOLDERS} subfolders"));
        }
    }
    Ok(found)
}

/// Whether a path lies in a subfolder that is not watched.
pub(super) fn is_unwatched(root: &Path, path: &Path) -> bool {
    let first = path.strip_prefix(root).ok().and_then(|inside| inside.iter().next());
    first.is_some_and(|name| UNWATCHED.iter().any(|unwatched| name == *unwatched))
}

pub(super) fn identity(folder: &Path) -> io::Result<Identity> {
    fs::metadata(folder).map(|metadata| (metadata.dev(), metadata.ino(), metadata.created().ok()))
}

fn subfolders(root: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut inside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_unwatched(root, &entry.path()) {
            inside.push(entry.path());
        }
    }
    Ok(inside)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the folder is gone".into(),
        io::ErrorKind::NotADirectory => "not a folder".into(),
        _ => format!("the folder cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn own_folders_and_links_are_left_out() {
        let scratch = TempDir::new().unwrap();
        let root = scratch.path().join("set");
        for folder in ["a/b", ".weir/code", ".git/objects", "a/.weir", "..data_1"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("..data_1", root.join("..data")).unwrap();
        symlink("/", root.join("everything")).unwrap();
        fs::write(root.join("weir.toml"), "").unwrap();
        let found = folders(&root).unwrap();
        let names: Vec<_> = found.keys().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["", "..data_1", "a", "a/.weir", "a/b"]);
        // A link is followed where it is the folder itself.
        symlink("set", scratch.path().join("link")).unwrap();
        assert_eq!(folders(&scratch.path().join("link")).unwrap().len(), found.len());
    }

    #[test]
    fn people_are_told_why_there_is_nothing_to_watch() {
        let scratch = TempDir::new().unwrap();
        assert_eq!(folders(&scratch.path().join("absent")).unwrap_err(), "the folder is gone");
        fs::write(scratch.path().join("file"), "").unwrap();
        assert_eq!(folders(&scratch.path().join("file")).unwrap_err(), "not a folder");
    }

    #[test]
    fn too_many_folders_are_not_watched() {
        let scratch = TempDir::new().unwrap();
        (0..MOST_FOLDERS).for_each(|number| fs::create_dir(scratch.path().join(number.to_string())).unwrap());
        assert_eq!(folders(scratch.path()).unwrap_err(), "the folder has more than 4096 subfolders");
    }
}
