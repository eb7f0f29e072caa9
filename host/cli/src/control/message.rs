//! What goes through the control socket: one of these as one line of JSON, in each direction.
//!
//! Keys are added to answers, never renamed or removed, while `v` is 1. An answer with `error` is no other one.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir::{Change, Report, WatchState};

/// Version of the answers.
pub(super) const VERSION: u32 = 1;

/// What a host can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Command {
    /// How it is; answered by [`Status`].
    Status {},
    /// Which generations are loaded, and what changed from the first to the second; answered by [`Generations`].
    Generations {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff: Option<[u64; 2]>,
    },
    /// Bring a generation's policies back, by default those before the ones in force; answered by [`RolledBack`].
    Rollback {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<u64>,
    },
}

/// How a host is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) v: u32,
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) started: jiff::Timestamp,
    /// Name of the set.
    pub(crate) set: String,
    /// Where it is, and where the records are.
    pub(crate) folder: String,
    pub(crate) audit: String,
    /// The one in force.
    pub(crate) generation: Generation,
    /// Numbers of those that are loaded, oldest first.
    pub(crate) generations: Vec<u64>,
    /// Digest of the files at the last look; another than that of the generation in force after a rollback.
    pub(crate) files: Option<weir::Digest>,
    /// None while the folder is not followed.
    pub(crate) watch: Option<WatchState>,
    /// The report on the files as they are now, where they are refused.
    pub(crate) refused: Option<Report>,
    /// Policies whose evaluations are not kept apart.
    #[serde(default)]
    pub(crate) reused: Vec<String>,
    /// As `weir::Metrics` serialises.
    pub(crate) metrics: Value,
}

/// Which generations are loaded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Generations {
    pub(crate) v: u32,
    pub(crate) set: String,
    /// Oldest first; the last one is in force.
    pub(crate) generations: Vec<Generation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<Diff>,
}

/// One generation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) digest: String,
    pub(crate) since: jiff::Timestamp,
    /// The one whose policies it brought back.
    pub(crate) restores: Option<u64>,
    /// How many it has, those that are off included.
    pub(crate) policies: usize,
    pub(crate) in_force: bool,
}

/// What changed between two generations.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Diff {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) changes: Vec<Change>,
}

/// What a rollback brought into force.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RolledBack {
    pub(crate) v: u32,
    pub(crate) generation: u64,
    pub(crate) restores: u64,
}

/// The answer instead of any other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Error {
    pub(crate) error: Problem,
}

/// Why a command is not carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) message: String,
}

/// What kind of a problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProblemKind {
    /// The line is no command.
    BadCommand,
    /// It names a generation that is not loaded.
    NotLoaded,
    /// It cannot be done now.
    Refused,
}

impl From<&weir::Generation> for Generation {
    fn from(generation: &weir::Generation) -> Generation {
        Generation {
            number: generation.id().number.get(),
            digest: generation.id().digest.to_string(),
            since: generation.since(),
            restores: generation.restores().map(weir::GenerationNumber::get),
            policies: generation.plan().policies.len(),
            in_force: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<Command>(text);
        assert!(matches!(read(r#"{"command":"status"}"#), Ok(Command::Status {})));
        assert!(matches!(read(r#"{"command":"generations"}"#), Ok(Command::Generations { diff: None })));
        assert!(matches!(
            read(r#"{"diff":[2,5],"command":"generations"}"#),
            Ok(Command::Generations { diff: Some([2, 5]) })
        ));
        assert!(matches!(read(r#"{"command":"rollback","to":3}"#), Ok(Command::Rollback { to: Some(3) })));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"command":"stop"}"#,
            r#"{"command":"status","to":3}"#,
            r#"{"command":"rollback","to":-3}"#,
            r#"{"command":"rollback","to":3,"to":4}"#,
            r#"{"command":"generations","diff":[1,2,3]}"#,
            r#"{"command":"status"} {"command":"status"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
