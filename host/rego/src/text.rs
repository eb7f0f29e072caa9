//! The notation of values that modules of OPA's read and write.

use std::fmt::{self, Write};

use crate::value::{Number, Value};

/// Deepest nesting that is read: beyond it a stack could end.
pub(crate) const DEEPEST: usize = 512;
const EMPTY_SET: &str = "set()";

pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.skip();
    match reader.rest() {
        "" => Ok(value),
        _ => Err(reader.expected("the end")),
    }
}

pub(crate) fn write(value: &Value, out: &mut impl Write) -> fmt::Result {
    match value {
        Value::Null => out.write_str("null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Number(number) => out.write_str(number.as_str()),
        Value::String(text) => write_text(text, out),
        Value::Array(members) => list('[', members, ']', out),
        Value::Set(members) if members.is_empty() => out.write_str(EMPTY_SET),
        Value::Set(members) => list('{', members, '}', out),
        Value::Object(members) => {
            out.write_char('{')?;
            for (place, (key, value)) in members.iter().enumerate() {
                if place > 0 {
                    out.write_char(',')?;
                }
                write(key, out)?;
                out.write_char(':')?;
                write(value, out)?;
            }
            out.write_char('}')
        }
    }
}

fn list<'a>(
    open: char,
    members: impl IntoIterator<Item = &'a Value>,
    close: char,
    out: &mut impl Write,
) -> fmt::Result {
    out.write_char(open)?;
    for (place, member) in members.into_iter().enumerate() {
        if place > 0 {
            out.write_char(',')?;
        }
        write(member, out)?;
    }
    out.write_char(close)
}

fn write_text(text: &str, out: &mut impl Write) -> fmt::Result {
    out.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.at)
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Goes past a token, where it is the next one.
    fn takes(&mut self, token: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self) -> Result<Value, String> {
        self.skip();
        match self.rest().as_bytes().first() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'[' | b'{') => self.nested(),
            Some(b'-' | b'.' | b'0'..=b'9') => self.number(),
            _ if self.takes("null") => Ok(Value::Null),
            _ if self.takes("true") => Ok(Value::Bool(true)),
            _ if self.takes("false") => Ok(Value::Bool(false)),
            _ if self.takes(EMPTY_SET) => Ok(Value::Set(Default::default())),
            _ => Err(self.expected("a value")),
        }
    }

    fn nested(&mut self) -> Result<Value, String> {
        if self.depth == DEEPEST {
            return Err(format!("nested deeper than {DEEPEST}"));
        }
        self.depth += 1;
        let value = if self.takes("[") {
            self.members("]").map(Value::Array)
        } else {
            self.takes("{");
            self.braced()
        };
        self.depth -= 1;
        value
    }

    /// Members up to a closing token, with commas between them.
    fn members(&mut self, close: &str) -> Result<Vec<Value>, String> {
        let mut members = Vec::new();
        while !self.takes(close) {
            if !members.is_empty() && !self.takes(",") {
                return Err(self.expected("a comma"));
            }
            members.push(self.value()?);
        }
        Ok(members)
    }

    /// An object, or a set that is not empty.
    fn braced(&mut self) -> Result<Value, String> {
        if self.takes("}") {
            return Ok(Value::Object(Default::default()));
        }
        let first = self.value()?;
        if !self.takes(":") {
            let mut members = vec![first];
            if self.takes(",") {
                members.extend(self.members("}")?);
            } else if !self.takes("}") {
                return Err(self.expected("a comma or a brace"));
            }
            return Ok(Value::Set(members.into_iter().collect()));
        }
        let mut members = std::collections::BTreeMap::from([(first, self.value()?)]);
        while !self.takes("}") {
            if !self.takes(",") {
                return Err(self.expected("a comma"));
            }
            let key = self.value()?;
            if !self.takes(":") {
                return Err(self.expected("a colon"));
            }
            members.insert(key, self.value()?);
        }
        Ok(Value::Object(members))
    }

    fn string(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let text = end.map(|end| &rest[..end + 2]).ok_or_else(|| self.expected("a closing quote"))?;
        let string =
            serde_json::from_str(text).map_err(|error| format!("{error} in the text at byte {}", self.at))?;
        self.at += text.len();
        Ok(string)
    }

    fn number(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let end =
            rest.find(|byte: char| !matches!(byte, '-' | '+' | '.' | 'e' | 'E' | '0'..='9')).unwrap_or(rest.len());
        let number = Number::parse(&rest[..end]).ok_or_else(|| self.expected("a number"))?;
        self.at += end;
        Ok(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        for text in [
            "null",
            "true",
            "-1.50e+3",
            "123456789012345678901234567890",
            r#""a\"\\ü\n""#,
            "[]",
            "[1,[2],{}]",
            "set()",
            "{1,2}",
            r#"{"a":1,[1]:{set()},{2}:null}"#,
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse(" { 2 , 1 , 2 } ").unwrap().to_string(), "{1,2}");
        assert_eq!(parse("[.5,-.5,2e308]").unwrap().to_string(), "[0.5,-0.5,2e308]");
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        for (text, says) in [
            ("", "a value at byte 0"),
            ("1 2", "the end at byte 2"),
            ("[1 2]", "a comma at byte 3"),
            ("{1:2,3}", "a colon at byte 6"),
            ("\"a", "a closing quote"),
            ("01", "a number"),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}");
        }
        assert!(parse(&"[".repeat(DEEPEST + 1)).unwrap_err().contains("deeper"));
    }
}
