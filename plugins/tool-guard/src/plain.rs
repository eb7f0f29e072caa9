//! Texts without what does not matter: case only, where somebody has to have said the very same; width, invisible characters,
//! letters that look alike and gaps too, where it is asked what a model may have read.

/// What does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Case.
    Exact,
    /// Case, and the gaps between the groups of a number.
    Grouped,
    /// Whatever a model reads over: only good for finding where a value may come from.
    Loose,
}

/// A text without what does not matter, and where each of its characters stood.
pub(crate) struct Plain {
    chars: Vec<char>,
    /// Byte where each character stood, and where the text ends.
    starts: Vec<usize>,
    /// Whether the character before it, as it was written, belongs to the same word.
    joined: Vec<bool>,
}

impl Plain {
    pub(crate) fn of(text: &str, reading: Reading) -> Plain {
        let fold = |written| if reading == Reading::Loose { fold(written) } else { lower(written) };
        let mut plain = Plain {
            chars: Vec::with_capacity(text.len()),
            starts: Vec::with_capacity(text.len() + 1),
            joined: Vec::new(),
        };
        let mut before = ' ';
        let mut rest = text.char_indices().peekable();
        while let Some((at, written)) = rest.next() {
            if reading == Reading::Loose && is_invisible(written) {
                continue;
            }
            let folded = fold(written);
            // A dot or the like joins two words only where another one follows.
            let next = rest.peek().map_or(' ', |(_, next)| fold(*next));
            if reading == Reading::Exact || !is_gap(folded) {
                plain.chars.push(folded);
                plain.starts.push(at);
                plain.joined.push(is_word(before));
            }
            before = if is_joint(folded) && (is_word(next) || is_joint(next)) { 'j' } else { folded };
        }
        plain.starts.push(text.len());
        plain
    }

    /// Where `value` stands in it as a word of its own, in bytes of the text it was made from.
    pub(crate) fn find(&self, value: &Plain, text: &str) -> Option<std::ops::Range<usize>> {
        let (mine, wanted) = (&self.chars, &value.chars);
        if wanted.is_empty() || wanted.len() > mine.len() {
            return None;
        }
        let first = wanted[0];
        (0..=mine.len() - wanted.len()).find_map(|place| {
            let end = place + wanted.len();
            let found = mine[place] == first && mine[place..end] == wanted[..];
            // What goes on before or after it is another name, such as `a.example` in `a.example.org`.
            let whole = found && !(self.joined[place] && is_word(wanted[0])) && !self.goes_on(end, text);
            whole.then(|| self.starts[place]..self.after(end, text))
        })
    }

    fn goes_on(&self, end: usize, text: &str) -> bool {
        let mut rest = text[self.after(end, text)..].chars().filter(|next| !is_invisible(*next)).map(fold);
        match rest.next() {
            Some(next) if is_word(next) => is_word(self.chars[end - 1]),
            Some(next) if is_joint(next) => rest.next().is_some_and(is_word),
            _ => false,
        }
    }

    /// The byte behind the character before `end`.
    fn after(&self, end: usize, text: &str) -> usize {
        let start = self.starts[end - 1];
        start + text[start..].chars().next().map_or(0, char::len_utf8)
    }
}

/// Letters that look like Latin ones, full width, and capitals, as what they are read as.
fn fold(written: char) -> char {
    if written.is_ascii() {
        return written.to_ascii_lowercase();
    }
    let narrow = match written {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(written as u32 - 0xfee0).unwrap_or(written),
        'а' | 'А' | 'α' | 'Α' => 'a',
        'В' | 'Β' => 'b',
        'с' | 'С' => 'c',
        'е' | 'Е' | 'Ε' => 'e',
        'Н' | 'Η' => 'h',
        'і' | 'І' | 'ι' | 'Ι' => 'i',
        'ј' | 'Ј' => 'j',
        'К' | 'κ' | 'Κ' => 'k',
        'М' | 'Μ' => 'm',
        'о' | 'О' | 'ο' | 'Ο' => 'o',
        'р' | 'Р' | 'ρ' | 'Ρ' => 'p',
        'ѕ' | 'Ѕ' => 's',
        'Т' | 'Τ' => 't',
        'х' | 'Х' | 'Χ' => 'x',
        'у' | 'У' | 'Υ' => 'y',
        _ => written,
    };
    lower(narrow)
}

fn lower(written: char) -> char {
    if written.is_ascii() {
        return written.to_ascii_lowercase();
    }
    let mut lower = written.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => written,
    }
}

fn is_invisible(written: char) -> bool {
    !written.is_ascii()
        && matches!(written, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// What people put between the groups of a number.
fn is_gap(folded: char) -> bool {
    folded.is_whitespace() || folded == '-' || folded == '\u{2010}' || folded == '\u{2011}' || folded == '\u{2013}'
}

fn is_word(folded: char) -> bool {
    if folded.is_ascii() { folded.is_ascii_alphanumeric() } else { folded.is_alphanumeric() }
}

/// What may stand within a name.
fn is_joint(folded: char) -> bool {
    matches!(folded, '.' | '@' | '_' | '-' | '/' | '+' | ':' | '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(text: &'t str, value: &str) -> Option<&'t str> {
        found_by(Reading::Loose, text, value)
    }

    fn found_by<'t>(reading: Reading, text: &'t str, value: &str) -> Option<&'t str> {
        Plain::of(text, reading).find(&Plain::of(value, reading), text).map(|span| &text[span])
    }

    #[test]
    fn what_looks_alike_is_not_what_was_said() {
        let said = "mail ann-smith@acme.example and pay DE02 1203 0000 0000 2020 51";
        for value in [
            "аnn-smith@acme.example",
            "annsmith@acme.example",
            "ann-smith\u{200b}@acme.example",
            "ann‐smith@acme.example",
        ] {
            assert_eq!(found_by(Reading::Exact, said, value), None, "{value}");
            assert!(found_by(Reading::Loose, said, value).is_some(), "{value}");
        }
        assert_eq!(found_by(Reading::Exact, said, "Ann-Smith@ACME.example"), Some("ann-smith@acme.example"));
        assert_eq!(found_by(Reading::Grouped, said, "DE02120300000000202051"), Some("DE02 1203 0000 0000 2020 51"));
        assert_eq!(found_by(Reading::Exact, said, "DE02120300000000202051"), None);
    }

    #[test]
    fn a_value_is_found_as_it_is_read() {
        for (text, value, shown) in [
            ("pay to DE02 1203 0000 0000 2020 51, please", "DE02120300000000202051", "DE02 1203 0000 0000 2020 51"),
            ("to Ann@Acme.Example.", "ann@acme.example", "Ann@Acme.Example"),
            ("to a\u{200b}nn@acme.example", "ann@acme.example", "a\u{200b}nn@acme.example"),
            ("to аnn@аcme.exаmple now", "ann@acme.example", "аnn@аcme.exаmple"),
            ("ｄｅ０２ there", "DE02", "ｄｅ０２"),
            ("see <https://acme.example/a?b=c>", "https://acme.example/a?b=c", "https://acme.example/a?b=c"),
            ("(+49 30 1234-567)", "+49301234567", "+49 30 1234-567"),
        ] {
            assert_eq!(found(text, value), Some(shown), "{text}");
        }
    }

    #[test]
    fn a_part_of_another_name_is_not_it() {
        for (text, value) in [
            ("to ann@acme.example.org", "ann@acme.example"),
            ("to joann@acme.example", "ann@acme.example"),
            ("to x.ann@acme.example", "ann@acme.example"),
            ("account 1234567", "123456"),
            ("account 1234567", "234567"),
            ("https://acme.example/a", "https://acme.example"),
            ("https://acme.example.evil.test", "https://acme.example"),
            ("", "a"),
        ] {
            assert_eq!(found(text, value), None, "{text}");
        }
        assert_eq!(found("mail ann@acme.example. Then", "ann@acme.example"), Some("ann@acme.example"));
        assert_eq!(found("a", ""), None);
    }
}
