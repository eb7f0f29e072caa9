//! YAML as OPA reads and writes it: YAML 1.2 with what Go's `yaml.v3` adds (merge keys, octal numbers with a leading zero), as
//! far as it is JSON.
//!
//! Parts: [`read`] from a text to a value, [`scalar`] what a word without quotes means, [`write`] back to a text.

mod read;
mod scalar;
mod write;

use crate::arguments::{text, text_read};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "yaml.marshal", arguments: 1, call: marshal },
    Builtin { name: "yaml.unmarshal", arguments: 1, call: unmarshal },
    Builtin { name: "yaml.is_valid", arguments: 1, call: is_valid },
];

fn marshal(context: &Context, arguments: &[Value]) -> Answer {
    Ok(write::written(context, &arguments[0])?.into())
}

fn unmarshal(context: &Context, arguments: &[Value]) -> Answer {
    read::document(context, text_read(context, &arguments[0], 1)?)
}

fn is_valid(context: &Context, arguments: &[Value]) -> Answer {
    // What is no text is no YAML either, and no error.
    let Ok(text) = text(&arguments[0], 1) else { return Ok(false.into()) };
    match read::document(context, text) {
        Err(Error::Exhausted) => Err(Error::Exhausted),
        read => Ok(read.is_ok().into()),
    }
}

/// Reads the first document of a text, with as much work as a file of the largest size takes.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    /// Names may stand for what they name again and again: so much larger than its text may a document become.
    const FACTOR: u64 = 1_000;
    let context = Context::new(0, 0, FACTOR * (text.len() as u64 + 1_024));
    read::document(&context, text).map_err(|error| match error {
        Error::Undefined(why) => why,
        Error::Exhausted => "its aliases make it too large".to_owned(),
    })
}

#[cfg(test)]
mod tests;
