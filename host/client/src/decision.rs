//! What a server decides, as its callers read it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Go on, with the edits made.
    Allow,
    /// Wait for people.
    Review,
    /// Do not go on.
    Deny,
}

/// A decision of a server, or a denial of this client's own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Decision {
    /// What may happen next.
    pub effect: Effect,
    /// Names of policies, or `unbound`, `overload`, `record`; `client` where the server did not decide.
    pub decided_by: Vec<String>,
    /// Names the record that proves it; none where there is none.
    #[serde(default)]
    pub record: Option<String>,
    /// What policies found.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What is to be changed in the request's texts before going on.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// Risks from 0 to 1 by their names.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// What is to be done when going on.
    #[serde(default)]
    pub obligations: Vec<Obligation>,
    /// Why there is no decision of the server; none where there is one.
    #[serde(skip)]
    pub problem: Option<String>,
}

impl Decision {
    /// A denial of this client's own.
    pub(crate) fn denied(why: String) -> Decision {
        Decision {
            effect: Effect::Deny,
            decided_by: vec!["client".to_owned()],
            record: None,
            findings: Vec::new(),
            edits: Vec::new(),
            scores: BTreeMap::new(),
            obligations: Vec::new(),
            problem: Some(why),
        }
    }
}

/// Something a policy found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// The policy.
    pub policy: String,
    /// A word for machines.
    pub code: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// A sentence for people.
    pub message: String,
    /// JSON pointer to the place in the request.
    #[serde(default)]
    pub at: Option<String>,
    /// First byte of the span in the text there.
    #[serde(default)]
    pub start: Option<u64>,
    /// First byte behind the span.
    #[serde(default)]
    pub end: Option<u64>,
}

/// A change of one of the request's texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Edit {
    /// JSON pointer to the text.
    pub at: String,
    /// First byte that is replaced.
    pub start: u64,
    /// First byte that stays.
    pub end: u64,
    /// What comes there.
    pub replacement: String,
    /// Who wants it.
    pub policies: Vec<String>,
}

/// Something to be done when going on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Obligation {
    /// What must be done, such as `disclose_ai`.
    pub name: String,
    /// Who wants it.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The rules behind it.
    #[serde(default)]
    pub because: Vec<String>,
}

/// Why a server judged nothing.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}
