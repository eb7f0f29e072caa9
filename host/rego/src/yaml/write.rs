//! From a value to a text as Go's `yaml.v3` writes it: blocks with two spaces for each level, keys in natural order, as few quotes
//! as leave the meaning.

use std::cmp::Ordering;

use super::scalar::{Scalar, plain};
use crate::marshal::name;
use crate::sprintf::float;
use crate::value::{Number, Value};
use crate::{Context, Error};

/// Spaces for each level.
const STEP: usize = 2;
/// A key of more bytes than this gets a line of its own.
const LONGEST_KEY: usize = 128;

pub(super) fn written(context: &Context, value: &Value) -> Result<String, Error> {
    let mut writer = Writer { context, out: String::new(), joins: false };
    writer.node(value, None)?;
    if !writer.out.ends_with('\n') {
        writer.out.push('\n');
    }
    Ok(writer.out)
}

struct Writer<'a> {
    context: &'a Context,
    out: String,
    /// Whether a sign has just been written that the first line of a block goes behind: `-`, `?` and their `:`.
    joins: bool,
}

/// The ways to write a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

impl Writer<'_> {
    /// Writes a node that is part of a block with this indent.
    fn node(&mut self, value: &Value, outer: Option<usize>) -> Result<(), Error> {
        self.context.work(1)?;
        let indent = outer.map_or(0, |outer| outer + STEP);
        match value {
            Value::Null => self.word("null"),
            Value::Bool(value) => self.word(&value.to_string()),
            Value::Number(number) => self.word(&digits(number)),
            Value::String(text) => {
                let style = style(text, false)?;
                self.text(text, style, outer.unwrap_or(0) + STEP)
            }
            Value::Array(members) => self.list(members.iter(), indent),
            Value::Set(members) => self.list(members.iter(), indent),
            Value::Object(members) if members.is_empty() => self.word("{}"),
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().map(|(key, value)| (name(key), value)).collect();
                self.context.work(members.iter().map(|(key, _)| 16 + key.len() as u64).sum())?;
                members.sort_by(|(one, _), (another, _)| natural(one, another));
                members.iter().try_for_each(|(key, value)| self.member(key, value, indent))
            }
        }
    }

    fn list<'v>(&mut self, members: impl ExactSizeIterator<Item = &'v Value>, indent: usize) -> Result<(), Error> {
        if members.len() == 0 {
            return self.word("[]");
        }
        for member in members {
            self.line(indent)?;
            self.sign("-")?;
            self.node(member, Some(indent))?;
        }
        Ok(())
    }

    fn member(&mut self, key: &str, value: &Value, indent: usize) -> Result<(), Error> {
        self.line(indent)?;
        if key.len() <= LONGEST_KEY && !key.contains(['\n', '\u{2028}', '\u{2029}']) {
            self.text(key, style(key, true)?, indent + STEP)?;
            self.push(":")?;
        } else {
            self.sign("?")?;
            self.text(key, style(key, false)?, indent + STEP)?;
            self.line(indent)?;
            self.sign(":")?;
        }
        self.node(value, Some(indent))
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.context.work(1 + text.len() as u64)?;
        self.out.push_str(text);
        Ok(())
    }

    /// A sign that the first line of a block goes behind.
    fn sign(&mut self, sign: &str) -> Result<(), Error> {
        self.push(sign)?;
        self.joins = true;
        Ok(())
    }

    /// Begins a line of a block, behind a sign where there is one.
    fn line(&mut self, indent: usize) -> Result<(), Error> {
        if std::mem::take(&mut self.joins) {
            return self.push(" ");
        }
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.push("\n")?;
        }
        self.context.work(indent as u64)?;
        self.out.extend(std::iter::repeat_n(' ', indent));
        Ok(())
    }

    /// A word behind whatever is on its line.
    fn word(&mut self, word: &str) -> Result<(), Error> {
        self.joins = false;
        if !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
            self.push(" ")?;
        }
        self.push(word)
    }

    fn text(&mut self, text: &str, style: Style, indent: usize) -> Result<(), Error> {
        self.context.work(text.len() as u64)?;
        match style {
            Style::Plain => self.word(text),
            Style::Single => self.word(&single(text, indent)),
            Style::Double => self.word(&double(text)),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn literal(&mut self, text: &str, indent: usize) -> Result<(), Error> {
        let step = if text.starts_with([' ', '\n']) { STEP.to_string() } else { String::new() };
        let end = match text.strip_suffix('\n') {
            None => "-",
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => "+",
            Some(_) => "",
        };
        self.word(&format!("|{step}{end}\n"))?;
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                self.line(indent)?;
            }
            self.push(line)?;
        }
        Ok(())
    }
}

/// Digits as Go has them: whole numbers of 64 bits, and doubles.
fn digits(number: &Number) -> String {
    match plain(number.as_str()) {
        Scalar::Whole(whole) => whole.to_string(),
        Scalar::Float(amount) => float::shortest(amount),
        _ => number.as_str().to_owned(),
    }
}

/// How a text is written so that it stays one.
fn style(text: &str, key: bool) -> Result<Style, Error> {
    let is_control = |letter: char| matches!(letter, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(is_control) {
        return Err("yaml: control characters are not allowed".into());
    }
    let facts = Facts::of(text);
    let literal = facts.literal_allowed && !key;
    Ok(if text.contains('\n') {
        if literal { Style::Literal } else { Style::Double }
    } else if !matches!(plain(text), Scalar::Text(_)) || is_sexagesimal(text) || is_old_bool(text) {
        Style::Double
    } else if facts.plain_allowed {
        Style::Plain
    } else if facts.single_allowed {
        Style::Single
    } else {
        Style::Double
    })
}

/// What a text allows, as libyaml's emitter has it.
struct Facts {
    plain_allowed: bool,
    single_allowed: bool,
    literal_allowed: bool,
}

impl Facts {
    fn of(text: &str) -> Facts {
        let is_break = |letter: char| matches!(letter, '\n' | '\u{2028}' | '\u{2029}');
        let is_special = |letter: char| {
            !matches!(letter, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                || letter == '\u{feff}'
        };
        let pairs = || text.chars().zip(text.chars().skip(1));
        let ends = |is: &dyn Fn(char) -> bool| text.starts_with(is) || text.ends_with(is);
        let special = text.contains(is_special);
        let space_break = pairs().any(|(one, next)| one == ' ' && is_break(next));
        let break_space = pairs().any(|(one, next)| is_break(one) && next == ' ');
        let single = !break_space && !space_break && !special && !text.contains('\t');
        let signs = indicates(text) || text.contains(is_break) || ends(&|letter| letter == ' ');
        Facts {
            plain_allowed: single && !signs,
            single_allowed: single,
            literal_allowed: !text.ends_with(' ') && !space_break && !special,
        }
    }
}

/// Whether a text would be taken for something else than one in a block.
fn indicates(text: &str) -> bool {
    let is_blank = |letter: Option<char>| letter.is_none_or(|letter| matches!(letter, ' ' | '\t'));
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return false };
    let at_first = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => true,
        '?' | ':' | '-' => is_blank(letters.next()),
        _ => text.starts_with("..."),
    };
    at_first
        || text.starts_with("---")
        || text.ends_with(':')
        || [": ", ":\t", " #", "\t#"].iter().any(|sign| text.contains(sign))
        || ["\n#", "\u{2028}#", "\u{2029}#"].iter().any(|sign| text.contains(sign))
}

/// `12:30:45` is a number to base 60 in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = whole.split(':');
    let is_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit() || digit == b'_');
    let first = groups
        .next()
        .is_some_and(|first| first.starts_with(|digit: char| digit.is_ascii_digit()) && is_digits(first));
    let mut rest = 0;
    let sixty = groups.all(|group| {
        rest += 1;
        matches!(group.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    first && sixty && rest > 0 && is_digits(fraction)
}

/// What is a truth value in YAML 1.1.
fn is_old_bool(text: &str) -> bool {
    let words = ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    words.contains(&text)
}

/// A text in single quotes. What breaks a line and is no line feed goes on at the indent.
fn single(text: &str, indent: usize) -> String {
    let mut out = "'".to_owned();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push_str(if letter == '\'' { "'" } else { "" });
        out.push(letter);
        let breaks = |letter: &char| matches!(letter, '\u{2028}' | '\u{2029}');
        if breaks(&letter) && letters.peek().is_some_and(|next| !breaks(next)) {
            out.extend(std::iter::repeat_n(' ', indent));
        }
    }
    out + "'"
}

/// A text in double quotes.
fn double(text: &str) -> String {
    let mut out = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' => out.push(letter),
            _ if u32::from(letter) <= 0xff => out.push_str(&format!("\\x{:02X}", u32::from(letter))),
            _ if u32::from(letter) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ => out.push_str(&format!("\\U{:08X}", u32::from(letter))),
        }
    }
    out + "\""
}

/// The order of keys: digits by their number, letters behind what is none.
fn natural(one: &str, another: &str) -> Ordering {
    let (one, another): (Vec<char>, Vec<char>) = (one.chars().collect(), another.chars().collect());
    let Some(place) = one.iter().zip(&another).position(|(one, another)| one != another) else {
        return one.len().cmp(&another.len());
    };
    let (first, second) = (one[place], another[place]);
    let after_digit = place > 0 && one[place - 1].is_ascii_digit();
    let less = match (first.is_alphabetic(), second.is_alphabetic()) {
        (true, true) => first < second,
        (true, false) => after_digit,
        (false, true) => !after_digit,
        (false, false) => {
            // Zeros count where a number goes on.
            let zero = first == '0' || second == '0';
            let before = one[..place].iter().rev().take_while(|letter| letter.is_ascii_digit());
            let base = i64::from(zero && before.into_iter().any(|digit| *digit != '0'));
            let amount = |letters: &[char]| {
                let digits: Vec<char> = letters[place..].iter().copied().take_while(char::is_ascii_digit).collect();
                let add =
                    |sum: i64, digit: &char| sum.wrapping_mul(10).wrapping_add(i64::from(u32::from(*digit)) - 48);
                (digits.iter().fold(base, add), digits.len())
            };
            (amount(&one), first) < (amount(&another), second)
        }
    };
    if less { Ordering::Less } else { Ordering::Greater }
}
