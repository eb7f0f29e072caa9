//! From a source to bytes: the set's text and the modules it names, each with its digest. Nothing here knows wasmtime.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::inspect::LARGEST_MODULE;
use crate::report::{LoadError, Report, SetError};
use crate::set::{self, Set};

/// Name of the set's file in its folder.
const SET_FILE: &str = "weir.toml";
/// Largest `weir.toml`: ten thousand policies take about 4 MiB.
const LARGEST_SET: u64 = 64 << 20;

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

    /// The text of a set, and modules under the paths it names them by.
    pub fn memory<N: Into<String>, B: Into<Vec<u8>>>(
        set: impl Into<String>,
        modules: impl IntoIterator<Item = (N, B)>,
    ) -> Source {
        let modules = modules.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect();
        Source(Kind::Memory { set: set.into(), modules })
    }
}

/// A checked set and the bytes of its modules.
pub(crate) struct Bundle {
    pub(crate) file: String,
    pub(crate) set: Set,
    /// By path, as the set names them.
    pub(crate) modules: BTreeMap<String, Result<Vec<u8>, String>>,
    /// Digest of the set's text and of every module: what names a generation.
    pub(crate) digest: Digest,
}

/// Reads a source whole.
pub(crate) fn load(source: &Source) -> Result<Bundle, Report> {
    match &source.0 {
        Kind::Dir(folder) => {
            let file = folder.join(SET_FILE);
            let name = file.display().to_string();
            let text = read_text(folder, &file).map_err(|error| not_a_set(&name, folder, &error))?;
            bundle(name, &text, |path| read_inside(folder, path))
        }
        Kind::Memory { set, modules } => bundle(SET_FILE.to_owned(), set, |path| {
            modules.get(path).cloned().ok_or_else(|| format!("there is no module `{path}` in this source"))
        }),
    }
}

fn bundle(file: String, text: &str, read: impl Fn(&str) -> Result<Vec<u8>, String>) -> Result<Bundle, Report> {
    let set = set::parse(&file, text)?;
    let mut modules = BTreeMap::new();
    for binding in &set.policies {
        modules.entry(binding.module.clone()).or_insert_with(|| read(&binding.module));
    }
    let parts =
        modules.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes.as_ref().map_or(&[][..], Vec::as_slice)]);
    let digest = Digest::of_parts(std::iter::once(text.as_bytes()).chain(parts));
    Ok(Bundle { file, set, modules, digest })
}

/// Reads the file of a module: a regular one, and no larger than a module may be.
///
/// # Errors
/// It cannot be read, is something else than a file, or too large.
pub fn read_module(path: &Path) -> std::io::Result<Vec<u8>> {
    read_regular(path, LARGEST_MODULE)
}

/// A file of the folder: regular, not too large, and not reached by a link that leads out of the folder.
fn read_inside(folder: &Path, path: &str) -> Result<Vec<u8>, String> {
    let file = folder.join(path);
    let told = |error: std::io::Error| format!("cannot read `{}`: {error}", file.display());
    let real = fs::canonicalize(&file).map_err(told)?;
    if !real.starts_with(fs::canonicalize(folder).map_err(told)?) {
        return Err(format!("`{}` leads out of the folder of the set", file.display()));
    }
    read_module(&real).map_err(told)
}

fn read_text(folder: &Path, file: &Path) -> std::io::Result<String> {
    fs::metadata(folder)?;
    String::from_utf8(read_regular(file, LARGEST_SET)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        std::io::Error::other(format!("not UTF-8 at byte {at}"))
    })
}

/// Reads a regular file; asks before opening, since opening a pipe would wait for its writer.
fn read_regular(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let regular = |metadata: fs::Metadata| match metadata {
        metadata if !metadata.is_file() => Err(std::io::Error::other("not a regular file")),
        metadata if metadata.len() > most => Err(std::io::Error::other(format!("larger than {most} bytes"))),
        metadata => Ok(metadata.len()),
    };
    regular(fs::metadata(path)?)?;
    let file = File::open(path)?;
    let expected = regular(file.metadata()?)?;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    // One byte more than allowed shows a file that grows while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(bytes)
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
    let mut modules: Vec<String> = names.filter(|name| name.ends_with(".wasm")).collect();
    modules.sort();
    modules
}

/// A set that binds each module everywhere.
fn starter(modules: &[String]) -> String {
    let mut text = "set = \"my-set\"\nowner = \"you@example.org\"\n".to_owned();
    for module in modules {
        let stem = module.trim_end_matches(".wasm");
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
        let text = starter(&["a b.wasm".to_owned(), "c.wasm".to_owned()]);
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
