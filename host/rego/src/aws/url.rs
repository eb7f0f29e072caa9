//! The parts of an address that a signature is about, as Go's `url.Parse` finds them.

use std::net::Ipv6Addr;

use crate::Error;

pub(super) struct Url<'a> {
    pub(super) host: &'a str,
    /// With what must be escaped escaped.
    pub(super) path: String,
    pub(super) query: &'a str,
}

impl<'a> Url<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Url<'a>, Error> {
        parse(text).ok_or_else(|| format!("parse {text:?}: invalid url").into())
    }
}

fn parse(text: &str) -> Option<Url<'_>> {
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    if rest.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    unescaped(fragment)?;
    let (scheme, rest) = split_scheme(rest)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut host, mut path) = ("", rest);
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            // What follows a scheme without a slash has no parts.
            return Some(Url { host, path: String::new(), query });
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return None;
        }
    } else if rest.starts_with("//") && (!scheme.is_empty() || !rest.starts_with("///")) {
        let end = rest[2..].find('/').map_or(rest.len(), |end| end + 2);
        host = authority(&rest[2..end])?;
        path = &rest[end..];
    }
    Some(Url { host, path: escaped(path)?, query })
}

/// What stands before a colon, where that can be a scheme.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|sign: char| !(sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '.')));
    match end {
        Some(end) if text.as_bytes()[end] == b':' => match text.as_bytes()[0] {
            _ if end == 0 => None,
            first if first.is_ascii_alphabetic() => Some((&text[..end], &text[end + 1..])),
            _ => Some(("", text)),
        },
        _ => Some(("", text)),
    }
}

/// The host and port behind the name of a user.
fn authority(text: &str) -> Option<&str> {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(plain) || unescaped(user).is_none() {
        return None;
    }
    let (name, port) = match host.strip_prefix('[') {
        Some(inner) => {
            let (inner, port) = inner.rsplit_once(']')?;
            inner.parse::<Ipv6Addr>().ok()?;
            ("", port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_fits = port.is_empty() || port[1..].bytes().all(|byte| byte.is_ascii_digit()) && port.starts_with(':');
    // Escaped hosts are left out: Go takes some of them.
    let fits = |byte: u8| !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=]<>\"".contains(&byte);
    (port_fits && name.bytes().all(fits)).then_some(host)
}

/// A path as it goes over the wire: as it came, where nothing in it needs escaping.
fn escaped(path: &str) -> Option<String> {
    let bytes = unescaped(path)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    if path == "*" || path.bytes().all(|byte| plain(byte) || b"!'()*[]%".contains(&byte)) {
        return Some(path.to_owned());
    }
    let write = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    Some(bytes.into_iter().map(write).collect())
}

/// The bytes that a text stands for; none where an escape is broken.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                u8::try_from(digit(high)? * 16 + digit(low)?).ok()?
            }
            (b'%', _) => return None,
            (byte, _) => *byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses_have_the_parts_that_go_finds() {
        for (text, expected) in [
            ("https://u:p@example.com:80/a%20b c?x=1&y#z", Some(("example.com:80", "/a%20b%20c", "x=1&y"))),
            ("http://[::1]:8080/!*'()", Some(("[::1]:8080", "/!*'()", ""))),
            ("mailto:a@b", Some(("", "", ""))),
            ("/a/é", Some(("", "/a/%C3%A9", ""))),
            ("", Some(("", "", ""))),
            ("http://a/%zz", None),
            ("http://a/%4", None),
            ("http://a b/", None),
            ("http://a:b/", None),
            ("http://[::1/", None),
            (":a", None),
            ("1a:b", None),
            ("a\n", None),
        ] {
            let url = parse(text);
            let parts = url.as_ref().map(|url| (url.host, url.path.as_str(), url.query));
            assert_eq!(parts, expected, "{text}");
        }
    }
}
