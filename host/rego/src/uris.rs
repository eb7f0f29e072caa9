//! `uri.parse` and `uri.is_valid`: URLs as Go reads them.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::arguments::text;
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "uri.parse", arguments: 1, call: parse },
    Builtin { name: "uri.is_valid", arguments: 1, call: is_valid },
];

fn parse(context: &Context, arguments: &[Value]) -> Answer {
    let text = text(&arguments[0], 1)?;
    context.work(4 * text.len() as u64)?;
    let parts = Parts::read(text)?;
    let fields = [
        ("scheme", parts.scheme),
        ("hostname", parts.hostname),
        ("port", parts.port),
        ("path", parts.path),
        ("raw_path", parts.raw_path),
        ("raw_query", parts.query),
        ("fragment", parts.fragment),
    ];
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    Ok(Value::Object(fields.map(|(name, text)| (name.into(), text.into())).collect::<BTreeMap<_, _>>()))
}

fn is_valid(context: &Context, arguments: &[Value]) -> Answer {
    let text = arguments[0].as_str().unwrap_or_default();
    context.work(4 * text.len() as u64)?;
    Ok((!text.is_empty() && Parts::read(text).is_ok()).into())
}

#[derive(Default)]
struct Parts {
    scheme: String,
    hostname: String,
    port: String,
    path: String,
    /// As it is written, where that tells more than the path.
    raw_path: String,
    query: String,
    fragment: String,
}

impl Parts {
    fn read(text: &str) -> Result<Parts, Error> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut parts = Parts { fragment: unescape(fragment, Part::Other)?, ..Parts::default() };
        if rest.bytes().any(|byte| byte < b' ' || byte == 0x7F) {
            return Err("invalid control character in URL".into());
        }
        let (scheme, rest) = scheme(rest)?;
        parts.scheme = scheme.to_ascii_lowercase();
        let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        parts.query = query.to_owned();
        if !rest.starts_with('/') {
            // Behind a scheme, what has no slash is opaque.
            if !scheme.is_empty() {
                return Ok(parts);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        if let Some(after) = rest.strip_prefix("//").filter(|after| !scheme.is_empty() || !after.starts_with('/')) {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            parts.authority(authority)?;
            rest = path;
        }
        parts.path = unescape(rest, Part::Other)?;
        parts.raw_path = if rest == escaped(&parts.path) { parts.path.clone() } else { rest.to_owned() };
        Ok(parts)
    }

    fn authority(&mut self, authority: &str) -> Result<(), Error> {
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if let Some(user) = user {
            if !user.chars().all(|sign| sign.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(sign)) {
                return Err("net/url: invalid userinfo".into());
            }
            unescape(user, Part::Other)?;
        }
        if host.rfind('[').is_some_and(|place| place > 0) {
            return Err("invalid IP-literal".into());
        }
        if let Some(inside) = host.strip_prefix('[') {
            let (address, port) = inside.rsplit_once(']').ok_or("missing ']' in host")?;
            self.port = valid_port(port)?.to_owned();
            let (address, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
            let (address, zone) = (unescape(address, Part::Host)?, unescape(zone, Part::Zone)?);
            if address.parse::<Ipv6Addr>().is_err() || zone == "%" {
                return Err("invalid host".into());
            }
            self.hostname = address + &zone;
            return Ok(());
        }
        let strict = matches!(self.scheme.as_str(), "http" | "https");
        let colon = if strict { host.find(':') } else { host.rfind(':') };
        let (name, port) = host.split_at(colon.unwrap_or(host.len()));
        self.port = valid_port(port)?.to_owned();
        self.hostname = unescape(name, Part::Host)?;
        Ok(())
    }
}

/// The digits behind a colon; nothing is a port, too.
fn valid_port(port: &str) -> Result<&str, Error> {
    match port.strip_prefix(':').or(port.is_empty().then_some("")) {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => Ok(digits),
        _ => Err("invalid port after host".into()),
    }
}

fn scheme(text: &str) -> Result<(&str, &str), Error> {
    for (place, sign) in text.char_indices() {
        match sign {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if place > 0 => {}
            ':' if place == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((&text[..place], &text[place + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    Other,
}

fn unescape(text: &str, part: Part) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let plain = first.is_ascii_alphanumeric() || !first.is_ascii() || b"-_.~!$&'()*+,;=:[]<>\"".contains(first);
        if *first != b'%' {
            if part != Part::Other && !plain {
                return Err("invalid character in host name".into());
            }
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).ok_or("invalid URL escape")?;
        let [byte] = hex::decode(digits).map_err(|_| "invalid URL escape")?[..] else {
            return Err("invalid URL escape".into());
        };
        let sign = byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte);
        let allowed = match part {
            Part::Host => !byte.is_ascii() || byte == b'%',
            Part::Zone => matches!(byte, b'%' | b' ') || sign || !byte.is_ascii(),
            Part::Other => true,
        };
        if !allowed {
            return Err("invalid URL escape".into());
        }
        bytes.push(byte);
        rest = &rest[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path as Go would write it.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
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
