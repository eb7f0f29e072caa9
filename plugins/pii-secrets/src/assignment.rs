//! Secrets without a form of their own: what a password or key is set to, and passwords inside URLs.

use std::ops::Range;

use crate::bytes;
use crate::secrets::is_random;

/// Names end with one of these: `DB_PASSWORD`, `aws_secret_access_key`, `X-Api-Key`, `clientSecret`.
const NAMES: [&[u8]; 14] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"pwd",
    b"secret",
    b"api_key",
    b"apikey",
    b"token",
    b"access_key",
    b"secret_key",
    b"private_key",
    b"auth_key",
    b"account_key",
    b"accountkey",
];

/// Words that make a `key` behind a dash a secret one.
const BEFORE_DASH: [&[u8]; 5] = [b"api", b"access", b"secret", b"private", b"auth"];

/// The shortest value; eight is what most password rules ask for.
const LEAST: usize = 8;
const MOST: usize = 512;
/// A value beyond this length is not read twice.
const LONG: usize = 48;

/// What a secret's name is set to.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    /// A secret.
    Secret(Range<usize>),
    /// A long text that is none; where it ends.
    Other(usize),
}

/// The value behind a name that ends at `end`, when the name means a secret.
pub(crate) fn assigned(text: &[u8], start: usize, end: usize) -> Option<Value> {
    let value = value_start(text, end)?;
    if !is_secret_name(text, start, end) {
        return None;
    }
    let quote = bytes::before(text, value);
    let quoted = matches!(quote, b'"' | b'\'' | b'`');
    let ends = |byte: &u8| match byte {
        b'"' | b'\'' | b'`' => true,
        b' ' | b',' | b';' | b'&' | b')' | b']' | b'}' | b'<' => !quoted,
        0..=31 => true,
        _ => false,
    };
    let stretch = &text[value..text.len().min(value + MOST)];
    let mut length = stretch.iter().position(ends).unwrap_or(stretch.len());
    if !quoted && length > 0 && matches!(stretch[length - 1], b'.' | b'?' | b'!' | b':') {
        length -= 1;
    }
    // A limit inside a character is no end.
    let boundary = bytes::at(text, value + length) & 0xC0 != 0x80;
    let secret = &stretch[..length];
    if boundary && length >= LEAST && is_mixed(secret, quoted) && is_random(secret) {
        return Some(Value::Secret(value..value + length));
    }
    (length > LONG).then_some(Value::Other(value + length))
}

/// Behind the name: a quote, spaces, `=` or `:` (or `:=`, `=>`, `==`), spaces, a quote.
fn value_start(text: &[u8], end: usize) -> Option<usize> {
    let skip = |mut at: usize, most: usize, set: &[u8]| {
        let last = at + most;
        while at < last && set.contains(&bytes::at(text, at)) {
            at += 1;
        }
        at
    };
    let sign = skip(skip(end, 2, b"\"'`]"), 2, b" ");
    let behind = skip(sign, 2, b"=:>");
    let value = skip(skip(behind, 2, b" "), 1, b"\"'`");
    (behind > sign && bytes::at(text, sign) != b'>' && value < text.len()).then_some(value)
}

fn is_secret_name(text: &[u8], start: usize, end: usize) -> bool {
    let name = &text[start..end];
    let ends = |text: &[u8], part: &[u8]| {
        text.len() >= part.len() && text[text.len() - part.len()..].eq_ignore_ascii_case(part)
    };
    if name.eq_ignore_ascii_case(b"key") && bytes::before(text, start) == b'-' {
        return BEFORE_DASH.iter().any(|word| ends(&text[..start - 1], word));
    }
    NAMES.iter().any(|part| ends(name, part))
}

/// A prose word has one class of characters; what has brackets outside of quotes is code.
fn is_mixed(value: &[u8], quoted: bool) -> bool {
    let digit = value.iter().any(u8::is_ascii_digit);
    let letter = value.iter().any(u8::is_ascii_alphabetic);
    let code = !quoted && value.iter().any(|byte| matches!(byte, b'(' | b'{' | b'[' | b'<' | b'\\'));
    let sign = value.iter().any(|byte| b"!@#$%^&*+=~".contains(byte));
    letter && (digit || sign) && !code
}

/// The password in `scheme://user:password@host` (RFC 3986 section 3.2.1) before this `@`.
pub(crate) fn url_password(text: &[u8], at: usize) -> Option<Range<usize>> {
    const MOST: usize = 128;
    let from = at.saturating_sub(MOST);
    let stretch = &text[from..at];
    // From the back: no white space and no slash between the two colons but the scheme's own.
    let begin = stretch.iter().rposition(|byte| *byte == b'/' || *byte <= b' ')?;
    let scheme = begin >= 2 && stretch[begin] == b'/' && stretch[begin - 2..begin] == *b":/";
    let colon = stretch[begin + 1..].iter().position(|byte| *byte == b':')?;
    let password = from + begin + 1 + colon + 1..at;
    let value = &text[password.clone()];
    let sample = matches!(value.first(), None | Some(b'<' | b'$' | b'{' | b'[' | b'*'));
    (scheme && colon > 0 && !sample && !value.eq_ignore_ascii_case(b"password")).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: &str, expected: Option<&str>) {
        let start = text.find(name).unwrap();
        let found = assigned(text.as_bytes(), start, start + name.len());
        let found = found.map(|value| match value {
            Value::Secret(span) => &text[span],
            Value::Other(_) => "",
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_are_taken_without_their_quotes() {
        check("password=Tr0ub4dor&3x", "password", None);
        check("password=Tr0ub4dor-3x", "password", Some("Tr0ub4dor-3x"));
        check("DB_PASSWORD = 'k9 Vq2!mZ7pL'", "DB_PASSWORD", Some("k9 Vq2!mZ7pL"));
        check(r#"{"api_key": "a8F3kQ9zL2mX"}"#, "api_key", Some("a8F3kQ9zL2mX"));
        check("X-Api-Key: q7W2e9R4t6Y1.", "Key", Some("q7W2e9R4t6Y1"));
        check("accessToken => q7W2e9R4t6Y1", "accessToken", Some("q7W2e9R4t6Y1"));
    }

    #[test]
    fn samples_and_prose_are_no_secrets() {
        check("password: required", "password", None);
        check("password=changeme123", "password", None);
        check("token=${TOKEN_9f8e7d}", "token", None);
        check("token: <your token 1>", "token", None);
        check("secret = os.getenv('A1B2')", "secret", None);
        check("tokens: 1,234,567,890", "tokens", None);
        check("password=", "password", None);
        check("keyboard=Tr0ub4dor-3x", "keyboard", None);
    }

    #[test]
    fn urls_carry_passwords() {
        let check = |text: &str, expected: Option<&str>| {
            let at = text.find('@').unwrap();
            assert_eq!(url_password(text.as_bytes(), at).map(|span| &text[span]), expected, "{text}");
        };
        check("postgres://app:s3cr3t@db.local/x", Some("s3cr3t"));
        check("see https://u:p%40ss@h.example", Some("p%40ss"));
        check("https://u@h.example", None);
        check("https://u:$PASS@h.example", None);
        check("a:b@c.example", None);
        check("https://h.example/a:b@c.example", None);
    }
}
