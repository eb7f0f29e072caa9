//! Arguments made smaller instead of refused: a number cut to a bound, a text replaced.

use serde::Deserialize;
use tool_calls::{Call, Place, span};
use weir_sdk::{Edit, Value};

use crate::pointer::Pattern;
use crate::rules::number;

/// What is made of an argument.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawNarrow")]
pub(crate) struct Narrow {
    at: Pattern,
    to: To,
}

#[derive(Debug)]
enum To {
    Most(f64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNarrow {
    at: String,
    most: Option<f64>,
    replace: Option<String>,
}

impl TryFrom<RawNarrow> for Narrow {
    type Error = String;

    fn try_from(RawNarrow { at, most, replace }: RawNarrow) -> Result<Narrow, String> {
        let to = match (most, replace) {
            (Some(most), None) => To::Most(most),
            (None, Some(text)) => To::Text(text),
            _ => return Err(format!("`narrow` of `{at}`: say either `most` or `replace`")),
        };
        Ok(Narrow { at: Pattern::new(&at)?, to })
    }
}

impl Narrow {
    /// The edits that make a call smaller; what cannot be written as an edit is its argument's JSON pointer.
    pub(crate) fn edits(&self, call: &Call, text: &dyn Fn(&str) -> Option<String>) -> Vec<Result<Edit, String>> {
        let found = self.at.find(&call.arguments).into_iter();
        found.filter_map(|(at, value)| Some(self.edit(call, &at, value, text)?.ok_or(at))).collect()
    }

    /// None where it is small enough; an edit, or none where there cannot be one.
    fn edit(
        &self,
        call: &Call,
        at: &str,
        value: &Value,
        text: &dyn Fn(&str) -> Option<String>,
    ) -> Option<Option<Edit>> {
        let replacement = match &self.to {
            To::Most(most) => match number(value) {
                // Below zero means no limit to many a tool.
                Some(number) if (0.0..=*most).contains(&number) => return None,
                Some(_) if value.is_number() => most.to_string(),
                Some(_) => format!("\"{most}\""),
                // The schema says what type it is; what is no number cannot be cut.
                None => return Some(None),
            },
            To::Text(replacement) if value.as_str() == Some(replacement) => return None,
            To::Text(replacement) => Value::from(replacement.as_str()).to_string(),
        };
        let (at, span, replacement) = match &call.place {
            Place::Text(whole) => (whole.clone(), span(&text(whole)?, at)?, replacement),
            Place::Object(object) => match value {
                // Without its quotes.
                Value::String(old) => {
                    let replacement = serde_json::from_str(&replacement).unwrap_or(replacement);
                    (format!("{object}{at}"), 0..old.len(), replacement)
                }
                // A number is replaced whole, however it is written.
                Value::Number(_) if matches!(self.to, To::Most(_)) => (format!("{object}{at}"), 0..0, replacement),
                _ => return Some(None),
            },
        };
        Some(Some(Edit { at, start: span.start, end: span.end, replacement }))
    }
}
