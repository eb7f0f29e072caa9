//! Texts of JSON: those inside tokens, and documents and schemas that come as texts.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use crate::{Context, Error, Value};

/// The value of a text of JSON, which is paid for.
pub(crate) fn read(context: &Context, text: &str) -> Result<Value, Error> {
    context.work(2 * text.len() as u64)?;
    Ok(Value::from_json(text).map_err(|error| format!("invalid JSON: {error}"))?)
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
