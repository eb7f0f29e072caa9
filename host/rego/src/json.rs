//! Texts of JSON: those inside tokens, and documents and schemas that come as texts.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::{Context, Error, Value};

/// The value of a text of JSON, with numbers as they are written; of members with the same name the last one counts.
pub(crate) fn read(context: &Context, text: &str) -> Result<Value, Error> {
    context.work(2 * text.len() as u64)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| format!("invalid JSON: {error}"))?;
    Ok(Value::parse(text)?)
}

pub(crate) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

pub(crate) fn into_object(value: Value) -> Option<BTreeMap<Value, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
