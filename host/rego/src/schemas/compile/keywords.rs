//! Keywords whose values are no schemas.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::super::MEMBER_WORK;
use super::super::messages::{self, must_be_of_a, must_be_of_an, must_be_unique, must_not_exceed, wrong_type};
use super::super::number::Decimal;
use super::super::patterns::Pattern;
use super::super::schema::{Choice, Draft, Lists, Numbers, Objects, Texts};
use crate::marshal::compact_with_doubles;
use crate::value::{Number, Value};
use crate::{Context, Error};

/// The kinds of values that are called types.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// The members of a schema.
pub(super) struct Keywords<'a> {
    context: &'a Context,
    members: BTreeMap<&'a str, &'a Value>,
    pub(super) draft: Draft,
}

impl<'a> Keywords<'a> {
    pub(super) fn new(
        context: &'a Context,
        members: &'a BTreeMap<Value, Value>,
        draft: Draft,
    ) -> Result<Keywords<'a>, Error> {
        context.work(MEMBER_WORK * members.len() as u64)?;
        let members = members.iter().filter_map(|(name, value)| Some((name.as_str()?, value))).collect();
        Ok(Keywords { context, members, draft })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).copied()
    }

    /// A keyword that earlier drafts do not have.
    pub(super) fn since(&self, draft: Draft, name: &str) -> Option<&'a Value> {
        self.get(name).filter(|_| self.draft >= draft)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| wrong_type("string", name)),
        }
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(members)) => Ok(Some(members)),
            Some(_) => Err(must_be_of_an(name, "array")),
        }
    }

    pub(super) fn types(&self) -> Result<Vec<&'a str>, Error> {
        let wrong = || wrong_type("type", "string/Array Of Strings");
        let given = match self.get("type") {
            None => return Ok(Vec::new()),
            Some(given @ Value::String(_)) => std::slice::from_ref(given),
            Some(Value::Array(given)) => given,
            Some(_) => return Err(wrong()),
        };
        let mut types = Vec::new();
        for given in given {
            let given = given.as_str().ok_or_else(wrong)?;
            if !TYPES.contains(&given) {
                return Err(messages::unknown_type(given));
            }
            if types.contains(&given) {
                return Err(format!("{given} type is duplicated").into());
            }
            types.push(given);
        }
        Ok(types)
    }

    pub(super) fn numbers(&self) -> Result<Numbers<'a>, Error> {
        let multiple_of = match self.get("multipleOf") {
            None => None,
            Some(value) => {
                let (number, amount) = self.number(value)?.ok_or_else(|| wrong_type("Number", "multipleOf"))?;
                if !amount.is_positive() {
                    return Err("multipleOf must be strictly greater than 0".into());
                }
                Some(number)
            }
        };
        let (minimum, above) = self.limits("minimum", "exclusiveMinimum")?;
        let (maximum, below) = self.limits("maximum", "exclusiveMaximum")?;
        Ok(Numbers { multiple_of, maximum, below, minimum, above })
    }

    /// A number that is not too large or too small.
    fn number(&self, value: &'a Value) -> Result<Option<(&'a Number, Decimal)>, Error> {
        let Some(number) = value.as_number() else { return Ok(None) };
        Ok(Decimal::read(self.context, number)?.map(|amount| (number, amount)))
    }

    /// A limit that may be reached, and one that may not: a flag in draft 4, and a number of its own in later ones.
    fn limits(&self, name: &str, exclusive: &str) -> Result<(Option<&'a Number>, Option<&'a Number>), Error> {
        let limit = match self.get(name) {
            None => None,
            Some(value) => {
                let number = self.number(value)?.ok_or_else(|| must_be_of_a(name, "Number"))?;
                Some(number.0)
            }
        };
        let Some(value) = self.get(exclusive) else { return Ok((limit, None)) };
        match (value, self.draft) {
            (Value::Bool(_), Draft::Four | Draft::Hybrid) if limit.is_none() => {
                Err(format!("{exclusive} cannot be used without {name}").into())
            }
            (Value::Bool(true), Draft::Four | Draft::Hybrid) => Ok((None, limit)),
            (Value::Bool(false), Draft::Four | Draft::Hybrid) => Ok((limit, None)),
            (_, Draft::Four) => Err(wrong_type("boolean", exclusive)),
            (Value::Number(_), _) => Ok((limit, self.number(value)?.map(|number| number.0))),
            (_, Draft::Hybrid) => Err(wrong_type("boolean/number", exclusive)),
            _ => Err(wrong_type("number", exclusive)),
        }
    }

    pub(super) fn texts(&self, kept_patterns: &mut usize) -> Result<Texts<'a>, Error> {
        let (shortest, longest) = (self.size("minLength")?, self.size("maxLength")?);
        if exceeds(shortest, longest) {
            return Err(must_not_exceed("minLength", "maxLength"));
        }
        let pattern = match self.text("pattern")? {
            None => None,
            Some(text) => {
                let pattern = Pattern::new(self.context, text, kept_patterns)?;
                Some(pattern.ok_or_else(|| Error::from("pattern must be a valid regex"))?)
            }
        };
        let format = self.text("format")?.filter(|format| !format.is_empty());
        Ok(Texts { shortest, longest, pattern, format })
    }

    /// A whole number without a fraction or a power, and none below zero.
    fn size(&self, name: &str) -> Result<Option<usize>, Error> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let size = value.as_number().and_then(|number| number.as_str().parse::<i64>().ok());
        let size = size.ok_or_else(|| must_be_of_an(name, "integer"))?;
        match usize::try_from(size) {
            Ok(size) => Ok(Some(size)),
            Err(_) => Err(format!("{name} must be greater than or equal to 0").into()),
        }
    }

    pub(super) fn object_sizes(&self, objects: &mut Objects<'a>) -> Result<(), Error> {
        objects.fewest = self.size("minProperties")?;
        objects.most = self.size("maxProperties")?;
        if exceeds(objects.fewest, objects.most) {
            return Err(must_not_exceed("minProperties", "maxProperties"));
        }
        let mut known = BTreeSet::new();
        for name in self.list("required")?.unwrap_or_default() {
            let name = name.as_str().ok_or_else(|| wrong_type("string", "required"))?;
            self.context.work(MEMBER_WORK + name.len() as u64)?;
            if !known.insert(name) {
                return Err(must_be_unique("required"));
            }
            objects.required.push(name);
        }
        Ok(())
    }

    pub(super) fn list_sizes(&self, lists: &mut Lists) -> Result<(), Error> {
        lists.fewest = self.size("minItems")?;
        lists.most = self.size("maxItems")?;
        match self.get("uniqueItems") {
            None => {}
            Some(Value::Bool(unique)) => lists.unique = *unique,
            Some(_) => return Err(must_be_of_a("uniqueItems", "boolean")),
        }
        Ok(())
    }

    pub(super) fn constant(&self) -> Result<Option<String>, Error> {
        let constant = self.since(Draft::Six, "const");
        constant.map(|constant| compact_with_doubles(self.context, constant)).transpose()
    }

    pub(super) fn choice(&self) -> Result<Option<Choice>, Error> {
        let Some(values) = self.list("enum")? else { return Ok(None) };
        let mut choice = Choice { members: HashSet::new(), list: String::new() };
        for (place, value) in values.iter().enumerate() {
            let text = compact_with_doubles(self.context, value)?;
            self.context.work(MEMBER_WORK + 2 * text.len() as u64)?;
            choice.list.push_str(if place > 0 { ", " } else { "" });
            choice.list.push_str(&text);
            if !choice.members.insert(text) {
                return Err(must_be_unique("enum"));
            }
        }
        Ok(Some(choice))
    }
}

fn exceeds(one: Option<usize>, another: Option<usize>) -> bool {
    one.zip(another).is_some_and(|(one, another)| one > another)
}
