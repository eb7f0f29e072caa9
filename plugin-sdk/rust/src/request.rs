//! What a policy is asked: the request as the host passes it.
//!
//! Every field may be missing, because the host passes only what the manifest's `reads` lists; unknown fields are
//! ignored, because a later host may add some. Requests are checked by the host before a policy sees them.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One step of an AI system's life, to be judged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Names the request in the record.
    pub id: String,
    /// The place in the life cycle, such as `inference.input` or `tool.call`.
    pub checkpoint: String,
    /// On whose behalf the caller asks; comes from its credential.
    pub tenant: String,
    /// The registered AI system, empty when there is none.
    pub system: String,
    /// When the request arrived, RFC 3339 in UTC. The only clock a policy has.
    pub time: String,
    /// Who acts.
    pub subject: Entity,
    /// What is done.
    pub action: Action,
    /// To what it is done.
    pub resource: Entity,
    /// The circumstances: the registered system's context and what the caller added.
    pub context: Map<String, Value>,
    /// Texts, each with its provenance.
    pub content: Vec<Part>,
    /// Numbers by group, such as selection counts of a hiring model.
    pub measures: Vec<Measure>,
    /// Whatever else the checkpoint carries, such as the arguments of a tool call. Numbers beyond 64 bits are rounded.
    pub payload: Value,
}

impl Request {
    /// Reads a request as the host would pass it, for tests.
    ///
    /// # Errors
    ///
    /// Says where the text is not JSON or a field has the wrong type.
    pub fn from_json(json: &str) -> Result<Request, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    /// Every text of `content` with the JSON pointer that a finding or an edit names it by.
    pub fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let parts = self.content.iter().enumerate();
        parts.map(|(index, part)| (format!("/content/{index}/text"), part.text.as_str()))
    }
}

/// A subject or a resource.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Entity {
    /// What sort of thing it is; `type` in JSON.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one it is.
    pub id: String,
    /// What else is known about it.
    pub properties: Map<String, Value>,
}

/// What is done to the resource.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Action {
    /// Such as `payments.transfer`.
    pub name: String,
    /// What else is known about it.
    pub properties: Map<String, Value>,
}

/// One text of a conversation or document.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Part {
    /// The speaker as the model's protocol names it.
    pub role: String,
    /// Where the text really comes from.
    pub origin: Origin,
    /// The text; offsets in findings and edits count its UTF-8 bytes.
    pub text: String,
}

/// The provenance of a text, which its wording cannot show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written by the operator of the AI system.
    System,
    /// Written by its user.
    User,
    /// Produced by a model.
    Model,
    /// Returned by a tool.
    Tool,
    /// Fetched from somewhere else. The default, because it deserves the least trust.
    #[default]
    Retrieved,
}

/// One number about one group.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Measure {
    /// What was measured, such as `selected`.
    pub name: String,
    /// Of whom, such as `sex=f`; empty for everyone.
    pub group: String,
    /// The number itself.
    pub value: f64,
    /// How many cases it rests on.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of CONTRACTS section 1.
    const WHOLE: &str = r#"{"id":"r-81", "checkpoint":"tool.call", "tenant":"acme/claims", "system":"claims-triage",
        "time":"2026-11-23T09:00:00Z", "subject":{"type":"agent","id":"claims-bot","properties":{}},
        "action":{"name":"payments.transfer","properties":{"urgent":true}},
        "resource":{"type":"tool","id":"bank","properties":{}}, "context":{"region":"eu"},
        "content":[{"role":"tool","origin":"tool","text":"one"},{"role":"user","origin":"user","text":"zwei"}],
        "measures":[{"name":"selected","group":"sex=f","value":45,"count":100}],
        "payload":{"arguments":{"iban":"DE02"}}}"#;

    #[test]
    fn a_whole_request_is_read() {
        let request = Request::from_json(WHOLE).unwrap();
        assert_eq!(request.checkpoint, "tool.call");
        assert_eq!(request.time, "2026-11-23T09:00:00Z");
        assert_eq!((request.subject.kind.as_str(), request.subject.id.as_str()), ("agent", "claims-bot"));
        assert_eq!(request.action.properties["urgent"], true);
        assert_eq!(request.context["region"], "eu");
        assert_eq!(request.content[0].origin, Origin::Tool);
        assert_eq!(
            request.measures,
            [Measure { name: "selected".into(), group: "sex=f".into(), value: 45.0, count: 100 }]
        );
        assert_eq!(request.payload["arguments"]["iban"], "DE02");
    }

    #[test]
    fn texts_come_with_their_pointers() {
        let request = Request::from_json(WHOLE).unwrap();
        let texts: Vec<_> = request.texts().collect();
        assert_eq!(texts, [("/content/0/text".to_owned(), "one"), ("/content/1/text".to_owned(), "zwei")]);
    }

    #[test]
    fn everything_may_be_missing() {
        let request = Request::from_json("{}").unwrap();
        assert_eq!(request, Request::default());
        assert_eq!(request.payload, Value::Null);
        let request = Request::from_json(r#"{"content":[{"text":"t"}]}"#).unwrap();
        assert_eq!(request.content[0].origin, Origin::Retrieved);
    }

    #[test]
    fn later_hosts_may_add_fields() {
        let json = r#"{"checkpoint":"tool.call","novelty":1,"subject":{"type":"agent","novelty":[]}}"#;
        assert_eq!(Request::from_json(json).unwrap().subject.kind, "agent");
    }

    #[test]
    fn a_wrong_type_is_an_error_with_its_place() {
        let error = Request::from_json(r#"{"content":7}"#).unwrap_err();
        assert_eq!(error, "invalid type: integer `7`, expected a sequence at line 1 column 12");
    }

    #[test]
    fn measures_keep_every_digit() {
        for selected in 1..57 {
            let rate = f64::from(selected) / 57.0;
            let request = Request::from_json(&format!(r#"{{"measures":[{{"value":{rate}}}]}}"#));
            assert_eq!(request.unwrap().measures[0].value, rate);
        }
    }
}
