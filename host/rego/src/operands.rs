//! Arguments by the kind that a function wants, with OPA's words where they are of another.

use crate::{Context, Error, Number, Value};

pub(crate) fn text(value: &Value, place: usize) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| wrong_kind(place, "string", value))
}

/// A text that is read once from end to end.
pub(crate) fn text_read<'a>(context: &Context, value: &'a Value, place: usize) -> Result<&'a str, Error> {
    let text = text(value, place)?;
    context.work(text.len() as u64)?;
    Ok(text)
}

pub(crate) fn number(value: &Value, place: usize) -> Result<&Number, Error> {
    value.as_number().ok_or_else(|| wrong_kind(place, "number", value))
}

/// A whole number of 64 bits, without an exponent; zeros behind a point do not matter.
pub(crate) fn integer(value: &Value, place: usize) -> Result<i64, Error> {
    let number = whole(number(value, place)?);
    let why = || format!("operand {place} must be integer number but got floating-point number");
    number.ok_or_else(|| why().into())
}

/// What [`integer`] takes; as many digits as OPA reads.
pub(crate) fn whole(number: &Number) -> Option<i64> {
    let text = number.as_str();
    let (before, after) = text.split_once('.').unwrap_or((text, ""));
    let short = text.trim_start_matches('-').len() <= 19;
    before.parse().ok().filter(|_| short && after.bytes().all(|digit| digit == b'0'))
}

pub(crate) fn wrong_kind(place: usize, wanted: &str, value: &Value) -> Error {
    format!("operand {place} must be {wanted} but got {}", value.kind()).into()
}

/// About how many bytes a value takes.
pub(crate) fn weight(value: &Value) -> u64 {
    16 + match value {
        Value::String(text) => text.len() as u64,
        Value::Number(number) => number.as_str().len() as u64,
        Value::Array(members) => members.iter().map(weight).sum(),
        Value::Set(members) => members.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| weight(key) + weight(value)).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}
