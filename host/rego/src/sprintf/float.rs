//! Numbers with a fraction: `%e`, `%f`, `%g`, `%x`, `%b`.

use super::spec::{Out, Spec};
use crate::Error;

/// No double has more digits behind its point.
const MOST_DIGITS: usize = 1100;
const MANTISSA_BITS: i64 = 52;

/// Writes a number; `false` where the verb is none for numbers with a fraction.
pub(super) fn write(value: f64, spec: &Spec, verb: char, out: &mut Out) -> Result<bool, Error> {
    let precision = spec.precision;
    out.context.work(MOST_DIGITS as u64 + precision.unwrap_or(0) as u64)?;
    let amount = value.abs();
    let mut number = match verb {
        'v' | 'g' => general(amount, precision, 'e'),
        'G' => general(amount, precision, 'E'),
        'e' | 'E' => exponent(&Digits::rounded(amount, precision.unwrap_or(6)), precision.unwrap_or(6), verb),
        'f' | 'F' => fixed(amount, precision.unwrap_or(6)),
        'x' | 'X' => hexadecimal(amount, precision, verb),
        'b' => binary(amount),
        _ => return Ok(false),
    };
    if spec.sharp && verb != 'b' {
        number = with_point(&number, verb, precision);
    }
    let sign = spec.sign(value.is_sign_negative());
    let width = spec.width.unwrap_or(0);
    // With a sign, zeros go between it and the digits.
    if !matches!(sign, "") && spec.zero && !spec.minus && width > number.len() + 1 {
        out.push(sign)?;
        out.repeat('0', width - number.len() - 1)?;
        out.push(&number)?;
    } else {
        spec.pad(&format!("{sign}{number}"), out)?;
    }
    Ok(true)
}

/// As few digits as tell a number from all others, with a power from a million on.
pub(crate) fn shortest(amount: f64) -> String {
    signed(amount, general(amount.abs(), None, 'e'))
}

/// The same for a number of 32 bits.
pub(crate) fn single(amount: f32) -> String {
    let digits = Digits::of(&format!("{:e}", amount.abs()));
    signed(amount.into(), general_of(&digits, None, 'e'))
}

/// The same for digits that are known, without zeros before and behind them, and where among them the point is.
pub(crate) fn known(digits: &str, point: i64) -> String {
    general_of(&Digits { digits: digits.to_owned(), point }, None, 'e')
}

/// As Go's `encoding/json` writes a number; what is infinite or none becomes a word that is no number of JSON.
pub(crate) fn as_json(amount: f64) -> String {
    if amount == 0.0 || !amount.is_finite() || (1e-6..1e21).contains(&amount.abs()) {
        return amount.to_string();
    }
    let digits = Digits::shortest(amount.abs());
    let text = exponent(&digits, digits.digits.len().saturating_sub(1), 'e');
    signed(amount, text.replace("e-0", "e-"))
}

fn signed(amount: f64, digits: String) -> String {
    if amount.is_sign_negative() { format!("-{digits}") } else { digits }
}

/// Digits without zeros at the end, and where among them the point is.
struct Digits {
    digits: String,
    point: i64,
}

impl Digits {
    /// As few digits as tell the number from all others.
    fn shortest(amount: f64) -> Digits {
        Digits::of(&format!("{amount:e}"))
    }

    /// So many digits behind the first.
    fn rounded(amount: f64, more: usize) -> Digits {
        Digits::of(&format!("{amount:.*e}", more.min(MOST_DIGITS)))
    }

    fn of(text: &str) -> Digits {
        let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_end_matches('0').to_owned();
        let point = if digits.is_empty() { 0 } else { power.parse().unwrap_or(0) + 1 };
        Digits { digits, point }
    }

    fn at(&self, place: i64) -> char {
        usize::try_from(place)
            .ok()
            .and_then(|place| self.digits.as_bytes().get(place))
            .map_or('0', |digit| *digit as char)
    }
}

fn general(amount: f64, precision: Option<usize>, letter: char) -> String {
    let precision = precision.map(|precision| precision.max(1));
    let digits =
        precision.map_or_else(|| Digits::shortest(amount), |precision| Digits::rounded(amount, precision - 1));
    general_of(&digits, precision, letter)
}

fn general_of(digits: &Digits, precision: Option<usize>, letter: char) -> String {
    let count = digits.digits.len() as i64;
    let wanted = precision.map_or(count, |precision| precision as i64);
    // The power from which on the number is written with one.
    let limit = match precision {
        None => SHORTEST_LIMIT,
        Some(_) if wanted > count && count >= digits.point => count,
        Some(_) => wanted,
    };
    if digits.point - 1 < -4 || digits.point > limit {
        return exponent(digits, (wanted.min(count) - 1).max(0) as usize, letter);
    }
    let wanted = if wanted > digits.point { count } else { wanted };
    plain(digits, (wanted - digits.point).max(0) as usize)
}

/// What counts as large where no precision is asked for.
const SHORTEST_LIMIT: i64 = 6;

fn exponent(digits: &Digits, precision: usize, letter: char) -> String {
    let mut text = digits.at(0).to_string();
    if precision > 0 {
        text.push('.');
        text.extend((1..=precision as i64).map(|place| digits.at(place)));
    }
    let power = if digits.digits.is_empty() { 0 } else { digits.point - 1 };
    text + &format!("{letter}{}{:02}", if power < 0 { '-' } else { '+' }, power.unsigned_abs())
}

fn plain(digits: &Digits, precision: usize) -> String {
    let mut text: String = (0..digits.point).map(|place| digits.at(place)).collect();
    if text.is_empty() {
        text.push('0');
    }
    if precision > 0 {
        text.push('.');
        text.extend((0..precision as i64).map(|place| digits.at(digits.point + place)));
    }
    text
}

fn fixed(amount: f64, precision: usize) -> String {
    let text = format!("{amount:.*}", precision.min(MOST_DIGITS));
    text + &"0".repeat(precision.saturating_sub(MOST_DIGITS))
}

/// The mantissa, with its leading bit, and the power of two of that bit.
fn parts(amount: f64) -> (u64, i64) {
    let bits = amount.to_bits();
    let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
    match (bits >> MANTISSA_BITS) as i64 & 0x7FF {
        0 => (mantissa, -1022),
        power => (mantissa | 1 << MANTISSA_BITS, power - 1023),
    }
}

fn binary(amount: f64) -> String {
    let (mantissa, power) = parts(amount);
    format!("{mantissa}p{:+}", power - MANTISSA_BITS)
}

fn hexadecimal(amount: f64, precision: Option<usize>, verb: char) -> String {
    /// Where the leading bit is put.
    const LEAD: u32 = 60;
    let (mantissa, mut power) = parts(amount);
    let mut mantissa = mantissa << (i64::from(LEAD) - MANTISSA_BITS);
    if mantissa == 0 {
        power = 0;
    } else {
        let shift = mantissa.leading_zeros() - (63 - LEAD);
        mantissa <<= shift;
        power -= i64::from(shift);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let kept = precision as u32 * 4;
        let extra = (mantissa << kept) & ((1 << LEAD) - 1);
        mantissa >>= LEAD - kept;
        mantissa += u64::from(extra | (mantissa & 1) > 1 << (LEAD - 1));
        mantissa <<= LEAD - kept;
        if mantissa & (1 << (LEAD + 1)) != 0 {
            mantissa >>= 1;
            power += 1;
        }
    }
    let mut text = format!("0x{}", mantissa >> LEAD & 1);
    mantissa <<= 4;
    let mut left = precision.unwrap_or(usize::MAX);
    if left > 0 && (precision.is_some() || mantissa != 0) {
        text.push('.');
    }
    while left > 0 && (precision.is_some() || mantissa != 0) {
        text.push(char::from_digit((mantissa >> LEAD) as u32, 16).unwrap_or('0'));
        mantissa <<= 4;
        left -= 1;
    }
    text += &format!("p{}{:02}", if power < 0 { '-' } else { '+' }, power.unsigned_abs());
    if verb == 'X' { text.to_ascii_uppercase() } else { text }
}

/// With the flag `#`, a number has a point, and `%g` keeps its zeros.
fn with_point(number: &str, verb: char, precision: Option<usize>) -> String {
    let mut digits = match verb {
        'v' | 'g' | 'G' | 'x' => precision.map_or(6, |precision| precision as i64),
        _ => 0,
    };
    let powers: &[char] = if matches!(verb, 'x' | 'X') { &['p', 'P'] } else { &['e', 'E'] };
    let (number, tail) = number.split_at(number.find(powers).unwrap_or(number.len()));
    let seen = number.chars().filter(|digit| *digit != '.').skip_while(|digit| *digit == '0').count();
    digits -= seen as i64;
    let mut text = number.to_owned();
    if !number.contains('.') {
        digits -= i64::from(number == "0");
        text.push('.');
    }
    text + &"0".repeat(digits.max(0) as usize) + tail
}
