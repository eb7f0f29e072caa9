//! Whose word a value rests on. An account, an address or a path that no user and no operator has said, and that stands in
//! something the agent has read, is what an injected instruction wants; one that stands nowhere was made up or decoded.

use std::cell::OnceCell;
use std::ops::Range;

use weir_sdk::{Origin, Request, Value};

use crate::config::{Config, Tool};
use crate::covert;
use crate::plain::{Plain, Reading};
use crate::pointer::{self, Pattern};

/// The texts of a request, read once.
pub(crate) struct Texts<'r> {
    trusted: Vec<Trusted<'r>>,
    untrusted: Vec<Untrusted<'r>>,
}

struct Trusted<'r> {
    text: &'r str,
    exact: OnceCell<Plain>,
    grouped: OnceCell<Plain>,
}

struct Untrusted<'r> {
    /// JSON pointer of the text.
    at: String,
    text: &'r str,
    /// Read when it is asked for, as what it hides.
    plain: OnceCell<Plain>,
    hidden: OnceCell<Vec<(Range<usize>, String, Plain)>>,
}

/// A value that nobody trusted has said.
pub(crate) struct Unproven {
    /// JSON pointer of the argument.
    pub(crate) argument: String,
    /// Where it comes from, if it stands anywhere: a text's JSON pointer and the bytes in it.
    pub(crate) source: Option<(String, Range<usize>)>,
    pub(crate) hidden: bool,
}

impl<'r> Texts<'r> {
    pub(crate) fn of(request: &'r Request) -> Texts<'r> {
        let mut texts = Texts { trusted: Vec::new(), untrusted: Vec::new() };
        for (part, (at, text)) in request.content.iter().zip(request.texts()) {
            if matches!(part.origin, Origin::User | Origin::System) {
                texts.trusted.push(Trusted { text, exact: OnceCell::new(), grouped: OnceCell::new() });
            } else {
                texts.untrusted.push(Untrusted { at, text, plain: OnceCell::new(), hidden: OnceCell::new() });
            }
        }
        texts
    }

    /// Whether there is anything that anybody may have written.
    pub(crate) fn has_untrusted(&self, request: &Request) -> bool {
        let foreign = |origin| matches!(origin, Origin::Retrieved | Origin::Tool);
        request.content.iter().any(|part| foreign(part.origin) && !part.text.trim().is_empty())
    }

    /// Values of a call that nobody trusted has said.
    pub(crate) fn unproven(&self, config: &Config, tool: &Tool, arguments: &Value) -> Vec<Unproven> {
        let mut unproven = Vec::new();
        for (argument, value) in values(tool, arguments) {
            if value.trim().is_empty() || is_known(config, &value) || self.is_said(&value) {
                continue;
            }
            let plain = Plain::of(&value, Reading::Loose);
            let source = self.source(&plain);
            let hidden = source.as_ref().is_some_and(|(.., hidden)| *hidden);
            unproven.push(Unproven { argument, source: source.map(|(at, span, _)| (at, span)), hidden });
        }
        unproven
    }

    /// Whether somebody trusted has said the very same: an address that only looks like theirs is another one.
    fn is_said(&self, value: &str) -> bool {
        let reading = if is_grouped(value) { Reading::Grouped } else { Reading::Exact };
        let value = Plain::of(value, reading);
        let said = |Trusted { text, exact, grouped }: &Trusted<'_>| {
            let plain = if reading == Reading::Grouped { grouped } else { exact };
            plain.get_or_init(|| Plain::of(text, reading)).find(&value, text).is_some()
        };
        self.trusted.iter().any(said)
    }

    fn source(&self, value: &Plain) -> Option<(String, Range<usize>, bool)> {
        let open = self.untrusted.iter().find_map(|Untrusted { at, text, plain, .. }| {
            let plain = plain.get_or_init(|| Plain::of(text, Reading::Loose));
            Some((at.clone(), plain.find(value, text)?, false))
        });
        open.or_else(|| {
            self.untrusted.iter().find_map(|untrusted| {
                let hidden = untrusted.hidden.get_or_init(|| read(untrusted.text));
                let found = hidden.iter().find(|(_, text, plain)| plain.find(value, text).is_some());
                found.map(|(span, ..)| (untrusted.at.clone(), span.clone(), true))
            })
        })
    }
}

fn read(text: &str) -> Vec<(Range<usize>, String, Plain)> {
    let readings = covert::readings(text).into_iter();
    readings.map(|(span, reading)| (span, reading.clone(), Plain::of(&reading, Reading::Loose))).collect()
}

/// The values of a call that somebody has to have said, each with the JSON pointer of its argument.
fn values(tool: &Tool, arguments: &Value) -> Vec<(String, String)> {
    match &tool.trusted {
        Some(patterns) => patterns.iter().flat_map(|pattern| named(pattern, arguments)).collect(),
        None if tool.is("egress") || tool.is("spend") || tool.is("irreversible") || tool.is("write") => {
            let mut values = Vec::new();
            named_in(String::new(), arguments, &mut values);
            values
        }
        None => Vec::new(),
    }
}

/// Everything below a value that names something: in texts, in keys, and long numbers.
fn named_in(at: String, value: &Value, found: &mut Vec<(String, String)>) {
    let mut names = |text: &str| {
        found.extend(items(text).filter(|item| is_name_of_something(item)).map(|item| (at.clone(), item.to_owned())));
    };
    match value {
        Value::String(text) => names(text),
        Value::Number(number) => names(&number.to_string()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| named_in(format!("{at}/{place}"), item, found));
        }
        Value::Object(members) => {
            members.keys().for_each(|key| names(key));
            for (key, value) in members {
                named_in(format!("{at}/{}", tool_calls::segment(key)), value, found);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Values below a pointer that the operator has named: the names in a text, or all of it where there is none.
fn named(pattern: &Pattern, arguments: &Value) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for (at, value) in pattern.find(arguments) {
        let mut texts = Vec::new();
        match value {
            Value::Number(number) => values.push((at, number.to_string())),
            _ => pointer::texts(at, value, &mut texts),
        }
        for (at, text) in texts {
            let names: Vec<&str> = items(text).filter(|item| is_name_of_something(item)).collect();
            let found = if names.is_empty() { vec![text] } else { names };
            values.extend(found.into_iter().map(|value| (at.clone(), value.to_owned())));
        }
    }
    values
}

/// What a list of recipients and the like is made of.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let is_number = text.chars().all(|c| c.is_alphanumeric() || " -+()./".contains(c))
        && text.chars().any(|c| c.is_ascii_digit());
    // `DE02 1203 0000` is one name, `a@x.example b@x.example` are two.
    let words = text.split(move |c: char| c.is_whitespace() && !is_number);
    let parts = words.flat_map(|word| {
        // An address may hold what elsewhere ends a name.
        let ends = |c: char| !word.contains("://") && ",;<>\"'()[]{}|".contains(c);
        word.split(ends).collect::<Vec<_>>()
    });
    let bare = |item: &'_ str| item.trim_matches(|c: char| "<>\"'()[]{},;|*_".contains(c) || c.is_whitespace()).len();
    parts
        .map(|item| item.trim_matches(|c: char| "<>\"'()[]{},;|*".contains(c) || c.is_whitespace()))
        .map(|item| item.trim_end_matches(['.', '!', '?', ':']))
        .filter(move |item| bare(item) > 0)
}

/// Whether a text names an account, an address, a host, a file or a channel rather than saying something.
fn is_name_of_something(text: &str) -> bool {
    // Most words hold nothing that any form of a name needs.
    let may = |byte: u8| byte.is_ascii_digit() || byte >= 0x80 || b".@:/\\~#%".contains(&byte);
    if !text.bytes().any(may) {
        return false;
    }
    let digits = text.chars().filter(|c| c.is_numeric()).count();
    let plain = text.chars().filter(|c| !c.is_whitespace() && *c != '-').count();
    let is_number = digits >= 6 && digits * 2 >= plain && !text.contains("://") && !is_date(text);
    let is_code = plain >= 20 && digits >= 2 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
    // `--config=/etc/x` names what stands behind the sign.
    let pieces = || text.split(['=', ':', '@', '?']).filter(|piece| !piece.is_empty());
    let is_path =
        pieces().any(|piece| piece.starts_with(['/', '~', '\\'])) || text.contains("../") || text.contains(":\\");
    // Or a file: `notes.txt` names something, too.
    let is_host = pieces().any(|piece| {
        let host = piece.split('/').next().unwrap_or_default();
        let labels = host.contains('.') && host.split('.').all(|label| !label.is_empty() && !label.contains(' '));
        let last = host.rsplit('.').next().unwrap_or_default();
        labels && last.len() >= 2 && (last.chars().all(char::is_alphabetic) || last.starts_with("xn--"))
    });
    let is_address = text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok();
    let is_hidden = text.contains("%40") || text.contains("%2e") || text.contains("%2E") || text.contains('＠');
    let is_handle = text.len() > 1 && text.starts_with(['@', '#']);
    text.contains('@')
        || text.contains("://")
        || is_number
        || is_code
        || is_path
        || is_host
        || is_handle
        || is_address
        || is_hidden
}

/// Whether it is a number that people write in groups: an account, a card, a telephone.
fn is_grouped(text: &str) -> bool {
    let number = text.chars().all(|c| c.is_ascii_alphanumeric() || " -+()".contains(c));
    number && text.chars().filter(char::is_ascii_digit).count() >= 6
}

/// `2026-01-31`, with a time or without: nobody is sent anything by it.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(10).collect();
    let part = |from: usize, most: u32| {
        text.get(from..from + 2).and_then(|part| part.parse().ok()).is_some_and(|part: u32| part <= most)
    };
    let rest = text.get(10..).unwrap_or_default();
    let time = rest.is_empty()
        || rest.len() <= 25
            && rest.starts_with(['T', ' '])
            && rest.chars().all(|c| c.is_ascii_digit() || "TZ:.+- ".contains(c));
    shape == "0000-00-00" && part(5, 12) && part(8, 31) && time
}

fn is_known(config: &Config, value: &str) -> bool {
    let lower = value.trim().to_lowercase();
    // A glob means one name: nothing that could hold two.
    let one = !lower.contains(|c: char| c.is_whitespace() || c.is_control() || ",;\"<>\\".contains(c))
        && lower.matches('@').count() <= 1
        // Ways that mail takes over another host, and letters that are read in two ways.
        && !(lower.contains('@') && (!lower.is_ascii() || lower.contains(['%', '!', ':'])));
    let squeezed: String = lower.chars().filter(|c| !c.is_whitespace()).collect();
    config
        .known
        .iter()
        .any(|known| (one && known.matches(&lower)) || known.matches(&squeezed) && !lower.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_words() {
        for name in [
            "DE02120300000000202051",
            "DE02 1203 0000 0000 2020 51",
            "ann@acme.example",
            "https://a.example/x",
            "www.a.example",
            "/etc/passwd",
            "~/x",
            "../x",
            "C:\\x",
            "+49 30 123456",
            "12345678",
            "@ann",
            "#general",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        ] {
            assert!(is_name_of_something(name), "{name}");
        }
        for words in [
            "hello",
            "Meeting at 10",
            "2026-01-31",
            "2026-01-31T10:00:00Z",
            "high",
            "EUR",
            "12.50",
            "e.g.",
            "Dear Ann",
        ] {
            assert!(!is_name_of_something(words), "{words}");
        }
    }

    #[test]
    fn lists_fall_into_their_names() {
        let of = |text| items(text).collect::<Vec<_>>();
        assert_eq!(of("a@x.example, <b@x.example>; c@x.example"), ["a@x.example", "b@x.example", "c@x.example"]);
        assert_eq!(of("DE02 1203 0000 0000 2020 51"), ["DE02 1203 0000 0000 2020 51"]);
    }
}
