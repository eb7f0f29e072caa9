//! Texts in other notations: hexadecimal, base64url, the queries of URLs.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::arguments::{object, text};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "hex.encode", arguments: 1, call: hex_encode },
    Builtin { name: "hex.decode", arguments: 1, call: hex_decode },
    Builtin { name: "base64url.encode_no_pad", arguments: 1, call: base64url },
    Builtin { name: "urlquery.encode", arguments: 1, call: query_encode },
    Builtin { name: "urlquery.decode", arguments: 1, call: query_decode },
    Builtin { name: "urlquery.encode_object", arguments: 1, call: query_encode_object },
    Builtin { name: "urlquery.decode_object", arguments: 1, call: query_decode_object },
];

/// The text, paid for three times over: so long may it become.
fn paid<'a>(context: &Context, value: &'a Value) -> Result<&'a str, Error> {
    let text = text(value, 1)?;
    context.work(3 * text.len() as u64)?;
    Ok(text)
}

fn hex_encode(context: &Context, arguments: &[Value]) -> Answer {
    Ok(hex::encode(paid(context, &arguments[0])?).into())
}

/// Bytes that are no text become the sign that stands for them.
fn hex_decode(context: &Context, arguments: &[Value]) -> Answer {
    let bytes = hex::decode(paid(context, &arguments[0])?).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned().into())
}

fn base64url(context: &Context, arguments: &[Value]) -> Answer {
    Ok(URL_SAFE_NO_PAD.encode(paid(context, &arguments[0])?).into())
}

fn query_encode(context: &Context, arguments: &[Value]) -> Answer {
    let mut out = String::new();
    escape(paid(context, &arguments[0])?, &mut out);
    Ok(out.into())
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

fn query_decode(context: &Context, arguments: &[Value]) -> Answer {
    unescape(paid(context, &arguments[0])?).map(Value::String)
}

fn unescape(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.get(..2).ok_or("invalid URL escape")?;
                bytes.extend(hex::decode(digits).map_err(|_| "invalid URL escape")?);
                rest = &rest[2..];
            }
            _ => bytes.push(*first),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn query_encode_object(context: &Context, arguments: &[Value]) -> Answer {
    let wrong = || Error::from("operand 1 values must be string, array[string], or set[string]");
    // Keys that are no texts are written as JSON, and all are in the order of their texts.
    let mut parameters = BTreeMap::new();
    for (key, value) in object(&arguments[0], 1)? {
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        let values = match value {
            Value::String(_) => vec![value],
            Value::Array(members) => members.iter().collect(),
            Value::Set(members) => members.iter().collect(),
            _ => return Err(wrong()),
        };
        context.work(1 + 3 * key.len() as u64 + values.len() as u64)?;
        parameters.insert(key, values);
    }
    let mut out = String::new();
    for (key, values) in parameters {
        for value in values {
            let value = value.as_str().ok_or_else(wrong)?;
            context.work(2 + 3 * (key.len() + value.len()) as u64)?;
            out.push_str(if out.is_empty() { "" } else { "&" });
            escape(&key, &mut out);
            out.push('=');
            escape(value, &mut out);
        }
    }
    Ok(out.into())
}

fn query_decode_object(context: &Context, arguments: &[Value]) -> Answer {
    let mut parameters: BTreeMap<Value, Value> = BTreeMap::new();
    for parameter in paid(context, &arguments[0])?.split('&').filter(|parameter| !parameter.is_empty()) {
        if parameter.contains(';') {
            return Err("invalid semicolon separator in query".into());
        }
        context.work(64)?;
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (key, value) = (unescape(key)?, unescape(value)?);
        let values = parameters.entry(key.into()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    Ok(Value::Object(parameters))
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn texts_are_written_as_opa_writes_them() {
        check(&[
            ("hex.encode", r#"["é!"]"#, Some(r#""c3a921""#)),
            ("hex.decode", r#"["C3a921"]"#, Some(r#""é!""#)),
            ("hex.decode", r#"["abc"]"#, None),
            ("hex.decode", r#"["zz"]"#, None),
            ("base64url.encode_no_pad", r#"["???>"]"#, Some(r#""Pz8_Pg""#)),
            ("urlquery.encode", r#"["a b&é~*"]"#, Some(r#""a+b%26%C3%A9~%2A""#)),
            ("urlquery.decode", r#"["a+b%26%C3%A9"]"#, Some(r#""a b&é""#)),
            ("urlquery.decode", r#"["%4"]"#, None),
            ("urlquery.decode", r#"["%+1"]"#, None),
            (
                "urlquery.encode_object",
                r#"[{"b": ["1", "2"], "a": {"x"}, "c": "d e"}]"#,
                Some(r#""a=x&b=1&b=2&c=d+e""#),
            ),
            ("urlquery.encode_object", r#"[{"a": 1}]"#, None),
            ("urlquery.encode_object", r#"[{"a": [1]}]"#, None),
            ("urlquery.decode_object", r#"["b=1&b=2&&a=x+y&c"]"#, Some(r#"{"a":["x y"],"b":["1","2"],"c":[""]}"#)),
            ("urlquery.decode_object", r#"["a;b"]"#, None),
            ("urlquery.decode_object", r#"["a=%"]"#, None),
        ]);
        let long = "a".repeat(400_000);
        bounded(&[
            ("hex.encode", format!("[\"{long}\"]")),
            ("urlquery.encode", format!("[\"{long}\"]")),
            ("urlquery.decode_object", format!("[\"{}\"]", "a&".repeat(20_000))),
            ("urlquery.encode_object", format!("[{{\"{}\": [{}\"\"]}}]", &long[..5_000], "\"\",".repeat(1_000))),
        ]);
    }
}
