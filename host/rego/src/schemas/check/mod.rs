//! Checking a document: what a schema says of it, in OPA's order.

mod logic;
mod members;

use std::cell::Cell;
use std::collections::BTreeMap;

use super::MEMBER_WORK;
use super::formats;
use super::messages::{Failure, Path, Problem};
use super::number::{self, Decimal};
use super::schema::{Compiled, Place, Schema};
use crate::marshal::compact_with_doubles;
use crate::value::{Number, Value};
use crate::{Context, Error};

/// Most schemas that are looked at one inside the other, which happens on the stack: two for each level of a document.
const DEEPEST: usize = 1_050;
/// What came of a step, in few bytes: many of them are on the stack at once.
type Checked<T = ()> = Result<T, Box<Error>>;

/// What looking at a schema costs.
const SCHEMA_WORK: u64 = 32;

/// What is wrong with a document, in order.
pub(super) fn check(context: &Context, compiled: &Compiled, document: &Value) -> Result<Vec<Failure>, Error> {
    let checker = Checker { context, schemas: &compiled.schemas, depth: Cell::new(0) };
    match checker.apart(0, document, &Path::Root) {
        Ok(outcome) => Ok(outcome.failures),
        Err(error) => Err(*error),
    }
}

/// What came of checking, and how well it went: of several ways to fail, the best one is told.
#[derive(Default)]
struct Outcome {
    failures: Vec<Failure>,
    score: i64,
}

impl Outcome {
    fn is_valid(&self) -> bool {
        self.failures.is_empty()
    }

    fn keep_better(best: &mut Option<Outcome>, outcome: Outcome) {
        if best.as_ref().is_none_or(|best| outcome.score > best.score) {
            *best = Some(outcome);
        }
    }
}

struct Checker<'c> {
    context: &'c Context,
    schemas: &'c [Schema<'c>],
    depth: Cell<usize>,
}

impl<'c> Checker<'c> {
    /// Checks by a schema, with an outcome of its own.
    fn apart(&self, place: Place, value: &Value, path: &Path) -> Checked<Outcome> {
        let mut outcome = Outcome::default();
        self.schema(place, value, path, &mut outcome)?;
        Ok(outcome)
    }

    fn schema(&self, place: Place, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let schema = self.entered(place)?;
        if self.is_refused(schema, value, path, outcome)? {
            return Ok(());
        }
        self.depth.set(self.depth.get() + 1);
        self.logic(schema, value, path, outcome)?;
        match value {
            Value::Array(members) => self.list(&schema.lists, members, path, outcome)?,
            Value::Object(members) => self.object(&schema.objects, members, path, outcome)?,
            _ => {}
        }
        self.alone(schema, value, path, outcome)?;
        if let Value::Object(members) = value {
            self.properties(&schema.objects, members, path, outcome)?;
        }
        outcome.score += 1;
        self.depth.set(self.depth.get() - 1);
        Ok(())
    }

    fn entered(&self, place: Place) -> Checked<&'c Schema<'c>> {
        self.context.work(SCHEMA_WORK)?;
        if self.depth.get() == DEEPEST {
            return Err(Error::from(format!("more than {DEEPEST} schemas inside each other")).into());
        }
        self.followed(place)
    }

    /// Whether nothing else is looked at: what is `true` or `false`, and values of other types.
    fn is_refused(&self, schema: &Schema, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked<bool> {
        match schema.passes {
            Some(true) => return Ok(true),
            Some(false) => self.fail(outcome, path, &Problem::False)?,
            None if self.has_type(schema, value)? => return Ok(false),
            None => self.wrong_type(schema, value, path, outcome)?,
        }
        Ok(true)
    }

    /// What is said of a value and not of what is in it.
    fn alone(&self, schema: &Schema, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        if let Value::Number(number) = value {
            self.number(schema, number, path, outcome)?;
        }
        self.common(schema, value, path, outcome)?;
        match value {
            Value::String(text) => self.text(schema, text, path, outcome),
            _ => Ok(()),
        }
    }

    /// The schema that a schema stands for.
    fn followed(&self, place: Place) -> Checked<&'c Schema<'c>> {
        let (mut schema, mut steps) = (&self.schemas[place], 0);
        while let Some(next) = schema.reference {
            self.context.work(1)?;
            steps += 1;
            if steps > self.schemas.len() {
                return Err(Error::from("a reference leads to itself").into());
            }
            schema = &self.schemas[next];
        }
        Ok(schema)
    }

    fn fail(&self, outcome: &mut Outcome, path: &Path, problem: &Problem) -> Checked {
        outcome.failures.push(problem.at(self.context, path)?);
        outcome.score -= 2;
        Ok(())
    }

    fn merge(&self, outcome: &mut Outcome, other: Outcome) -> Checked {
        self.context.work(other.failures.len() as u64)?;
        outcome.failures.extend(other.failures);
        outcome.score += other.score;
        Ok(())
    }

    fn has_type(&self, schema: &Schema, value: &Value) -> Checked<bool> {
        let has = |name| schema.types.contains(&name);
        Ok(match value {
            _ if schema.types.is_empty() => true,
            Value::Number(number) => has("number") || has("integer") && self.is_whole(number)?,
            _ => has(value.kind()),
        })
    }

    fn is_whole(&self, number: &Number) -> Checked<bool> {
        Ok(Decimal::read(self.context, number)?.is_some_and(|number| number.is_whole()))
    }

    fn wrong_type(&self, schema: &Schema, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        let given = match value {
            Value::Number(number) if self.is_whole(number)? => "integer",
            _ => value.kind(),
        };
        self.fail(outcome, path, &Problem::Type { expected: &schema.types, given })
    }

    fn member<'v>(&self, members: &'v BTreeMap<Value, Value>, name: &str) -> Checked<Option<&'v Value>> {
        self.context.work(MEMBER_WORK + name.len() as u64)?;
        Ok(members.get(&Value::from(name)))
    }

    fn common(&self, schema: &Schema, value: &Value, path: &Path, outcome: &mut Outcome) -> Checked {
        if schema.constant.is_some() || schema.choice.is_some() {
            let text = compact_with_doubles(self.context, value)?;
            self.context.work(2 * text.len() as u64)?;
            if let Some(constant) = schema.constant.as_ref().filter(|constant| **constant != text) {
                self.fail(outcome, path, &Problem::Const(constant))?;
            }
            if let Some(choice) = schema.choice.as_ref().filter(|choice| !choice.members.contains(&text)) {
                self.fail(outcome, path, &Problem::Enum(&choice.list))?;
            }
        }
        if let (Some(format), Value::String(text)) = (schema.texts.format, value)
            && !formats::fits(self.context, format, text)?
        {
            self.fail(outcome, path, &Problem::Format(format))?;
        }
        outcome.score += 1;
        Ok(())
    }

    fn text(&self, schema: &Schema, text: &str, path: &Path, outcome: &mut Outcome) -> Checked {
        let texts = &schema.texts;
        if texts.shortest.is_some() || texts.longest.is_some() {
            self.context.work(text.len() as u64)?;
            let length = text.chars().count();
            if let Some(shortest) = texts.shortest.filter(|shortest| length < *shortest) {
                self.fail(outcome, path, &Problem::Short(shortest))?;
            }
            if let Some(longest) = texts.longest.filter(|longest| length > *longest) {
                self.fail(outcome, path, &Problem::Long(longest))?;
            }
        }
        if let Some(pattern) = &texts.pattern
            && !pattern.matches(self.context, text)?
        {
            self.fail(outcome, path, &Problem::Pattern(pattern.text))?;
        }
        outcome.score += 1;
        Ok(())
    }

    fn number(&self, schema: &Schema, number: &Number, path: &Path, outcome: &mut Outcome) -> Checked {
        let numbers = &schema.numbers;
        let limits = [numbers.multiple_of, numbers.maximum, numbers.below, numbers.minimum, numbers.above];
        let amount = || Decimal::read(self.context, number);
        for (kind, limit) in limits.into_iter().enumerate() {
            let Some(limit) = limit else { continue };
            let (Some(amount), Some(bound)) = (amount()?, Decimal::read(self.context, limit)?) else {
                return Err(Error::from("a number is too large or too small").into());
            };
            let fits = match kind {
                0 => amount.is_multiple_of(self.context, &bound)?,
                1 => amount.compare(&bound).is_le(),
                2 => amount.compare(&bound).is_lt(),
                3 => amount.compare(&bound).is_ge(),
                _ => amount.compare(&bound).is_gt(),
            };
            if fits {
                continue;
            }
            let bound = number::written(self.context, limit)?;
            let problem = match kind {
                0 => Problem::MultipleOf(&bound),
                1 => Problem::AtMost(&bound),
                2 => Problem::Below(&bound),
                3 => Problem::AtLeast(&bound),
                _ => Problem::Above(&bound),
            };
            self.fail(outcome, path, &problem)?;
        }
        outcome.score += 1;
        Ok(())
    }
}
