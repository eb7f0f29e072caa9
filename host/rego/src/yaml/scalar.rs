//! What a scalar means, by its text, its quotes and its tag.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saphyr_parser::ScalarStyle;

use crate::Error;
use crate::sprintf::float;
use crate::value::{Number, Value};

/// A scalar, as Go's `yaml.v3` has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    /// The digits of a whole number of 64 bits.
    Whole(i128),
    Float(f64),
    Text(String),
    /// `<<` without quotes: as a key it merges another mapping into this one.
    Merge,
}

impl Scalar {
    pub(super) fn value(self) -> Result<Value, Error> {
        let number = |text: String| Number::parse(&text).map(Value::Number).ok_or("a number is infinite or none");
        Ok(match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(value),
            Scalar::Whole(whole) => number(whole.to_string())?,
            Scalar::Float(amount) => number(float::as_json(amount))?,
            Scalar::Text(text) => Value::String(text),
            Scalar::Merge => "<<".into(),
        })
    }

    /// What it is called as a key; null is none.
    pub(super) fn name(self) -> Option<String> {
        match self {
            Scalar::Null => None,
            Scalar::Bool(value) => Some(value.to_string()),
            Scalar::Whole(whole) => Some(whole.to_string()),
            Scalar::Float(f64::INFINITY) => Some(".inf".to_owned()),
            Scalar::Float(f64::NEG_INFINITY) => Some("-.inf".to_owned()),
            Scalar::Float(amount) if amount.is_nan() => Some(".nan".to_owned()),
            Scalar::Float(amount) => Some(float::single(amount as f32)),
            Scalar::Text(text) => Some(text),
            Scalar::Merge => Some("<<".to_owned()),
        }
    }
}

/// The meaning of a text with this tag.
pub(super) fn resolved(text: &str, style: ScalarStyle, tag: Option<&str>) -> Result<Scalar, Error> {
    let asked = match tag {
        None if style == ScalarStyle::Plain => return Ok(plain(text)),
        Some(tag @ ("!!null" | "!!bool" | "!!int" | "!!float")) => tag,
        Some("!!binary") => {
            let bytes = STANDARD.decode(text).map_err(|error| format!("!!binary: {error}"))?;
            return Ok(Scalar::Text(String::from_utf8_lossy(&bytes).into_owned()));
        }
        _ => return Ok(Scalar::Text(text.to_owned())),
    };
    match (asked, plain(text)) {
        ("!!null", found @ Scalar::Null)
        | ("!!bool", found @ Scalar::Bool(_))
        | ("!!int", found @ Scalar::Whole(_))
        | ("!!float", found @ Scalar::Float(_)) => Ok(found),
        ("!!float", Scalar::Whole(whole)) => Ok(Scalar::Float(whole as f64)),
        _ => Err(format!("`{text:.40}` is no {asked}").into()),
    }
}

/// The meaning of a text without quotes and tag. Dates stay texts.
pub(super) fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        "<<" => Scalar::Merge,
        _ => number(text).unwrap_or_else(|| Scalar::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Scalar> {
    let double = |text: &str| text.parse().ok().filter(|amount: &f64| amount.is_finite()).map(Scalar::Float);
    match text.as_bytes()[0] {
        b'.' => is_decimal(text).then(|| double(text)).flatten(),
        b'0'..=b'9' | b'+' | b'-' => {
            let digits = text.replace('_', "");
            whole(&digits).map(Scalar::Whole).or_else(|| is_decimal(&digits).then(|| double(&digits)).flatten())
        }
        _ => None,
    }
}

/// A whole number of 64 bits, with or without a sign, in a base that its first digits tell; a leading zero alone is octal, too.
fn whole(text: &str) -> Option<i128> {
    let (negative, amount) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match amount.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &amount[2..]),
        [b'0', b'o' | b'O', ..] => (8, &amount[2..]),
        [b'0', b'b' | b'B', ..] => (2, &amount[2..]),
        [b'0', _, ..] => (8, &amount[1..]),
        _ => (10, amount),
    };
    // A second sign would be taken by the parser below.
    let amount =
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| i128::from_str_radix(digits, base).ok());
    let amount = amount.flatten()?;
    let whole = if negative { -amount } else { amount };
    // What has a plus sign is read as signed.
    let most = if text.starts_with('+') { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
    (i128::from(i64::MIN)..=most).contains(&whole).then_some(whole)
}

/// Digits with a point or a power or both.
fn is_decimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let power = power.strip_prefix(['-', '+']).unwrap_or(power);
    let some = !whole.is_empty() || !fraction.is_empty();
    some && digits(whole) && digits(fraction) && !power.is_empty() && digits(power)
}
