//! Registered systems at work: the context a caller cannot replace, and what scopes and guests see of a request.

use std::collections::{HashMap, HashSet};

use crate::json::{Kind, Value};
use crate::request::Request;
use crate::select::Facts;
use crate::set::System;

/// The keys that a registered system may have.
const REGISTERED: [&str; 6] = ["deployed_in", "affects", "industry", "use_case", "role", "risk_tier"];

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

    fn context(&self, wanted: &HashSet<String>) -> HashMap<String, Vec<String>> {
        if wanted.is_empty() {
            return HashMap::new();
        }
        let [.., context, _content, _measures, _payload] = self.request.fields();
        let given = context.into_iter().flat_map(Value::members).filter(|(key, _)| wanted.contains(&**key));
        // Without a registered system the caller's word about what only a system can say does not count.
        let own = given.filter(|(key, _)| self.system.is_some() || !REGISTERED.contains(&&**key));
        let mut values: HashMap<String, Vec<String>> =
            own.map(|(key, value)| (key.into_owned(), scope_values(value))).collect();
        let registered = self.system.iter().flat_map(|system| &system.keys).filter(|key| wanted.contains(key.name));
        values.extend(registered.map(|key| (key.name.to_owned(), key.values.clone())));
        values
    }
}

/// The scalar values of a context entry. Anything that is no scalar cannot be compared and counts as lacking, and so does
/// a list too long to be compared with the scopes of every policy.
fn scope_values(value: Value<'_>) -> Vec<String> {
    const LONGEST_LIST: usize = 64;
    let scalar = |value: Value<'_>| match value.kind() {
        Kind::Text => value.as_text().map(|text| text.into_owned()),
        Kind::Number | Kind::Bool => Some(value.raw().to_owned()),
        Kind::Null | Kind::Array | Kind::Object => None,
    };
    match value.kind() {
        Kind::Array if value.items().nth(LONGEST_LIST).is_some() => Vec::new(),
        Kind::Array => value.items().map(scalar).collect::<Option<Vec<_>>>().unwrap_or_default(),
        _ => scalar(value).into_iter().collect(),
    }
}
