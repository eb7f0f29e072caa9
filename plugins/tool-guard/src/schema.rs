//! JSON Schema 2020-12 for arguments: compiled when the policy is configured, checked on every call.
//!
//! Every keyword of the core, applicator and validation vocabularies but `$dynamicRef`, `$anchor`, references to other
//! documents, and `unevaluated*`; `format` is an annotation, as the standard has it by default. A keyword that this knows
//! nothing of is refused, not passed over. `dict` and `tuple`, `float` of some model vendors' schemas are no types here.

mod check;
mod compile;

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

pub(crate) use self::check::Violation;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    /// The first is the whole, others are what is referred to.
    nodes: Vec<Node>,
}

/// One subschema.
#[derive(Debug, Default)]
struct Node {
    /// `false`: nothing is valid.
    never: bool,
    /// As a set of bits; none where any type will do.
    types: Option<u8>,
    one_of_values: Option<Vec<Value>>,
    number: NumberRules,
    text: TextRules,
    array: Option<Box<ArrayRules>>,
    object: Option<Box<ObjectRules>>,
    combined: Option<Box<Combined>>,
}

/// Where a subschema is among the nodes.
type At = usize;

#[derive(Debug, Default)]
struct NumberRules {
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    multiple_of: Option<f64>,
}

#[derive(Debug, Default)]
struct TextRules {
    /// In characters.
    shortest: u64,
    longest: Option<u64>,
    pattern: Option<Regex>,
}

#[derive(Debug, Default)]
struct ArrayRules {
    first: Vec<At>,
    rest: Option<At>,
    contains: Option<At>,
    /// How many have to be what `contains` says; 1 by default.
    least_contained: u64,
    most_contained: Option<u64>,
    fewest: u64,
    most: Option<u64>,
    unique: bool,
}

#[derive(Debug, Default)]
struct ObjectRules {
    properties: BTreeMap<String, At>,
    patterns: Vec<(Regex, At)>,
    others: Option<At>,
    names: Option<At>,
    required: Vec<String>,
    fewest: u64,
    most: Option<u64>,
    /// Names that must be there where another one is.
    dependent_required: Vec<(String, Vec<String>)>,
    dependent: Vec<(String, At)>,
}

#[derive(Debug, Default)]
struct Combined {
    refers_to: Option<At>,
    all: Vec<At>,
    any: Vec<At>,
    one: Vec<At>,
    not: Option<At>,
    condition: Option<At>,
    then: Option<At>,
    otherwise: Option<At>,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What cannot be checked, with its JSON pointer.
    pub fn compile(schema: &Value) -> Result<Schema, String> {
        compile::compile(schema)
    }

    /// Whether a value is valid.
    pub fn is_valid(&self, value: &Value) -> bool {
        self.violations(value).is_empty()
    }

    /// What is wrong with a value, a few examples: JSON pointer into it, and why.
    pub fn violations(&self, value: &Value) -> Vec<Violation> {
        check::check(&self.nodes, value)
    }
}

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const NUMBER: u8 = 4;
const INTEGER: u8 = 8;
const TEXT: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;
const TYPES: [(&str, u8); 7] = [
    ("null", NULL),
    ("boolean", BOOLEAN),
    // Every integer is a number.
    ("number", NUMBER | INTEGER),
    ("integer", INTEGER),
    ("string", TEXT),
    ("array", ARRAY),
    ("object", OBJECT),
];
