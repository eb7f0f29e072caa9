//! What is wrong with a policy set: everything at once, in the words of whoever wrote it.
//!
//! A [`Report`] prints as compilers do, one error after the other, each with its place and, where we know one, a
//! way out. It is also what `--json` prints.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{harmless, quoted};

/// Why a set was refused: all errors of its text and all errors of loading its policies.
///
/// While there is a report there is no new generation; the former one stays in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Errors in the text of the set, in the order of the text.
    pub set: Vec<SetError>,
    /// Policies that could not be loaded.
    pub load: Vec<LoadError>,
    /// The machine is to blame, so that the same files may be good a little later.
    #[serde(skip)]
    pub(crate) transient: bool,
    /// Nobody wants the set any more: its files have changed, or its host ends.
    #[serde(skip)]
    pub(crate) overtaken: bool,
}

/// One error in the text of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetError {
    /// The file as its reader named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to put it right, where we know.
    pub help: Option<String>,
}

/// One policy that could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadError {
    /// The set's file as its reader named it.
    pub file: String,
    /// Line of the policy's table, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The policy's name in the set.
    pub policy: String,
    /// What is wrong.
    pub message: String,
    /// How to put it right, where we know.
    pub help: Option<String>,
}

impl SetError {
    /// An error at the start of a line.
    pub(crate) fn new(file: &str, line: usize, message: impl Into<String>) -> SetError {
        SetError { file: file.to_owned(), line, column: 1, message: message.into(), help: None }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.load.is_empty()
    }

    /// Whether the machine is to blame and not the set, so that the same files may be good a little later.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// Adds the errors of another report.
    pub(crate) fn extend(&mut self, other: Report) {
        self.transient |= other.transient;
        self.set.extend(other.set);
        self.load.extend(other.load);
    }
}

impl From<Vec<SetError>> for Report {
    fn from(set: Vec<SetError>) -> Self {
        Report { set, ..Report::default() }
    }
}

impl From<Vec<LoadError>> for Report {
    fn from(load: Vec<LoadError>) -> Self {
        Report { load, ..Report::default() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set.iter().map(|error| error as &dyn fmt::Display);
        let load = self.load.iter().map(|error| error as &dyn fmt::Display);
        for (position, error) in set.chain(load).enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", harmless(&self.file), self.line, self.column, harmless(&self.message))?;
        write_help(f, self.help.as_deref())
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", harmless(&self.file), self.line, self.column)?;
        write!(f, "policy {}: {}", quoted(&self.policy), harmless(&self.message))?;
        write_help(f, self.help.as_deref())
    }
}

impl std::error::Error for Report {}
impl std::error::Error for SetError {}
impl std::error::Error for LoadError {}

fn write_help(f: &mut fmt::Formatter<'_>, help: Option<&str>) -> fmt::Result {
    match help {
        Some(help) => {
            // Ours may have several lines, such as a set to start from.
            let lines: Vec<_> = help.lines().map(harmless).collect();
            write!(f, "\n  help: {}", lines.join("\n  "))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(policy: &str, message: &str, help: Option<&str>) -> LoadError {
        let (file, help) = ("weir.toml".to_owned(), help.map(str::to_owned));
        LoadError { file, line: 3, column: 1, policy: policy.into(), message: message.into(), help }
    }

    fn report() -> Report {
        Report {
            set: vec![
                SetError {
                    file: "weir.toml".into(),
                    line: 14,
                    column: 9,
                    message: "unknown key `grant`".into(),
                    help: Some("did you mean `grants`?".into()),
                },
                SetError {
                    file: "weir.toml".into(),
                    line: 20,
                    column: 1,
                    message: "duplicate key `pii`".into(),
                    help: None,
                },
            ],
            load: vec![error("pii", "no module `a.wasm`", None)],
            transient: false,
            overtaken: false,
        }
    }

    #[test]
    fn prints_as_compilers_do() {
        let expected = "weir.toml:14:9: unknown key `grant`\n  help: did you mean `grants`?\n\
                        weir.toml:20:1: duplicate key `pii`\n\
                        weir.toml:3:1: policy `pii`: no module `a.wasm`";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn serializes_every_field() {
        let json = serde_json::to_value(report()).unwrap();
        let expected = serde_json::json!({
            "set": [
                {"file": "weir.toml", "line": 14, "column": 9, "message": "unknown key `grant`", "help": "did you mean `grants`?"},
                {"file": "weir.toml", "line": 20, "column": 1, "message": "duplicate key `pii`", "help": null},
            ],
            "load": [
                {"file": "weir.toml", "line": 3, "column": 1, "policy": "pii", "message": "no module `a.wasm`", "help": null},
            ],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        let error = error("p", "x\ry", Some("\u{7}"));
        assert_eq!(error.to_string(), "weir.toml:3:1: policy `p`: x\u{fffd}y\n  help: \u{fffd}");
    }

    #[test]
    fn help_of_several_lines_stays_so() {
        let error = error("p", "x", Some("one to start from:\nset = \"s\""));
        assert_eq!(error.to_string(), "weir.toml:3:1: policy `p`: x\n  help: one to start from:\n  set = \"s\"");
    }

    #[test]
    fn an_empty_report_prints_nothing() {
        assert!(Report::default().is_empty());
        assert_eq!(Report::default().to_string(), "");
        assert!(!report().is_empty());
    }
}
