//! References as addresses, and schemas whose references say where they lead, wherever they stand.

use super::MEMBER_WORK;
use crate::url::Url;
use crate::{Answer, Context, Error, Value};

/// What reading, resolving and writing an address costs, and for each of its bytes.
const ADDRESS_WORK: (u64, u64) = (100, 16);

/// An address, read and written again as Go does.
pub(super) fn address(context: &Context, text: &str) -> Result<Url, Error> {
    pay(context, text.len())?;
    Url::parse(text)
}

/// An address as it is written: what documents are known by.
pub(super) fn written(context: &Context, url: &Url) -> Result<String, Error> {
    pay(context, url.length())?;
    Ok(url.to_string())
}

fn pay(context: &Context, length: usize) -> Result<(), Error> {
    context.work(ADDRESS_WORK.0 + ADDRESS_WORK.1 * length as u64)
}

/// What a reference leads to that stands in a schema of this address.
fn resolved(context: &Context, base: &Url, reference: &str) -> Result<Url, Error> {
    let reference = address(context, reference)?;
    pay(context, base.length())?;
    Url::parse(&base.resolve(&reference).to_string())
}

/// The address that a schema gives itself; none where it gives none, or a wrong one, which compiling tells.
pub(super) fn own_address(context: &Context, schema: &Value, base: &Url) -> Result<Option<Url>, Error> {
    let id = member(schema, "id").or_else(|| member(schema, "$id"));
    match id.and_then(Value::as_str).map(|id| resolved(context, base, id)) {
        Some(Err(Error::Exhausted)) => Err(Error::Exhausted),
        address => Ok(address.and_then(Result::ok)),
    }
}

pub(super) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => members.get(&Value::from(name)),
        _ => None,
    }
}

/// What a member of a schema may hold.
pub(super) enum Part {
    /// A schema or several, or what is none.
    Schema,
    /// Names and their schemas.
    Names,
    /// What is to be compared, which is no schema whatever it looks like.
    Other,
}

impl Part {
    pub(super) fn of(key: &Value) -> Part {
        match key.as_str() {
            Some("const" | "enum") => Part::Other,
            Some("properties" | "dependencies" | "patternProperties") => Part::Names,
            _ => Part::Schema,
        }
    }
}

/// The schema with all its references absolute.
pub(super) fn made_absolute(context: &Context, mut schema: Value) -> Answer {
    rewrite(context, &mut schema, &Url::default())?;
    Ok(schema)
}

fn rewrite(context: &Context, value: &mut Value, base: &Url) -> Result<(), Error> {
    context.work(MEMBER_WORK)?;
    if let Value::Array(members) = value {
        for member in members {
            rewrite(context, member, base)?;
        }
        return Ok(());
    }
    let own = own_address(context, value, base)?.map(Box::new);
    let base = own.as_deref().unwrap_or(base);
    rewrite_reference(context, value, base)?;
    let Value::Object(members) = value else { return Ok(()) };
    for (key, part) in members {
        match (Part::of(key), part) {
            (Part::Schema, part) => rewrite(context, part, base)?,
            (Part::Names, Value::Object(members)) => {
                for member in members.values_mut() {
                    rewrite(context, member, base)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn rewrite_reference(context: &Context, schema: &mut Value, base: &Url) -> Result<(), Error> {
    let Value::Object(members) = schema else { return Ok(()) };
    let Some(Value::String(reference)) = members.get_mut(&Value::from("$ref")) else { return Ok(()) };
    match resolved(context, base, reference) {
        Ok(url) => *reference = written(context, &url)?,
        Err(Error::Exhausted) => return Err(Error::Exhausted),
        // Compiling tells what is wrong with it.
        Err(Error::Undefined(_)) => {}
    }
    Ok(())
}
