//! URLs as Go reads, resolves and writes them.

use std::fmt::{self, Display};
use std::net::Ipv6Addr;

use crate::Error;

/// The parts of a URL, without what hides them from its notation.
#[derive(Clone, Default)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// What follows a scheme without a slash.
    opaque: String,
    /// As it is written before an `@`.
    user: Option<String>,
    /// With its port.
    pub(crate) host: String,
    /// Whether a slash alone follows the scheme.
    omits_host: bool,
    pub(crate) path: String,
    /// As it came, where Go would write the path differently.
    pub(crate) raw_path: String,
    /// Whether it ends in a `?`.
    ends_in_query: bool,
    pub(crate) query: String,
    pub(crate) fragment: String,
    /// As it came, where Go would write the fragment differently.
    raw_fragment: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let wrong = |text: &str, why: String| Error::from(format!("parse {text:?}: {why}"));
        let mut url = Url::without_fragment(rest).map_err(|why| wrong(rest, why))?;
        url.fragment = unescaped(fragment, Part::Fragment).map_err(|why| wrong(text, why))?;
        if escaped(&url.fragment, Part::Fragment) != fragment {
            url.raw_fragment = fragment.to_owned();
        }
        Ok(url)
    }

    fn without_fragment(text: &str) -> Result<Url, String> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = split_scheme(text)?;
        let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
        let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        url.query = query.to_owned();
        url.ends_in_query = query.is_empty() && text.ends_with('?');
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        if let Some(after) = rest.strip_prefix("//").filter(|after| !scheme.is_empty() || !after.starts_with('/')) {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            url.set_authority(authority)?;
            rest = path;
        } else {
            url.omits_host = !scheme.is_empty() && rest.starts_with('/');
        }
        url.set_path(rest)?;
        Ok(url)
    }

    fn set_authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        self.host = read_host(&self.scheme, host)?;
        let Some(user) = user else { return Ok(()) };
        if !user.chars().all(|sign| sign.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(sign)) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let again = |text| unescaped(text, Part::User).map(|text| escaped(&text, Part::User));
        self.user = Some(match user.split_once(':') {
            Some((name, password)) => format!("{}:{}", again(name)?, again(password)?),
            None => again(user)?,
        });
        Ok(())
    }

    fn set_path(&mut self, path: &str) -> Result<(), String> {
        self.path = unescaped(path, Part::Path)?;
        self.raw_path = if path == escaped(&self.path, Part::Path) { String::new() } else { path.to_owned() };
        Ok(())
    }

    /// The host without brackets and the digits of the port.
    pub(crate) fn host_and_port(&self) -> (&str, &str) {
        let colon = self.host.rfind(':').filter(|colon| is_port(&self.host[*colon..]));
        let (host, port) = colon.map_or((self.host.as_str(), ""), |colon| {
            let (host, port) = self.host.split_at(colon);
            (host, &port[1..])
        });
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (inside.unwrap_or(host), port)
    }

    pub(crate) fn has_authority(&self) -> bool {
        !self.scheme.is_empty() && !self.host.is_empty()
    }

    /// How many bytes its parts have.
    pub(crate) fn length(&self) -> usize {
        let user = self.user.as_ref().map_or(0, String::len);
        let paths = self.path.len() + self.raw_path.len() + self.opaque.len();
        let ends = self.query.len() + self.fragment.len() + self.raw_fragment.len();
        self.scheme.len() + user + self.host.len() + paths + ends
    }

    pub(crate) fn without_its_fragment(&self) -> Url {
        Url { fragment: String::new(), raw_fragment: String::new(), ..self.clone() }
    }

    /// What a reference means that is found where this is the address.
    pub(crate) fn resolve(&self, reference: &Url) -> Url {
        let mut url = reference.clone();
        if reference.scheme.is_empty() {
            url.scheme.clone_from(&self.scheme);
        }
        if !reference.scheme.is_empty() || !reference.host.is_empty() || reference.user.is_some() {
            url.set_resolved_path(&resolved_path(&reference.escaped_path(), ""));
            return url;
        }
        if reference.path.is_empty() && !reference.ends_in_query && reference.query.is_empty() {
            url.query.clone_from(&self.query);
        }
        if reference.path.is_empty() && !self.opaque.is_empty() {
            url.opaque.clone_from(&self.opaque);
            return url;
        }
        url.host.clone_from(&self.host);
        url.user.clone_from(&self.user);
        url.set_resolved_path(&resolved_path(&self.escaped_path(), &reference.escaped_path()));
        url
    }

    fn set_resolved_path(&mut self, path: &str) {
        // What was escaped before has no wrong escapes.
        if self.set_path(path).is_err() {
            path.clone_into(&mut self.path);
        }
    }

    fn escaped_path(&self) -> String {
        match self.path.as_str() {
            path if is_valid(&self.raw_path, path, Part::Path) => self.raw_path.clone(),
            "*" => "*".to_owned(),
            path => escaped(path, Part::Path),
        }
    }
}

impl Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        if !self.scheme.is_empty() {
            out.extend([&self.scheme, ":"]);
        }
        out.push_str(&self.opaque);
        if self.opaque.is_empty() {
            let named = !self.host.is_empty() || self.user.is_some();
            if named || !self.scheme.is_empty() && !self.omits_host && !self.path.is_empty() {
                out.push_str("//");
            }
            if let Some(user) = &self.user {
                out.extend([user, "@"]);
            }
            out.push_str(&escaped(&self.host, Part::Host));
            let path = self.escaped_path();
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                out.push('/');
            }
            // The first segment would be read as a scheme.
            if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                out.push_str("./");
            }
            out.push_str(&path);
        }
        if self.ends_in_query || !self.query.is_empty() {
            out.extend(["?", &self.query]);
        }
        if !self.fragment.is_empty() {
            out.push('#');
            match is_valid(&self.raw_fragment, &self.fragment, Part::Fragment) {
                true => out.push_str(&self.raw_fragment),
                false => out.push_str(&escaped(&self.fragment, Part::Fragment)),
            }
        }
        formatter.write_str(&out)
    }
}

/// A host with its port; names that are addresses stand in brackets.
fn read_host(scheme: &str, host: &str) -> Result<String, String> {
    if host.rfind('[').is_some_and(|place| place > 0) {
        return Err("invalid IP-literal".to_owned());
    }
    if let Some(inside) = host.strip_prefix('[') {
        let (address, port) = inside.rsplit_once(']').ok_or("missing ']' in host")?;
        check_port(port)?;
        let (address, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
        let (address, zone) = (unescaped(address, Part::Host)?, unescaped(zone, Part::Zone)?);
        if address.parse::<Ipv6Addr>().is_err() || zone == "%" {
            return Err(format!("invalid host: ParseAddr({:?}): unable to parse IP", address + &zone));
        }
        return Ok(format!("[{address}{zone}]{port}"));
    }
    let strict = matches!(scheme, "http" | "https");
    let colon = if strict { host.find(':') } else { host.rfind(':') };
    check_port(&host[colon.unwrap_or(host.len())..])?;
    unescaped(host, Part::Host)
}

fn check_port(port: &str) -> Result<(), String> {
    if is_port(port) { Ok(()) } else { Err(format!("invalid port {port:?} after host")) }
}

/// Digits behind a colon, if any; nothing is a port, too.
fn is_port(port: &str) -> bool {
    port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (place, sign) in text.char_indices() {
        match sign {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if place > 0 => {}
            ':' if place == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..place], &text[place + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The path of a reference from another path, without `.` and `..`.
fn resolved_path(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_owned(),
        _ if reference.starts_with('/') => reference.to_owned(),
        _ => format!("{}{reference}", &base[..base.rfind('/').map_or(0, |slash| slash + 1)]),
    };
    if full.is_empty() {
        return full;
    }
    let (mut path, mut first) = ("/".to_owned(), true);
    for segment in full.split('/') {
        match segment {
            "." => first = false,
            ".." => {
                path.truncate(path[1..].rfind('/').map_or(1, |slash| slash + 1));
                first = path.len() == 1;
            }
            _ => {
                if !first {
                    path.push('/');
                }
                path.push_str(segment);
                first = false;
            }
        }
    }
    if matches!(full.rsplit('/').next(), Some("." | "..")) {
        path.push('/');
    }
    // It began with a slash before the first segment, which may have been empty.
    if path.starts_with("//") { path.split_off(1) } else { path }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Zone,
    Path,
    Fragment,
}

impl Part {
    /// Signs beside letters and digits that stand for themselves.
    fn plain(self) -> &'static [u8] {
        match self {
            Part::User => b"-_.~$&+,;=",
            Part::Host | Part::Zone => b"-_.~!$&'()*+,;=:[]<>\"",
            Part::Path => b"-_.~$&+,/:;=@",
            Part::Fragment => b"-_.~$&+,/:;=?@!()*",
        }
    }

    fn has(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || self.plain().contains(&byte)
    }

    /// Whether a byte may be written as an escape.
    fn may_escape(self, byte: u8) -> bool {
        match self {
            Part::Host => !byte.is_ascii() || byte == b'%',
            Part::Zone => matches!(byte, b'%' | b' ') || self.has(byte),
            _ => true,
        }
    }
}

fn unescaped(text: &str, part: Part) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first != b'%' {
            if matches!(part, Part::Host | Part::Zone) && first.is_ascii() && !part.has(*first) {
                return Err(format!("invalid character {:?} in host name", char::from(*first).to_string()));
            }
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| hex::decode(digits).ok());
        let byte = digits.and_then(|bytes| bytes.first().copied()).filter(|byte| part.may_escape(*byte));
        let Some(byte) = byte else {
            let escape = String::from_utf8_lossy(&rest[..rest.len().min(3)]);
            return Err(format!("invalid URL escape {escape:?}"));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn escaped(text: &str, part: Part) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if part.has(byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether a text may stand for another as it came.
fn is_valid(raw: &str, text: &str, part: Part) -> bool {
    let fits = |byte: u8| part.has(byte) || b"!$&'()*+,;=:@[]%".contains(&byte);
    !raw.is_empty() && raw.bytes().all(fits) && unescaped(raw, part).is_ok_and(|raw| raw == text)
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn urls_are_written_as_go_writes_them() {
        for (text, expected) in [
            ("#", ""),
            ("#/a b%20ü", "#/a%20b%20%C3%BC"),
            ("HTTP://u:p%40@H:1/%7e?#x", "http://u:p%40@H:1/%7e?#x"),
            ("http://[::1%25a]/", "http://[::1%25a]/"),
            ("urn:a:b#c", "urn:a:b#c"),
            ("file:/a", "file:/a"),
            ("file:///a", "file:///a"),
            ("./a:b", "./a:b"),
            ("*", "*"),
            ("a b", "a%20b"),
        ] {
            assert_eq!(Url::parse(text).ok().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn references_are_resolved_as_go_resolves_them() {
        for (base, reference, expected) in [
            ("", "#", ""),
            ("", "a/../b", "/b"),
            ("http://a/b/c?q", "d", "http://a/b/d"),
            ("http://a/b/c?q", "#d", "http://a/b/c?q#d"),
            ("http://a/b/c", "../../d/.", "http://a/d/"),
            ("http://a/b/c", "//x/y", "http://x/y"),
            ("http://a", "?x", "http://a?x"),
            ("urn:a:b", "#c", "urn:a:b#c"),
            ("urn:a:b", "c", "urn:///c"),
        ] {
            let (base, reference) = (Url::parse(base).ok().unwrap(), Url::parse(reference).ok().unwrap());
            assert_eq!(base.resolve(&reference).to_string(), expected);
        }
    }

    #[test]
    fn wrong_urls_are_told_as_go_tells_them() {
        for (text, says) in [
            ("%zz", r#"parse "%zz": invalid URL escape "%zz""#),
            ("a#%2", r#"parse "a#%2": invalid URL escape "%2""#),
            (":a", r#"parse ":a": missing protocol scheme"#),
            ("1a:b", r#"parse "1a:b": first path segment in URL cannot contain colon"#),
            ("http://a b", r#"parse "http://a b": invalid character " " in host name"#),
            ("http://a:b", r#"parse "http://a:b": invalid port ":b" after host"#),
        ] {
            assert_eq!(Url::parse(text).err(), Some(says.into()));
        }
    }
}
