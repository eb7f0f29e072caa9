//! What a host was doing, so that it comes back as it went: the generations that can be in force, file by file, on disk.
//!
//! ```text
//! state/now.json            number and digest in force, and what the followed files said then
//! state/sets/<digest>.json  the files of a generation, by digest
//! state/files/<digest>      their bytes, each once
//! ```
//!
//! A generation is written down before it comes into force, so a host that dies at any moment comes back with a number that
//! names nothing else. Files are found by their digest and checked against it; each is written whole under another name
//! and renamed. After a rollback the files of the folder are not what is in force, and after half an upload they are no set
//! at all: in both cases this is what a restart brings back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::generation::GenerationNumber;
use crate::loader::{Bundle, read_file};

const NOW: &str = "now.json";
const SETS: &str = "sets";
const FILES: &str = "files";
/// Largest file that is believed to be ours.
const LARGEST: u64 = 64 << 20;

/// A folder that remembers generations.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    /// Whose generations these are.
    set: String,
}

/// Numbers above are nobody's: no host publishes for ever.
const LARGEST_NUMBER: u64 = 1 << 53;

/// What was in force when a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) number: GenerationNumber,
    pub(crate) digest: Digest,
    /// What the folder of the set said then; another digest where there had been a rollback.
    pub(crate) seen: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Now {
    version: u32,
    set: String,
    number: GenerationNumber,
    digest: Digest,
    seen: Digest,
}

/// Digests by path.
type Manifest = BTreeMap<String, Digest>;

const VERSION: u32 = 1;

impl History {
    /// Opens the folder, made for its owner alone where it is missing, for the set of this folder, or of none.
    pub(crate) fn open(folder: &Path, set: Option<&Path>) -> io::Result<History> {
        for folder in [folder.to_owned(), folder.join(SETS), folder.join(FILES)] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(History { folder: folder.to_owned(), set: owner(&fs::canonicalize(folder)?, set) })
    }

    /// What was in force at the end; none at the first start, or where what is there cannot be read or is about another set.
    pub(crate) fn recall(&self) -> Option<Remembered> {
        let now: Now = serde_json::from_slice(&read_file(&self.folder.join(NOW), LARGEST).ok()?).ok()?;
        let Now { version, set, number, digest, seen } = now;
        let good = version == VERSION && set == self.set && (1..=LARGEST_NUMBER).contains(&number.get());
        good.then_some(Remembered { number, digest, seen })
    }

    /// The files of a generation, by path; none where they are not all there as they were.
    pub(crate) fn files(&self, digest: Digest) -> Option<BTreeMap<String, Vec<u8>>> {
        let manifest = self.manifest(digest)?;
        let file = |(path, digest): (String, Digest)| {
            let bytes = read_file(&self.file(digest), LARGEST).ok()?;
            (Digest::of(&bytes) == digest).then_some((path, bytes))
        };
        manifest.into_iter().map(file).collect()
    }

    /// Keeps the files of a set that may come into force.
    pub(crate) fn keep(&self, bundle: &Bundle) -> io::Result<()> {
        let mut manifest = Manifest::new();
        for (path, bytes, digest) in bundle.files() {
            manifest.insert(path.to_owned(), digest);
            let file = self.file(digest);
            // What is there may have been spoiled since.
            if !holds(&file, bytes).unwrap_or(false) {
                write(&file, bytes)?;
            }
        }
        write(&self.set(bundle.digest), &json(&manifest))
    }

    /// Says what is in force from now on. The files of `kept` generations stay, others go.
    pub(crate) fn remember(&self, now: Remembered, kept: &[Digest]) -> io::Result<()> {
        let Remembered { number, digest, seen } = now;
        let text = Now { version: VERSION, set: self.set.clone(), number, digest, seen };
        write(&self.folder.join(NOW), &json(&text))?;
        self.forget(&kept.iter().copied().chain([digest]).collect())
    }

    fn forget(&self, kept: &BTreeSet<Digest>) -> io::Result<()> {
        let sets: BTreeSet<PathBuf> = kept.iter().map(|digest| self.set(*digest)).collect();
        let used = kept.iter().filter_map(|digest| self.manifest(*digest)).flat_map(Manifest::into_values);
        let files: BTreeSet<PathBuf> = used.map(|digest| self.file(digest)).collect();
        for (folder, wanted) in [(SETS, &sets), (FILES, &files)] {
            for entry in fs::read_dir(self.folder.join(folder))? {
                let path = entry?.path();
                if !wanted.contains(&path) {
                    // What is no file is not ours, and stays.
                    let _ = fs::remove_file(path);
                }
            }
        }
        Ok(())
    }

    fn manifest(&self, digest: Digest) -> Option<Manifest> {
        serde_json::from_slice(&read_file(&self.set(digest), LARGEST).ok()?).ok()
    }

    fn set(&self, digest: Digest) -> PathBuf {
        self.folder.join(SETS).join(format!("{}.json", digest.hex()))
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.folder.join(FILES).join(digest.hex())
    }
}

/// How a folder of notes names the set it is about: a set around it may be moved together with it.
fn owner(notes: &Path, set: Option<&Path>) -> String {
    let Some(set) = set else { return "memory".to_owned() };
    let set = fs::canonicalize(set).or_else(|_| std::path::absolute(set)).unwrap_or_else(|_| set.to_owned());
    if notes.starts_with(&set) { "around".to_owned() } else { set.display().to_string() }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers always serialise")
}

/// Whether a file holds these bytes. It is read in parts that stay in the processor's cache: large components are kept here.
fn holds(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    const PART: usize = 64 << 10;
    let mut file = File::open(path)?;
    let mut part = vec![0; PART.min(bytes.len())];
    for wanted in bytes.chunks(PART) {
        let part = &mut part[..wanted.len()];
        file.read_exact(part)?;
        if part != wanted {
            return Ok(false);
        }
    }
    Ok(file.metadata()?.len() == bytes.len() as u64)
}

/// Puts a whole file in its place, or none. One host at a time writes here, since one at a time has its records.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(new, path)?;
    // The name, too, has to be there after a power cut.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::{Source, load};

    fn bundle(owner: &str, wasm: &[u8]) -> Bundle {
        let set = format!("set = \"s\"\nowner = \"{owner}\"\n[policies.p]\nmodule = \"sub/p.wasm\"\n");
        load(&Source::memory(set, [("sub/p.wasm", wasm)])).unwrap()
    }

    fn remembered(number: u64, bundle: &Bundle) -> Remembered {
        Remembered { number: GenerationNumber::new(number), digest: bundle.digest, seen: bundle.digest }
    }

    #[test]
    fn what_was_kept_comes_back_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), None).unwrap();
        assert_eq!(history.recall(), None);
        let sets = [bundle("a", b"1"), bundle("b", b"1"), bundle("c", b"2")];
        for (number, set) in (1..).zip(&sets) {
            history.keep(set).unwrap();
            let kept: Vec<Digest> = sets[..number as usize].iter().rev().take(2).map(|set| set.digest).collect();
            history.remember(remembered(number, set), &kept).unwrap();
        }
        let again = History::open(folder.path(), None).unwrap();
        assert_eq!(again.recall(), Some(remembered(3, &sets[2])));
        let elsewhere = tempfile::tempdir().unwrap();
        let of_another = History::open(folder.path(), Some(elsewhere.path())).unwrap();
        assert_eq!(of_another.recall(), None, "another set's generations are not ours");
        assert_eq!(again.files(sets[0].digest), None);
        let files = again.files(sets[1].digest).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["sub/p.wasm", "weir.toml"]);
        assert_eq!(files["sub/p.wasm"], b"1");
        assert_eq!(fs::read_dir(folder.path().join(FILES)).unwrap().count(), 4, "two texts, two modules");
    }

    #[test]
    fn what_was_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), None).unwrap();
        let set = bundle("a", b"1");
        history.keep(&set).unwrap();
        history.remember(remembered(1, &set), &[]).unwrap();
        fs::write(history.file(Digest::of(b"1")), "2").unwrap();
        assert_eq!(history.files(set.digest), None);
        let digest = set.digest;
        let now = |version: u32, number: u64| {
            format!(
                "{{\"version\":{version},\"set\":\"memory\",\"number\":{number},\"digest\":\"{digest}\",\"seen\":\"{digest}\"}}"
            )
        };
        for text in ["", "{}", &now(2, 1), &now(1, 0), &now(1, u64::MAX)] {
            fs::write(folder.path().join(NOW), text).unwrap();
            assert_eq!(history.recall(), None, "{text}");
        }
        fs::write(folder.path().join(NOW), now(1, 7)).unwrap();
        assert_eq!(history.recall(), Some(remembered(7, &set)));
        // What is spoiled is kept anew.
        history.keep(&set).unwrap();
        assert!(history.files(set.digest).is_some());
    }
}
