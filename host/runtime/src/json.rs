//! Strict JSON, read once into a flat list of nodes that point into the caller's own text.
//!
//! Requests and verdicts are judged by several programs: the host, guests in any language, auditors. Two readers that
//! disagree about one text (a key given twice, a number rounded, a lone surrogate) are a way around a policy. So this
//! reader refuses what is ambiguous, keeps every number as written, and knows where each value stands, which is what
//! `reads` (cutting a request down) and edits (splicing into it) need. It does not recurse: depth costs heap, never stack.

mod scan;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use crate::text::{quoted, suggestion};

/// A refused text: where, as a JSON pointer, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub(crate) pointer: String,
    pub(crate) message: String,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "text",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// One value or key, in the order of the text; a container is followed by what it holds.
#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    /// Whether its text has escapes.
    escaped: bool,
    start: u32,
    end: u32,
    /// Index of the node after this one and all it holds.
    next: u32,
}

/// A checked JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    text: Box<str>,
    nodes: Vec<Node>,
}

impl Document {
    /// Reads `bytes`; containers nested deeper than `max_depth` are refused.
    pub(crate) fn parse(bytes: &[u8], max_depth: usize) -> Result<Document, JsonError> {
        let at_root = |message: String| JsonError { pointer: String::new(), message };
        let text =
            std::str::from_utf8(bytes).map_err(|e| at_root(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
        if u32::try_from(text.len()).is_err() {
            return Err(at_root("longer than 4 GiB".to_owned()));
        }
        let nodes = scan::scan(text, max_depth)?;
        Ok(Document { text: text.into(), nodes })
    }

    pub(crate) fn root(&self) -> Value<'_> {
        Value { document: self, index: 0 }
    }

    /// The value at a place of this document.
    pub(crate) fn at(&self, place: Place) -> Value<'_> {
        Value { document: self, index: place.0 }
    }
}

/// Where a value stands in its document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u32);

/// A value inside a [`Document`].
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    document: &'a Document,
    index: u32,
}

impl<'a> Value<'a> {
    fn node(self) -> Node {
        self.document.nodes[self.index as usize]
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    pub(crate) fn place(self) -> Place {
        Place(self.index)
    }

    /// The value as the caller wrote it.
    pub(crate) fn raw(self) -> &'a str {
        let (start, end) = self.span();
        &self.document.text[start..end]
    }

    /// Byte offsets of the value in the whole text.
    pub(crate) fn span(self) -> (usize, usize) {
        let node = self.node();
        (node.start as usize, node.end as usize)
    }

    /// The text behind a key or text.
    fn unescaped(self) -> Cow<'a, str> {
        text_of(self.raw(), self.node().escaped)
    }

    /// The members of an object, in order; nothing for other kinds.
    pub(crate) fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        let end = if self.kind() == Kind::Object { self.node().next } else { self.index + 1 };
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            (index < end).then(|| {
                let key = Value { document: self.document, index };
                let value = Value { document: self.document, index: index + 1 };
                index = value.node().next;
                (key.unescaped(), value)
            })
        })
    }

    /// The items of an array, in order; nothing for other kinds.
    pub(crate) fn items(self) -> impl Iterator<Item = Value<'a>> {
        let end = if self.kind() == Kind::Array { self.node().next } else { self.index + 1 };
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            (index < end).then(|| {
                let item = Value { document: self.document, index };
                index = item.node().next;
                item
            })
        })
    }

    pub(crate) fn get(self, key: &str) -> Option<Value<'a>> {
        self.members().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// Follows a JSON pointer (RFC 6901), member by member: for few of them. [`Places`] follows many.
    pub(crate) fn at(self, pointer: &str) -> Option<Value<'a>> {
        let mut value = self;
        for segment in segments(pointer)? {
            value = match value.kind() {
                Kind::Array => value.items().nth(array_index(&segment)?)?,
                Kind::Object => value.get(&segment)?,
                _ => return None,
            };
        }
        Some(value)
    }

    pub(crate) fn as_text(self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::Text).then(|| self.unescaped())
    }

    pub(crate) fn text(self, at: &Path<'_>) -> Result<Cow<'a, str>, JsonError> {
        self.expect(Kind::Text, at).map(Value::unescaped)
    }

    pub(crate) fn number<T: std::str::FromStr>(self, at: &Path<'_>, what: &str) -> Result<T, JsonError> {
        let number = self.expect(Kind::Number, at)?;
        number.raw().parse().map_err(|_| at.error(format!("expected {what}, found {}", quoted(number.raw()))))
    }

    pub(crate) fn expect(self, kind: Kind, at: &Path<'_>) -> Result<Value<'a>, JsonError> {
        if self.kind() == kind {
            return Ok(self);
        }
        Err(at.error(format!("expected {}, found {}", kind.name(), self.kind().name())))
    }

    /// The members named in `known`, in that order; any other key is an error that suggests the nearest known one.
    pub(crate) fn fields<const N: usize>(
        self,
        at: &Path<'_>,
        known: [&str; N],
    ) -> Result<[Option<Value<'a>>; N], JsonError> {
        let mut found = [None; N];
        for (key, value) in self.expect(Kind::Object, at)?.members() {
            let Some(place) = known.iter().position(|name| *name == key) else {
                let message = format!("unknown key {}, {}", quoted(&key), suggestion(&key, &known));
                return Err(at.key(&key).error(message));
            };
            found[place] = Some(value);
        }
        Ok(found)
    }
}

/// Follows many pointers into one document. Each container is listed and each text unescaped once, so that thousands of
/// pointers into a large request cost what reading it costs.
pub(crate) struct Places<'a> {
    root: Value<'a>,
    members: HashMap<u32, HashMap<Cow<'a, str>, Value<'a>>>,
    items: HashMap<u32, Vec<Value<'a>>>,
    texts: HashMap<u32, Cow<'a, str>>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(root: Value<'a>) -> Places<'a> {
        Places { root, members: HashMap::new(), items: HashMap::new(), texts: HashMap::new() }
    }

    /// The value at a pointer, as [`Value::at`] finds it.
    pub(crate) fn at(&mut self, pointer: &str) -> Option<Value<'a>> {
        let mut value = self.root;
        for segment in segments(pointer)? {
            value = match value.kind() {
                Kind::Array => {
                    let items = self.items.entry(value.index).or_insert_with(|| value.items().collect());
                    *items.get(array_index(&segment)?)?
                }
                Kind::Object => {
                    let members = self.members.entry(value.index).or_insert_with(|| value.members().collect());
                    *members.get(segment.as_str())?
                }
                _ => return None,
            };
        }
        Some(value)
    }

    /// The text at a pointer, or the digits of the number; none where something else or nothing stands there.
    pub(crate) fn text(&mut self, pointer: &str) -> Option<&str> {
        let value = self.at(pointer)?;
        match value.kind() {
            Kind::Number => Some(value.raw()),
            Kind::Text => Some(self.texts.entry(value.index).or_insert_with(|| value.unescaped())),
            _ => None,
        }
    }
}

/// A place in a document while it is walked; costs nothing until an error needs it written out.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    pub(crate) fn key(&'p self, key: &'p str) -> Path<'p> {
        Path::Key(self, key)
    }

    pub(crate) fn index(&'p self, index: usize) -> Path<'p> {
        Path::Index(self, index)
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> JsonError {
        JsonError { pointer: self.to_string(), message: message.into() }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(parent, key) => write!(f, "{parent}/{}", escape_segment(key)),
            Path::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A member that has to be there.
pub(crate) fn required<'a>(value: Option<Value<'a>>, at: &Path<'_>, key: &str) -> Result<Value<'a>, JsonError> {
    value.ok_or_else(|| at.error(format!("key `{key}` is missing")))
}

fn escape_segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The unescaped segments of a JSON pointer, or none where it is malformed.
pub(crate) fn segments(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let unescaped = |segment: &str| {
        if !segment.contains('~') {
            return Some(segment.to_owned());
        }
        let rest = segment.replace("~0", "").replace("~1", "");
        (!rest.contains('~')).then(|| segment.replace("~1", "/").replace("~0", "~"))
    };
    pointer.strip_prefix('/')?.split('/').map(unescaped).collect()
}

fn array_index(segment: &str) -> Option<usize> {
    let canonical = segment == "0" || !segment.starts_with('0');
    (canonical && segment.bytes().all(|b| b.is_ascii_digit())).then(|| segment.parse().ok())?
}

/// The text behind a checked JSON string, quotes included in `raw`, which has escapes or not.
fn text_of(raw: &str, escaped: bool) -> Cow<'_, str> {
    match escaped {
        true => Cow::Owned(serde_json::from_str(raw).expect("the scan has checked every escape of this string")),
        false => Cow::Borrowed(&raw[1..raw.len() - 1]),
    }
}

/// `text` as a JSON string, quotes included, appended to `out`.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text always serialises into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> (String, String) {
        let error = Document::parse(text.as_bytes(), 64).expect_err(text);
        (error.pointer, error.message)
    }

    #[test]
    fn what_is_ambiguous_or_malformed_is_refused_with_its_place() {
        let cases = [
            ("", "", "ends where a value should stand"),
            ("{", "", "ends inside an object"),
            ("[1,", "/1", "ends where a value should stand"),
            (r#"{"a":1,"a":2}"#, "/a", "duplicate key"),
            (r#"{"a":{"b":1,"\u0062":2}}"#, "/a/b", "duplicate key"),
            (r#"{"a/b":[1,{"~":x}]}"#, "/a~1b/1/~0", "expected a value"),
            ("[1 2]", "", "expected `,` or `]`"),
            (r#"{"a" 1}"#, "/a", "expected `:`"),
            ("{1:2}", "", "expected a key"),
            ("[01]", "/0", "malformed number"),
            ("[1.]", "/0", "malformed number"),
            ("[-]", "/0", "malformed number"),
            ("[1e+]", "/0", "malformed number"),
            ("[.5]", "/0", "expected a value"),
            ("[NaN]", "/0", "expected a value"),
            ("[1],", "", "text after the value"),
            ("\"\u{1}\"", "", "control character"),
            (r#""\x""#, "", "unknown escape"),
            (r#""\ud800""#, "", "lone surrogate"),
            (r#""\ud800\u0041""#, "", "lone surrogate"),
            (r#""\udc00""#, "", "lone surrogate"),
            (r#""abc"#, "", "text that does not end"),
            (r#"{"a":tru}"#, "/a", "expected a value"),
        ];
        for (text, pointer, message) in cases {
            let (at, why) = refused(text);
            assert_eq!(at, pointer, "{text}: {why}");
            assert!(why.contains(message), "{text}: {why}");
        }
    }

    #[test]
    fn depth_is_an_error_and_never_a_stack_overflow() {
        let deep = "[".repeat(100_000);
        assert!(refused(&deep).1.contains("deeper than 64"));
        let objects = "{\"a\":".repeat(100_000);
        assert!(refused(&objects).1.contains("deeper than 64"));
        let allowed = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        assert!(Document::parse(allowed.as_bytes(), 64).is_ok());
    }

    #[test]
    fn invalid_utf_8_names_its_byte() {
        let error = Document::parse(b"\"ab\xff\"", 64).expect_err("not UTF-8");
        assert_eq!(error.message, "not UTF-8 at byte 3");
    }

    #[test]
    fn values_keep_the_text_of_the_caller() {
        let text = r#" {"n": 1.2300e+00, "big":123456789012345678901234567890, "list" : [ {"x": "é\n"} , null ]} "#;
        let document = Document::parse(text.as_bytes(), 64).unwrap();
        let root = document.root();
        for pointer in ["", "/n", "/list", "/list/0/x", "/list/1", "/list/2", "/list/00", "/n/0", "n", "/~2"] {
            assert_eq!(Places::of(root).at(pointer).map(Value::span), root.at(pointer).map(Value::span), "{pointer}");
        }
        assert_eq!(Places::of(root).text("/list/0/x"), Some("é\n"));
        assert_eq!(Places::of(root).text("/n"), Some("1.2300e+00"));
        assert_eq!(Places::of(root).text("/list"), None);
        assert_eq!(root.get("n").unwrap().raw(), "1.2300e+00");
        assert_eq!(root.at("/big").unwrap().raw(), "123456789012345678901234567890");
        assert_eq!(root.at("/list").unwrap().raw(), r#"[ {"x": "é\n"} , null ]"#);
        assert_eq!(root.at("/list/0/x").unwrap().as_text().unwrap(), "é\n");
        assert_eq!(root.at("/list/1").unwrap().kind(), Kind::Null);
        assert!(root.at("/list/2").is_none());
        assert!(root.at("/list/00").is_none());
        assert!(root.at("n").is_none());
        assert!(root.at("/~2").is_none());
    }

    #[test]
    fn unknown_keys_suggest_the_nearest() {
        let document = Document::parse(br#"{"effct":1}"#, 64).unwrap();
        let error = document.root().fields(&Path::Root, ["effect", "findings"]).err().unwrap();
        assert_eq!(
            (error.pointer.as_str(), error.message.as_str()),
            ("/effct", "unknown key `effct`, did you mean `effect`?")
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn rebuilt(value: Value<'_>) -> serde_json::Value {
        match value.kind() {
            Kind::Array => value.items().map(rebuilt).collect(),
            Kind::Object => {
                serde_json::Value::Object(value.members().map(|(k, v)| (k.into_owned(), rebuilt(v))).collect())
            }
            _ => serde_json::from_str(value.raw()).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_writes(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let document = Document::parse(text.as_bytes(), 64).unwrap();
                prop_assert_eq!(&rebuilt(document.root()), &serde_json::from_str::<serde_json::Value>(&text).unwrap());
            }
        }

        #[test]
        fn accepts_nothing_that_serde_json_refuses(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = value.to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let Ok(document) = Document::parse(&bytes, 64) else { return Ok(()) };
            match serde_json::from_slice::<serde_json::Value>(&bytes) {
                Ok(expected) => prop_assert_eq!(rebuilt(document.root()), expected),
                // We keep the digits of numbers that no float can hold.
                Err(error) => prop_assert!(error.to_string().contains("number out of range"), "{}", error),
            }
        }
    }
}
