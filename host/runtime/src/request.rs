//! What is judged: a caller's JSON, checked strictly and kept as written.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use crate::json::{Document, JsonError, Kind, Path, Place, Value, required};
use crate::text::one_line;

/// Bounds on one request. Every error names the setting that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Longest body in bytes; default 1 MiB.
    pub body_bytes: usize,
    /// Deepest nesting of arrays and objects; default 64.
    pub depth: usize,
    /// Most content parts; default 4,096.
    pub content_parts: usize,
    /// Most measures; default 65,536.
    pub measures: usize,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits { body_bytes: 1 << 20, depth: 64, content_parts: 4096, measures: 65_536 }
    }
}

/// A request that cannot be judged: a place in the caller's JSON and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RequestError {
    /// JSON pointer (RFC 6901); empty for the request as a whole.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for RequestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "request: {}", self.message),
            pointer => write!(f, "request at `{pointer}`: {}", self.message),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<JsonError> for RequestError {
    fn from(JsonError { pointer, message }: JsonError) -> RequestError {
        /// A pointer is made of the caller's keys, which may be of any length and hold anything.
        const LONGEST_POINTER: usize = 1024;
        RequestError { pointer: one_line(&pointer, LONGEST_POINTER).into_owned(), message }
    }
}

/// A checked request. What callers may leave out, the host has filled in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Request(Arc<Asked>);

/// What is asked.
#[derive(Debug, Clone)]
struct Asked {
    /// The caller's own text: numbers keep their digits, and spans point into it.
    document: Document,
    /// Where each of [`FIELDS`] stands in it.
    fields: [Option<Place>; FIELDS.len()],
    id: String,
    checkpoint: String,
    tenant: String,
    system: Option<String>,
    time: Timestamp,
    /// The time as guests and records see it, written once.
    time_text: String,
}

/// The tenant of requests that name none.
pub const DEFAULT_TENANT: &str = "default";
/// Longest id, checkpoint, tenant or system, in bytes.
const LONGEST_NAME: usize = 256;
/// Where a text may come from.
pub(crate) const ORIGINS: [&str; 5] = ["system", "user", "model", "tool", "retrieved"];

/// The keys of a request.
pub(crate) const FIELDS: [&str; 12] = [
    "id",
    "checkpoint",
    "tenant",
    "system",
    "time",
    "subject",
    "action",
    "resource",
    "context",
    "content",
    "measures",
    "payload",
];

impl Request {
    /// Reads a request with the default limits.
    ///
    /// A missing `id` becomes a UUIDv7, a missing `time` the time of this call, a missing `tenant` `default`.
    ///
    /// # Errors
    /// Unknown and duplicate keys, wrong types and exceeded limits, each with its JSON pointer.
    pub fn parse(json: &[u8]) -> Result<Request, RequestError> {
        Request::parse_within(json, &RequestLimits::default())
    }

    /// Reads a request with limits of your own.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse_within(json: &[u8], limits: &RequestLimits) -> Result<Request, RequestError> {
        Request::read(json, limits, None)
    }

    /// Reads a request that is asked at a time of the host's, whatever time its caller says: for hosts that do not let callers
    /// choose it.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn parse_at(json: &[u8], limits: &RequestLimits, time: Timestamp) -> Result<Request, RequestError> {
        Request::read(json, limits, Some(time))
    }

    fn read(json: &[u8], limits: &RequestLimits, of_host: Option<Timestamp>) -> Result<Request, RequestError> {
        if json.len() > limits.body_bytes {
            let message = format!("{} bytes, the limit is {} (setting `body_bytes`)", json.len(), limits.body_bytes);
            return Err(RequestError { pointer: String::new(), message });
        }
        let document = Document::parse(json, limits.depth)?;
        let at = Path::Root;
        let found = document.root().fields(&at, FIELDS)?;
        let fields = found.map(|field| field.map(Value::place));
        let [id, checkpoint, tenant, system, time, subject, action, resource, context, content, measures, _payload] =
            found;
        let checkpoint = checkpoint_name(required(checkpoint, &at, "checkpoint")?, &at.key("checkpoint"))?;
        let optional = |value: Option<Value<'_>>, key| value.map(|v| name(v, &at.key(key))).transpose();
        let id = optional(id, "id")?.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let tenant = optional(tenant, "tenant")?.unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        let system = optional(system, "system")?;
        let said = time.map(|value| utc(value, &at.key("time"))).transpose()?;
        let time = of_host.or(said).unwrap_or_else(now);
        check_entity(subject, &at.key("subject"))?;
        check_action(action, &at.key("action"))?;
        check_entity(resource, &at.key("resource"))?;
        check_object(context, &at.key("context"))?;
        check_content(content, &at.key("content"), limits)?;
        check_measures(measures, &at.key("measures"), limits)?;
        let time_text = time.to_string();
        let asked = Asked { document, fields, id, checkpoint, tenant, system, time, time_text };
        Ok(Request(Arc::new(asked)))
    }

    /// The same request for another tenant: for hosts that know it from a credential. Copies it where it has been cloned.
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Request {
        Arc::make_mut(&mut self.0).tenant = tenant.into();
        self
    }

    /// The same request with nothing in it that differs from run to run: an id and a time that its text lacks are those of
    /// every request. Snapshots are trained with it, and have to be the same each time.
    pub(crate) fn reproducible(mut self) -> Request {
        const ID: &str = "00000000-0000-7000-8000-000000000000";
        const TIME: Timestamp = Timestamp::constant(946_684_800, 0);
        let asked = Arc::make_mut(&mut self.0);
        let [id, _checkpoint, _tenant, _system, time, ..] = asked.fields;
        if id.is_none() {
            ID.clone_into(&mut asked.id);
        }
        if time.is_none() {
            (asked.time, asked.time_text) = (TIME, TIME.to_string());
        }
        self
    }

    /// The caller's id, or the UUIDv7 it was given.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Where in the life cycle this is asked, such as `tool.call`.
    pub fn checkpoint(&self) -> &str {
        &self.0.checkpoint
    }

    /// Who pays for the evaluation.
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// The name of the AI system, registered in the set or not.
    pub fn system(&self) -> Option<&str> {
        self.0.system.as_deref()
    }

    /// The time all policies see.
    pub fn time(&self) -> Timestamp {
        self.0.time
    }

    pub(crate) fn time_text(&self) -> &str {
        &self.0.time_text
    }

    /// The request as the caller wrote it.
    pub fn json(&self) -> &str {
        self.root().raw()
    }

    /// The caller's JSON as a whole.
    pub(crate) fn root(&self) -> Value<'_> {
        self.0.document.root()
    }

    /// What the caller wrote in each of [`FIELDS`], in that order.
    pub(crate) fn fields(&self) -> [Option<Value<'_>>; FIELDS.len()] {
        let Asked { document, fields, .. } = &*self.0;
        fields.map(|place| place.map(|place| document.at(place)))
    }
}

/// The host's time to the millisecond, which is what a request carries.
fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).expect("the present is within range")
}

fn name(value: Value<'_>, at: &Path<'_>) -> Result<String, JsonError> {
    let text = value.text(at)?;
    if text.is_empty() || text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(at.error(format!("expected 1 to {LONGEST_NAME} bytes without control characters")));
    }
    Ok(text.into_owned())
}

fn checkpoint_name(value: Value<'_>, at: &Path<'_>) -> Result<String, JsonError> {
    let name = name(value, at)?;
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if name.split('.').all(word) {
        return Ok(name);
    }
    Err(at.error("expected a dotted lower-case name such as `tool.call`"))
}

fn utc(value: Value<'_>, at: &Path<'_>) -> Result<Timestamp, JsonError> {
    let text = value.text(at)?;
    let time = text.ends_with('Z').then(|| text.parse().ok()).flatten();
    time.ok_or_else(|| at.error("expected a time in UTC such as `2026-11-23T09:00:00Z`"))
}

fn optional_text<'a>(value: Option<Value<'a>>, at: &Path<'_>, key: &str) -> Result<Option<Cow<'a, str>>, JsonError> {
    value.map(|value| value.text(&at.key(key))).transpose()
}

fn check_object(value: Option<Value<'_>>, at: &Path<'_>) -> Result<(), JsonError> {
    value.map_or(Ok(()), |value| value.expect(Kind::Object, at).map(drop))
}

fn check_entity(value: Option<Value<'_>>, at: &Path<'_>) -> Result<(), JsonError> {
    let Some(value) = value else { return Ok(()) };
    let [kind, id, properties] = value.fields(at, ["type", "id", "properties"])?;
    required(kind, at, "type")?.text(&at.key("type"))?;
    required(id, at, "id")?.text(&at.key("id"))?;
    check_object(properties, &at.key("properties"))
}

fn check_action(value: Option<Value<'_>>, at: &Path<'_>) -> Result<(), JsonError> {
    let Some(value) = value else { return Ok(()) };
    let [name, properties] = value.fields(at, ["name", "properties"])?;
    required(name, at, "name")?.text(&at.key("name"))?;
    check_object(properties, &at.key("properties"))
}

fn check_content(value: Option<Value<'_>>, at: &Path<'_>, limits: &RequestLimits) -> Result<(), JsonError> {
    let Some(value) = value else { return Ok(()) };
    for (index, part) in value.expect(Kind::Array, at)?.items().enumerate() {
        if index == limits.content_parts {
            return Err(at.error(format!("more than {index} parts (setting `content_parts`)")));
        }
        let at = at.index(index);
        let [role, origin, text] = part.fields(&at, ["role", "origin", "text"])?;
        optional_text(role, &at, "role")?;
        if optional_text(origin, &at, "origin")?.is_some_and(|origin| !ORIGINS.contains(&&*origin)) {
            let message = format!("expected one of `{}`", ORIGINS.join("`, `"));
            return Err(at.key("origin").error(message));
        }
        required(text, &at, "text")?.text(&at.key("text"))?;
    }
    Ok(())
}

fn check_measures(value: Option<Value<'_>>, at: &Path<'_>, limits: &RequestLimits) -> Result<(), JsonError> {
    let Some(value) = value else { return Ok(()) };
    for (index, measure) in value.expect(Kind::Array, at)?.items().enumerate() {
        if index == limits.measures {
            return Err(at.error(format!("more than {index} measures (setting `measures`)")));
        }
        let at = at.index(index);
        let [name, group, value, count] = measure.fields(&at, ["name", "group", "value", "count"])?;
        required(name, &at, "name")?.text(&at.key("name"))?;
        optional_text(group, &at, "group")?;
        let value: f64 = required(value, &at, "value")?.number(&at.key("value"), "a number")?;
        if !value.is_finite() {
            return Err(at.key("value").error("the number is too large"));
        }
        count.map(|count| count.number::<u64>(&at.key("count"), "a whole number")).transpose()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"id":"r-81","checkpoint":"tool.call","tenant":"acme/claims","system":"claims-triage",
        "time":"2026-11-23T09:00:00Z","subject":{"type":"agent","id":"claims-bot","properties":{}},
        "action":{"name":"payments.transfer","properties":{}},"resource":{"type":"tool","id":"bank"},
        "context":{"region":"eu"},"content":[{"role":"tool","origin":"retrieved","text":"…"}],
        "measures":[{"name":"selected","group":"sex=f","value":45,"count":100}],
        "payload":{"arguments":{"iban":"DE02","n":1.230}}}"#;

    #[test]
    fn the_full_request_is_read() {
        let request = Request::parse(FULL.as_bytes()).unwrap();
        assert_eq!((request.id(), request.checkpoint(), request.tenant()), ("r-81", "tool.call", "acme/claims"));
        assert_eq!(request.system(), Some("claims-triage"));
        assert_eq!(request.time().to_string(), "2026-11-23T09:00:00Z");
        assert_eq!(request.root().at("/payload/arguments/n").unwrap().raw(), "1.230");
    }

    #[test]
    fn only_the_checkpoint_must_be_there() {
        let request = Request::parse(br#"{"checkpoint":"a"}"#).unwrap();
        assert_eq!((request.tenant(), request.system()), ("default", None));
        assert_eq!(uuid::Uuid::parse_str(request.id()).unwrap().get_version_num(), 7);
        assert!(request.time() <= Timestamp::now());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("{}", "", "`checkpoint` is missing"),
            ("[]", "", "expected an object, found an array"),
            (r#"{"checkpoint":"Tool Call"}"#, "/checkpoint", "dotted lower-case"),
            (r#"{"checkpoint":"a..b"}"#, "/checkpoint", "dotted lower-case"),
            (r#"{"checkpoint":""}"#, "/checkpoint", "1 to 256 bytes"),
            (r#"{"checkpoint":"a","id":7}"#, "/id", "expected text, found a number"),
            (r#"{"checkpoint":"a","chekpoint":"b"}"#, "/chekpoint", "did you mean `checkpoint`"),
            (r#"{"checkpoint":"a","time":"2026-11-23T09:00:00+01:00"}"#, "/time", "in UTC"),
            ("{\"checkpoint\":\"a\",\"\\u001b[31m\":1}", "/ [31m", "unknown key"),
            (r#"{"checkpoint":"a","time":"yesterday"}"#, "/time", "in UTC"),
            (r#"{"checkpoint":"a","subject":{"id":"x"}}"#, "/subject", "`type` is missing"),
            (
                r#"{"checkpoint":"a","action":{"name":"x","properties":[]}}"#,
                "/action/properties",
                "expected an object",
            ),
            (r#"{"checkpoint":"a","context":{"k":1,"k":2}}"#, "/context/k", "duplicate key"),
            (r#"{"checkpoint":"a","content":[{"text":"x"},{"role":"user"}]}"#, "/content/1", "`text` is missing"),
            (r#"{"checkpoint":"a","content":[{"text":"x","origin":"web"}]}"#, "/content/0/origin", "expected one of"),
            (r#"{"checkpoint":"a","measures":[{"name":"x","value":1e999}]}"#, "/measures/0/value", "too large"),
            (
                r#"{"checkpoint":"a","measures":[{"name":"x","value":1,"count":-1}]}"#,
                "/measures/0/count",
                "whole number",
            ),
        ];
        for (json, pointer, message) in cases {
            let error = Request::parse(json.as_bytes()).expect_err(json);
            assert_eq!(error.pointer, pointer, "{json}: {error}");
            assert!(error.message.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn limits_name_their_setting() {
        let limits = RequestLimits { body_bytes: 200, depth: 2, content_parts: 1, measures: 1 };
        let cases = [
            (format!(r#"{{"checkpoint":"a","payload":"{}"}}"#, "x".repeat(200)), "`body_bytes`"),
            (r#"{"checkpoint":"a","payload":[[1]]}"#.to_owned(), "deeper than 2 levels"),
            (r#"{"checkpoint":"a","content":[{"text":""}]}"#.to_owned(), "deeper than 2 levels"),
        ];
        for (json, setting) in cases {
            let error = Request::parse_within(json.as_bytes(), &limits).expect_err(&json);
            assert!(error.message.contains(setting), "{error}");
        }
        let limits = RequestLimits { depth: 3, ..limits };
        let two_parts = br#"{"checkpoint":"a","content":[{"text":""},{"text":""}]}"#;
        assert!(Request::parse_within(two_parts, &limits).unwrap_err().message.contains("`content_parts`"));
        let two_measures = br#"{"checkpoint":"a","measures":[{"name":"x","value":1},{"name":"x","value":1}]}"#;
        assert!(Request::parse_within(two_measures, &limits).unwrap_err().message.contains("`measures`"));
    }
}
