//! Arguments that are written as JSON text: read strictly, and found again in the text.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON text that names no key twice: of two values with one name, a policy might judge the one and a tool use the
/// other.
///
/// # Errors
/// What is wrong with it, without the text itself.
pub fn strict(text: &str) -> Result<Value, String> {
    serde_json::from_str::<Strict>(text).map(|Strict(value)| value).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => format!("a key is there twice (line {line}, column {column})"),
            _ => format!("it is no JSON (line {line}, column {column})"),
        }
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Strict, E> {
                Ok(Strict(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
                Ok(Strict(Number::from_f64(value).map_or(Value::Null, Value::Number)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
                Ok(Strict(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
                let mut array = Vec::new();
                while let Some(Strict(value)) = items.next_element()? {
                    array.push(value);
                }
                Ok(Strict(Value::Array(array)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
                let mut object = Map::new();
                while let Some((key, Strict(value))) = members.next_entry::<String, Strict>()? {
                    if object.insert(key, value).is_some() {
                        return Err(A::Error::custom("a key is there twice"));
                    }
                }
                Ok(Strict(Value::Object(object)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The bytes of the value at a JSON pointer in valid JSON text; none where there is nothing.
pub fn span(text: &str, pointer: &str) -> Option<Range<usize>> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
    scan.blank();
    for wanted in pointer.split('/').skip(1) {
        let wanted = wanted.replace("~1", "/").replace("~0", "~");
        match scan.bytes.get(scan.at)? {
            b'{' => scan.enter(&|_, key| key == wanted)?,
            b'[' => {
                let index: usize = wanted.parse().ok()?;
                scan.enter(&|place, _| place == index)?;
            }
            _ => return None,
        }
    }
    let start = scan.at;
    scan.value()?;
    Some(start..scan.at)
}

/// A place in JSON text that has been read before, so that what it holds is known to be valid.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn blank(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Goes to the first member or item that is wanted.
    fn enter(&mut self, wanted: &dyn Fn(usize, &str) -> bool) -> Option<()> {
        let is_object = self.bytes.get(self.at) == Some(&b'{');
        self.at += 1;
        for place in 0.. {
            self.blank();
            if matches!(self.bytes.get(self.at)?, b'}' | b']') {
                return None;
            }
            let mut key = String::new();
            if is_object {
                let start = self.at;
                self.value()?;
                key = serde_json::from_slice(&self.bytes[start..self.at]).ok()?;
                self.blank();
                // The colon.
                self.at += 1;
                self.blank();
            }
            if wanted(place, &key) {
                return Some(());
            }
            self.value()?;
            self.blank();
            if self.bytes.get(self.at)? == &b',' {
                self.at += 1;
            }
        }
        None
    }

    /// Goes behind a value.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => self.text()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth == 0 => {
                    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}".contains(byte);
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(ends).unwrap_or(rest.len());
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn text(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| pointers(item, format!("{at}/{i}"), found))
            }
            Value::Object(members) => members
                .iter()
                .for_each(|(key, value)| pointers(value, format!("{at}/{}", crate::segment(key)), found)),
            _ => {}
        }
        found.push(at);
    }

    proptest! {
        #[test]
        fn every_value_is_found_where_it_stands(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(&strict(&text).unwrap(), &serde_json::from_str::<Value>(&text).unwrap());
            let mut all = Vec::new();
            pointers(&value, String::new(), &mut all);
            for pointer in all {
                let span = span(&text, &pointer).unwrap();
                let found: Value = serde_json::from_str(&text[span]).unwrap();
                let stands: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Some(&found), stands.pointer(&pointer));
            }
        }

        #[test]
        fn nothing_panics(text in ".*", pointer in "(/[a-z0-9~]{0,3}){0,3}") {
            let _ = (strict(&text), span(&text, &pointer));
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_at_any_depth() {
        assert_eq!(
            strict(r#"{"a":[{"to":"x","to":"y"}]}"#),
            Err("a key is there twice (line 1, column 25)".to_owned())
        );
        assert_eq!(strict(r#"{"a":1}"#), Ok(json!({"a": 1})));
        assert_eq!(strict("{"), Err("it is no JSON (line 1, column 1)".to_owned()));
        assert!(strict(r#"{"a":1} {"b":2}"#).is_err());
    }

    #[test]
    fn what_is_not_there_has_no_span() {
        for pointer in ["/b", "/a/0", "/c/2", "/c/x", "/a/b/c"] {
            assert_eq!(span(r#"{"a":1,"c":[1,2]}"#, pointer), None, "{pointer}");
        }
    }
}
