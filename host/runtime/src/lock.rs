//! `weir.lock`: the digest of every file of a set, so that a change of several files is one change.
//!
//! While a set and its lock disagree nothing is published: half of an upload, or an edit nobody meant, stays without
//! consequence until somebody runs `weir lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::de::{DeTable, DeValue};

use crate::digest::Digest;
use crate::report::{Report, SetError};
use crate::text::quoted;

/// Name of the lock in the folder of its set.
pub(crate) const LOCK_FILE: &str = "weir.lock";
/// Differences that are told; whoever exchanged a whole set needs no more examples.
const EXAMPLES: usize = 20;
/// Version of the format.
const VERSION: &str = "1";

/// What every file of a set was when somebody locked it. As text it is the content of a `weir.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Digests by path, relative to the folder of the set.
    pub files: BTreeMap<String, Digest>,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Written by `weir lock`. While these digests and the files disagree, nothing is published.")?;
        writeln!(f, "version = {VERSION}\n\n[files]")?;
        self.files.iter().try_for_each(|(file, digest)| {
            let name = serde_json::to_string(file).expect("text always serialises");
            writeln!(f, "{name} = \"{digest}\"")
        })
    }
}

impl Lock {
    /// Reads the text of a `weir.lock`; `name` is the file's in errors.
    ///
    /// # Errors
    /// What keeps it from being a lock of this version, with its line.
    pub fn parse(name: &str, text: &str) -> Result<Lock, Report> {
        let entries = read(name, text)?;
        Ok(Lock { files: entries.into_iter().map(|(file, (digest, _))| (file, digest)).collect() })
    }

    /// What keeps the files from being those of a lock, everything at once; `name` and `text` are the lock's.
    pub(crate) fn check(&self, name: &str, text: &str) -> Result<(), Report> {
        let locked = read(name, text)?;
        let names: BTreeSet<&String> = self.files.keys().chain(locked.keys()).collect();
        let differences = names.into_iter().filter_map(|file| {
            let entry = locked.get(file);
            let message = match (self.files.get(file), entry) {
                (Some(found), Some((wanted, _))) if found == wanted => return None,
                (Some(found), Some((wanted, _))) => format!("{} is {found}, the lock says {wanted}", quoted(file)),
                (Some(_), None) => format!("{} is not in the lock", quoted(file)),
                (None, _) => format!("{} is in the lock, but the set does not use it", quoted(file)),
            };
            let help = Some("when the change is complete and meant, run `weir lock`".to_owned());
            Some(SetError { help, ..SetError::new(name, entry.map_or(1, |(_, line)| *line), message) })
        });
        let differences: Vec<SetError> = differences.take(EXAMPLES).collect();
        if differences.is_empty() { Ok(()) } else { Err(differences.into()) }
    }
}

/// Digests by file, each with its line.
fn read(name: &str, text: &str) -> Result<BTreeMap<String, (Digest, usize)>, SetError> {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line = |at: usize| ends.partition_point(|end| *end < at) + 1;
    let wrong = |line: usize, message: String| {
        let help = Some("write it anew with `weir lock`".to_owned());
        SetError { help, ..SetError::new(name, line, message) }
    };
    let table = DeTable::parse(text).map_err(|error| {
        wrong(error.span().map_or(1, |span| line(span.start)), format!("not a lock: {}", error.message()))
    })?;
    let table = table.get_ref();
    let version = table.get("version").and_then(|value| value.get_ref().as_integer()).map(ToString::to_string);
    if version.as_deref() != Some(VERSION) {
        return Err(wrong(1, format!("not a lock of this version: expected `version = {VERSION}`")));
    }
    let Some(DeValue::Table(files)) = table.get("files").map(|value| value.get_ref()) else {
        return Err(wrong(1, "the table `files` is missing".to_owned()));
    };
    let entries = files.iter().map(|(file, value)| {
        let at = line(file.span().start);
        let digest = value.get_ref().as_str().and_then(Digest::parse);
        let digest =
            digest.ok_or_else(|| wrong(at, format!("{}: expected a digest in quotes", quoted(file.get_ref()))))?;
        Ok((file.get_ref().to_string(), (digest, at)))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(entries: &[(&str, &[u8])]) -> Lock {
        Lock { files: entries.iter().map(|(name, bytes)| ((*name).to_owned(), Digest::of(bytes))).collect() }
    }

    #[test]
    fn what_was_locked_is_what_is_there() {
        let now = lock(&[("weir.toml", b"a"), ("a \"b\"\n.wasm", b"b")]);
        assert_eq!(now.check(LOCK_FILE, &now.to_string()), Ok(()));
        assert_eq!(Lock::parse(LOCK_FILE, &now.to_string()), Ok(now));
    }

    #[test]
    fn every_difference_is_told_with_its_line() {
        let text = lock(&[("weir.toml", b"a"), ("gone.wasm", b"b"), ("same.wasm", b"c")]).to_string();
        let now = lock(&[("weir.toml", b"changed"), ("new.wasm", b"d"), ("same.wasm", b"c")]);
        let report = now.check(LOCK_FILE, &text).unwrap_err();
        let told: Vec<usize> = report.set.iter().map(|error| error.line).collect();
        // Sorted by name: gone, new, weir.toml; the entries begin in line 5.
        assert_eq!(told, [5, 1, 7], "{report}");
    }

    #[test]
    fn what_is_no_lock_is_refused() {
        for text in ["", "version = 2\n[files]", "version = 1", "version = 1\n[files]\na = \"1\"", "version ="] {
            assert!(lock(&[]).check(LOCK_FILE, text).is_err(), "{text}");
        }
    }
}
