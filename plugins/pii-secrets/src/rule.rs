//! A rule says how a fixed-length number is written and checked; a window is a stretch of text that rules are tried on.

use crate::bytes::{self, DIGIT, LETTER};
use crate::kinds::Kind;

/// The longest number that rules describe: an IBAN has at most 34 characters.
pub(crate) const LONGEST: usize = 34;

/// A separator, as a bit so that a set of them is one byte.
pub(crate) const SPACE: u8 = 1;
pub(crate) const DASH: u8 = 2;
pub(crate) const DOT: u8 = 4;
pub(crate) const SLASH: u8 = 8;
pub(crate) const COLON: u8 = 16;
pub(crate) const PLUS: u8 = 32;
/// In a form: exactly these separators, mixed, instead of one of them throughout.
pub(crate) const MIXED: u8 = 128;

/// How sure a match is, from the least sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Evidence {
    /// The format fits, the check digit does not: counts only when the operator asks for every doubt.
    Unchecked,
    /// Chance alone would produce it too often: counts beside a word that names it.
    Weak,
    /// Counts by itself.
    Firm,
}

/// One way to write a number: group lengths as hexadecimal digits (`0x324` is 3-2-4) and the separators between them.
#[derive(Clone, Copy)]
struct Form {
    groups: u64,
    separators: u8,
    evidence: Evidence,
}

/// How one kind of number is written in one country. Built by [`rule`] and the methods below it.
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    /// ISO 3166 code; empty when the number belongs to no country.
    pub(crate) country: &'static str,
    /// One character per place: `9` a digit, `A` a letter, `X` either.
    pub(crate) shape: &'static [u8],
    check: fn(&[u8]) -> bool,
    bare: Option<Evidence>,
    forms: [Option<Form>; 3],
    loose: u8,
    /// Every separator that some way of writing has: most windows are refused by this one look.
    separators: u8,
    upper: bool,
    format_alone: Option<fn(&[u8]) -> bool>,
}

/// A rule whose number counts when it is written without separators and `check` accepts its upper-case characters.
pub(crate) const fn rule(kind: Kind, country: &'static str, shape: &'static str, check: fn(&[u8]) -> bool) -> Rule {
    Rule {
        kind,
        country,
        shape: shape.as_bytes(),
        check,
        bare: Some(Evidence::Firm),
        forms: [None; 3],
        loose: 0,
        separators: 0,
        upper: false,
        format_alone: None,
    }
}

impl Rule {
    /// Written without separators it needs a word beside it: about one in fifty random numbers or more would pass.
    pub(crate) const fn weak(mut self) -> Rule {
        self.bare = Some(Evidence::Weak);
        self
    }

    /// It is never written without separators.
    pub(crate) const fn never_bare(mut self) -> Rule {
        self.bare = None;
        self
    }

    /// A grouping that hardly anything else has.
    pub(crate) const fn form(self, groups: u64, separators: u8) -> Rule {
        self.with(groups, separators, Evidence::Firm)
    }

    /// A grouping that other numbers have as well.
    pub(crate) const fn weak_form(self, groups: u64, separators: u8) -> Rule {
        self.with(groups, separators, Evidence::Weak)
    }

    const fn with(mut self, groups: u64, separators: u8, evidence: Evidence) -> Rule {
        let form = Some(Form { groups, separators, evidence });
        self.separators |= separators;
        match self.forms {
            [None, _, _] => self.forms[0] = form,
            [_, None, _] => self.forms[1] = form,
            [_, _, None] => self.forms[2] = form,
            _ => panic!("a rule has three forms at most"),
        }
        self
    }

    /// Any other grouping with one of these separators throughout is weak.
    pub(crate) const fn loose(mut self, separators: u8) -> Rule {
        self.loose = separators;
        self.separators |= separators;
        self
    }

    /// Lower-case letters make it weak: the issuer prints capitals, and hexadecimal text is lower-case.
    pub(crate) const fn upper(mut self) -> Rule {
        self.upper = true;
        self
    }

    /// The format, given by this second check, is telling enough that a wrong check character is a doubt and no refusal.
    pub(crate) const fn format_alone(mut self, format: fn(&[u8]) -> bool) -> Rule {
        self.format_alone = Some(format);
        self
    }

    /// Whether the number has a letter, always or sometimes.
    pub(crate) fn may_have_letters(&self) -> bool {
        self.shape.iter().any(|place| *place != b'9')
    }

    /// Whether the number may consist of digits alone.
    pub(crate) fn may_be_digits(&self) -> bool {
        !self.shape.contains(&b'A')
    }

    /// How sure it is that the window holds this number.
    pub(crate) fn evidence(&self, window: &Window) -> Option<Evidence> {
        let mut evidence = self.written(window)?;
        let compact = window.compact();
        if !self.fits(compact) {
            return None;
        }
        if self.upper && window.has_lower {
            evidence = Evidence::Weak;
        }
        if (self.check)(compact) {
            return Some(evidence);
        }
        let format = self.format_alone?;
        format(compact).then_some(Evidence::Unchecked)
    }

    /// Whether these characters without separators fit the shape and the check.
    #[cfg(test)]
    pub(crate) fn accepts(&self, compact: &[u8]) -> bool {
        self.bare.is_some() && self.fits(compact) && (self.check)(compact)
    }

    fn written(&self, window: &Window) -> Option<Evidence> {
        let used = window.separators;
        if used == 0 {
            return self.bare;
        }
        if used & !self.separators != 0 {
            return None;
        }
        let uniform = used.is_power_of_two();
        let form = self.forms.iter().flatten().find(|form| {
            let fits = form.separators == used | MIXED || uniform && form.separators & used != 0;
            fits && form.groups == window.groups
        });
        let loose = uniform && self.loose & used != 0;
        form.map(|form| form.evidence).or(loose.then_some(Evidence::Weak))
    }

    fn fits(&self, compact: &[u8]) -> bool {
        let place = |(byte, shape): (&u8, &u8)| match shape {
            b'9' => bytes::is(*byte, DIGIT),
            b'A' => bytes::is(*byte, LETTER),
            _ => true,
        };
        compact.len() == self.shape.len() && compact.iter().zip(self.shape).all(place)
    }
}

/// Groups of letters and digits joined by single separators.
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) separators: u8,
    pub(crate) has_letter: bool,
    /// Lengths of the groups so far, four bits each.
    pub(crate) groups: u64,
    has_lower: bool,
    length: usize,
    characters: [u8; LONGEST],
}

impl Window {
    /// An empty window that starts here.
    pub(crate) fn new(start: usize) -> Window {
        Window {
            start,
            end: start,
            separators: 0,
            has_letter: false,
            groups: 0,
            has_lower: false,
            length: 0,
            characters: [0; LONGEST],
        }
    }

    /// Takes the next group; false when the window would be longer than any number.
    pub(crate) fn push(&mut self, text: &[u8], start: usize, end: usize) -> bool {
        let room = self.characters.get_mut(self.length..self.length + (end - start));
        let Some(room) = room else {
            return false;
        };
        for (place, byte) in room.iter_mut().zip(&text[start..end]) {
            *place = byte.to_ascii_uppercase();
            self.has_letter |= *byte > b'9';
            self.has_lower |= *byte > b'Z';
        }
        self.length += end - start;
        self.groups = self.groups << 4 | (end - start).min(15) as u64;
        self.end = end;
        true
    }

    /// The characters without separators, letters in upper case.
    pub(crate) fn compact(&self) -> &[u8] {
        &self.characters[..self.length]
    }

    /// How long the last group is.
    pub(crate) fn last_group(&self) -> usize {
        (self.groups & 15) as usize
    }
}

/// Whether some number is written with these separators: one of them throughout, or dots, slashes and a dash.
pub(crate) fn may_be_mixed(separators: u8) -> bool {
    separators.is_power_of_two() || separators & !(DOT | SLASH | DASH) == 0
}

/// The separator that starts here: its bit and how many bytes it has.
pub(crate) fn separator(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match bytes::at(text, at) {
        b' ' => Some((SPACE, 1)),
        b'-' => Some((DASH, 1)),
        b'.' => Some((DOT, 1)),
        b'/' => Some((SLASH, 1)),
        b':' => Some((COLON, 1)),
        b'+' => Some((PLUS, 1)),
        // No-break space, and what typesetting makes of spaces and hyphens.
        0xC2 if bytes::at(text, at + 1) == 0xA0 => Some((SPACE, 2)),
        0xE2 if bytes::at(text, at + 1) == 0x80 => match bytes::at(text, at + 2) {
            0x80..=0x8A | 0xAF => Some((SPACE, 3)),
            0x90..=0x93 => Some((DASH, 3)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = rule(Kind::UsSsn, "US", "999999999", |digits| digits[0] != b'0')
        .weak()
        .form(0x324, DASH | DOT)
        .form(0x333, MIXED | DOT | DASH)
        .loose(SPACE);

    #[track_caller]
    fn check(text: &str, evidence: Option<Evidence>) {
        let text = text.as_bytes();
        let mut window = Window::new(0);
        let mut start = 0;
        loop {
            let end = bytes::run(text, start, 40, bytes::WORD);
            assert!(window.push(text, start, end));
            let Some((bit, length)) = separator(text, end) else { break };
            window.separators |= bit;
            start = end + length;
        }
        assert_eq!(RULE.evidence(&window), evidence);
    }

    #[test]
    fn the_way_of_writing_decides_how_sure_it_is() {
        check("123456789", Some(Evidence::Weak));
        check("123-45-6789", Some(Evidence::Firm));
        check("123.45.6789", Some(Evidence::Firm));
        check("123\u{2011}45\u{2013}6789", Some(Evidence::Firm));
        check("123 45 6789", Some(Evidence::Weak));
        check("1 2345\u{a0}6789", Some(Evidence::Weak));
        check("123.456-789", Some(Evidence::Firm));
        check("123-45.6789", None);
        check("12-345-6789", None);
        check("12345678", None);
        check("12345678A", None);
        check("023456789", None);
    }

    #[test]
    fn a_window_is_never_longer_than_a_number() {
        let text = [b'7'; 40];
        let mut window = Window::new(0);
        assert!(window.push(&text, 0, 34));
        assert!(!window.push(&text, 34, 35));
        assert_eq!(window.compact().len(), 34);
    }
}
