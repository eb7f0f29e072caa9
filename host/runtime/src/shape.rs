//! Other shapes of a request, for policies that were written for them: `input` of a policy.
//!
//! ```text
//! "/payload"                                  the value at a JSON pointer into the request
//! { kind = "Review", user = "/subject/id" }   an object of such; a text that is no pointer stands for itself
//! ```
//!
//! A member whose pointer finds nothing is left out, as in a request. Where the whole finds nothing, nothing is given, and a policy
//! in Rego has no `input`: it is undefined, as with OPA.

use serde_json::Value as Json;

use crate::json::{Document, Value, segments, write_text};
use crate::request::FIELDS;

/// Deeper than a request may be, by what the host fills in.
const DEEPEST: usize = 130;

/// What a policy is given instead of the request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// What stands in the request at a JSON pointer.
    At(String),
    /// The same in every request, as JSON.
    Constant(String),
    /// Members.
    Object(Vec<(String, Shape)>),
    /// Items; one whose pointer finds nothing is `null`, so that the others keep their places.
    Array(Vec<Shape>),
}

impl Shape {
    /// Reads a shape as a set says it.
    pub(crate) fn new(said: &Json) -> Shape {
        match said {
            Json::String(text) if text.is_empty() || text.starts_with('/') => Shape::At(text.clone()),
            Json::Object(members) => {
                Shape::Object(members.iter().map(|(name, value)| (name.clone(), Shape::new(value))).collect())
            }
            Json::Array(items) => Shape::Array(items.iter().map(Shape::new).collect()),
            other => Shape::Constant(other.to_string()),
        }
    }

    /// The first pointer that finds nothing in any request.
    pub(crate) fn stray(&self) -> Option<&str> {
        match self {
            Shape::At(pointer) => {
                let is_field = |first: &String| FIELDS.contains(&first.as_str());
                let finds = segments(pointer).is_some_and(|segments| segments.first().is_none_or(is_field));
                (!finds).then_some(pointer)
            }
            Shape::Constant(_) => None,
            Shape::Object(members) => members.iter().find_map(|(_, shape)| shape.stray()),
            Shape::Array(items) => items.iter().find_map(Shape::stray),
        }
    }

    /// A request, as the host has encoded it, in this shape; no bytes where there is nothing.
    pub(crate) fn of(&self, request: &[u8]) -> Vec<u8> {
        let document = Document::parse(request, DEEPEST).expect("the host has encoded it");
        let mut out = Vec::with_capacity(request.len());
        self.write(document.root(), &mut out);
        out
    }

    /// Writes the value; nothing where there is none.
    fn write(&self, request: Value<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Shape::At(pointer) => match request.at(pointer) {
                Some(value) => out.extend_from_slice(value.raw().as_bytes()),
                None => return false,
            },
            Shape::Constant(json) => out.extend_from_slice(json.as_bytes()),
            Shape::Object(members) => {
                out.push(b'{');
                let mut is_first = true;
                for (name, shape) in members {
                    let before = out.len();
                    if !is_first {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    match shape.write(request, out) {
                        true => is_first = false,
                        false => out.truncate(before),
                    }
                }
                out.push(b'}');
            }
            Shape::Array(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    if !item.write(request, out) {
                        out.extend_from_slice(b"null");
                    }
                }
                out.push(b']');
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(shape: Json) -> String {
        let request = br#"{"checkpoint":"a","subject":{"id":"bob"},"payload":{"n":1.50,"list":[1,2]}}"#;
        String::from_utf8(Shape::new(&shape).of(request)).unwrap()
    }

    #[test]
    fn a_shape_is_filled_from_the_request() {
        for (shape, filled) in [
            (serde_json::json!("/payload"), r#"{"n":1.50,"list":[1,2]}"#),
            (serde_json::json!("/payload/list/1"), "2"),
            (serde_json::json!("/nothing"), ""),
            (
                serde_json::json!({"kind": "Review", "who": "/subject/id", "no": "/none"}),
                r#"{"kind":"Review","who":"bob"}"#,
            ),
            (serde_json::json!({"no": "/none", "a": {"n": "/payload/n"}}), r#"{"a":{"n":1.50}}"#),
            (serde_json::json!(["/none", "/checkpoint", 7, true]), r#"[null,"a",7,true]"#),
        ] {
            assert_eq!(shaped(shape), filled);
        }
    }

    #[test]
    fn a_pointer_that_finds_nothing_in_any_request_is_told() {
        let stray = |shape: Json| Shape::new(&shape).stray().map(str::to_owned);
        assert_eq!(stray(serde_json::json!({"a": ["", "/payload/a", "/subject", "text", 1]})), None);
        for pointer in ["/paylod", "/", "/payload/~2"] {
            assert_eq!(stray(serde_json::json!({"a": [pointer]})).as_deref(), Some(pointer));
        }
    }

    #[test]
    fn the_empty_pointer_is_the_request() {
        assert!(shaped(Json::from("")).starts_with(r#"{"checkpoint":"a","#));
    }
}
