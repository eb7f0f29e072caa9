//! Registered systems at work: the context a caller cannot replace, and what scopes and guests see of a request.

use crate::json::{Kind, Value};
use crate::request::Request;
use crate::select::Facts;
use crate::set::System;

/// What the set registers about one system, as context.
#[derive(Debug, Clone)]
pub(crate) struct RegisteredContext {
    keys: Vec<ContextKey>,
}

/// One registered key.
#[derive(Debug, Clone)]
struct ContextKey {
    name: &'static str,
    /// Its value as JSON, for guests.
    json: String,
    /// Its values, for scopes.
    values: Vec<String>,
}

impl RegisteredContext {
    pub(crate) fn new(system: &System) -> RegisteredContext {
        let list = |name, values: &Vec<String>| {
            (!values.is_empty()).then(|| ContextKey { name, json: json_text(values), values: values.clone() })
        };
        let word = |name, value: &Option<String>| {
            value.as_ref().map(|value| ContextKey { name, json: json_text(value), values: vec![value.clone()] })
        };
        let keys = [
            list("deployed_in", &system.deployed_in),
            list("affects", &system.affects),
            word("industry", &system.industry),
            word("use_case", &system.use_case),
            word("role", &system.role),
            word("risk_tier", &system.risk_tier),
        ];
        RegisteredContext { keys: keys.into_iter().flatten().collect() }
    }

    /// Names and JSON values.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.keys.iter().map(|key| (key.name, key.json.as_str()))
    }

    pub(crate) fn registers(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("text and lists of text always serialise")
}

/// A request beside what the set knows of its system: what selection and guests look at.
pub(crate) struct Case<'a> {
    pub(crate) request: &'a Request,
    /// The registered system; none where the request names none, or one the set does not know. Naming an unknown
    /// system must not narrow what applies, so it counts as a key that the request lacks.
    pub(crate) system: Option<&'a RegisteredContext>,
}

impl Facts for Case<'_> {
    fn checkpoint(&self) -> &str {
        self.request.checkpoint()
    }

    fn system(&self) -> Option<&str> {
        self.system.and(self.request.system())
    }

    fn context(&self, key: &str) -> Vec<String> {
        let registered = self.system.and_then(|system| system.keys.iter().find(|known| known.name == key));
        if let Some(known) = registered {
            return known.values.clone();
        }
        let given = self.request.root().get("context").and_then(|context| context.get(key));
        given.map_or_else(Vec::new, scope_values)
    }
}

/// The scalar values of a context entry. Anything that is no scalar cannot be compared and counts as lacking.
fn scope_values(value: Value<'_>) -> Vec<String> {
    let scalar = |value: Value<'_>| match value.kind() {
        Kind::Text => value.as_text().map(|text| text.into_owned()),
        Kind::Number | Kind::Bool => Some(value.raw().to_owned()),
        Kind::Null | Kind::Array | Kind::Object => None,
    };
    match value.kind() {
        Kind::Array => value.items().map(scalar).collect::<Option<Vec<_>>>().unwrap_or_default(),
        _ => scalar(value).into_iter().collect(),
    }
}
