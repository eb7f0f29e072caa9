//! Values as OPA prints terms, and texts as Go quotes them.

use crate::value::Value;
use crate::{Context, Error};

/// The value as OPA prints it: `{"a": [1, 2]}`.
pub(crate) fn print(context: &Context, value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write(context, value, &mut out)?;
    Ok(out)
}

fn write(context: &Context, value: &Value, out: &mut String) -> Result<(), Error> {
    context.work(1)?;
    match value {
        Value::String(text) => {
            context.work(text.len() as u64)?;
            quote(text, '"', false, out);
        }
        Value::Array(members) => list(context, '[', members, ']', out)?,
        Value::Set(members) if !members.is_empty() => list(context, '{', members, '}', out)?,
        Value::Object(members) => {
            out.push('{');
            for (place, (key, value)) in members.iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                write(context, key, out)?;
                out.push_str(": ");
                write(context, value, out)?;
            }
            out.push('}');
        }
        _ => {
            let text = value.to_string();
            context.work(text.len() as u64)?;
            out.push_str(&text);
        }
    }
    Ok(())
}

fn list<'a>(
    context: &Context,
    open: char,
    members: impl IntoIterator<Item = &'a Value>,
    close: char,
    out: &mut String,
) -> Result<(), Error> {
    out.push(open);
    for (place, member) in members.into_iter().enumerate() {
        out.push_str(if place > 0 { ", " } else { "" });
        write(context, member, out)?;
    }
    out.push(close);
    Ok(())
}

/// A text between quotes as Go writes it; all beyond ASCII escaped where `ascii` says so.
pub(crate) fn quote(text: &str, mark: char, ascii: bool, out: &mut String) {
    out.push(mark);
    for character in text.chars() {
        let short = match character {
            '\u{7}' => Some('a'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            '\u{b}' => Some('v'),
            '\\' => Some('\\'),
            _ if character == mark => Some(mark),
            _ => None,
        };
        let code = u32::from(character);
        match short {
            Some(short) => out.extend(['\\', short]),
            None if is_printable(character) && (character.is_ascii() || !ascii) => out.push(character),
            None if character < ' ' || character == '\u{7f}' => out.push_str(&format!("\\x{code:02x}")),
            None if code < 0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
            None => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out.push(mark);
}

/// Whether Go calls a character printable: letters, marks, numbers, signs and the plain space.
pub(crate) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // A mark is escaped only at the start of a text.
    let mut buffer = [b'a'; 5];
    let length = character.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=length]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_opa_prints_them() {
        let context = Context::new(0, 0, 1000);
        for (value, printed) in [
            (r#"{"b":[1,2.50],"a":{3,4},[null]:set()}"#, r#"{"a": {3, 4}, "b": [1, 2.50], [null]: set()}"#),
            (
                r#""\u0001\u0007\u00a0é\"'\u200b\ud83d\ude00\ue000\u0301""#,
                "\"\\x01\\a\\u00a0é\\\"'\\u200b😀\\ue000\u{301}\"",
            ),
            ("{}", "{}"),
        ] {
            assert_eq!(print(&context, &Value::parse(value).unwrap()).unwrap(), printed);
        }
        assert_eq!(print(&Context::new(0, 0, 3), &vec![Value::Null; 4].into()), Err(Error::Exhausted));
    }
}
