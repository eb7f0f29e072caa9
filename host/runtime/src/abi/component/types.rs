//! The records of `plugin-sdk/wit/policy.wit`: requests borrow their texts, verdicts own theirs.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use wasmtime::component::{ComponentType, Lift, Lower};

/// A request as policies are given it, in JSON, of which parts may be missing.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Given<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    checkpoint: Cow<'a, str>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    system: Cow<'a, str>,
    time: Option<Timestamp>,
    #[serde(borrow)]
    subject: GivenEntity<'a>,
    #[serde(borrow)]
    action: GivenAction<'a>,
    #[serde(borrow)]
    resource: GivenEntity<'a>,
    #[serde(borrow)]
    context: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Vec<GivenPart<'a>>,
    #[serde(borrow)]
    measures: Vec<GivenMeasure<'a>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GivenEntity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GivenAction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GivenPart<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    origin: Origin,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GivenMeasure<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    group: Cow<'a, str>,
    value: f64,
    count: u64,
}

impl<'a> Given<'a> {
    /// Reads what the host itself has encoded.
    pub(super) fn parse(json: &'a [u8]) -> Result<Given<'a>, String> {
        serde_json::from_slice(json).map_err(|error| format!("the request is not one: {error}"))
    }

    /// The same in the types of the interface.
    pub(super) fn request(&self) -> Request<'_> {
        Request {
            id: &self.id,
            checkpoint: &self.checkpoint,
            tenant: &self.tenant,
            system: &self.system,
            time_ms: self.time.map_or(0, |time| u64::try_from(time.as_millisecond()).unwrap_or(0)),
            subject: self.subject.entity(),
            action: Action { name: &self.action.name, properties: object(self.action.properties) },
            resource: self.resource.entity(),
            context: object(self.context),
            content: self.content.iter().map(GivenPart::part).collect(),
            measures: self.measures.iter().map(GivenMeasure::measure).collect(),
            payload: self.payload.map_or("null", RawValue::get),
        }
    }
}

impl GivenEntity<'_> {
    fn entity(&self) -> Entity<'_> {
        Entity { kind: &self.kind, id: &self.id, properties: object(self.properties) }
    }
}

impl GivenPart<'_> {
    fn part(&self) -> Part<'_> {
        Part { role: &self.role, origin: self.origin, text: &self.text }
    }
}

impl GivenMeasure<'_> {
    fn measure(&self) -> Measure<'_> {
        Measure { name: &self.name, group: &self.group, value: self.value, count: self.count }
    }
}

/// The text of an object that may be missing.
fn object(value: Option<&RawValue>) -> &str {
    value.map_or("{}", RawValue::get)
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    id: &'a str,
    checkpoint: &'a str,
    tenant: &'a str,
    system: &'a str,
    #[component(name = "time-ms")]
    time_ms: u64,
    subject: Entity<'a>,
    action: Action<'a>,
    resource: Entity<'a>,
    context: &'a str,
    content: Vec<Part<'a>>,
    measures: Vec<Measure<'a>>,
    payload: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Entity<'a> {
    kind: &'a str,
    id: &'a str,
    properties: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Action<'a> {
    name: &'a str,
    properties: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Part<'a> {
    role: &'a str,
    origin: Origin,
    text: &'a str,
}

/// The provenance of a text; one that is not told deserves the least trust.
#[derive(ComponentType, Lower, Lift, Clone, Copy, Default, Deserialize)]
#[component(enum)]
#[serde(rename_all = "snake_case")]
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

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Measure<'a> {
    name: &'a str,
    group: &'a str,
    value: f64,
    count: u64,
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
    fn what_is_missing_is_empty() {
        let given = Given::parse(b"{}").unwrap();
        let request = given.request();
        assert_eq!((request.id, request.time_ms, request.context, request.payload), ("", 0, "{}", "null"));
        assert!(request.content.is_empty() && request.subject.properties == "{}");
    }

    #[test]
    fn a_request_keeps_its_digits_and_its_texts() {
        let json = r#"{"id":"r","time":"2026-01-01T00:00:00.5Z","payload":{"n":1.230},
            "content":[{"text":"a\u00fc"},{"role":"user","origin":"user","text":"b"}],
            "measures":[{"name":"m","value":0.5,"count":18446744073709551615}]}"#;
        let given = Given::parse(json.as_bytes()).unwrap();
        let request = given.request();
        assert_eq!((request.payload, request.time_ms), (r#"{"n":1.230}"#, 1_767_225_600_500));
        assert_eq!(request.content[0].text, "aü");
        assert!(matches!(request.content[0].origin, Origin::Retrieved));
        assert!(matches!(request.content[1].origin, Origin::User));
        assert_eq!(request.measures[0].count, u64::MAX);
    }

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
