//! Addresses of mail as Go's `net/mail` reads them: `a@b`, `Name <a@b>` and groups of one.

use std::net::IpAddr;

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// Go does not mind bits that say nothing.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What a text is written in that Go can read.
const CHARSETS: [&str; 3] = ["utf-8", "iso-8859-1", "us-ascii"];

pub(super) fn is_address(text: &str) -> bool {
    let mut reader = Reader { rest: text };
    reader.addresses() == Some(1) && reader.skip_comments().is_some() && reader.rest.is_empty()
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// An address or a group; how many addresses there were.
    fn addresses(&mut self) -> Option<usize> {
        match self.mailbox()? {
            Mailbox::Address => Some(1),
            Mailbox::Group => self.group(),
        }
    }

    /// An address, or the name of a group with its colon.
    fn mailbox(&mut self) -> Option<Mailbox> {
        self.skip_spaces();
        if let Some(after) = self.tried(Reader::plain_address) {
            *self = after;
            self.skip_spaces();
            if self.takes('(') {
                let comment = self.comment()?;
                let has_unknown = |word| matches!(encoded(word), Encoded::Unknown);
                return (!comment.split([' ', '\t']).any(has_unknown)).then_some(Mailbox::Address);
            }
            return Some(Mailbox::Address);
        }
        if !self.rest.starts_with('<') {
            self.phrase()?;
        }
        self.skip_spaces();
        if self.takes(':') {
            return Some(Mailbox::Group);
        }
        let closed = self.takes('<') && self.plain_address().is_some() && self.takes('>');
        closed.then_some(Mailbox::Address)
    }

    fn group(&mut self) -> Option<usize> {
        let mut count = 0;
        self.skip_spaces();
        if self.takes(';') {
            return self.skip_comments().map(|()| 0);
        }
        loop {
            match self.mailbox()? {
                Mailbox::Address => count += 1,
                Mailbox::Group => return None,
            }
            self.skip_comments()?;
            if self.takes(';') {
                return self.skip_comments().map(|()| count);
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    /// Where a reader gets to that succeeds.
    fn tried(self, read: impl Fn(&mut Reader<'a>) -> Option<()>) -> Option<Reader<'a>> {
        let mut reader = self;
        read(&mut reader).map(|()| reader)
    }

    fn plain_address(&mut self) -> Option<()> {
        self.skip_spaces();
        match self.rest.starts_with('"') {
            true => _ = self.quoted().filter(|text| !text.is_empty())?,
            false => self.dotted()?,
        }
        if !self.takes('@') {
            return None;
        }
        self.skip_spaces();
        match self.takes('[') {
            true => self.literal(),
            false => self.dotted(),
        }
    }

    /// An address in numbers, up to its bracket.
    fn literal(&mut self) -> Option<()> {
        let (inside, after) = self.rest.split_once(']')?;
        inside.parse::<IpAddr>().ok()?;
        self.rest = after;
        Some(())
    }

    /// Words with single points between them.
    fn dotted(&mut self) -> Option<()> {
        self.atom()?.split('.').all(|word| !word.is_empty()).then_some(())
    }

    fn atom(&mut self) -> Option<&'a str> {
        let ends = |sign: char| !is_visible(sign) || "()<>[]:;@\\,\"".contains(sign);
        let (atom, after) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = after;
        if atom.is_empty() { None } else { Some(atom) }
    }

    /// What stands between quotes, with its escapes.
    fn quoted(&mut self) -> Option<&'a str> {
        let inside = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        for (at, sign) in inside.char_indices() {
            let is_plain = is_visible(sign) || is_space(sign);
            match sign {
                _ if escaped && is_plain => escaped = false,
                '"' if !escaped => {
                    self.rest = &inside[at + 1..];
                    return Some(&inside[..at]);
                }
                '\\' if !escaped => escaped = true,
                _ if !escaped && is_plain => {}
                _ => return None,
            }
        }
        None
    }

    /// The words of a name, at least one. What is wrong behind the first one is left for the caller.
    fn phrase(&mut self) -> Option<()> {
        // Comments follow words that are no encoded ones.
        let (mut any, mut plain) = (false, false);
        loop {
            if plain {
                self.skip_comments()?;
            }
            self.skip_spaces();
            if self.rest.is_empty() {
                return Some(());
            }
            let word = match self.rest.starts_with('"') {
                true => self.quoted().map(|_| Encoded::No),
                false => self.atom().map(encoded),
            };
            match word {
                Some(Encoded::No) => plain = true,
                Some(Encoded::Known) => {}
                Some(Encoded::Unknown) | None => return any.then_some(()),
            }
            any = true;
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn skip_comments(&mut self) -> Option<()> {
        self.skip_spaces();
        while self.takes('(') {
            self.comment()?;
            self.skip_spaces();
        }
        Some(())
    }

    /// A comment behind its first parenthesis; others may be inside.
    fn comment(&mut self) -> Option<&'a str> {
        let (mut depth, mut escaped) = (1, false);
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let (comment, after) = self.rest.split_at(at);
                self.rest = &after[1..];
                return Some(comment);
            }
        }
        None
    }

    fn takes(&mut self, sign: char) -> bool {
        let after = self.rest.strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

enum Mailbox {
    Address,
    Group,
}

enum Encoded {
    /// An ordinary word.
    No,
    Known,
    /// In letters that Go does not know.
    Unknown,
}

/// Whether a word is `=?charset?encoding?text?=` and in an unknown charset.
fn encoded(word: &str) -> Encoded {
    let inside = word.strip_prefix("=?").and_then(|word| word.strip_suffix("?=")).unwrap_or_default();
    let parts: Vec<&str> = inside.split('?').collect();
    let [charset, encoding, text] = parts[..] else { return Encoded::No };
    let is_readable = match encoding {
        "B" | "b" => BASE64.decode(text).is_ok(),
        "Q" | "q" => has_valid_escapes(text),
        _ => false,
    };
    if charset.is_empty() || !is_readable {
        return Encoded::No;
    }
    match CHARSETS.iter().any(|known| known.eq_ignore_ascii_case(charset)) {
        true => Encoded::Known,
        false => Encoded::Unknown,
    }
}

fn has_valid_escapes(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'=', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'=', _) => return false,
            (b' '..=b'~' | b'\n' | b'\r' | b'\t', _) => after,
            _ => return false,
        };
    }
    true
}

fn is_visible(sign: char) -> bool {
    sign.is_ascii_graphic() || !sign.is_ascii()
}

fn is_space(sign: char) -> bool {
    matches!(sign, ' ' | '\t')
}
