//! Walks spanned TOML and collects every error with its place.
//!
//! A reading method answers `None` where it has already said what is wrong, so that the walk goes on with the
//! default and finds the next error. [`Table`] remembers which keys it was asked for: whatever else is there is
//! unknown, and the list of known keys cannot differ from what is read.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::Place;
use crate::report::SetError;
use crate::text::{quoted, suggestion};

/// The errors found so far in one text.
pub(super) struct Errors<'t> {
    file: &'t str,
    lines: Lines<'t>,
    found: Vec<SetError>,
    /// Lines that are no TOML: what the parser made of them is not worth an error of its own.
    broken_lines: BTreeSet<usize>,
}

impl<'t> Errors<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Errors { file, lines: Lines::new(text), found: Vec::new(), broken_lines: BTreeSet::new() }
    }

    /// Adds what the TOML parser found, in its own words.
    pub(super) fn add_syntax(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or_default();
        let place = self.place(span.start);
        match (error.message(), self.lines.text.get(span)) {
            ("duplicate key", Some(key)) => self.push(place, format!("duplicate key {}", quoted(key)), None),
            (message, _) => {
                self.broken_lines.insert(place.line);
                self.push(place, message.to_owned(), None);
            }
        }
    }

    /// Adds an error at a byte of the text.
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>, help: Option<String>) {
        let place = self.place(at);
        if !self.broken_lines.contains(&place.line) {
            self.push(place, message.into(), help);
        }
    }

    /// Adds a key that is not there; in a broken text it may be there after all.
    fn add_missing(&mut self, at: usize, key: &str, example: &str) {
        if self.broken_lines.is_empty() {
            self.add(at, format!("missing key `{key}`"), Some(format!("add `{example}`")));
        }
    }

    pub(super) fn add_unknown_key(&mut self, at: usize, key: &str, known: &[&str]) {
        self.add(at, format!("unknown key {}", quoted(key)), Some(suggestion(key, known)));
    }

    /// Line and column of a byte of the text.
    pub(super) fn place(&self, at: usize) -> Place {
        self.lines.place(at)
    }

    /// The value, if nothing was wrong; otherwise all errors in the order of the text.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Vec<SetError>> {
        self.found.sort_by_key(|error| (error.line, error.column));
        if self.found.is_empty() { Ok(value) } else { Err(self.found) }
    }

    fn push(&mut self, place: Place, message: String, help: Option<String>) {
        let Place { line, column } = place;
        self.found.push(SetError { file: self.file.to_owned(), line, column, message, help });
    }
}

/// A table, and the keys it was asked for.
pub(super) struct Table<'d> {
    at: usize,
    entries: &'d DeTable<'d>,
    asked: Vec<&'static str>,
}

impl<'d> Table<'d> {
    pub(super) fn new(at: usize, entries: &'d DeTable<'d>) -> Self {
        Table { at, entries, asked: Vec::new() }
    }

    /// The value of a key that may be absent.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.asked.push(key);
        let toml = self.entries.get(key)?;
        Some(Value { key, at: toml.span().start, toml: toml.get_ref() })
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub(super) fn require(&mut self, errors: &mut Errors<'_>, key: &'static str, example: &str) -> Option<Value<'d>> {
        let value = self.get(key);
        if value.is_none() {
            errors.add_missing(self.at, key, example);
        }
        value
    }

    /// Every entry in the order of the file, with the place of its key: for tables whose keys are names.
    pub(super) fn entries(&self) -> Vec<(usize, Value<'d>)> {
        let entries = self.entries.iter().map(|(key, toml)| {
            let value = Value { key: key.get_ref(), at: toml.span().start, toml: toml.get_ref() };
            (key.span().start, value)
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(key_at, _)| *key_at);
        entries
    }

    /// Every key that nobody asked for is an error.
    pub(super) fn finish(self, errors: &mut Errors<'_>) {
        self.finish_except(errors, |_, _, _| false);
    }

    /// As `finish`, for a table in which some unknown keys deserve an error of their own.
    pub(super) fn finish_except(self, errors: &mut Errors<'_>, explain: fn(&mut Errors<'_>, usize, &str) -> bool) {
        for (key_at, Value { key, .. }) in self.entries() {
            if !self.asked.contains(&key) && !explain(errors, key_at, key) {
                errors.add_unknown_key(key_at, key, &self.asked);
            }
        }
    }
}

/// A value, with the key it belongs to; the values of a list belong to the key of the list.
#[derive(Clone, Copy)]
pub(super) struct Value<'d> {
    pub(super) key: &'d str,
    pub(super) at: usize,
    pub(super) toml: &'d DeValue<'d>,
}

impl<'d> Value<'d> {
    /// Says that the value is of the wrong type.
    pub(super) fn expected<T>(self, errors: &mut Errors<'_>, what: &str, help: Option<String>) -> Option<T> {
        self.wrong(errors, format!("expected {what}, found {}", type_name(self.toml)), help)
    }

    /// Says what is wrong with the value.
    pub(super) fn wrong<T>(self, errors: &mut Errors<'_>, cause: impl AsRef<str>, help: Option<String>) -> Option<T> {
        errors.add(self.at, format!("{}: {}", quoted(self.key), cause.as_ref()), help);
        None
    }

    /// A text that says something.
    pub(super) fn text(self, errors: &mut Errors<'_>) -> Option<&'d str> {
        match self.toml {
            DeValue::String(text) if text.trim().is_empty() => self.wrong(errors, "the text is empty", None),
            DeValue::String(text) => Some(text),
            _ => self.expected(errors, "text", None),
        }
    }

    pub(super) fn owned_text(self, errors: &mut Errors<'_>) -> Option<String> {
        self.text(errors).map(str::to_owned)
    }

    /// One of a few words.
    pub(super) fn word<T: Word>(self, errors: &mut Errors<'_>) -> Option<T> {
        let text = self.text(errors)?;
        if let Some((_, word)) = T::WORDS.iter().find(|(name, _)| *name == text) {
            return Some(*word);
        }
        let names: Vec<&str> = T::WORDS.iter().map(|(name, _)| *name).collect();
        self.wrong(errors, format!("unknown value {}", quoted(text)), Some(suggestion(text, &names)))
    }

    /// An integer within a range; `range_text` says the range in an error.
    pub(super) fn integer(
        self,
        errors: &mut Errors<'_>,
        range: RangeInclusive<u64>,
        range_text: &str,
    ) -> Option<u64> {
        let DeValue::Integer(integer) = self.toml else {
            return self.expected(errors, "an integer", None);
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) if range.contains(&integer) => Some(integer),
            _ => self.out_of_range(errors, &integer.to_string(), range_text),
        }
    }

    pub(super) fn out_of_range<T>(self, errors: &mut Errors<'_>, found: &str, range_text: &str) -> Option<T> {
        self.wrong(errors, format!("{} is out of range: it must be {range_text}", quoted(found)), None)
    }

    pub(super) fn list(self, errors: &mut Errors<'_>) -> Option<Vec<Value<'d>>> {
        match self.toml {
            DeValue::Array(values) => {
                let value =
                    |toml: &'d toml::Spanned<_>| Value { at: toml.span().start, toml: toml.get_ref(), ..self };
                Some(values.iter().map(value).collect())
            }
            DeValue::String(_) => self.expected(errors, "an array", Some("put it in brackets: `[\"…\"]`".to_owned())),
            _ => self.expected(errors, "an array", None),
        }
    }

    /// A list of texts that say something.
    pub(super) fn texts(self, errors: &mut Errors<'_>) -> Option<Vec<String>> {
        let values = self.list(errors)?;
        Some(values.into_iter().filter_map(|value| value.owned_text(errors)).collect())
    }

    pub(super) fn table(self, errors: &mut Errors<'_>) -> Option<Table<'d>> {
        match self.toml {
            DeValue::Table(entries) => Some(Table::new(self.at, entries)),
            _ => self.expected(errors, "a table", None),
        }
    }
}

/// A setting that is one of a few words.
pub(super) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// Puts what was read in the place of a default.
pub(super) fn assign<T>(setting: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *setting = value;
    }
}

/// What a value is, in words of TOML.
fn type_name(toml: &DeValue<'_>) -> &'static str {
    match toml {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Finds line and column of any byte in little time, however long the lines are.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// How many characters stand before each block of the text.
    characters: Vec<usize>,
}

impl<'t> Lines<'t> {
    const BLOCK_BYTES: usize = 128;

    fn new(text: &'t str) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let mut characters = vec![0];
        let mut before = 0;
        for block in text.as_bytes().chunks(Self::BLOCK_BYTES) {
            before += characters_in(block);
            characters.push(before);
        }
        Lines { text, starts, characters }
    }

    fn place(&self, at: usize) -> Place {
        let at = at.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let column = self.characters_before(at) - self.characters_before(self.starts[line - 1]) + 1;
        Place { line, column }
    }

    fn characters_before(&self, at: usize) -> usize {
        let block = at / Self::BLOCK_BYTES;
        self.characters[block] + characters_in(&self.text.as_bytes()[block * Self::BLOCK_BYTES..at])
    }
}

/// How many characters begin in some bytes of UTF-8.
fn characters_in(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let lines = Lines::new("aä=1\r\n\nb=ü\n");
        let cases = [(0, 1, 1), (3, 1, 3), (6, 1, 6), (7, 2, 1), (8, 3, 1), (12, 3, 4), (13, 4, 1), (99, 4, 1)];
        for (at, line, column) in cases {
            assert_eq!(lines.place(at), Place { line, column }, "{at}");
        }
    }

    #[test]
    fn places_agree_with_counting_by_hand() {
        let text = "ä€x\n".repeat(10) + &"€a".repeat(1500) + "\nend";
        let lines = Lines::new(&text);
        for (at, _) in text.char_indices() {
            let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let line = text[..at].matches('\n').count() + 1;
            assert_eq!(lines.place(at), Place { line, column: text[line_start..at].chars().count() + 1 });
        }
    }
}
