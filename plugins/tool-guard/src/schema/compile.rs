//! From the schema's JSON to nodes.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::{ArrayRules, At, Combined, Node, NumberRules, ObjectRules, Schema, TYPES, TextRules};

/// Deepest nesting of schemas.
const DEEPEST: usize = 64;
/// Most subschemas.
const MOST: usize = 10_000;

/// Keywords that say something to people and nothing to this.
const ANNOTATIONS: [&str; 13] = [
    "$schema",
    "$comment",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
];

pub(super) fn compile(schema: &Value) -> Result<Schema, String> {
    let mut compiler = Compiler { root: schema, nodes: Vec::new(), referred: BTreeMap::new() };
    compiler.node(schema, "", 0)?;
    // What is referred to is compiled once, and may refer to itself.
    while let Some((pointer, at)) =
        compiler.referred.iter().find(|(_, reference)| !reference.done).map(|(p, r)| (p.clone(), r.at))
    {
        let target = compiler.root.pointer(&pointer).ok_or_else(|| format!("`#{pointer}` refers to nothing"))?;
        let node = compiler.fields(target, &pointer, 0)?;
        compiler.nodes[at] = node;
        if let Some(reference) = compiler.referred.get_mut(&pointer) {
            reference.done = true;
        }
    }
    compiler.no_circle()?;
    Ok(Schema { nodes: compiler.nodes })
}

struct Compiler<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// By JSON pointer in the root.
    referred: BTreeMap<String, Reference>,
}

struct Reference {
    at: At,
    done: bool,
}

impl Compiler<'_> {
    /// Adds a subschema; its place among the nodes.
    fn node(&mut self, schema: &Value, pointer: &str, depth: usize) -> Result<At, String> {
        let at = self.room(pointer)?;
        let node = self.fields(schema, pointer, depth)?;
        self.nodes[at] = node;
        Ok(at)
    }

    fn room(&mut self, pointer: &str) -> Result<At, String> {
        if self.nodes.len() == MOST {
            return Err(format!("`{pointer}`: more than {MOST} subschemas"));
        }
        self.nodes.push(Node::default());
        Ok(self.nodes.len() - 1)
    }

    fn fields(&mut self, schema: &Value, pointer: &str, depth: usize) -> Result<Node, String> {
        if depth > DEEPEST {
            return Err(format!("`{pointer}`: nested deeper than {DEEPEST}"));
        }
        let fields = match schema {
            Value::Bool(valid) => return Ok(Node { never: !valid, ..Node::default() }),
            Value::Object(fields) => fields,
            _ => return Err(format!("`{pointer}`: a schema is an object, `true` or `false`")),
        };
        let mut read = Reading { compiler: self, fields, pointer, depth, known: Vec::new() };
        let node = Node {
            never: false,
            types: read.types()?,
            one_of_values: read.values()?,
            number: read.number()?,
            text: read.text()?,
            array: read.array()?.map(Box::new),
            object: read.object()?.map(Box::new),
            combined: read.combined()?.map(Box::new),
        };
        read.definitions()?;
        read.unknown()?;
        Ok(node)
    }

    /// The node that a reference means, to be compiled later.
    fn refer(&mut self, reference: &str, pointer: &str) -> Result<At, String> {
        let target = reference
            .strip_prefix('#')
            .and_then(decoded)
            .filter(|target| target.is_empty() || target.starts_with('/'));
        let target =
            target.ok_or_else(|| format!("`{pointer}/$ref`: only `#/…` within the schema can be referred to"))?;
        if let Some(reference) = self.referred.get(&target) {
            return Ok(reference.at);
        }
        let at = self.room(pointer)?;
        self.referred.insert(target, Reference { at, done: false });
        Ok(at)
    }

    /// A schema that comes back to itself without going down into the value would be checked for ever.
    fn no_circle(&self) -> Result<(), String> {
        let same_value = |at: At| {
            let combined = self.nodes[at].combined.as_deref();
            let dependent = self.nodes[at].object.as_deref().map_or(&[][..], |object| &object.dependent);
            let each = combined.into_iter().flat_map(|combined| {
                let Combined { refers_to, all, any, one, not, condition, then, otherwise } = combined;
                let single = [refers_to, not, condition, then, otherwise].into_iter().flatten();
                single.chain(all).chain(any).chain(one).copied()
            });
            each.chain(dependent.iter().map(|(_, at)| *at)).collect::<Vec<At>>()
        };
        // 0: not seen; 1: on the way; 2: without a circle.
        let mut seen = vec![0_u8; self.nodes.len()];
        for start in 0..self.nodes.len() {
            if seen[start] != 0 {
                continue;
            }
            let mut way = vec![(start, same_value(start))];
            seen[start] = 1;
            while let Some((at, next)) = way.last_mut() {
                match next.pop() {
                    Some(next) if seen[next] == 0 => {
                        seen[next] = 1;
                        way.push((next, same_value(next)));
                    }
                    Some(next) if seen[next] == 1 => {
                        return Err("a `$ref` comes back to itself".to_owned());
                    }
                    Some(_) => {}
                    None => {
                        seen[*at] = 2;
                        way.pop();
                    }
                }
            }
        }
        Ok(())
    }
}

/// `%25` and the like in a reference.
fn decoded(reference: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(reference.len());
    let mut rest = reference.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The fields of one schema while they are read.
struct Reading<'r, 'a, 'f> {
    compiler: &'r mut Compiler<'a>,
    fields: &'f Map<String, Value>,
    pointer: &'r str,
    depth: usize,
    /// What has been asked for.
    known: Vec<&'static str>,
}

impl<'f> Reading<'_, '_, 'f> {
    fn get(&mut self, key: &'static str) -> Option<&'f Value> {
        self.known.push(key);
        self.fields.get(key)
    }

    fn wrong<T>(&self, key: &str, expected: &str) -> Result<T, String> {
        Err(format!("`{}/{key}`: expected {expected}", self.pointer))
    }

    fn types(&mut self) -> Result<Option<u8>, String> {
        let one = |value: &Value| TYPES.iter().find(|(name, _)| value == name).map(|(_, bits)| *bits);
        let types = match self.get("type") {
            None => return Ok(None),
            Some(Value::Array(types)) => types.iter().map(one).try_fold(0, |all, bits| Some(all | bits?)),
            Some(name) => one(name),
        };
        match types {
            Some(types) => Ok(Some(types)),
            None => self.wrong("type", "null, boolean, number, integer, string, array or object"),
        }
    }

    fn values(&mut self) -> Result<Option<Vec<Value>>, String> {
        let constant = self.get("const");
        let listed = match self.get("enum") {
            None => None,
            Some(Value::Array(values)) => Some(values.clone()),
            Some(_) => return self.wrong("enum", "an array"),
        };
        Ok(match (constant, listed) {
            (None, listed) => listed,
            (Some(constant), None) => Some(vec![constant.clone()]),
            (Some(constant), Some(listed)) => {
                Some(listed.into_iter().filter(|value| super::check::same(value, constant)).collect())
            }
        })
    }

    fn number(&mut self) -> Result<NumberRules, String> {
        let mut bound = |key| match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_f64().map_or_else(|| self.wrong(key, "a number"), |number| Ok(Some(number))),
        };
        let rules = NumberRules {
            least: bound("minimum")?,
            most: bound("maximum")?,
            above: bound("exclusiveMinimum")?,
            below: bound("exclusiveMaximum")?,
            multiple_of: bound("multipleOf")?,
        };
        if rules.multiple_of.is_some_and(|step| step <= 0.0) {
            return self.wrong("multipleOf", "a number above 0");
        }
        Ok(rules)
    }

    fn count(&mut self, key: &'static str) -> Result<Option<u64>, String> {
        match self.get(key) {
            None => Ok(None),
            // 2.0 is as good a count as 2.
            Some(value) => match value.as_f64().filter(|count| *count >= 0.0 && count.fract() == 0.0) {
                Some(count) => Ok(Some(count as u64)),
                None => self.wrong(key, "a count"),
            },
        }
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => self.wrong(key, "`true` or `false`"),
        }
    }

    fn regex(&self, key: &str, pattern: &str) -> Result<Regex, String> {
        Regex::new(pattern).map_err(|error| format!("`{}/{key}`: {error}", self.pointer))
    }

    fn text(&mut self) -> Result<TextRules, String> {
        let pattern = match self.get("pattern") {
            None => None,
            Some(Value::String(pattern)) => Some(self.regex("pattern", pattern)?),
            Some(_) => return self.wrong("pattern", "a regular expression"),
        };
        Ok(TextRules { shortest: self.count("minLength")?.unwrap_or(0), longest: self.count("maxLength")?, pattern })
    }

    fn schema(&mut self, key: &'static str) -> Result<Option<At>, String> {
        let Some(schema) = self.get(key) else { return Ok(None) };
        let pointer = format!("{}/{key}", self.pointer);
        self.compiler.node(schema, &pointer, self.depth + 1).map(Some)
    }

    fn schemas(&mut self, key: &'static str) -> Result<Vec<At>, String> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(schemas)) if !schemas.is_empty() => {
                let each = schemas.iter().enumerate();
                each.map(|(place, schema)| {
                    let pointer = format!("{}/{key}/{place}", self.pointer);
                    self.compiler.node(schema, &pointer, self.depth + 1)
                })
                .collect()
            }
            Some(_) => self.wrong(key, "an array of schemas"),
        }
    }

    fn schemas_by_name(&mut self, key: &'static str) -> Result<Vec<(String, At)>, String> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Object(schemas)) => schemas
                .iter()
                .map(|(name, schema)| {
                    let pointer = format!("{}/{key}/{}", self.pointer, tool_calls::segment(name));
                    Ok((name.clone(), self.compiler.node(schema, &pointer, self.depth + 1)?))
                })
                .collect(),
            Some(_) => self.wrong(key, "an object of schemas"),
        }
    }

    fn names(&self, key: &str, value: &Value) -> Result<Vec<String>, String> {
        let names =
            value.as_array().and_then(|names| names.iter().map(|name| Some(name.as_str()?.to_owned())).collect());
        names.map_or_else(|| self.wrong(key, "an array of names"), Ok)
    }

    fn array(&mut self) -> Result<Option<ArrayRules>, String> {
        let contains = self.schema("contains")?;
        let (least, most) = (self.count("minContains")?, self.count("maxContains")?);
        let rules = ArrayRules {
            first: self.schemas("prefixItems")?,
            rest: self.schema("items")?,
            contains,
            least_contained: least.unwrap_or(1),
            most_contained: most,
            fewest: self.count("minItems")?.unwrap_or(0),
            most: self.count("maxItems")?,
            unique: self.flag("uniqueItems")?,
        };
        let ArrayRules { first, rest, contains, fewest, most, unique, .. } = &rules;
        let any =
            !first.is_empty() || rest.is_some() || contains.is_some() || *fewest > 0 || most.is_some() || *unique;
        Ok(any.then_some(rules))
    }

    fn object(&mut self) -> Result<Option<ObjectRules>, String> {
        let required = self.get("required").map_or(Ok(Vec::new()), |value| self.names("required", value))?;
        let patterns = self.schemas_by_name("patternProperties")?;
        let patterns = patterns.into_iter().map(|(pattern, at)| Ok((self.regex("patternProperties", &pattern)?, at)));
        let patterns = patterns.collect::<Result<_, String>>()?;
        let dependent_required = match self.get("dependentRequired") {
            None => Vec::new(),
            Some(Value::Object(dependent)) => dependent
                .iter()
                .map(|(name, needs)| Ok((name.clone(), self.names("dependentRequired", needs)?)))
                .collect::<Result<_, String>>()?,
            Some(_) => return self.wrong("dependentRequired", "an object of arrays of names"),
        };
        let rules = ObjectRules {
            properties: self.schemas_by_name("properties")?.into_iter().collect(),
            patterns,
            others: self.schema("additionalProperties")?,
            names: self.schema("propertyNames")?,
            required,
            fewest: self.count("minProperties")?.unwrap_or(0),
            most: self.count("maxProperties")?,
            dependent_required,
            dependent: self.schemas_by_name("dependentSchemas")?,
        };
        let ObjectRules { properties, patterns, others, names, required, fewest, most, .. } = &rules;
        let parts = properties.len() + patterns.len() + required.len();
        let parts = parts + rules.dependent_required.len() + rules.dependent.len();
        let any = parts > 0 || others.is_some() || names.is_some() || *fewest > 0 || most.is_some();
        Ok(any.then_some(rules))
    }

    fn combined(&mut self) -> Result<Option<Combined>, String> {
        let refers_to = match self.get("$ref") {
            None => None,
            Some(Value::String(reference)) => Some(self.compiler.refer(reference, self.pointer)?),
            Some(_) => return self.wrong("$ref", "a reference"),
        };
        let (condition, then, otherwise) = (self.schema("if")?, self.schema("then")?, self.schema("else")?);
        let (all, any, one) = (self.schemas("allOf")?, self.schemas("anyOf")?, self.schemas("oneOf")?);
        let combined = Combined { refers_to, all, any, one, not: self.schema("not")?, condition, then, otherwise };
        let Combined { all, any, one, not, .. } = &combined;
        let lists = all.len() + any.len() + one.len();
        Ok((lists > 0 || refers_to.is_some() || not.is_some() || condition.is_some()).then_some(combined))
    }

    /// Definitions are compiled where something refers to them; those that nobody refers to have to be schemas, too.
    fn definitions(&mut self) -> Result<(), String> {
        self.schemas_by_name("$defs")?;
        self.schemas_by_name("definitions")?;
        Ok(())
    }

    fn unknown(&self) -> Result<(), String> {
        // Below the root, `$id` would give references another meaning.
        let is_root = |key: &str| key == "$id" && self.pointer.is_empty();
        let known = |key: &str| {
            is_root(key) || self.known.contains(&key) || ANNOTATIONS.contains(&key) || key.starts_with("x-")
        };
        match self.fields.keys().find(|key| !known(key)) {
            Some(key) => {
                Err(format!("`{}/{}` is no keyword that is checked here", self.pointer, tool_calls::segment(key)))
            }
            None => Ok(()),
        }
    }
}
