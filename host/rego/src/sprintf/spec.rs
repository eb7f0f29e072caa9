//! Flags, width and precision of one verb, and what is written with them.

use crate::term;
use crate::{Context, Error};

/// The largest width or precision Go takes.
pub(super) const WIDEST: u64 = 1_000_000;

#[derive(Debug, Default, Clone)]
pub(super) struct Spec {
    pub(super) sharp: bool,
    pub(super) zero: bool,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) space: bool,
    /// `%#v`.
    pub(super) sharp_value: bool,
    /// `%+v`.
    pub(super) plus_value: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Spec {
    pub(super) fn flag(&mut self, flag: u8) {
        match flag {
            b'#' => self.sharp = true,
            b'0' => self.zero = true,
            b'+' => self.plus = true,
            b'-' => self.minus = true,
            _ => self.space = true,
        }
    }

    /// A width that an argument gave: below zero it pads on the right.
    pub(super) fn width(&mut self, width: i64) {
        self.width = Some(width.unsigned_abs() as usize);
        if width < 0 {
            self.minus = true;
            self.zero = false;
        }
    }

    /// Of `%v`, two flags mean something else.
    pub(super) fn as_value(&mut self) {
        self.sharp_value = std::mem::take(&mut self.sharp);
        self.plus_value = std::mem::take(&mut self.plus);
    }

    /// The sign of a number.
    pub(super) fn sign(&self, negative: bool) -> &'static str {
        match () {
            () if negative => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        }
    }

    /// The text up to the precision.
    pub(super) fn cut<'a>(&self, text: &'a str) -> &'a str {
        let end = self.precision.and_then(|precision| text.char_indices().nth(precision));
        end.map_or(text, |(end, _)| &text[..end])
    }

    /// The text, padded to the width with zeros where the flags say so.
    pub(super) fn pad(&self, text: &str, out: &mut Out) -> Result<(), Error> {
        let missing = self.width.map_or(0, |width| width.saturating_sub(text.chars().count()));
        let zeros = self.zero && !self.minus;
        if !self.minus {
            out.repeat(if zeros { '0' } else { ' ' }, missing)?;
        }
        out.push(text)?;
        out.repeat(' ', if self.minus { missing } else { 0 })
    }

    /// The same, with spaces only.
    pub(super) fn pad_with_spaces(&self, text: &str, out: &mut Out) -> Result<(), Error> {
        Spec { zero: false, ..self.clone() }.pad(text, out)
    }

    /// Writes a text; `false` where the verb is none for texts.
    pub(super) fn text(&self, text: &str, verb: char, out: &mut Out) -> Result<bool, Error> {
        match verb {
            'v' if self.sharp_value => self.quote(text, out)?,
            'v' | 's' => self.pad(self.cut(text), out)?,
            'x' | 'X' => self.hex(text, verb, out)?,
            'q' => self.quote(text, out)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn quote(&self, text: &str, out: &mut Out) -> Result<(), Error> {
        let text = self.cut(text);
        out.context.work(text.len() as u64)?;
        let raw = |character: char| character == '\t' || !(character < ' ' || "`\u{7f}\u{feff}".contains(character));
        if self.sharp && text.chars().all(raw) {
            return self.pad(&format!("`{text}`"), out);
        }
        let mut quoted = String::new();
        term::quote(text, '"', self.plus, &mut quoted);
        self.pad(&quoted, out)
    }

    fn hex(&self, text: &str, verb: char, out: &mut Out) -> Result<(), Error> {
        let length = self.precision.unwrap_or(usize::MAX).min(text.len());
        out.context.work(length as u64)?;
        let prefix = if self.sharp { if verb == 'x' { "0x" } else { "0X" } } else { "" };
        let mut digits = String::new();
        for (place, byte) in text.bytes().take(length).enumerate() {
            if self.space && place > 0 {
                digits.push(' ');
            }
            if place == 0 || self.space {
                digits.push_str(prefix);
            }
            digits += &if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
        }
        self.pad(&digits, out)
    }
}

/// What is written, and paid for.
#[derive(Debug)]
pub(super) struct Out<'a> {
    pub(super) context: &'a Context,
    text: String,
}

impl<'a> Out<'a> {
    pub(super) fn new(context: &'a Context) -> Out<'a> {
        Out { context, text: String::new() }
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), Error> {
        self.context.work(1 + text.len() as u64)?;
        self.text.push_str(text);
        Ok(())
    }

    pub(super) fn repeat(&mut self, character: char, times: usize) -> Result<(), Error> {
        self.context.work(times as u64)?;
        self.text.extend(std::iter::repeat_n(character, times));
        Ok(())
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
