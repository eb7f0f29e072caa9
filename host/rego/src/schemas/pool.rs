//! Documents by their addresses: the schema itself, its parts that have addresses of their own, and the drafts.

use std::collections::HashMap;

use super::MEMBER_WORK;
use super::messages;
use super::meta;
use super::references::{Part, address, member, own_address, written};
use super::schema::Draft;
use crate::url::Url;
use crate::{Context, Error, Value};

/// A schema or what should be one, and the draft of the document it is part of, where that tells.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) value: &'a Value,
    pub(super) draft: Option<Draft>,
}

pub(super) struct Pool<'a> {
    context: &'a Context,
    documents: HashMap<String, Document<'a>>,
}

impl<'a> Pool<'a> {
    /// A pool of a schema, whose address is empty, and its parts.
    pub(super) fn new(context: &'a Context, schema: &'a Value) -> Result<(Pool<'a>, Document<'a>), Error> {
        let mut pool = Pool { context, documents: HashMap::new() };
        let document = pool.add(schema, &Url::default())?;
        Ok((pool, document))
    }

    fn add(&mut self, value: &'a Value, url: &Url) -> Result<Document<'a>, Error> {
        let document = Document { value, draft: draft(self.context, value)? };
        self.add_parts(document, url)?;
        self.documents.insert(written(self.context, url)?, document);
        Ok(document)
    }

    fn add_parts(&mut self, document: Document<'a>, base: &Url) -> Result<(), Error> {
        self.context.work(MEMBER_WORK)?;
        let Document { value, draft } = document;
        if let Value::Array(members) = value {
            for value in members {
                self.add_parts(Document { value, draft }, base)?;
            }
        }
        let Value::Object(members) = value else { return Ok(()) };
        let own = own_address(self.context, value, base)?.map(Box::new);
        if let Some(own) = &own {
            self.add_part(document, own)?;
        }
        let base = own.as_deref().unwrap_or(base);
        for (key, value) in members {
            match (Part::of(key), value) {
                (Part::Schema, value) => self.add_parts(Document { value, draft }, base)?,
                (Part::Names, Value::Object(members)) => {
                    for value in members.values() {
                        self.add_parts(Document { value, draft }, base)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_part(&mut self, document: Document<'a>, url: &Url) -> Result<(), Error> {
        let address = written(self.context, url)?;
        match self.documents.contains_key(&address) {
            true => Err(format!("Reference already exists: \"{address}\"").into()),
            false => {
                self.documents.insert(address, document);
                Ok(())
            }
        }
    }

    /// What an address leads to: a document of exactly that address, else what its fragment points to in that of the rest.
    pub(super) fn find(&mut self, url: &Url) -> Result<Document<'a>, Error> {
        let address = written(self.context, url)?;
        if let Some(document) = self.documents.get(&address) {
            return Ok(*document);
        }
        let base = written(self.context, &url.without_its_fragment())?;
        let document = match self.documents.get(&base) {
            Some(document) => *document,
            None => self.load(url, &address, &base)?,
        };
        let document = Document { value: pointed_to(self.context, document.value, &url.fragment)?, ..document };
        self.documents.insert(address, document);
        Ok(document)
    }

    /// Only the drafts are here; nothing is fetched.
    fn load(&mut self, url: &Url, address: &str, base: &str) -> Result<Document<'a>, Error> {
        let is_file = url.scheme == "file";
        if is_file && !url.path.starts_with('/') || !is_file && !url.has_authority() {
            return Err(messages::must_be_canonical(address));
        }
        let Some(schema) = meta::schema(base) else {
            return Err(format!("remote reference loading disabled: {base}").into());
        };
        self.add(schema, &url.without_its_fragment())
    }
}

/// The draft that a document says it is of.
fn draft(context: &Context, document: &Value) -> Result<Option<Draft>, Error> {
    match document {
        Value::Bool(_) => return Ok(None),
        Value::Object(_) => {}
        _ => return Err("schema is invalid".into()),
    }
    let Some(schema) = member(document, "$schema") else { return Ok(None) };
    let text = schema.as_str().ok_or_else(|| messages::must_be_of_type("$schema", "string"))?;
    let url = address(context, text)?;
    Ok(Draft::of(&written(context, &url)?))
}

/// What a JSON pointer leads to; all of the document where the fragment is none.
fn pointed_to<'a>(context: &Context, document: &'a Value, fragment: &str) -> Result<&'a Value, Error> {
    let Some(pointer) = fragment.strip_prefix('/') else { return Ok(document) };
    let mut value = document;
    for token in pointer.split('/') {
        context.work(MEMBER_WORK + 2 * token.len() as u64)?;
        value = match value {
            Value::Object(members) => {
                let name = token.replace("~1", "/").replace("~0", "~");
                let found = members.get(&Value::from(name.as_str()));
                found.ok_or_else(|| Error::from(format!("Object has no key '{name}'")))?
            }
            Value::Array(members) => {
                let index: i64 = token.parse().map_err(|_| Error::from(format!("Invalid array index '{token}'")))?;
                let found = usize::try_from(index).ok().and_then(|index| members.get(index));
                let count = members.len();
                found.ok_or_else(|| Error::from(format!("Out of bound array[0,{count}] index '{index}'")))?
            }
            _ => return Err(format!("Invalid token reference '{token}'").into()),
        };
    }
    Ok(value)
}
