//! JSON as Go writes it, with indents for `json.marshal_with_options`.

use std::collections::BTreeMap;

use crate::arguments::{object, text};
use crate::sprintf::float::as_json;
use crate::value::{Number, Value};
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] =
    &[Builtin { name: "json.marshal_with_options", arguments: 2, call: marshal }];

fn marshal(context: &Context, arguments: &[Value]) -> Answer {
    let (mut prefix, mut indent, mut pretty) = ("", "\t", None);
    for (key, value) in object(&arguments[1], 2)? {
        match text(key, 2)? {
            "prefix" => prefix = text(value, 2)?,
            "indent" => indent = text(value, 2)?,
            "pretty" => match value {
                Value::Bool(value) => pretty = Some(*value),
                _ => return Err("operand 2 key pretty failed cast to bool".into()),
            },
            other => return Err(format!("operand 2 object contained unknown key {other:.40}").into()),
        }
    }
    let implied = ["prefix", "indent"]
        .iter()
        .any(|key| object(&arguments[1], 2).is_ok_and(|all| all.contains_key(&(*key).into())));
    let lines = pretty.unwrap_or(implied).then_some((prefix, indent));
    let mut writer = Writer { context, lines, doubles: false, depth: 0, out: String::new() };
    if lines.is_some() {
        writer.push(prefix)?;
    }
    writer.value(&arguments[0])?;
    Ok(writer.out.into())
}

/// A value as Go's `json.Marshal` writes it: no lines, members in order.
pub(crate) fn compact(context: &Context, value: &Value) -> Result<String, Error> {
    unlined(context, value, false)
}

/// The same with all numbers as doubles, so that `1.0` and `1` are written alike.
pub(crate) fn compact_with_doubles(context: &Context, value: &Value) -> Result<String, Error> {
    unlined(context, value, true)
}

fn unlined(context: &Context, value: &Value, doubles: bool) -> Result<String, Error> {
    let mut writer = Writer { context, lines: None, doubles, depth: 0, out: String::new() };
    writer.value(value)?;
    Ok(writer.out)
}

/// What a member is called: keys that are no texts in Rego's notation.
pub(crate) fn name(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}

struct Writer<'a> {
    context: &'a Context,
    /// What begins a line, and what it has for each level; none for no lines.
    lines: Option<(&'a str, &'a str)>,
    /// Whether numbers become doubles.
    doubles: bool,
    depth: usize,
    out: String,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.context.work(1 + text.len() as u64)?;
        self.out.push_str(text);
        Ok(())
    }

    fn line(&mut self) -> Result<(), Error> {
        if let Some((prefix, indent)) = self.lines {
            self.push("\n")?;
            self.push(prefix)?;
            for _ in 0..self.depth {
                self.push(indent)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(members) => self.list(members.iter()),
            Value::Set(members) => self.list(members.iter()),
            Value::Object(members) => {
                self.context.work(members.len() as u64)?;
                let members: BTreeMap<_, _> = members.iter().map(|(key, value)| (name(key), value)).collect();
                self.push("{")?;
                self.depth += 1;
                for (place, (key, value)) in members.iter().enumerate() {
                    self.push(if place > 0 { "," } else { "" })?;
                    self.line()?;
                    self.string(key)?;
                    self.push(if self.lines.is_some() { ": " } else { ":" })?;
                    self.value(value)?;
                }
                self.end(members.is_empty(), "}")
            }
            Value::Number(number) if self.doubles => self.double(number),
            _ => self.push(&value.to_string()),
        }
    }

    fn double(&mut self, number: &Number) -> Result<(), Error> {
        self.context.work(number.as_str().len() as u64)?;
        let amount = number.as_f64();
        if !amount.is_finite() {
            return Err(format!(
                "json: cannot unmarshal number {number} into Go value of type float64",
                number = number.as_str()
            )
            .into());
        }
        self.push(&as_json(amount))
    }

    fn list<'v>(&mut self, members: impl ExactSizeIterator<Item = &'v Value>) -> Result<(), Error> {
        let empty = members.len() == 0;
        self.push("[")?;
        self.depth += 1;
        for (place, member) in members.enumerate() {
            self.push(if place > 0 { "," } else { "" })?;
            self.line()?;
            self.value(member)?;
        }
        self.end(empty, "]")
    }

    fn end(&mut self, empty: bool, close: &str) -> Result<(), Error> {
        self.depth -= 1;
        if !empty {
            self.line()?;
        }
        self.push(close)
    }

    /// Go escapes what HTML and scripts would read.
    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.context.work(text.len() as u64)?;
        let json = serde_json::to_string(text).map_err(|error| error.to_string())?;
        let mut rest = json.as_str();
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, after) = rest.split_at(at);
            let sign = after.chars().next().unwrap_or_default();
            self.push(before)?;
            self.push(&format!("\\u{:04x}", u32::from(sign)))?;
            rest = &after[sign.len_utf8()..];
        }
        self.push(rest)
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn json_is_written_as_go_writes_it() {
        check(&[
            (
                "json.marshal_with_options",
                r#"[{"b": [1, {}], "a": {2}}, {"indent": " ", "prefix": ">"}]"#,
                Some(r#"">{\n> \"a\": [\n>  2\n> ],\n> \"b\": [\n>  1,\n>  {}\n> ]\n>}""#),
            ),
            ("json.marshal_with_options", r#"[{"a": []}, {"pretty": true}]"#, Some(r#""{\n\t\"a\": []\n}""#)),
            (
                "json.marshal_with_options",
                r#"[["<&\u2028"], {"pretty": false, "indent": " "}]"#,
                Some(r#""[\"\\u003c\\u0026\\u2028\"]""#),
            ),
            ("json.marshal_with_options", r#"[1, {}]"#, Some(r#""1""#)),
            ("json.marshal_with_options", r#"[1, {"x": 1}]"#, None),
            ("json.marshal_with_options", r#"[1, {"indent": 1}]"#, None),
        ]);
        let indent = "a".repeat(2_000);
        bounded(&[(
            "json.marshal_with_options",
            format!("[[{}1], {{\"indent\": \"{indent}\"}}]", "1,".repeat(1_000)),
        )]);
    }
}
