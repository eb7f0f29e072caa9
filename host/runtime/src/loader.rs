//! From a source to bytes: the set's text and the modules it names, each with its digest. Nothing here knows wasmtime.

mod beneath;
mod packed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::Digest;
use crate::inspect::LARGEST_POLICY;
use crate::lock::{LOCK_FILE, Lock};
use crate::report::{LoadError, Report, SetError};
use crate::set::{self, Set};

/// Name of the set's file in its folder.
const SET_FILE: &str = "weir.toml";
/// Largest `weir.toml`: ten thousand policies take about 4 MiB.
const LARGEST_SET: u64 = 64 << 20;
/// Largest `weir.lock`.
const LARGEST_LOCK: u64 = 16 << 20;
/// Most bytes of all files of a set together: they are in memory while it is loaded.
const MOST_BYTES: usize = 256 << 20;

/// Where a policy set comes from.
#[derive(Debug, Clone)]
pub struct Source(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Dir(PathBuf),
    Memory { set: String, modules: BTreeMap<String, Vec<u8>> },
}

impl Source {
    /// A folder with `weir.toml` and the modules it names.
    pub fn dir(path: impl Into<PathBuf>) -> Source {
        Source(Kind::Dir(path.into()))
    }

    /// The folder, where it is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Dir(folder) => Some(folder),
            Kind::Memory { .. } => None,
        }
    }

    /// The text of a set, and modules under the paths it names them by.
    pub fn memory<N: Into<String>, B: Into<Vec<u8>>>(
        set: impl Into<String>,
        modules: impl IntoIterator<Item = (N, B)>,
    ) -> Source {
        let modules = modules.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect();
        Source(Kind::Memory { set: set.into(), modules })
    }
}

/// A checked set and the bytes of its files.
pub(crate) struct Bundle {
    /// The set's file, as errors name it.
    pub(crate) file: String,
    text: String,
    pub(crate) set: Set,
    /// By path, as the set names them.
    pub(crate) modules: BTreeMap<String, Result<Module, String>>,
    /// Files of test cases, in the order of the set.
    pub(crate) cases: Vec<Cases>,
    /// The digest of every file that could be read.
    lock: Lock,
    /// Digest of all that: what names a generation.
    pub(crate) digest: Digest,
}

/// The bytes of a module.
pub(crate) struct Module {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// A file of test cases.
pub(crate) struct Cases {
    /// As errors name it.
    pub(crate) file: String,
    path: String,
    pub(crate) bytes: Vec<u8>,
}

impl Bundle {
    /// All files that could be read: path, bytes, digest.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8], Digest)> {
        let text = (SET_FILE, self.text.as_bytes());
        let modules =
            self.modules.iter().filter_map(|(path, module)| Some((path.as_str(), &*module.as_ref().ok()?.bytes)));
        let cases = self.cases.iter().map(|cases| (cases.path.as_str(), &*cases.bytes));
        let files = std::iter::once(text).chain(modules).chain(cases);
        files.map(|(path, bytes)| (path, bytes, self.lock.files[path]))
    }

    /// A bundle from its files, as [`Bundle::files`] gave them.
    pub(crate) fn of_files(mut files: BTreeMap<String, Vec<u8>>) -> Result<Bundle, Report> {
        let set = files.remove(SET_FILE).unwrap_or_default();
        load(&Source::memory(String::from_utf8_lossy(&set), files))
    }
}

/// Reads a source whole.
pub(crate) fn load(source: &Source) -> Result<Bundle, Report> {
    match &source.0 {
        Kind::Dir(folder) => Folder::open(folder).load(),
        Kind::Memory { set, modules } => {
            let read = |path: &str| {
                modules.get(path).cloned().ok_or_else(|| format!("there is no module `{path}` in this source"))
            };
            bundle(SET_FILE.to_owned(), set, |path| path.to_owned(), read)
        }
    }
}

/// The lock that fits a set as it is now.
///
/// # Errors
/// The set cannot be read, or names a file that cannot be.
pub fn lock(folder: &Path) -> Result<Lock, Report> {
    let folder = Folder::open(folder);
    let bundle = folder.read()?;
    let errors: Vec<SetError> =
        unreadable(&bundle.modules).map(|message| SetError::new(&folder.name(SET_FILE), 1, message)).collect();
    if errors.is_empty() { Ok(bundle.lock) } else { Err(errors.into()) }
}

/// A folder that is being read: every file leaves a stamp, so that one can see later whether what was read is still so.
pub(crate) struct Folder<'a> {
    path: &'a Path,
    stamps: RefCell<Vec<(String, Option<Stamp>)>>,
}

/// What shows that a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Folder<'_> {
    pub(crate) fn open(path: &Path) -> Folder<'_> {
        Folder { path, stamps: RefCell::default() }
    }

    /// Reads everything, and compares it with the lock where there is one.
    pub(crate) fn load(&self) -> Result<Bundle, Report> {
        let (bundle, name) = (self.read()?, self.name(LOCK_FILE));
        match self.file(LOCK_FILE, LARGEST_LOCK) {
            Ok(text) => bundle.lock.check(&name, &String::from_utf8_lossy(&text))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(SetError::new(&name, 1, format!("cannot read the lock: {error}")).into()),
        }
        Ok(bundle)
    }

    /// Whether every file is still as it was read, and none so new that its writer may still be at it.
    pub(crate) fn is_settled(&self, young: Duration) -> bool {
        let same = |(path, stamp): &(String, Option<Stamp>)| {
            let now = beneath::open(self.path, path).and_then(|file| file.metadata()).ok();
            // A clock that went back makes no file young for ever.
            let age = now.as_ref().and_then(|now| now.modified().ok()).and_then(|at| at.elapsed().ok());
            now.as_ref().map(Stamp::of) == *stamp && age.is_none_or(|age| age >= young)
        };
        self.stamps.borrow().iter().all(same)
    }

    fn read(&self) -> Result<Bundle, Report> {
        let file = self.name(SET_FILE);
        let text = self.file(SET_FILE, LARGEST_SET).and_then(text);
        let text = text.map_err(|error| not_a_set(&file, self.path, &error))?;
        let told = |path: &str, error| format!("cannot read `{}`: {error}", self.name(path));
        bundle(file, &text, |path| self.name(path), |path| self.module(path).map_err(|error| told(path, error)))
    }

    /// The bytes of a module, or of a bundle of OPA's, which may be a folder.
    fn module(&self, path: &str) -> std::io::Result<Vec<u8>> {
        let file = self.opened(path)?;
        if file.metadata()?.is_dir() { packed::packed(self, path) } else { read_regular(file, LARGEST_POLICY) }
    }

    fn file(&self, path: &str, most: u64) -> std::io::Result<Vec<u8>> {
        read_regular(self.opened(path)?, most)
    }

    fn opened(&self, path: &str) -> std::io::Result<File> {
        let opened = beneath::open(self.path, path).and_then(|file| Ok((Stamp::of(&file.metadata()?), file)));
        let stamp = opened.as_ref().ok().map(|(stamp, _)| *stamp);
        self.stamps.borrow_mut().push((path.to_owned(), stamp));
        Ok(opened?.1)
    }

    fn name(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Joins the files of a set.
fn bundle(
    file: String,
    text: &str,
    named: impl Fn(&str) -> String,
    read: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Bundle, Report> {
    let set = set::parse(&file, text)?;
    let mut files = BTreeMap::from([(SET_FILE.to_owned(), Digest::of(text.as_bytes()))]);
    let (mut modules, mut cases) = (BTreeMap::new(), Vec::new());
    let mut bytes_read = text.len();
    let mut read = |path: &str| {
        let bytes = read(path)?;
        bytes_read += bytes.len();
        match bytes_read {
            ..=MOST_BYTES => Ok(bytes),
            _ => {
                Err(format!("cannot read `{path}`: the files of the set have more than {MOST_BYTES} bytes together"))
            }
        }
    };
    for path in set.policies.iter().map(|binding| &binding.module) {
        if modules.contains_key(path) {
            continue;
        }
        let module = read(path).map(|bytes| Module { digest: Digest::of(&bytes), bytes });
        if let Ok(module) = &module {
            files.insert(path.clone(), module.digest);
        }
        modules.insert(path.clone(), module);
    }
    for path in &set.cases {
        let bytes = read(path).map_err(|message| SetError::new(&file, 1, message))?;
        files.insert(path.clone(), Digest::of(&bytes));
        cases.push(Cases { file: named(path), path: path.clone(), bytes });
    }
    // Why a file cannot be read is part of what the files say: another reason is news.
    let parts = files.iter().flat_map(|(path, digest)| [path.as_bytes(), digest.bytes()]);
    let digest = Digest::of_parts(parts.chain(unreadable(&modules).map(str::as_bytes)));
    Ok(Bundle { file, text: text.to_owned(), set, modules, cases, lock: Lock { files }, digest })
}

/// Why modules cannot be read.
fn unreadable(modules: &BTreeMap<String, Result<Module, String>>) -> impl Iterator<Item = &str> {
    modules.values().filter_map(|module| module.as_ref().err()).map(String::as_str)
}

/// Reads the file of a module: a regular one, and no larger than a module may be. A folder is read as a bundle of OPA's.
///
/// # Errors
/// It cannot be read, is something else, or too large.
pub fn read_module(path: &Path) -> std::io::Result<Vec<u8>> {
    if path.is_dir() { Folder::open(path).module(".") } else { read_file(path, LARGEST_POLICY) }
}

/// Reads a regular file that is not too large, and waits for nobody at the other end.
pub(crate) fn read_file(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    read_regular(beneath::open_file(path)?, most)
}

fn text(bytes: Vec<u8>) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::other(format!("not UTF-8 at byte {at}"))
    })
}

/// Reads a regular file that is not too large.
fn read_regular(file: File, most: u64) -> std::io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let too_large = || std::io::Error::other(format!("larger than {most} bytes"));
    if metadata.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // One byte more than allowed shows a file that grows while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

fn not_a_set(file: &str, folder: &Path, error: &std::io::Error) -> Report {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound if folder.is_dir() => "there is no `weir.toml` in this folder".to_owned(),
        _ => format!("cannot read the set: {error}"),
    };
    let modules = modules_in(folder);
    let help = (!modules.is_empty()).then(|| format!("one to start from:\n\n{}", starter(&modules)));
    SetError { file: file.to_owned(), line: 1, column: 1, message, help }.into()
}

impl From<SetError> for Report {
    fn from(error: SetError) -> Report {
        vec![error].into()
    }
}

impl From<LoadError> for Report {
    fn from(error: LoadError) -> Report {
        vec![error].into()
    }
}

/// File names of the modules in a folder, sorted.
fn modules_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut modules: Vec<String> =
        names.filter(|name| [".wasm", ".tar.gz"].iter().any(|ending| name.ends_with(ending))).collect();
    modules.sort();
    modules
}

/// A set that binds each module everywhere.
fn starter(modules: &[String]) -> String {
    let mut text = "set = \"my-set\"\nowner = \"you@example.org\"\n".to_owned();
    for module in modules {
        let stem = module.trim_end_matches(".wasm").trim_end_matches(".tar.gz");
        let name: String =
            stem.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
        text.push_str(&format!("\n[policies.\"{name}\"]\nmodule      = \"{module}\"\ncheckpoints = [\"*\"]\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_a_set() {
        let text = starter(&["a b.wasm".to_owned(), "c.tar.gz".to_owned()]);
        let set = set::parse("weir.toml", &text).unwrap();
        assert_eq!(set.policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["a-b", "c"]);
    }

    #[test]
    fn the_digest_covers_the_text_and_every_module() {
        let set = "set = \"s\"\n[policies.p]\nmodule = \"p.wasm\"\n";
        let digest =
            |text: &str, bytes: &[u8]| load(&Source::memory(text, [("p.wasm", bytes)])).ok().map(|b| b.digest);
        let base = digest(set, b"1");
        assert!(base.is_some());
        assert_eq!(base, digest(set, b"1"));
        assert_ne!(base, digest(set, b"2"));
        assert_ne!(base, digest(&format!("{set}\n"), b"1"));
    }
}
