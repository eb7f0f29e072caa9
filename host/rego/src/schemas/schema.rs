//! What a schema is once it is compiled.

use std::collections::{BTreeMap, HashSet};

use super::patterns::Pattern;
use crate::value::Number;

/// The place of a schema in the list of all.
pub(super) type Place = usize;

/// Drafts in their order; where a document names none, its keywords have the meanings of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draft {
    Four,
    Six,
    Seven,
    Hybrid,
}

pub(super) const DRAFTS: [(&str, Draft); 3] = [
    ("http://json-schema.org/draft-04/schema", Draft::Four),
    ("http://json-schema.org/draft-06/schema", Draft::Six),
    ("http://json-schema.org/draft-07/schema", Draft::Seven),
];

impl Draft {
    pub(super) fn of(address: &str) -> Option<Draft> {
        DRAFTS.iter().find(|(known, _)| *known == address).map(|(_, draft)| *draft)
    }
}

/// Schemas that refer to each other by their places; the first one is that of the document.
pub(super) struct Compiled<'a> {
    pub(super) schemas: Vec<Schema<'a>>,
}

#[derive(Default)]
pub(super) struct Schema<'a> {
    /// What `true` and `false` say of everything.
    pub(super) passes: Option<bool>,
    /// The schema that counts instead of this one.
    pub(super) reference: Option<Place>,
    /// Names of types; none for all of them.
    pub(super) types: Vec<&'a str>,
    pub(super) logic: Logic,
    pub(super) numbers: Numbers<'a>,
    pub(super) texts: Texts<'a>,
    pub(super) lists: Lists,
    pub(super) objects: Objects<'a>,
    /// The value, as JSON with doubles.
    pub(super) constant: Option<String>,
    pub(super) choice: Option<Choice>,
}

#[derive(Default)]
pub(super) struct Logic {
    pub(super) any_of: Vec<Place>,
    pub(super) one_of: Vec<Place>,
    pub(super) all_of: Vec<Place>,
    pub(super) not: Option<Place>,
    pub(super) condition: Option<Place>,
    pub(super) then: Option<Place>,
    pub(super) otherwise: Option<Place>,
}

/// Numbers as the schema has them, all of a size that is compared.
#[derive(Default)]
pub(super) struct Numbers<'a> {
    pub(super) multiple_of: Option<&'a Number>,
    pub(super) maximum: Option<&'a Number>,
    pub(super) below: Option<&'a Number>,
    pub(super) minimum: Option<&'a Number>,
    pub(super) above: Option<&'a Number>,
}

#[derive(Default)]
pub(super) struct Texts<'a> {
    pub(super) shortest: Option<usize>,
    pub(super) longest: Option<usize>,
    pub(super) pattern: Option<Pattern<'a>>,
    pub(super) format: Option<&'a str>,
}

/// What is said of members that have no schema of their own.
#[derive(Clone, Copy)]
pub(super) enum Rest {
    Allowed(bool),
    Schema(Place),
}

#[derive(Default)]
pub(super) struct Lists {
    /// For all members.
    pub(super) every: Option<Place>,
    /// For the first members, one by one.
    pub(super) first: Vec<Place>,
    pub(super) rest: Option<Rest>,
    pub(super) fewest: Option<usize>,
    pub(super) most: Option<usize>,
    pub(super) unique: bool,
    pub(super) contains: Option<Place>,
}

impl Lists {
    /// The schema for the member at an index.
    pub(super) fn place(&self, index: usize) -> Option<Place> {
        match (self.every.or_else(|| self.first.get(index).copied()), self.rest) {
            (None, Some(Rest::Schema(place))) if !self.first.is_empty() => Some(place),
            (place, _) => place,
        }
    }
}

#[derive(Default)]
pub(super) struct Objects<'a> {
    pub(super) properties: BTreeMap<&'a str, Place>,
    pub(super) patterns: Vec<(Pattern<'a>, Place)>,
    pub(super) rest: Option<Rest>,
    pub(super) names: Option<Place>,
    pub(super) dependencies: BTreeMap<&'a str, Dependency<'a>>,
    pub(super) required: Vec<&'a str>,
    pub(super) fewest: Option<usize>,
    pub(super) most: Option<usize>,
}

pub(super) enum Dependency<'a> {
    Names(Vec<&'a str>),
    Schema(Place),
}

/// Values as JSON with doubles.
pub(super) struct Choice {
    pub(super) members: HashSet<String>,
    /// All of them in the schema's order, with commas.
    pub(super) list: String,
}
