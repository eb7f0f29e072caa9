//! The vocabulary of answers: what one policy says ([`Verdict`]) or failed to say ([`Failure`]).
//!
//! Nothing here knows Wasm. A verdict is decoded strictly from the guest's JSON: an answer that is not exactly in the
//! agreed shape is a failure, since a guess about what a policy meant is a guess about what is allowed.

mod decode;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::text::one_line;

pub(crate) use decode::{Answer, decode};

/// What a policy, or all of them together, says about a request. Ordered from the loosest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The action may go on.
    Allow,
    /// The action waits for people.
    Review,
    /// The action must not happen.
    Deny,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Allow => "allow",
            Effect::Review => "review",
            Effect::Deny => "deny",
        })
    }
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the five names are the documentation")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// A measured value or a threshold: a number or words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A finite number.
    Number(f64),
    /// Words, such as `wire`.
    Text(String),
}

/// A coded reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What was found, such as `pii.iban`.
    pub code: String,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence for people; control characters are replaced.
    pub message: String,
    /// JSON pointer into the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// First byte of the place in the text at `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// Byte after the last one of the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<u32>,
    /// What was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Quantity>,
    /// What it was measured against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Quantity>,
    /// The rules behind it, such as `eu-gdpr`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

/// The replacement of a span of one text in the request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edit {
    /// JSON pointer to the text.
    pub at: String,
    /// First byte to replace, on a character boundary.
    pub start: u32,
    /// Byte after the last one to replace, on a character boundary.
    pub end: u32,
    /// What stands there afterwards.
    pub replacement: String,
}

/// A duty for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obligation {
    /// What must be done, such as `disclose_ai`.
    pub name: String,
    /// The rules behind it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

/// One policy's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Allow, review or deny.
    pub effect: Effect,
    /// Coded reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Replacements the caller has to make when the action goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Named risks from 0 to 1; higher is worse.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// Duties for the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
}

impl Verdict {
    /// The verdict that says `effect` and nothing else.
    pub fn of(effect: Effect) -> Verdict {
        Verdict { effect, findings: vec![], edits: vec![], scores: BTreeMap::new(), obligations: vec![] }
    }
}

/// Why a policy gave no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The fuel limit was used up.
    Fuel,
    /// The memory or table limit was reached and the guest gave up on it.
    Memory,
    /// The wall-clock deadline passed. A condition of the host.
    Deadline,
    /// The host had no room. A condition of the host.
    Overload,
    /// The guest trapped.
    Trap,
    /// The answer was too long, out of bounds or not a verdict.
    BadOutput,
    /// The guest said that it cannot judge.
    GuestError,
    /// The guest called the host too often or without the right to.
    RefusedHostCall,
    /// The caller went away. A condition of the host.
    Cancelled,
    /// The policy could not be run. A condition of the host.
    Unavailable,
    /// No policy applied.
    Unbound,
}

impl FailureKind {
    /// Whether the failure depends on the host's condition, so that a replay need not reproduce it.
    pub fn is_host_condition(self) -> bool {
        use FailureKind::{Cancelled, Deadline, Overload, Unavailable};
        matches!(self, Deadline | Overload | Cancelled | Unavailable)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureKind::Fuel => "fuel",
            FailureKind::Memory => "memory",
            FailureKind::Deadline => "deadline",
            FailureKind::Overload => "overload",
            FailureKind::Trap => "trap",
            FailureKind::BadOutput => "bad_output",
            FailureKind::GuestError => "guest_error",
            FailureKind::RefusedHostCall => "refused_host_call",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Unbound => "unbound",
        })
    }
}

/// A policy that gave no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The kind, for machines.
    pub kind: FailureKind,
    /// What happened, for people: one line, at most 1 KiB.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl AsRef<str>) -> Failure {
        Failure { kind, detail: one_line(detail.as_ref(), 1024).into_owned() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_ordered_by_strictness() {
        assert!(Effect::Allow < Effect::Review && Effect::Review < Effect::Deny);
    }
}
