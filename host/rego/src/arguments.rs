//! Arguments of functions, by kind. What is said of a wrong one is what OPA says.

use std::collections::BTreeMap;

use num_bigint::BigInt;

use crate::value::{Number, Value};
use crate::{Context, Error};

/// An argument is of another kind; `place` counts from one.
pub(crate) fn wrong(value: &Value, place: usize, expected: &str) -> Error {
    format!("operand {place} must be {expected} but got {}", value.kind()).into()
}

pub(crate) fn text(value: &Value, place: usize) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| wrong(value, place, "string"))
}

/// A text that is read once from end to end.
pub(crate) fn text_read<'a>(context: &Context, value: &'a Value, place: usize) -> Result<&'a str, Error> {
    let text = text(value, place)?;
    context.work(text.len() as u64)?;
    Ok(text)
}

pub(crate) fn number(value: &Value, place: usize) -> Result<&Number, Error> {
    value.as_number().ok_or_else(|| wrong(value, place, "number"))
}

pub(crate) fn array(value: &Value, place: usize) -> Result<&[Value], Error> {
    match value {
        Value::Array(members) => Ok(members),
        _ => Err(wrong(value, place, "array")),
    }
}

pub(crate) fn object(value: &Value, place: usize) -> Result<&BTreeMap<Value, Value>, Error> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(wrong(value, place, "object")),
    }
}

/// The members of a list or of a set.
pub(crate) fn members<'a>(
    value: &'a Value,
    place: usize,
) -> Result<Box<dyn ExactSizeIterator<Item = &'a Value> + 'a>, Error> {
    match value {
        Value::Array(members) => Ok(Box::new(members.iter())),
        Value::Set(members) => Ok(Box::new(members.iter())),
        _ => Err(wrong(value, place, "one of {array, set}")),
    }
}

/// The texts of a list or of a set of texts.
pub(crate) fn texts<'a>(context: &Context, value: &'a Value, place: usize) -> Result<Vec<&'a str>, Error> {
    let members = members(value, place)?;
    context.work(members.len() as u64)?;
    members
        .map(|member| {
            member.as_str().ok_or_else(|| {
                let (list, kind) = (value.kind(), member.kind());
                format!("operand {place} must be {list} of strings but got {list} containing {kind}").into()
            })
        })
        .collect()
}

/// A whole number of 64 bits, also `2.0`, yet not `2e0`.
pub(crate) fn whole(value: &Value, place: usize) -> Result<i64, Error> {
    to_i64(number(value, place)?).ok_or_else(|| not_whole(place))
}

/// A whole number of any size.
pub(crate) fn big(context: &Context, value: &Value, place: usize) -> Result<BigInt, Error> {
    let number = value.as_number().ok_or_else(|| wrong(value, place, "integer"))?;
    context.work(number.as_str().len() as u64)?;
    to_big(number).ok_or_else(|| not_whole(place))
}

fn not_whole(place: usize) -> Error {
    format!("operand {place} must be integer number but got floating-point number").into()
}

/// What OPA takes as an `int`: digits, with nothing but zeros behind a point.
pub(crate) fn to_i64(number: &Number) -> Option<i64> {
    whole_text(number.as_str())
}

/// The same for a text, which need not be a number of JSON: `+1` and `007` count.
pub(crate) fn whole_text(text: &str) -> Option<i64> {
    /// Of more characters OPA does not look at the value.
    const LONGEST: usize = 19;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.len() > LONGEST || digits.is_empty() {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().all(|digit| digit.is_ascii_digit()) || !fraction.bytes().all(|digit| digit == b'0') {
        return None;
    }
    if whole.is_empty() {
        return Some(0);
    }
    format!("{}{whole}", if text.starts_with('-') { "-" } else { "" }).parse().ok()
}

/// The whole number a number of JSON is, in any notation; none where it has a fraction.
pub(crate) fn to_big(number: &Number) -> Option<BigInt> {
    /// Larger powers are no doubles, and so no numbers here.
    const LARGEST_POWER: i64 = 400;
    let text = number.as_str();
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: BigInt = format!("{whole}{fraction}").parse().ok()?;
    if digits == BigInt::ZERO {
        return Some(digits);
    }
    let power = power.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let tens = |power: i64| BigInt::from(10).pow(power.unsigned_abs() as u32);
    match power {
        0..=LARGEST_POWER => Some(digits * tens(power)),
        _ if power < 0 && power.unsigned_abs() <= whole.len() as u64 => {
            let tens = tens(power);
            (&digits % &tens == BigInt::ZERO).then(|| digits / tens)
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_what_opa_takes_for_them() {
        for (text, one, another) in [
            ("7", Some(7), Some("7")),
            ("-7.00", Some(-7), Some("-7")),
            ("1e3", None, Some("1000")),
            ("1200e-2", None, Some("12")),
            ("1.5", None, None),
            ("15e-1", None, None),
            ("0e99", None, Some("0")),
            ("1e-99999999999999999999", None, None),
            ("9223372036854775807", Some(i64::MAX), Some("9223372036854775807")),
            ("9223372036854775808", None, Some("9223372036854775808")),
            ("123456789012345678901234567890", None, Some("123456789012345678901234567890")),
        ] {
            let number = Number::parse(text).unwrap();
            assert_eq!(to_i64(&number), one, "{text}");
            assert_eq!(to_big(&number).map(|number| number.to_string()).as_deref(), another, "{text}");
        }
    }

    #[test]
    fn wrong_arguments_are_told_as_opa_tells_them() {
        let context = Context::new(0, 0, 100);
        let one = Value::from(1);
        let list = Value::from(vec!["a".into(), one.clone()]);
        for (error, says) in [
            (text(&one, 2).unwrap_err(), "operand 2 must be string but got number"),
            (object(&list, 1).unwrap_err(), "operand 1 must be object but got array"),
            (texts(&context, &one, 1).unwrap_err(), "operand 1 must be one of {array, set} but got number"),
            (
                texts(&context, &list, 1).unwrap_err(),
                "operand 1 must be array of strings but got array containing number",
            ),
            (
                whole(&Value::parse("1.5").unwrap(), 1).unwrap_err(),
                "operand 1 must be integer number but got floating-point number",
            ),
        ] {
            assert_eq!(error, says.into());
        }
    }
}
