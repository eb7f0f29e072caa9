//! `sprintf`: the formats of Go's `fmt`.
//!
//! ```text
//! % [flags] [[n]] [width] [.[[n]] precision] [[n]] verb       [n]: which argument; width and precision may be `*`
//! ```

pub(crate) mod float;
mod spec;
mod whole;

use num_bigint::BigInt;

use crate::arguments::{array, text, to_big, to_i64};
use crate::term;
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};
use spec::{Out, Spec};

pub(crate) const FUNCTIONS: &[Builtin] = &[Builtin { name: "sprintf", arguments: 2, call: sprintf }];

/// An argument as OPA hands it to Go: what is neither a number nor a text is printed before.
#[derive(Debug)]
enum Argument {
    Whole(i64),
    Big(BigInt),
    Float(f64),
    Text(String),
}

impl Argument {
    fn new(context: &Context, value: &Value) -> Result<Argument, Error> {
        context.work(1)?;
        Ok(match value {
            Value::Number(number) if number.as_str().contains(['.', 'e', 'E']) => match number.as_f64() {
                value if value.is_finite() => Argument::Float(value),
                _ => Argument::Text(number.as_str().to_owned()),
            },
            Value::Number(number) => match to_i64(number) {
                Some(whole) => Argument::Whole(whole),
                None => to_big(number).map_or_else(|| Argument::Text(number.as_str().to_owned()), Argument::Big),
            },
            Value::String(text) => {
                context.work(text.len() as u64)?;
                Argument::Text(text.clone())
            }
            _ => Argument::Text(term::print(context, value)?),
        })
    }

    fn go_type(&self) -> &'static str {
        match self {
            Argument::Whole(_) => "int64",
            Argument::Big(_) => "*big.Int",
            Argument::Float(_) => "float64",
            Argument::Text(_) => "string",
        }
    }

    fn write(&self, spec: &Spec, verb: char, out: &mut Out) -> Result<(), Error> {
        match (self, verb) {
            (_, 'T') => return spec.pad(spec.cut(self.go_type()), out),
            (Argument::Big(_), 'p' | 'w') => return Err("an address is not the same twice".into()),
            (Argument::Whole(value), _) if whole::write(*value, spec, verb, out)? => return Ok(()),
            (Argument::Big(value), _) => return whole::write_big(value, spec, verb, out),
            (Argument::Float(value), _) if float::write(*value, spec, verb, out)? => return Ok(()),
            (Argument::Text(text), _) if spec.text(text, verb, out)? => return Ok(()),
            _ => {}
        }
        out.push(&format!("%!{verb}({}=", self.go_type()))?;
        self.write(spec, 'v', out)?;
        out.push(")")
    }
}

fn sprintf(context: &Context, arguments: &[Value]) -> Answer {
    let layout = text(&arguments[0], 1)?;
    let values = array(&arguments[1], 2)?;
    let values = values.iter().map(|value| Argument::new(context, value)).collect::<Result<Vec<_>, _>>()?;
    let mut printer =
        Printer { layout, at: 0, values: &values, next: 0, reordered: false, good: true, out: Out::new(context) };
    printer.print()?;
    Ok(printer.out.into_text().into())
}

/// The walk through a layout.
struct Printer<'a> {
    layout: &'a str,
    at: usize,
    values: &'a [Argument],
    /// The argument the next verb takes.
    next: usize,
    /// Whether the layout has said anywhere which argument it means.
    reordered: bool,
    /// Whether this verb's numbers of arguments make sense.
    good: bool,
    out: Out<'a>,
}

impl<'a> Printer<'a> {
    fn rest(&self) -> &'a str {
        &self.layout[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.layout.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn print(&mut self) -> Result<(), Error> {
        while !self.rest().is_empty() {
            let plain = self.rest().find('%').unwrap_or(self.rest().len());
            self.out.push(&self.rest()[..plain])?;
            self.at += plain;
            if self.takes(b'%') {
                self.directive()?;
            }
        }
        let left = self.values.get(self.next..).unwrap_or_default();
        if self.reordered || left.is_empty() {
            return Ok(());
        }
        for (place, value) in left.iter().enumerate() {
            self.out.push(if place == 0 { "%!(EXTRA " } else { ", " })?;
            self.out.push(value.go_type())?;
            self.out.push("=")?;
            value.write(&Spec::default(), 'v', &mut self.out)?;
        }
        self.out.push(")")
    }

    /// What follows a `%`.
    fn directive(&mut self) -> Result<(), Error> {
        self.good = true;
        let mut spec = Spec::default();
        while let Some(flag) = self.peek().filter(|byte| b"#0+- ".contains(byte)) {
            spec.flag(flag);
            self.at += 1;
        }
        let mut indexed = self.index();
        if self.takes(b'*') {
            match self.star() {
                Some(width) => spec.width(width),
                None => self.out.push("%!(BADWIDTH)")?,
            }
            indexed = false;
        } else {
            spec.width = self.number();
            self.good &= !(indexed && spec.width.is_some());
        }
        // A point at the very end is a verb.
        if self.rest().len() > 1 && self.takes(b'.') {
            self.good &= !indexed;
            indexed = self.index();
            if self.takes(b'*') {
                spec.precision = self.star().filter(|precision| *precision >= 0).map(|precision| precision as usize);
                if spec.precision.is_none() {
                    self.out.push("%!(BADPREC)")?;
                }
                indexed = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        self.verb(spec)
    }

    fn verb(&mut self, mut spec: Spec) -> Result<(), Error> {
        let Some(verb) = self.rest().chars().next() else {
            return self.out.push("%!(NOVERB)");
        };
        self.at += verb.len_utf8();
        if verb == '%' {
            return self.out.push("%");
        }
        if !self.good {
            return self.out.push(&format!("%!{verb}(BADINDEX)"));
        }
        let Some(value) = self.values.get(self.next) else {
            return self.out.push(&format!("%!{verb}(MISSING)"));
        };
        if matches!(verb, 'v' | 'w') {
            spec.as_value();
        }
        self.next += 1;
        value.write(&spec, verb, &mut self.out)
    }

    /// `[n]`: the next argument is the n-th. Whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let inside = &self.rest()[1..];
        // A bracket that cannot be closed is passed over alone.
        let Some(length) = inside.find(']').filter(|_| inside.len() > 1) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let end = self.at + length + 2;
        self.at += 1;
        let number = self.number().filter(|_| self.at + 1 == end);
        self.at = end;
        match number.and_then(|number| number.checked_sub(1)).filter(|number| *number < self.values.len()) {
            Some(number) => self.next = number,
            None => self.good = false,
        }
        number.is_some()
    }

    /// The argument that a `*` stands for.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Argument::Whole(value) if value.unsigned_abs() <= spec::WIDEST => Some(*value),
            _ => None,
        }
    }

    /// Digits; of a number that is too large, Go passes over all that follows.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let value = number.unwrap_or(0);
            if value as u64 > spec::WIDEST {
                self.at = self.layout.len();
                return None;
            }
            number = Some(value * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }
}

#[cfg(test)]
mod tests;
