//! Values: those of JSON, and sets; keys of objects are any values.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use serde::de::IgnoredAny;

use crate::arguments::to_big;
use crate::{text, yaml};

/// A value of Rego. Values of different kinds are in the order of the variants, as in OPA.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` and `false`.
    Bool(bool),
    /// A number of any size.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// Members by key.
    Object(BTreeMap<Value, Value>),
    /// Members without order.
    Set(BTreeSet<Value>),
}

impl Value {
    /// Reads what a module of OPA's writes with `opa_value_dump`: JSON, sets as `{1, 2}` and `set()`, keys of any kind.
    ///
    /// # Errors
    /// What is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Value, String> {
        text::parse(text)
    }

    /// Reads a text of JSON, with numbers as they are written; of members with the same name the last one counts.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn from_json(text: &str) -> Result<Value, String> {
        // The notation of Rego is wider.
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
        Value::parse(text)
    }

    /// Reads the first document of a text of YAML, as OPA reads a `data.yaml`.
    ///
    /// # Errors
    /// What is wrong and in which line.
    pub fn from_yaml(text: &str) -> Result<Value, String> {
        yaml::parse(text)
    }

    /// The value as JSON: sets as lists in their order, keys that are no texts as the text of their JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            // What is not a number of 64 bits becomes the nearest double; what is beyond all doubles stays as a text of its digits.
            Value::Number(number) => serde_json::from_str(number.as_str()).unwrap_or_else(|_| number.as_str().into()),
            Value::String(text) => text.as_str().into(),
            Value::Array(members) => members.iter().map(Value::to_json).collect(),
            Value::Set(members) => members.iter().map(Value::to_json).collect(),
            Value::Object(members) => {
                let name = |key: &Value| key.as_str().map_or_else(|| key.to_json().to_string(), str::to_owned);
                members.iter().map(|(key, value)| (name(key), value.to_json())).collect()
            }
        }
    }

    /// The text, where the value is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where the value is one.
    #[must_use]
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// What kind of value it is, in OPA's words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Set(_) => "set",
        }
    }
}

/// What a module of OPA's reads with `opa_value_parse`.
impl Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, formatter)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Number(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Value {
        Value::Array(value)
    }
}

/// A number, with the digits it was written with.
#[derive(Debug, Clone)]
pub struct Number(String);

impl Number {
    /// A number in the notation of JSON, which may be too large for a double; none where the text is another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Number> {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        // Rego has `.5`, too.
        let whole = if whole.is_empty() && mantissa.contains('.') { "0" } else { whole };
        let valid = digits(whole) && digits(fraction) && digits(power.strip_prefix(['-', '+']).unwrap_or(power));
        (valid && (whole == "0" || !whole.starts_with('0'))).then(|| match text.strip_prefix('-') {
            _ if text.starts_with('.') => Number(format!("0{text}")),
            Some(amount) if amount.starts_with('.') => Number(format!("-0{amount}")),
            _ => Number(text.to_owned()),
        })
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole number, where it is one of 64 bits; `1.0` and `1e3` are whole, too.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        /// Up to here every whole number is a double of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        self.0.parse().ok().or_else(|| {
            let number = self.as_f64();
            (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
        })
    }

    /// The nearest double, infinite for what is beyond all of them.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number(value.to_string())
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        if let (Some(one), Some(another)) = (self.as_i64(), other.as_i64()) {
            return one.cmp(&another);
        }
        // Doubles cannot tell large whole numbers apart.
        match (to_big(self), to_big(other)) {
            (Some(one), Some(another)) => one.cmp(&another),
            _ => self.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Number, Value};

    #[test]
    fn numbers_are_in_the_order_of_their_values() {
        let numbers =
            ["-1e3", "-7", "0.5", "1", "9007199254740993", "123456789012345678901", "123456789012345678902", "1e400"];
        let numbers: Vec<Number> = numbers.iter().map(|text| Number::parse(text).unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, another| one < another));
        assert_eq!(Number::parse("1e3"), Number::parse("1000.0"));
    }

    #[test]
    fn numbers_are_those_of_json_of_any_size() {
        let long = "9".repeat(400);
        for text in ["0", "-1.50e+3", "1e999", long.as_str()] {
            assert_eq!(Number::parse(text).unwrap().as_str(), text);
        }
        for text in ["", " 1", "1 ", "01", "+1", "1.", "true", "-", "1e", "[1]", "\"1\""] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert_eq!(Value::parse(&long).unwrap().to_json(), serde_json::Value::from(long));
    }
}
