//! The one pass over a text.
//!
//! ```text
//! bytes ── words ──┬── secrets (prefix, assignment)          ┐
//!                  ├── numbers (windows of groups ── rules)  ├── candidates ── overlap ── findings
//!          signs ──┴── @ e-mail   + ( phone   : IPv6         ┘
//! ```
//!
//! Every byte is read once by the pass; whatever looks around a candidate has a limit, so the work is linear.

use std::ops::Range;

use crate::bytes::{self, DIGIT, HEX, LETTER, TRIGGER, UNDERSCORE, WORD};
use crate::kinds::{Kind, Kinds};
use crate::overlap::{self, Found};
use crate::rule::{Evidence, LONGEST, Rule, SPACE, Window, may_be_mixed, separator};
use crate::{assignment, contact, context, finance, national, network, secrets};

/// An IBAN in quarters has nine groups, and nothing has more.
const MOST_GROUPS: usize = 9;

/// More readings than this in one text are answered as too many instead of being sorted.
const MOST_FOUND: usize = 4096;

/// What a scan came to.
#[derive(Debug, Default)]
pub struct Scan {
    /// In the order of the text, without overlaps.
    pub found: Vec<Found>,
    /// Whether the text holds more than a scan keeps; `found` is then incomplete.
    pub too_many: bool,
    /// How many groups, rules and signs were looked at: the work beyond the pass itself.
    pub steps: usize,
}

/// What to look for, with the rules by length.
pub struct Detector {
    kinds: Kinds,
    every_doubt: bool,
    secrets: bool,
    digits: [Vec<&'static Rule>; LONGEST + 1],
    mixed: [Vec<&'static Rule>; LONGEST + 1],
}

impl Detector {
    /// Looks for these kinds in these countries (ISO 3166 codes; `None` for all). With `every_doubt`, patterns count
    /// without a word beside them.
    pub fn new(kinds: Kinds, countries: Option<&[String]>, every_doubt: bool) -> Detector {
        let secrets = crate::KINDS.iter().any(|kind| kind.is_secret() && kinds.has(*kind));
        let none = || std::array::from_fn(|_| Vec::new());
        let mut detector = Detector { kinds, every_doubt, secrets, digits: none(), mixed: none() };
        let applies = |country: &str| {
            country.is_empty() || countries.is_none_or(|countries| countries.iter().any(|code| code == country))
        };
        for rule in finance::RULES.iter().chain(contact::RULES).chain(national::rules()) {
            if !kinds.has(rule.kind) || !applies(rule.country) {
                continue;
            }
            let length = rule.shape.len();
            if rule.may_be_digits() {
                detector.digits[length].push(rule);
            }
            if rule.may_have_letters() {
                detector.mixed[length].push(rule);
            }
        }
        detector
    }

    /// Finds what the text holds.
    pub fn scan(&self, text: &str) -> Scan {
        let mut pass = Pass::new(self, text.as_bytes());
        pass.run();
        Scan { found: overlap::resolve(pass.found), too_many: pass.too_many, steps: pass.steps }
    }
}

struct Pass<'a> {
    detector: &'a Detector,
    text: &'a [u8],
    found: Vec<Found>,
    too_many: bool,
    steps: usize,
    /// Runs of base64 that were refused reach to here; reading them again from each of their words would be quadratic.
    no_jwt_before: usize,
    /// The same for long values that are no secrets.
    no_value_before: usize,
}

impl<'a> Pass<'a> {
    fn new(detector: &'a Detector, text: &'a [u8]) -> Pass<'a> {
        Pass { detector, text, found: Vec::new(), too_many: false, steps: 0, no_jwt_before: 0, no_value_before: 0 }
    }

    fn run(&mut self) {
        let text = self.text;
        let mut index = 0;
        while let Some(byte) = text.get(index) {
            let class = bytes::class(*byte);
            if class & WORD == 0 {
                index = if class & TRIGGER == 0 { index + 1 } else { self.sign(*byte, index) };
                continue;
            }
            let start = index;
            let mut seen = 0;
            while let Some(byte) = text.get(index) {
                let class = bytes::class(*byte);
                if class & WORD == 0 {
                    break;
                }
                seen |= class;
                index += 1;
            }
            index = self.word(start, index, seen);
            if self.too_many {
                return;
            }
        }
    }

    /// Looks at a sign that may belong to a candidate; where the pass goes on.
    fn sign(&mut self, sign: u8, index: usize) -> usize {
        self.steps += 1;
        let (text, kinds) = (self.text, self.detector.kinds);
        let next = bytes::at(text, index + 1);
        match sign {
            b'@' => {
                if kinds.has(Kind::UrlPassword) {
                    self.firm(Kind::UrlPassword, assignment::url_password(text, index));
                }
                if kinds.has(Kind::Email) {
                    self.firm(Kind::Email, contact::email(text, index));
                }
            }
            b':' if next == b':' && kinds.has(Kind::Ip) => return self.ipv6(index).unwrap_or(index + 1),
            b'+' if bytes::is(next, DIGIT) && kinds.has(Kind::Phone) => {
                self.firm(Kind::Phone, contact::international(text, index));
            }
            b'(' if bytes::is(next, DIGIT) && kinds.has(Kind::Phone) => {
                self.firm(Kind::Phone, contact::bracketed(text, index));
            }
            _ => {}
        }
        index + 1
    }

    /// Looks at a word; where the pass goes on.
    fn word(&mut self, start: usize, end: usize, seen: u8) -> usize {
        let next = bytes::at(self.text, end);
        if self.detector.secrets
            && let Some(end) = self.secret(start, end, seen, next)
        {
            return end;
        }
        let length = end - start;
        if seen & UNDERSCORE != 0 || seen & DIGIT == 0 && length > 4 {
            return end;
        }
        if matches!(next, b':' | b'.' | b'-')
            && length <= 4
            && let Some(end) = self.address(start, end, seen, next)
        {
            return end;
        }
        if seen & DIGIT != 0 {
            if (14..=90).contains(&length) && self.detector.kinds.has(Kind::Crypto) {
                let evidence = finance::crypto(&self.text[start..end]);
                self.weigh(Kind::Crypto, evidence, start, end);
            }
            self.windows(start, end);
        } else if (length <= 2 || length == 3 && self.text[start] <= b'Z') && self.is_digit_behind(end) {
            self.windows(start, end);
        }
        end
    }

    fn is_digit_behind(&self, end: usize) -> bool {
        separator(self.text, end).is_some_and(|(_, length)| bytes::is(bytes::at(self.text, end + length), DIGIT))
    }

    /// A secret that starts with this word, or that this word names; where the pass goes on behind the former.
    fn secret(&mut self, start: usize, end: usize, seen: u8, next: u8) -> Option<usize> {
        let text = self.text;
        let long = end - start >= 16 || seen & (DIGIT | UNDERSCORE) != 0 || matches!(next, b'-' | b'.');
        let found = match &text[start..end] {
            b"BEGIN" => secrets::pem(text, start),
            [b'e', b'y', b'J', ..] => self.jwt(start),
            _ if long => secrets::prefixed(text, start),
            _ => None,
        };
        if let Some((kind, span)) = found.filter(|(kind, _)| self.detector.kinds.has(*kind)) {
            let end = span.end;
            self.firm(kind, Some(span));
            return Some(end);
        }
        let assigns = match next {
            b'=' | b':' | b'"' | b'\'' | b'`' => true,
            b' ' => matches!(bytes::at(text, end + 1), b'=' | b':'),
            _ => false,
        };
        if assigns && start >= self.no_value_before && self.detector.kinds.has(Kind::Password) {
            self.steps += 1;
            // The value may turn out to hold something else as well: the pass goes through it.
            match assignment::assigned(text, start, end) {
                Some(assignment::Value::Secret(span)) => self.firm(Kind::Password, Some(span)),
                Some(assignment::Value::Other(end)) => self.no_value_before = end,
                None => {}
            }
        }
        None
    }

    fn jwt(&mut self, start: usize) -> Option<(Kind, Range<usize>)> {
        if start < self.no_jwt_before {
            return None;
        }
        match secrets::jwt(self.text, start) {
            Ok(span) => Some((Kind::Jwt, span)),
            Err(end) => {
                self.no_jwt_before = end;
                None
            }
        }
    }

    /// An IP or MAC address that starts with this short word.
    fn address(&mut self, start: usize, end: usize, seen: u8, next: u8) -> Option<usize> {
        let (text, kinds) = (self.text, self.detector.kinds);
        if !text[start..end].iter().all(|byte| bytes::is(*byte, HEX)) {
            return None;
        }
        self.steps += 1;
        if kinds.has(Kind::Mac)
            && (next == b'.') == (end - start == 4)
            && let Some(span) = network::mac(text, start)
        {
            let end = span.end;
            self.firm(Kind::Mac, Some(span));
            return Some(end);
        }
        if !kinds.has(Kind::Ip) {
            return None;
        }
        match next {
            b':' => self.ipv6(start),
            b'.' if seen & LETTER == 0 => {
                let span = network::ipv4(text, start)?;
                let end = span.end;
                self.firm(Kind::Ip, Some(span));
                Some(end)
            }
            _ => None,
        }
    }

    fn ipv6(&mut self, start: usize) -> Option<usize> {
        let (span, evidence) = network::ipv6(self.text, start)?;
        self.weigh(Kind::Ip, Some(evidence), span.start, span.end).then_some(span.end)
    }

    /// Tries the rules on every window that starts with this word and goes on group by group.
    fn windows(&mut self, start: usize, first_end: usize) {
        let text = self.text;
        let mut window = Window::new(start);
        let (mut from, mut end) = (start, first_end);
        let mut after_letters = false;
        let may_be_iban = bytes::is(text[start], LETTER) && bytes::is(bytes::at(text, start + 2), DIGIT);
        for _ in 0..MOST_GROUPS {
            if !window.push(text, from, end) {
                return;
            }
            self.steps += 1;
            self.window(&window);
            let Some((bit, length)) = separator(text, end) else { return };
            window.separators |= bit;
            if !may_be_mixed(window.separators) {
                return;
            }
            from = end + length;
            end = bytes::run(text, from, LONGEST + 1, LETTER | DIGIT);
            if bytes::at(text, end) == b'_' {
                return;
            }
            let letters = !text[from..end].iter().any(|byte| bytes::is(*byte, DIGIT));
            if end == from || letters && !(may_be_iban || fits_letters(&window, after_letters, &text[from..end])) {
                return;
            }
            after_letters = letters;
        }
    }

    fn window(&mut self, window: &Window) {
        let compact = window.compact();
        let kinds = self.detector.kinds;
        if window.has_letter && kinds.has(Kind::Iban) && compact.len() >= 15 && finance::is_iban(compact) {
            self.weigh(Kind::Iban, Some(Evidence::Firm), window.start, window.end);
        }
        let detector = self.detector;
        let lists = if window.has_letter { &detector.mixed } else { &detector.digits };
        for rule in &lists[compact.len()] {
            self.steps += 1;
            if let Some(evidence) = rule.evidence(window)
                && !self.is_inside(window)
            {
                self.weigh(rule.kind, Some(evidence), window.start, window.end);
            }
        }
    }

    /// Whether the window is a part of a longer number: digits go on behind the same sign.
    fn is_inside(&self, window: &Window) -> bool {
        let text = self.text;
        let digit = |index: usize| bytes::is(bytes::at(text, index), DIGIT);
        let joined = |sign: u8| matches!(sign, b'-' | b'.');
        let before = joined(bytes::before(text, window.start)) && window.start >= 2 && digit(window.start - 2);
        let behind = joined(bytes::at(text, window.end)) && digit(window.end + 1);
        before || behind || window.separators == SPACE && window.compact().len() < 16 && self.goes_on(window)
    }

    /// Whether the next group behind a space has the length of the window's last one, as in a card number's quarters.
    fn goes_on(&self, window: &Window) -> bool {
        let from = window.end + 1;
        let end = bytes::run(self.text, from, LONGEST, DIGIT);
        bytes::at(self.text, window.end) == b' '
            && end - from.min(end) == window.last_group()
            && !bytes::is(bytes::at(self.text, end), WORD)
    }

    fn firm(&mut self, kind: Kind, span: Option<Range<usize>>) {
        if let Some(span) = span {
            self.weigh(kind, Some(Evidence::Firm), span.start, span.end);
        }
    }

    /// Keeps a candidate whose evidence suffices; whether it did.
    fn weigh(&mut self, kind: Kind, evidence: Option<Evidence>, start: usize, end: usize) -> bool {
        let Some(evidence) = evidence else {
            return false;
        };
        let words = kind.info().words;
        let named = evidence > Evidence::Unchecked && context::names(self.text, start, end, words);
        if !named && evidence < Evidence::Firm && !self.detector.every_doubt {
            return false;
        }
        self.too_many |= self.found.len() >= MOST_FOUND;
        if !self.too_many {
            self.found.push(Found { kind, start, end, evidence, named });
        }
        true
    }
}

/// Whether letters alone go on a number: a check letter, or the letters of a plate or code that has letters already.
/// Lower-case words behind a number are prose, and two of them in a row always.
fn fits_letters(window: &Window, after_letters: bool, letters: &[u8]) -> bool {
    !after_letters && (letters.len() == 1 || letters.len() <= 4 && (window.has_letter || letters[0] <= b'Z'))
}

#[cfg(test)]
mod tests;
