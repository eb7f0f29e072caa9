//! The records of `plugin-sdk/wit/policy.wit`: requests borrow their texts, verdicts own theirs.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::request::ORIGINS;

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    pub(super) id: &'a str,
    pub(super) checkpoint: &'a str,
    pub(super) tenant: &'a str,
    pub(super) system: &'a str,
    #[component(name = "time-ms")]
    pub(super) time_ms: u64,
    pub(super) subject: Entity<'a>,
    pub(super) action: Action<'a>,
    pub(super) resource: Entity<'a>,
    pub(super) context: &'a str,
    pub(super) content: Vec<Part<'a>>,
    pub(super) measures: Vec<Measure<'a>>,
    pub(super) payload: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Entity<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) properties: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Action<'a> {
    pub(super) name: &'a str,
    pub(super) properties: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Part<'a> {
    pub(super) role: &'a str,
    pub(super) origin: Origin,
    pub(super) text: &'a str,
}

/// The provenance of a text; one that is not told deserves the least trust.
#[derive(ComponentType, Lower, Lift, Clone, Copy, Default)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Origin {
    #[component(name = "system")]
    System,
    #[component(name = "user")]
    User,
    #[component(name = "model")]
    Model,
    #[component(name = "tool")]
    Tool,
    #[component(name = "retrieved")]
    #[default]
    Retrieved,
}

impl Origin {
    pub(super) const ALL: [Origin; 5] =
        [Origin::System, Origin::User, Origin::Model, Origin::Tool, Origin::Retrieved];

    /// The one that a request names.
    pub(super) fn named(name: &str) -> Origin {
        ORIGINS.iter().position(|origin| *origin == name).map_or(Origin::default(), |place| Origin::ALL[place])
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Measure<'a> {
    pub(super) name: &'a str,
    pub(super) group: &'a str,
    pub(super) value: f64,
    pub(super) count: u64,
}

/// What a guest says, as JSON once it is serialised.
#[derive(ComponentType, Lift, Serialize)]
#[component(record)]
pub(super) struct Verdict {
    effect: Effect,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    edits: Vec<Edit>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    scores: Vec<Score>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obligations: Vec<Obligation>,
}

#[derive(ComponentType, Lift, Serialize, Clone, Copy)]
#[component(enum)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes them")]
pub(super) enum Effect {
    #[component(name = "allow")]
    Allow,
    #[component(name = "review")]
    Review,
    #[component(name = "deny")]
    Deny,
}

#[derive(ComponentType, Lift, Serialize, Clone, Copy)]
#[component(enum)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes them")]
pub(super) enum Severity {
    #[component(name = "info")]
    Info,
    #[component(name = "low")]
    Low,
    #[component(name = "medium")]
    Medium,
    #[component(name = "high")]
    High,
    #[component(name = "critical")]
    Critical,
}

#[derive(ComponentType, Lift, Serialize)]
#[component(record)]
pub(super) struct Finding {
    code: String,
    severity: Severity,
    message: String,
    at: Option<String>,
    start: Option<u32>,
    end: Option<u32>,
    #[serde(serialize_with = "as_quantity")]
    measured: Option<String>,
    #[serde(serialize_with = "as_quantity")]
    threshold: Option<String>,
    because: Vec<String>,
}

#[derive(ComponentType, Lift, Serialize)]
#[component(record)]
pub(super) struct Edit {
    at: String,
    start: u32,
    end: u32,
    replacement: String,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Score {
    name: String,
    value: f64,
}

#[derive(ComponentType, Lift, Serialize)]
#[component(record)]
pub(super) struct Obligation {
    name: String,
    because: Vec<String>,
}

/// Scores as the members of an object; a name that comes twice is found when the verdict is decoded.
fn as_map<S: Serializer>(scores: &[Score], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(scores.len()))?;
    scores.iter().try_for_each(|score| map.serialize_entry(&score.name, &score.value))?;
    map.end()
}

/// A number where the text is one in JSON, so that all languages say it alike; else the text.
fn as_quantity<S: Serializer>(quantity: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let number = quantity.as_deref().and_then(|text| serde_json::from_str::<f64>(text).ok());
    match (number, quantity) {
        (Some(number), _) => serializer.serialize_f64(number),
        (None, quantity) => quantity.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_what_a_core_module_would_answer() {
        let mut verdict = Verdict {
            effect: Effect::Allow,
            findings: Vec::new(),
            edits: Vec::new(),
            scores: Vec::new(),
            obligations: Vec::new(),
        };
        assert_eq!(serde_json::to_vec(&verdict).unwrap(), br#"{"effect":"allow"}"#);
        verdict.scores = vec![Score { name: "a".to_owned(), value: 0.5 }];
        verdict.findings = vec![Finding {
            code: "c".to_owned(),
            severity: Severity::Low,
            message: "m".to_owned(),
            at: None,
            start: None,
            end: None,
            measured: Some("0.25".to_owned()),
            threshold: Some("wire".to_owned()),
            because: Vec::new(),
        }];
        let json = serde_json::to_value(&verdict).unwrap();
        assert_eq!(json["scores"]["a"], 0.5);
        assert_eq!(
            (&json["findings"][0]["measured"], &json["findings"][0]["threshold"]),
            (&0.25.into(), &"wire".into())
        );
    }
}
