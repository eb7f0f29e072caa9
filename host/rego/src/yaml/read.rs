//! From a text to a value, event by event.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, Tag};

use super::scalar::{Scalar, resolved};
use crate::arguments::weight;
use crate::text::DEEPEST;
use crate::value::Value;
use crate::{Answer, Context, Error, json};

/// What an event costs, beside the bytes it is made of.
const EVENT: u64 = 64;
/// What a byte costs of a value that is copied because it has another name.
const COPY: u64 = 16;

/// The first document of a text, null where there is none; the others only have to be documents.
pub(super) fn document(context: &Context, text: &str) -> Answer {
    // The scanner looks at each character several times.
    context.work(8 * text.len() as u64)?;
    let mut builder = Builder { context, anchors: BTreeMap::new(), open: Vec::new(), root: None };
    let (mut documents, mut may_begin, mut begins) = (0, true, false);
    let mut lines = (1..).zip(text.split('\n'));
    for event in Parser::new_from_str(text) {
        context.work(EVENT)?;
        let (event, span) = event.map_err(|error| format!("yaml: {error}"))?;
        let wrong = |error: Error| match error {
            Error::Undefined(why) => Error::Undefined(format!("yaml: line {}: {why}", span.start.line())),
            Error::Exhausted => error,
        };
        // The root of a document comes right behind its start.
        let is_root = std::mem::replace(&mut begins, matches!(event, Event::DocumentStart(_)));
        if is_root && lines.find(|(line, _)| *line == span.start.line()).is_some_and(|(_, line)| has_tab(line)) {
            return Err(wrong("a tab cannot indent it".into()));
        }
        match event {
            // What goes on after a document without a sign is a mistake in it, such as a line that is indented less.
            Event::DocumentStart(explicit) if !explicit && !may_begin => {
                return Err(wrong("expected `---` before another document".into()));
            }
            Event::DocumentStart(_) => documents += 1,
            Event::DocumentEnd => may_begin = !span.is_empty(),
            event if documents == 1 => builder.take(event).map_err(wrong)?,
            _ => {}
        }
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

/// Whether a tab is in the indentation of a line: to Go's scanner no node begins there, to the one here it is a space.
fn has_tab(line: &str) -> bool {
    line.trim_start_matches(' ').starts_with('\t')
}

/// Lists and mappings that have begun, and what names stand for.
struct Builder<'a> {
    context: &'a Context,
    anchors: BTreeMap<usize, Value>,
    open: Vec<(usize, Open)>,
    root: Option<Value>,
}

enum Open {
    List(Vec<Value>),
    Mapping {
        members: BTreeMap<Value, Value>,
        /// What `<<` names, in order: members that are not there otherwise.
        merged: Vec<Value>,
        key: Option<Key>,
    },
}

enum Key {
    Name(String),
    Merge,
}

/// A node, before it is known whether it is a key.
enum Node {
    Scalar(Scalar),
    Value(Value),
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = resolved(&text, style, tag.as_deref().map(name).as_deref())?;
                if anchor > 0 {
                    self.anchors.insert(anchor, scalar.clone().value()?);
                }
                self.put(Node::Scalar(scalar))
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).ok_or("an alias stands for what contains it")?;
                self.context.work(COPY * weight(value))?;
                self.put(Node::Value(value.clone()))
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, Open::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(anchor, Open::Mapping { members: BTreeMap::new(), merged: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, open: Open) -> Result<(), Error> {
        if self.open.len() == DEEPEST {
            return Err(format!("nested deeper than {DEEPEST}").into());
        }
        self.open.push((anchor, open));
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        let Some((anchor, open)) = self.open.pop() else { return Ok(()) };
        let value = match open {
            Open::List(members) => Value::Array(members),
            Open::Mapping { mut members, merged, .. } => {
                for (name, value) in merged.into_iter().filter_map(json::into_object).flatten() {
                    members.entry(name).or_insert(value);
                }
                Value::Object(members)
            }
        };
        if anchor > 0 {
            self.context.work(COPY * weight(&value))?;
            self.anchors.insert(anchor, value.clone());
        }
        self.put(Node::Value(value))
    }

    fn put(&mut self, node: Node) -> Result<(), Error> {
        match self.open.last_mut() {
            None => self.root = Some(node.value()?),
            Some((_, Open::List(members))) => members.push(node.value()?),
            Some((_, Open::Mapping { members, merged, key })) => match key.take() {
                None => *key = Some(node.key()?),
                // Of a key that is said twice the last one counts.
                Some(Key::Name(name)) => _ = members.insert(name.into(), node.value()?),
                Some(Key::Merge) => match node.value()? {
                    one @ Value::Object(_) => merged.push(one),
                    Value::Array(all) if all.iter().all(|one| matches!(one, Value::Object(_))) => merged.extend(all),
                    _ => return Err("`<<` takes a mapping or a list of mappings".into()),
                },
            },
        }
        Ok(())
    }
}

impl Node {
    fn value(self) -> Result<Value, Error> {
        match self {
            Node::Scalar(scalar) => scalar.value(),
            Node::Value(value) => Ok(value),
        }
    }

    /// Keys become texts.
    fn key(self) -> Result<Key, Error> {
        let name = match self {
            Node::Scalar(Scalar::Merge) => return Ok(Key::Merge),
            Node::Scalar(scalar) => scalar.name(),
            Node::Value(Value::String(text)) => Some(text),
            Node::Value(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.to_string()),
            Node::Value(_) => None,
        };
        name.map(Key::Name).ok_or_else(|| "a key is a text, a number, `true` or `false`".into())
    }
}

/// A tag in its short form, such as `!!str`.
fn name(tag: &Tag) -> String {
    let whole = format!("{}{}", tag.handle, tag.suffix);
    whole.strip_prefix("tag:yaml.org,2002:").map(|name| format!("!!{name}")).unwrap_or(whole)
}
