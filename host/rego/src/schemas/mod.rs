//! `json.match_schema` and `json.verify_schema`: JSON Schema of drafts 4, 6 and 7, with the messages of OPA.
//!
//! ```text
//! argument ── source ── references ── compile ── check ── messages
//!                           │            │         │
//!                          pool       patterns   formats, email, number
//! ```
//!
//! A schema is compiled into a list of schemas that refer to each other by their places in it, so that circles are nothing
//! special. Every step of compiling and checking is paid for before it is done. What refers to addresses outside of a schema
//! is refused: nothing is ever fetched.

mod check;
mod compile;
mod email;
mod formats;
mod messages;
mod meta;
mod number;
mod patterns;
mod pool;
mod references;
mod schema;

use std::collections::BTreeMap;

use self::messages::Failure;
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error, json, marshal};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "json.match_schema", arguments: 2, call: match_schema },
    Builtin { name: "json.verify_schema", arguments: 1, call: verify_schema },
];

/// What a member of a list or an object costs, beside its text.
const MEMBER_WORK: u64 = 16;
/// What telling a failure costs, beside its texts.
const FAILURE_WORK: u64 = 500;

fn match_schema(context: &Context, arguments: &[Value]) -> Answer {
    let document = source(context, &arguments[0])?;
    let schema = references::made_absolute(context, source(context, &arguments[1])?)?;
    let compiled = compile::compile(context, &schema)?;
    let failures = check::check(context, &compiled, &document)?;
    let valid = failures.is_empty();
    let told = failures.into_iter().map(|failure| tell(context, failure)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![valid.into(), told.into()].into())
}

fn tell(context: &Context, failure: Failure) -> Answer {
    let error = format!("{}: {}", failure.field, failure.description);
    context.work(FAILURE_WORK + error.len() as u64)?;
    let members = [
        ("error", error),
        ("type", failure.kind.to_owned()),
        ("field", failure.field),
        ("desc", failure.description),
    ];
    Ok(Value::Object(members.into_iter().map(|(name, text)| (name.into(), text.into())).collect()))
}

fn verify_schema(context: &Context, arguments: &[Value]) -> Answer {
    let wrong = match verified(context, &arguments[0]) {
        Ok(()) => None,
        Err(Error::Undefined(why)) => Some(format!("jsonschema: {why}")),
        Err(error) => return Err(error),
    };
    Ok(vec![wrong.is_none().into(), wrong.map_or(Value::Null, Value::from)].into())
}

fn verified(context: &Context, schema: &Value) -> Result<(), Error> {
    let schema = references::made_absolute(context, source(context, schema)?)?;
    compile::compile(context, &schema).map(drop)
}

/// A document or a schema: what a text of JSON says, or the argument itself as JSON.
fn source(context: &Context, argument: &Value) -> Answer {
    match argument {
        Value::String(text) => {
            context.work(2 * text.len() as u64)?;
            if !json::is_valid(text) {
                return Err("invalid JSON string".into());
            }
            context.work(4 * text.len() as u64)?;
            Ok(Value::parse(text)?)
        }
        Value::Array(_) | Value::Object(_) => plain(context, argument),
        _ => Err("wrong type, expected string or object".into()),
    }
}

/// A value without sets and with texts for keys.
fn plain(context: &Context, value: &Value) -> Answer {
    context.work(MEMBER_WORK)?;
    match value {
        Value::Array(members) => plain_list(context, members.iter()),
        Value::Set(members) => plain_list(context, members.iter()),
        Value::Object(members) => plain_object(context, members),
        Value::String(text) => {
            context.work(text.len() as u64)?;
            Ok(value.clone())
        }
        Value::Number(number) => {
            context.work(number.as_str().len() as u64)?;
            Ok(value.clone())
        }
        Value::Null | Value::Bool(_) => Ok(value.clone()),
    }
}

fn plain_list<'v>(context: &Context, members: impl Iterator<Item = &'v Value>) -> Answer {
    let mut list = Vec::new();
    for member in members {
        list.push(plain(context, member)?);
    }
    Ok(Value::Array(list))
}

fn plain_object(context: &Context, members: &BTreeMap<Value, Value>) -> Answer {
    let mut object = BTreeMap::new();
    for (key, value) in members {
        let key = match key {
            Value::String(_) => plain(context, key)?,
            _ => marshal::compact(context, key)?.into(),
        };
        object.insert(key, plain(context, value)?);
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests;
