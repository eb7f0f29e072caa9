//! JSON that comes inside tokens, and as Go writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::de::IgnoredAny;

use crate::{Context, Error, Value};

/// The value of a text of JSON, with numbers as they are written; of members with the same name the last one counts.
pub(super) fn read(context: &Context, text: &str) -> Result<Value, Error> {
    context.work(2 * text.len() as u64)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("invalid JSON: {error}"))?;
    Ok(Value::parse(text)?)
}

pub(super) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

pub(super) fn into_object(value: Value) -> Option<BTreeMap<Value, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// What Go's `json.Marshal` gives: members in order, and signs of HTML escaped.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => write_text(text, out),
        Value::Array(members) => write_list(members.iter(), out),
        Value::Set(members) => write_list(members.iter(), out),
        Value::Object(members) => {
            let name = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            let members: BTreeMap<String, &Value> = members.iter().map(|(key, value)| (name(key), value)).collect();
            out.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_text(&name, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => _ = write!(out, "{value}"),
    }
}

fn write_list<'a>(members: impl Iterator<Item = &'a Value>, out: &mut String) {
    out.push('[');
    for (place, member) in members.enumerate() {
        if place > 0 {
            out.push(',');
        }
        write(member, out);
    }
    out.push(']');
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                _ = write!(out, "\\u{:04x}", u32::from(sign));
            }
            sign => out.push(sign),
        }
    }
    out.push('"');
}
