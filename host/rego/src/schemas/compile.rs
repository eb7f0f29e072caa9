//! Compiling a schema: what is wrong with it is told in OPA's words and order.

mod keywords;

use std::collections::{BTreeMap, HashMap};

use self::keywords::Keywords;
use super::MEMBER_WORK;
use super::messages;
use super::patterns::Pattern;
use super::pool::{Document, Pool};
use super::references::{address, written};
use super::schema::{Compiled, Dependency, Draft, Place, Rest, Schema};
use crate::url::Url;
use crate::{Context, Error, Value};

/// What a compiled schema costs beside what is in it.
const SCHEMA_WORK: u64 = 256;
/// Most schemas that are compiled one inside the other, on the stack; what is deeper waits until they are done.
const DEEPEST: usize = 100;
const ARRAY_OF_SCHEMAS: &str = "Array Of Schemas";

pub(super) fn compile<'a>(context: &'a Context, schema: &'a Value) -> Result<Compiled<'a>, Error> {
    let (pool, document) = Pool::new(context, schema)?;
    let mut compiler = Compiler {
        context,
        pool,
        schemas: Vec::new(),
        references: HashMap::new(),
        kept_patterns: 0,
        depth: 0,
        waiting: Vec::new(),
    };
    compiler.schema(document.value, document.draft.unwrap_or(Draft::Hybrid))?;
    while let Some((place, value, draft)) = compiler.waiting.pop() {
        compiler.fill(place, value, draft)?;
    }
    Ok(Compiled { schemas: compiler.schemas })
}

struct Compiler<'a> {
    context: &'a Context,
    pool: Pool<'a>,
    schemas: Vec<Schema<'a>>,
    /// Schemas by the references that lead to them, also while they are compiled.
    references: HashMap<String, Place>,
    kept_patterns: usize,
    depth: usize,
    waiting: Vec<(Place, &'a Value, Draft)>,
}

impl<'a> Compiler<'a> {
    fn schema(&mut self, value: &'a Value, draft: Draft) -> Result<Place, Error> {
        let place = self.reserve()?;
        self.fill_in_time(place, value, draft)?;
        Ok(place)
    }

    fn reserve(&mut self) -> Result<Place, Error> {
        self.context.work(SCHEMA_WORK)?;
        self.schemas.push(Schema::default());
        Ok(self.schemas.len() - 1)
    }

    fn fill_in_time(&mut self, place: Place, value: &'a Value, draft: Draft) -> Result<(), Error> {
        if self.depth == DEEPEST {
            self.waiting.push((place, value, draft));
            return Ok(());
        }
        self.depth += 1;
        self.fill(place, value, draft)?;
        self.depth -= 1;
        Ok(())
    }

    fn fill(&mut self, place: Place, value: &'a Value, draft: Draft) -> Result<(), Error> {
        if let (Value::Bool(passes), true) = (value, draft >= Draft::Six) {
            self.schemas[place].passes = Some(*passes);
            return Ok(());
        }
        let Value::Object(members) = value else { return Err(messages::no_schema()) };
        let keywords = Keywords::new(self.context, members, draft)?;
        self.check_address(&keywords)?;
        self.definitions(&keywords)?;
        keywords.text("title")?;
        keywords.text("description")?;
        if let Some(reference) = keywords.text("$ref")?
            && self.refer(place, reference, draft)?
        {
            return Ok(());
        }
        self.schemas[place].types = keywords.types()?;
        self.objects(place, &keywords)?;
        self.lists(place, &keywords)?;
        self.values(place, &keywords)?;
        self.logic(place, &keywords)
    }

    fn check_address(&self, keywords: &Keywords) -> Result<(), Error> {
        let name = match keywords.draft {
            Draft::Four => "id",
            Draft::Hybrid if keywords.get("id").is_some() => "id",
            _ => "$id",
        };
        match keywords.text(name)? {
            Some(id) => address(self.context, id).map(drop),
            None => Ok(()),
        }
    }

    /// Definitions count where something refers to them, but have to be schemas anyway.
    fn definitions(&mut self, keywords: &Keywords<'a>) -> Result<(), Error> {
        let wrong = || messages::wrong_type(ARRAY_OF_SCHEMAS, "definitions");
        let Some(definitions) = keywords.get("definitions") else { return Ok(()) };
        let Value::Object(definitions) = definitions else { return Err(wrong()) };
        for definition in definitions.values() {
            if !is_schema(definition) {
                return Err(wrong());
            }
            self.schema(definition, keywords.draft)?;
        }
        Ok(())
    }

    /// Has a reference lead to its schema. Whether it is the first to that one: then what stands beside it is not looked at.
    fn refer(&mut self, place: Place, reference: &str, draft: Draft) -> Result<bool, Error> {
        let url = address(self.context, reference)?;
        let known_as = written(self.context, &url)?;
        if let Some(target) = self.references.get(&known_as) {
            self.schemas[place].reference = Some(*target);
            return Ok(false);
        }
        let target = self.reserve()?;
        self.references.insert(known_as, target);
        self.schemas[place].reference = Some(target);
        self.referred(target, &url, draft)?;
        Ok(true)
    }

    fn referred(&mut self, target: Place, url: &Url, draft: Draft) -> Result<(), Error> {
        let Document { value, draft: own } = self.pool.find(url)?;
        if !is_schema(value) {
            return Err(messages::must_be_of_type("Valid Schema", "object"));
        }
        self.fill_in_time(target, value, own.unwrap_or(draft))
    }

    fn objects(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        if let Some(properties) = keywords.get("properties") {
            let Value::Object(properties) = properties else {
                return Err(messages::must_be_of_type("Properties", "object"));
            };
            self.schemas[place].objects.properties = self.named(properties, keywords.draft)?;
        }
        self.schemas[place].objects.rest = self.rest("additionalProperties", keywords)?;
        self.patterns(place, keywords)?;
        if let Some(names) = keywords.since(Draft::Six, "propertyNames") {
            if !is_schema(names) {
                // As OPA has it.
                return Err(messages::wrong_type("Valid Schema", "patternProperties"));
            }
            self.schemas[place].objects.names = Some(self.schema(names, keywords.draft)?);
        }
        self.dependencies(place, keywords)
    }

    fn named(
        &mut self,
        members: &'a BTreeMap<Value, Value>,
        draft: Draft,
    ) -> Result<BTreeMap<&'a str, Place>, Error> {
        let mut schemas = BTreeMap::new();
        for (name, value) in members {
            let Some(name) = name.as_str() else { continue };
            self.context.work(MEMBER_WORK + name.len() as u64)?;
            schemas.insert(name, self.schema(value, draft)?);
        }
        Ok(schemas)
    }

    fn rest(&mut self, name: &str, keywords: &Keywords<'a>) -> Result<Option<Rest>, Error> {
        match keywords.get(name) {
            None => Ok(None),
            Some(Value::Bool(allowed)) => Ok(Some(Rest::Allowed(*allowed))),
            Some(value @ Value::Object(_)) => Ok(Some(Rest::Schema(self.schema(value, keywords.draft)?))),
            Some(_) => Err(messages::wrong_type("boolean/Valid Schema", name)),
        }
    }

    fn patterns(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        let Some(patterns) = keywords.get("patternProperties") else { return Ok(()) };
        let Value::Object(patterns) = patterns else {
            return Err(messages::wrong_type("Valid Schema", "patternProperties"));
        };
        for (text, value) in patterns {
            let Some(text) = text.as_str() else { continue };
            let pattern = Pattern::new(self.context, text, &mut self.kept_patterns)?;
            let pattern = pattern.ok_or_else(|| Error::from(format!("Invalid regex pattern '{text}'")))?;
            let schema = self.schema(value, keywords.draft)?;
            self.schemas[place].objects.patterns.push((pattern, schema));
        }
        Ok(())
    }

    fn dependencies(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        let wrong = || messages::must_be_of_type("Dependency", "Schema Or Array Of Strings");
        let Some(dependencies) = keywords.get("dependencies") else { return Ok(()) };
        let Value::Object(dependencies) = dependencies else {
            return Err(messages::must_be_of_type("dependencies", "object"));
        };
        for (name, value) in dependencies {
            let Some(name) = name.as_str() else { continue };
            self.context.work(MEMBER_WORK + name.len() as u64)?;
            let dependency = match value {
                Value::Array(names) => {
                    self.context.work(names.len() as u64)?;
                    let names: Option<_> = names.iter().map(Value::as_str).collect();
                    Dependency::Names(names.ok_or_else(wrong)?)
                }
                _ if is_schema(value) => Dependency::Schema(self.schema(value, keywords.draft)?),
                _ => return Err(wrong()),
            };
            self.schemas[place].objects.dependencies.insert(name, dependency);
        }
        Ok(())
    }

    fn lists(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        let wrong = || messages::wrong_type("Valid Schema/Array Of Schemas", "items");
        match keywords.get("items") {
            None => {}
            Some(Value::Array(items)) => {
                for item in items {
                    if !is_schema(item) {
                        return Err(wrong());
                    }
                    let schema = self.schema(item, keywords.draft)?;
                    self.schemas[place].lists.first.push(schema);
                }
            }
            Some(items) if is_schema(items) => {
                self.schemas[place].lists.every = Some(self.schema(items, keywords.draft)?);
            }
            Some(_) => return Err(wrong()),
        }
        self.schemas[place].lists.rest = self.rest("additionalItems", keywords)?;
        Ok(())
    }

    /// Everything about a value that is no matter of other schemas, and `contains`, which comes between.
    fn values(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        self.schemas[place].numbers = keywords.numbers()?;
        self.schemas[place].texts = keywords.texts(&mut self.kept_patterns)?;
        keywords.object_sizes(&mut self.schemas[place].objects)?;
        keywords.list_sizes(&mut self.schemas[place].lists)?;
        if let Some(contains) = keywords.since(Draft::Six, "contains") {
            self.schemas[place].lists.contains = Some(self.schema(contains, keywords.draft)?);
        }
        self.schemas[place].constant = keywords.constant()?;
        self.schemas[place].choice = keywords.choice()?;
        Ok(())
    }

    fn logic(&mut self, place: Place, keywords: &Keywords<'a>) -> Result<(), Error> {
        self.schemas[place].logic.one_of = self.several("oneOf", keywords)?;
        self.schemas[place].logic.any_of = self.several("anyOf", keywords)?;
        self.schemas[place].logic.all_of = self.several("allOf", keywords)?;
        self.schemas[place].logic.not = self.single("not", Draft::Four, keywords)?;
        self.schemas[place].logic.condition = self.single("if", Draft::Seven, keywords)?;
        self.schemas[place].logic.then = self.single("then", Draft::Seven, keywords)?;
        self.schemas[place].logic.otherwise = self.single("else", Draft::Seven, keywords)?;
        Ok(())
    }

    fn several(&mut self, name: &str, keywords: &Keywords<'a>) -> Result<Vec<Place>, Error> {
        let schemas = keywords.list(name)?.unwrap_or_default();
        schemas.iter().map(|schema| self.schema(schema, keywords.draft)).collect()
    }

    fn single(&mut self, name: &str, since: Draft, keywords: &Keywords<'a>) -> Result<Option<Place>, Error> {
        match keywords.since(since, name) {
            None => Ok(None),
            Some(schema) if is_schema(schema) => self.schema(schema, keywords.draft).map(Some),
            Some(_) => Err(messages::must_be_of_an(name, "object")),
        }
    }
}

/// Whether a value may be a schema in some draft.
fn is_schema(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Object(_))
}
