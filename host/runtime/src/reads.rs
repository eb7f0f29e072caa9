//! What a policy is given: only the parts of a request that its manifest reads, cut from the caller's own bytes.
//!
//! "This policy never saw the protected attribute" holds because the host never handed it over. Free-form parts are
//! copied as the caller wrote them, so host, guest and auditor read the same digits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::{Kind, Value, segments, write_text};
use crate::request::FIELDS;
use crate::shape::Shape;
use crate::system::{Case, RegisteredContext};

/// How many of [`FIELDS`], the first ones, the host settles.
const SETTLED: usize = 5;
/// Deepest pointer in `reads`.
const DEEPEST: usize = 16;

/// The parts of a request a policy reads; by default all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pointers: Vec<String>,
    tree: Tree,
    /// The shape it is given them in; none: that of a request.
    shape: Option<Shape>,
}

/// Selected members; an empty tree selects the whole value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tree(BTreeMap<String, Tree>);

impl Tree {
    fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, segments: &[String], fresh: bool) {
        let Some((first, rest)) = segments.split_first() else {
            self.0.clear();
            return;
        };
        if self.is_whole() && !fresh {
            return;
        }
        let fresh = !self.0.contains_key(first);
        self.0.entry(first.clone()).or_default().insert(rest, fresh);
    }
}

impl Reads {
    /// The parts at `pointers`, JSON pointers into the request through objects only.
    ///
    /// An array is read whole or not at all: cut out of it, an item would change its place, and with it what findings
    /// and edits point to.
    pub(crate) fn parse(pointers: &[String]) -> Result<Reads, String> {
        let mut tree = Tree::default();
        for (index, pointer) in pointers.iter().enumerate() {
            let segments = segments(pointer).ok_or_else(|| format!("`{pointer}` is not a JSON pointer"))?;
            match segments.first().map(String::as_str) {
                None => return Ok(Reads { pointers: pointers.to_vec(), ..Reads::default() }),
                Some(first) if !FIELDS.contains(&first) => {
                    return Err(format!("`{pointer}` points to no part of a request"));
                }
                Some("content" | "measures") if segments.len() > 1 => {
                    return Err(format!("`{pointer}` points into an array, which is read whole or not at all"));
                }
                Some(_) if segments.len() > DEEPEST => {
                    return Err(format!("`{pointer}` is deeper than {DEEPEST} levels"));
                }
                Some(_) => tree.insert(&segments, index == 0),
            }
        }
        if tree.is_whole() {
            return Err("`reads` is empty: leave it out to read the whole request".to_owned());
        }
        Ok(Reads { pointers: pointers.to_vec(), tree, shape: None })
    }

    /// The same parts, in another shape.
    pub(crate) fn shaped(self, shape: Option<Shape>) -> Reads {
        Reads { shape, ..self }
    }

    /// The shape they are given in; none: that of a request.
    pub(crate) fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// Whether nothing is held back.
    pub(crate) fn is_everything(&self) -> bool {
        self.tree.is_whole()
    }

    /// Whether a policy is given the request as it is.
    pub(crate) fn is_the_request(&self) -> bool {
        self.is_everything() && self.shape.is_none()
    }

    /// The pointers as the manifest wrote them; none stands for the whole request.
    pub(crate) fn pointers(&self) -> &[String] {
        &self.pointers
    }

    /// Whether a policy with these reads may edit the text at a pointer: it has to have been given it, and what the host
    /// settles is nobody's to edit.
    pub(crate) fn may_edit(&self, pointer: &str) -> bool {
        let Some(segments) = segments(pointer) else { return false };
        if segments.first().is_none_or(|first| FIELDS[..SETTLED].contains(&first.as_str())) {
            return false;
        }
        let mut tree = &self.tree;
        for segment in &segments {
            match tree.0.get(segment) {
                _ if tree.is_whole() => return true,
                Some(inner) => tree = inner,
                None => return false,
            }
        }
        tree.is_whole()
    }

    fn wanted(&self, field: &str) -> Option<&Tree> {
        if self.is_everything() { Some(&self.tree) } else { self.tree.0.get(field) }
    }

    /// Whether anything of a field is given to a policy.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.wanted(field).is_some()
    }

    /// What a policy is given of a field that callers fill: nothing where it does not read it.
    pub(crate) fn seen<'a>(&'a self, field: &str, value: Option<Value<'a>>) -> Option<Seen<'a>> {
        Seen::of(value?, self.wanted(field)?)
    }

    /// The context as a policy is given it, of which the caller has said `given`.
    pub(crate) fn context<'a>(&'a self, case: &Case<'a>, given: Option<Value<'a>>) -> Option<Cow<'a, str>> {
        let (tree, given) = (self.wanted("context")?, self.seen("context", given));
        let Some(system) = case.system else { return given.map(Seen::json) };
        let mut out = Writer::with_capacity(160);
        out.context(tree, given, system);
        Some(Cow::Owned(out.text()))
    }

    /// The JSON a policy with these reads is given.
    pub(crate) fn cut(&self, case: &Case<'_>) -> Vec<u8> {
        let request = case.request;
        let mut out = Writer::with_capacity(request.root().raw().len() + 160);
        let wanted = |field: &str| self.wanted(field);
        out.open(b'{');
        let (id, checkpoint, tenant) = (request.id(), request.checkpoint(), request.tenant());
        let filled: [_; SETTLED] =
            [Some(id), Some(checkpoint), Some(tenant), request.system(), Some(request.time_text())];
        for (field, text) in FIELDS.iter().zip(filled) {
            if let (Some(_), Some(text)) = (wanted(field), text) {
                out.plain_key(field);
                write_text(text, &mut out.bytes);
            }
        }
        for (field, value) in FIELDS.into_iter().zip(request.fields()).skip(SETTLED) {
            let Some(tree) = wanted(field) else { continue };
            let given = value.and_then(|value| Seen::of(value, tree));
            match case.system.filter(|_| field == "context") {
                Some(system) => {
                    out.plain_key(field);
                    out.context(tree, given, system);
                }
                None => {
                    if let Some(seen) = given {
                        out.plain_key(field);
                        out.value(seen);
                    }
                }
            }
        }
        out.close(b'}');
        match &self.shape {
            None => out.bytes,
            Some(shape) => shape.of(&out.bytes),
        }
    }
}

/// A value in a request, as far as a policy reads it.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    value: Value<'a>,
    tree: &'a Tree,
}

impl<'a> Seen<'a> {
    /// None where only something inside of the value is read, and nothing is inside of it.
    fn of(value: Value<'a>, tree: &'a Tree) -> Option<Seen<'a>> {
        (tree.is_whole() || value.kind() == Kind::Object).then_some(Seen { value, tree })
    }

    /// The members of an object that are read.
    pub(crate) fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Seen<'a>)> {
        let Seen { value, tree } = self;
        value.members().filter_map(move |(key, value)| {
            let tree = if tree.is_whole() { tree } else { tree.0.get(&*key)? };
            Some((key, Seen::of(value, tree)?))
        })
    }

    /// The value itself, where it is no object: such a one is read whole.
    pub(crate) fn value(self) -> Value<'a> {
        self.value
    }

    /// The JSON of it.
    pub(crate) fn json(self) -> Cow<'a, str> {
        if self.tree.is_whole() {
            return Cow::Borrowed(self.value.raw());
        }
        let mut out = Writer::with_capacity(self.value.raw().len());
        out.value(self);
        Cow::Owned(out.text())
    }
}

/// JSON under construction.
struct Writer {
    bytes: Vec<u8>,
    /// Whether the innermost container holds nothing yet.
    first: bool,
}

impl Writer {
    fn with_capacity(capacity: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(capacity), first: true }
    }

    fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.first = true;
    }

    fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
        self.first = false;
    }

    fn separate(&mut self) {
        if !self.first {
            self.bytes.push(b',');
        }
        self.first = false;
    }

    fn key(&mut self, key: &str) {
        self.separate();
        write_text(key, &mut self.bytes);
        self.bytes.push(b':');
    }

    /// A key of ours: nothing in it needs an escape.
    fn plain_key(&mut self, key: &str) {
        self.separate();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    fn member(&mut self, key: &str, seen: Seen<'_>) {
        self.key(key);
        self.value(seen);
    }

    fn value(&mut self, seen: Seen<'_>) {
        if seen.tree.is_whole() {
            self.bytes.extend_from_slice(seen.value.raw().as_bytes());
            return;
        }
        self.open(b'{');
        seen.members().for_each(|(key, seen)| self.member(&key, seen));
        self.close(b'}');
    }

    /// The registered context, and the caller's keys that do not stand in it.
    fn context(&mut self, tree: &Tree, given: Option<Seen<'_>>, system: &RegisteredContext) {
        self.open(b'{');
        for (key, json) in system.members() {
            if tree.is_whole() || tree.0.contains_key(key) {
                self.key(key);
                self.bytes.extend_from_slice(json.as_bytes());
            }
        }
        let own = given.into_iter().flat_map(Seen::members).filter(|(key, _)| !system.registers(key));
        own.for_each(|(key, seen)| self.member(&key, seen));
        self.close(b'}');
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes).expect("it is made of texts")
    }
}

impl serde::Serialize for Reads {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.pointers.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;
    use crate::set::System;

    const REQUEST: &str = r#"{"checkpoint":"a.b","id":"r","time":"2026-01-01T00:00:00Z","system":"s",
        "context":{"region":"eu","role":"boss","nested":{"keep":1.0,"drop":2}},"payload":{"n":1.50},"content":[{"text":"x"}]}"#;

    fn cut(pointers: &[&str], registered: bool) -> String {
        let request = Request::parse(REQUEST.as_bytes()).unwrap();
        let system = System { deployed_in: vec!["DE".into()], role: Some("deployer".into()), ..System::default() };
        let context = RegisteredContext::new(&system);
        let case = Case { request: &request, system: registered.then_some(&context) };
        let pointers: Vec<String> = pointers.iter().map(|p| (*p).to_owned()).collect();
        let reads = if pointers.is_empty() { Reads::default() } else { Reads::parse(&pointers).unwrap() };
        String::from_utf8(reads.cut(&case)).unwrap()
    }

    #[test]
    fn everything_is_the_callers_text_with_what_the_host_filled_in() {
        let expected = r#"{"id":"r","checkpoint":"a.b","tenant":"default","system":"s","time":"2026-01-01T00:00:00Z","context":{"region":"eu","role":"boss","nested":{"keep":1.0,"drop":2}},"content":[{"text":"x"}],"payload":{"n":1.50}}"#;
        assert_eq!(cut(&[], false), expected);
        assert_eq!(cut(&[""], false), expected);
    }

    #[test]
    fn only_what_is_read_is_given() {
        let cases = [
            (&["/content"][..], r#"{"content":[{"text":"x"}]}"#),
            (&["/checkpoint", "/payload/n"], r#"{"checkpoint":"a.b","payload":{"n":1.50}}"#),
            (&["/context/nested/keep", "/context/region"], r#"{"context":{"region":"eu","nested":{"keep":1.0}}}"#),
            (&["/context/nested/keep", "/context/nested"], r#"{"context":{"nested":{"keep":1.0,"drop":2}}}"#),
            (&["/context/nested", "/context/nested/keep"], r#"{"context":{"nested":{"keep":1.0,"drop":2}}}"#),
            (&["/measures", "/payload/missing", "/context/region/deeper"], r#"{"context":{},"payload":{}}"#),
        ];
        for (pointers, expected) in cases {
            assert_eq!(cut(pointers, false), expected, "{pointers:?}");
        }
    }

    #[test]
    fn registered_context_cannot_be_replaced() {
        let expected = r#"{"context":{"deployed_in":["DE"],"role":"deployer","region":"eu"}}"#;
        assert_eq!(cut(&["/context/deployed_in", "/context/role", "/context/region"], true), expected);
        assert!(
            cut(&[], true).contains(r#""context":{"deployed_in":["DE"],"role":"deployer","region":"eu","nested":"#)
        );
    }

    #[test]
    fn only_what_is_read_may_be_edited() {
        let reads = Reads::parse(&["/content".to_owned(), "/payload/to".to_owned(), "/id".to_owned()]).unwrap();
        for at in ["/content/0/text", "/payload/to", "/payload/to/name"] {
            assert!(reads.may_edit(at) && Reads::default().may_edit(at), "{at}");
        }
        for at in ["/payload", "/payload/from", "/resource/id", "/id", "", "content"] {
            assert!(!reads.may_edit(at), "{at}");
        }
        assert!(!Reads::default().may_edit("/checkpoint") && Reads::default().may_edit("/payload/from"));
    }

    #[test]
    fn pointers_that_mean_nothing_are_refused() {
        for (pointer, message) in [
            ("content", "not a JSON pointer"),
            ("/contents", "no part of a request"),
            ("/content/0", "into an array"),
            ("/payload/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", "deeper than 16"),
        ] {
            let error = Reads::parse(&[pointer.to_owned()]).unwrap_err();
            assert!(error.contains(message), "{pointer}: {error}");
        }
        assert!(Reads::parse(&[]).unwrap_err().contains("empty"));
    }
}
