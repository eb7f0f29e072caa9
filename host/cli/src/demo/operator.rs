//! What an operator does to the folder of a set, the careful way and the careless one.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::exit::{Failed, OrFail};

pub(super) const SET_FILE: &str = "weir.toml";
/// The policy that is changed.
pub(super) const CHANGED: &str = "pii";
/// The policy and module that somebody adds.
pub(super) const ADDED_POLICY: &str = "fraud-score";
pub(super) const ADDED: &str = "fraud_score.wasm";
/// The module whose copy stops half-way; and the one policy that uses it.
pub(super) const COPIED: &str = "fairness_gate.wasm";
pub(super) const COPIED_POLICY: &str = "fairness";

/// The folder, and whoever works on it.
pub(super) struct Operator {
    folder: PathBuf,
}

impl Operator {
    /// Writes the shipped set into a new folder.
    pub(super) fn new(folder: PathBuf) -> Result<Operator, Failed> {
        fs::create_dir(&folder).or_environment("make", folder.display())?;
        let operator = Operator { folder };
        operator.replace(SET_FILE, weir_plugins::SET.as_bytes())?;
        for module in weir_plugins::modules() {
            operator.replace(module.name, module.wasm)?;
        }
        Ok(operator)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file under another name and renames it; the answer is when it was renamed.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<Instant, Failed> {
        let (new, old) = (self.folder.join(format!("{name}.new")), self.folder.join(name));
        fs::write(&new, bytes).or_environment("write", new.display())?;
        let now = Instant::now();
        fs::rename(&new, &old).or_environment("write", old.display())?;
        Ok(now)
    }

    /// Overwrites a file in place, and stops in the middle of it.
    pub(super) fn copy_half(&self, name: &str, bytes: &[u8]) -> Result<(), Failed> {
        let path = self.folder.join(name);
        let copied = File::create(&path).and_then(|mut file| file.write_all(&bytes[..bytes.len() / 2]));
        copied.or_environment("write", path.display())
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Failed> {
        let path = self.folder.join(name);
        fs::remove_file(&path).or_environment("remove", path.display())
    }
}

/// The bytes of a shipped module.
pub(super) fn shipped(name: &str) -> &'static [u8] {
    let module = weir_plugins::modules().iter().find(|module| module.name == name);
    module.expect("a test asks for every module the demo names").wasm
}

/// The shipped set, but personal data is refused where it was masked.
pub(super) fn stricter() -> String {
    weir_plugins::SET.replacen("action = \"mask\"", "action = \"deny\"", 1)
}

/// The stricter set with a mode that there is not.
pub(super) fn mistyped() -> String {
    stricter().replacen("\"enforce\" ", "\"enforced\"", 1)
}

/// The stricter set and one policy more.
pub(super) fn with_added() -> String {
    format!("{}\n[policies.{ADDED_POLICY}]\nmodule      = \"{ADDED}\"\ncheckpoints = [\"tool.call\"]\n", stricter())
}

#[cfg(test)]
mod tests {
    use weir::{Compiler, OpenError, Report, Source};

    use super::*;

    /// What a host says to a set with the shipped modules and these.
    fn refused(set: String, more: &[(&str, &[u8])]) -> Report {
        let names = weir_plugins::modules().iter().map(|module| module.name);
        let modules: Vec<(&str, &[u8])> =
            names.map(|name| (name, shipped(name))).chain(more.iter().copied()).collect();
        match weir::check(&Source::memory(set, modules), Compiler::in_process()) {
            Err(OpenError::Set(report)) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_set_has_one_change_and_another_one_error() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (shipped, stricter) = (lines(weir_plugins::SET), lines(&stricter()));
        let changed: Vec<_> = shipped.iter().zip(&stricter).filter(|(before, after)| before != after).collect();
        assert_eq!((changed.len(), shipped.len()), (1, stricter.len()));
        assert!(changed[0].1.starts_with("config      = { action = \"deny\" }"), "{changed:?}");
        let report = refused(mistyped(), &[]);
        assert_eq!((report.set.len(), report.load.len()), (1, 0), "{report}");
        assert!(report.to_string().contains("unknown value `enforced`"), "{report}");
    }

    #[test]
    fn one_policy_uses_the_added_module_and_one_the_copied_one() {
        let report = refused(with_added(), &[(ADDED, b"no module"), (COPIED, &shipped(COPIED)[..1_000])]);
        let policies: Vec<&str> = report.load.iter().map(|error| error.policy.as_str()).collect();
        assert_eq!(policies, [COPIED_POLICY, ADDED_POLICY], "{report}");
    }

    #[test]
    fn files_are_replaced_whole_or_left_half() {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::new(folder.path().join("set")).unwrap();
        let read = |name: &str| fs::read(operator.folder().join(name)).unwrap();
        assert_eq!((read(SET_FILE), read(COPIED)), (weir_plugins::SET.as_bytes().to_vec(), shipped(COPIED).to_vec()));
        operator.copy_half(COPIED, b"abcdef").unwrap();
        operator.replace(ADDED, b"x").unwrap();
        assert_eq!((read(COPIED), read(ADDED)), (b"abc".to_vec(), b"x".to_vec()));
        operator.remove(ADDED).unwrap();
        assert_eq!(fs::read_dir(operator.folder()).unwrap().count(), weir_plugins::modules().len() + 1);
    }
}
