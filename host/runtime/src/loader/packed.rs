//! A bundle of OPA's that lies there as a folder, as the archive it would be.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::{Dir, FileType};

use super::Folder;
use crate::rego::bundle::{self, MODULE, MOST_BYTES, MOST_ENTRIES};

/// Deepest folder in a bundle.
const DEEPEST: usize = 64;

/// The files of a folder of the set, packed; links to folders are not followed.
pub(super) fn packed(set: &Folder<'_>, path: &str) -> io::Result<Vec<u8>> {
    let mut gathered = Gathered { set, files: Vec::new(), entries: 0, bytes: 0 };
    gathered.folder(path, "", 0)?;
    if !gathered.files.iter().any(|(name, _)| name == MODULE) {
        return Err(io::Error::other(format!("not a regular file, and a folder without `{MODULE}` is no bundle")));
    }
    bundle::packed(&gathered.files)
}

struct Gathered<'a> {
    set: &'a Folder<'a>,
    /// By their paths in the bundle.
    files: Vec<(String, Vec<u8>)>,
    entries: usize,
    bytes: u64,
}

impl Gathered<'_> {
    fn folder(&mut self, path: &str, inside: &str, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!("a bundle has at most {DEEPEST} folders in each other")));
        }
        for (name, kind) in self.entries(path)? {
            let (path, inside) = (format!("{path}/{name}"), format!("{inside}{name}"));
            if kind == FileType::Directory {
                self.folder(&path, &format!("{inside}/"), depth + 1)?;
            } else if bundle::is_part(&name) {
                let content = self.set.file(&path, MOST_BYTES);
                let content = content.map_err(|error| io::Error::other(format!("its `{inside}`: {error}")))?;
                self.bytes += content.len() as u64;
                if self.bytes > MOST_BYTES {
                    return Err(io::Error::other(format!("the bundle has more than {MOST_BYTES} bytes")));
                }
                self.files.push((inside, content));
            }
        }
        Ok(())
    }

    /// Names in their order, without those that editors and mounts hide behind two points.
    fn entries(&mut self, path: &str) -> io::Result<BTreeMap<String, FileType>> {
        let mut names = BTreeMap::new();
        for entry in Dir::read_from(self.set.opened(path)?)? {
            let entry = entry?;
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(io::Error::other(format!("the bundle has more than {MOST_ENTRIES} files")));
            }
            let name =
                entry.file_name().to_str().map_err(|_| io::Error::other("a name in the bundle is not UTF-8"))?;
            if name != "." && !name.starts_with("..") {
                names.insert(name.to_owned(), entry.file_type());
            }
        }
        Ok(names)
    }
}
