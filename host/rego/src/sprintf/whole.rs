//! Whole numbers: `%d`, `%b`, `%o`, `%x`, `%c`, `%q`, `%U`.

use num_bigint::{BigInt, Sign};

use super::spec::{Out, Spec};
use crate::Error;
use crate::term;

/// Writes a number of 64 bits; `false` where the verb is none for whole numbers.
pub(super) fn write(value: i64, spec: &Spec, verb: char, out: &mut Out) -> Result<bool, Error> {
    let character = || u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    match verb {
        'c' => spec.pad(&character().to_string(), out)?,
        'q' => {
            let mut quoted = String::new();
            term::quote(&character().to_string(), '\'', spec.plus, &mut quoted);
            spec.pad(&quoted, out)?;
        }
        'U' => {
            // Go looks at the bits, so that numbers below zero have many digits.
            let width = spec.precision.unwrap_or(0).max(4);
            out.context.work(width as u64)?;
            let digits = format!("{:X}", value as u64);
            let mut code = format!("U+{}{digits}", "0".repeat(width.saturating_sub(digits.len())));
            if spec.sharp && u32::try_from(value).is_ok_and(|code| char::from_u32(code).is_some()) {
                let character = character();
                if term::is_printable(character) {
                    code += &format!(" '{character}'");
                }
            }
            spec.pad_with_spaces(&code, out)?;
        }
        'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' => digits(value, spec, verb, out)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn digits(value: i64, spec: &Spec, verb: char, out: &mut Out) -> Result<(), Error> {
    if spec.precision == Some(0) && value == 0 {
        return out.repeat(' ', spec.width.unwrap_or(0));
    }
    let amount = value.unsigned_abs();
    let digits = match verb {
        'b' => format!("{amount:b}"),
        'o' | 'O' => format!("{amount:o}"),
        'x' => format!("{amount:x}"),
        'X' => format!("{amount:X}"),
        _ => amount.to_string(),
    };
    let sign = spec.sign(value < 0);
    let least = match spec.precision {
        Some(precision) => precision,
        None if spec.zero && !spec.minus => spec.width.unwrap_or(0).saturating_sub(sign.len()),
        None => 0,
    };
    out.context.work(least as u64)?;
    let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    let mark = match verb {
        'b' if spec.sharp => "0b",
        'o' | 'O' if spec.sharp && !digits.starts_with('0') => "0",
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        _ => "",
    };
    let octal = if verb == 'O' { "0o" } else { "" };
    spec.pad_with_spaces(&format!("{sign}{octal}{mark}{digits}"), out)
}

/// Writes a number of any size.
pub(super) fn write_big(value: &BigInt, spec: &Spec, verb: char, out: &mut Out) -> Result<(), Error> {
    // Digits come in quadratic time, of at most a few hundred.
    out.context.work(value.bits())?;
    let radix = match verb {
        'b' => 2,
        'o' | 'O' => 8,
        'd' | 's' | 'v' => 10,
        'x' | 'X' => 16,
        _ => return out.push(&format!("%!{verb}(big.Int={value})")),
    };
    let mut digits = value.magnitude().to_str_radix(radix);
    if verb == 'X' {
        digits.make_ascii_uppercase();
    }
    let sharp = spec.sharp || spec.sharp_value;
    let signs = Spec { plus: spec.plus || spec.plus_value, ..spec.clone() };
    let sign = signs.sign(value.sign() == Sign::Minus);
    let mark = match verb {
        'O' => "0o",
        'b' if sharp => "0b",
        'o' if sharp => "0",
        'x' if sharp => "0x",
        'X' if sharp => "0X",
        _ => "",
    };
    let mut zeros = spec.precision.map_or(0, |precision| precision.saturating_sub(digits.len()));
    let length = sign.len() + mark.len() + zeros + digits.len();
    let missing = spec.width.unwrap_or(0).saturating_sub(length);
    let zero_padded = !spec.minus && spec.zero && spec.precision.is_none();
    if zero_padded {
        zeros = missing;
    } else if !spec.minus {
        out.repeat(' ', missing)?;
    }
    out.push(sign)?;
    out.push(mark)?;
    out.repeat('0', zeros)?;
    out.push(&digits)?;
    out.repeat(' ', if spec.minus { missing } else { 0 })
}
