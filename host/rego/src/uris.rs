//! `uri.parse` and `uri.is_valid`: URLs as Go reads them.

use std::collections::BTreeMap;

use crate::arguments::text;
use crate::url::Url;
use crate::value::Value;
use crate::{Answer, Builtin, Context};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "uri.parse", arguments: 1, call: parse },
    Builtin { name: "uri.is_valid", arguments: 1, call: is_valid },
];

fn parse(context: &Context, arguments: &[Value]) -> Answer {
    let text = text(&arguments[0], 1)?;
    context.work(4 * text.len() as u64)?;
    let url = Url::parse(text)?;
    let (hostname, port) = url.host_and_port();
    let raw_path = if url.raw_path.is_empty() { &url.path } else { &url.raw_path };
    let fields = [
        ("scheme", url.scheme.as_str()),
        ("hostname", hostname),
        ("port", port),
        ("path", &url.path),
        ("raw_path", raw_path),
        ("raw_query", &url.query),
        ("fragment", &url.fragment),
    ];
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    Ok(Value::Object(fields.map(|(name, text)| (name.into(), text.into())).collect::<BTreeMap<_, _>>()))
}

fn is_valid(context: &Context, arguments: &[Value]) -> Answer {
    let text = arguments[0].as_str().unwrap_or_default();
    context.work(4 * text.len() as u64)?;
    Ok((!text.is_empty() && Url::parse(text).is_ok()).into())
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn urls_are_read_as_go_reads_them() {
        check(&[
            (
                "uri.parse",
                r#"["HTTPS://u:p@h.x:80/a%20b/c?q=1#f%20g"]"#,
                Some(
                    r#"{"scheme":"https","hostname":"h.x","port":"80","path":"/a b/c","raw_path":"/a b/c","raw_query":"q=1","fragment":"f g"}"#,
                ),
            ),
            (
                "uri.parse",
                r#"["http://[::1%25en0]:1/a%2Fb"]"#,
                Some(r#"{"scheme":"http","hostname":"::1%en0","port":"1","path":"/a/b","raw_path":"/a%2Fb"}"#),
            ),
            ("uri.parse", r#"["mailto:a@b"]"#, Some(r#"{"scheme":"mailto"}"#)),
            ("uri.parse", r#"["http://a:b"]"#, None),
            ("uri.parse", r#"["%zz"]"#, None),
            ("uri.is_valid", r#"[""]"#, Some("false")),
            ("uri.is_valid", "[1]", Some("false")),
            ("uri.is_valid", r#"["a b"]"#, Some("true")),
            ("uri.is_valid", r#"["1a:b"]"#, Some("false")),
            ("uri.is_valid", r#"["http://a b"]"#, Some("false")),
        ]);
        bounded(&[("uri.parse", format!("[\"{}\"]", "a".repeat(300_000)))]);
    }
}
