//! `units.parse` and `units.parse_bytes`: amounts with a unit.

use num_bigint::BigInt;

use crate::arguments::text;
use crate::value::{Number, Value};
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "units.parse", arguments: 1, call: parse },
    Builtin { name: "units.parse_bytes", arguments: 1, call: parse_bytes },
];

/// Digits behind the point of an amount that is not whole.
const FRACTION_DIGITS: u32 = 10;
/// OPA refuses powers of more digits; such of so many are refused here by the work they are.
const MOST_POWER_DIGITS: usize = 6;
/// Bits that OPA keeps of an amount of bytes.
const BYTE_BITS: u64 = 64;

fn parse(context: &Context, arguments: &[Value]) -> Answer {
    let text = without_quotes(context, &arguments[0])?;
    let (amount, unit) = split(&text)?;
    // The case of the first letter tells milli from mega.
    let mut unit = unit.to_owned();
    if let Some(rest) = unit.get_mut(1..) {
        rest.make_ascii_lowercase();
    }
    let (numerator, denominator) = match unit.as_str() {
        // As the nearest double, which is what OPA multiplies with.
        "m" => (BigInt::from(1_152_921_504_606_847_u64), BigInt::from(1_u64 << 60)),
        "M" => (power(1000, 2), BigInt::from(1)),
        unit => (multiple(&unit.to_ascii_lowercase(), unit)?, BigInt::from(1)),
    };
    let amount = Ratio::parse(context, amount)?;
    let (numerator, denominator) = (amount.numerator * numerator, amount.denominator * denominator);
    if &numerator % &denominator == BigInt::ZERO {
        return number((numerator / denominator).to_string());
    }
    number(rounded(&numerator, &denominator))
}

fn multiple(lower: &str, unit: &str) -> Result<BigInt, Error> {
    let exponent = |letter: &str| "kmgtpe".find(letter).filter(|_| letter.len() == 1).map(|place| place as u32 + 1);
    match lower.strip_suffix('i') {
        _ if lower.is_empty() => Some(BigInt::from(1)),
        Some(letter) => exponent(letter).map(|exponent| power(1024, exponent)),
        None => exponent(lower).map(|exponent| power(1000, exponent)),
    }
    .ok_or_else(|| format!("unit {unit:.40} not recognized").into())
}

fn power(base: u32, exponent: u32) -> BigInt {
    BigInt::from(base).pow(exponent)
}

fn parse_bytes(context: &Context, arguments: &[Value]) -> Answer {
    let text = without_quotes(context, &arguments[0])?.to_lowercase();
    let (amount, unit) = split(&text)?;
    let letters = unit.strip_suffix('b').filter(|letters| !letters.is_empty()).unwrap_or(unit);
    let factor = multiple(letters, unit)?;
    let Ratio { numerator, denominator } = Ratio::parse(context, amount)?;
    // The amount is rounded to so many bits, and so is its product.
    let (amount, bits) = nearest(&numerator, &denominator);
    let (product, more) = nearest(&(amount * factor), &BigInt::from(1));
    let shift = bits + more;
    let whole = if shift >= 0 { product << shift as u64 } else { toward_zero(&product, shift.unsigned_abs()) };
    number(whole.to_string())
}

fn toward_zero(value: &BigInt, bits: u64) -> BigInt {
    BigInt::from_biguint(value.sign(), value.magnitude() >> bits)
}

/// The nearest number of 64 bits, halves to even, and its power of two.
fn nearest(numerator: &BigInt, denominator: &BigInt) -> (BigInt, i64) {
    // Two bits more than are kept, and one that tells of all behind them.
    let shift = BYTE_BITS as i64 + 2 - (numerator.bits() as i64 - denominator.bits() as i64);
    let (numerator, denominator) = if shift >= 0 {
        (numerator << shift as u64, denominator.clone())
    } else {
        (numerator.clone(), denominator << shift.unsigned_abs())
    };
    let quotient = &numerator / &denominator;
    let inexact = &quotient * &denominator != numerator;
    let quotient = BigInt::from_biguint(
        quotient.sign(),
        (quotient.magnitude() << 1_u8) | BigInt::from(u8::from(inexact)).magnitude().clone(),
    );
    let shift = -shift - 1;
    let excess = quotient.bits().saturating_sub(BYTE_BITS);
    if excess == 0 {
        return (quotient, shift);
    }
    let kept = toward_zero(&quotient, excess);
    let rest = &quotient - (&kept << excess);
    let half = BigInt::from(1) << (excess - 1);
    let up = match rest.magnitude().cmp(half.magnitude()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => kept.bit(0),
        std::cmp::Ordering::Greater => true,
    };
    let sign = if numerator.sign() == num_bigint::Sign::Minus { -1 } else { 1 };
    (kept + if up { sign } else { 0 }, shift + excess as i64)
}

fn number(digits: String) -> Answer {
    Number::parse(&digits).map(Value::Number).ok_or_else(|| "no number".into())
}

fn without_quotes(context: &Context, value: &Value) -> Result<String, Error> {
    let text = text(value, 1)?;
    context.work(text.len() as u64)?;
    if text.contains(' ') {
        return Err("spaces not allowed in resource strings".into());
    }
    Ok(text.replace('"', ""))
}

/// The amount and its unit. An `e` belongs to the amount where a digit or a sign follows.
fn split(text: &str) -> Result<(&str, &str), Error> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'e' | b'E' => {
                let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'));
                if !signed && !digit(at + 1) {
                    break;
                }
                at += usize::from(signed);
                if (at + 1..).take_while(|place| digit(*place)).count() > MOST_POWER_DIGITS {
                    return Err("exponent too large".into());
                }
            }
            b'0'..=b'9' | b'.' | b'+' | b'-' => {}
            _ => break,
        }
        at += 1;
    }
    match text.split_at(at) {
        ("", _) => Err("no amount provided".into()),
        parts => Ok(parts),
    }
}

struct Ratio {
    numerator: BigInt,
    denominator: BigInt,
}

impl Ratio {
    fn parse(context: &Context, text: &str) -> Result<Ratio, Error> {
        let wrong = || Error::from("could not parse amount to a number");
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let (sign, whole) = whole.split_at(usize::from(whole.starts_with(['+', '-'])));
        let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
        let unsigned = power.strip_prefix(['+', '-']).unwrap_or(power);
        if !digits(whole)
            || !digits(fraction)
            || !digits(unsigned)
            || unsigned.is_empty()
            || whole.len() + fraction.len() == 0
        {
            return Err(wrong());
        }
        let power: i64 = power.parse::<i64>().map_err(|_| wrong())? - fraction.len() as i64;
        // Digits are read and multiplied in quadratic time.
        let size = (whole.len() + fraction.len()) as u64 + power.unsigned_abs();
        context.work(size.saturating_mul(size) / 64)?;
        let tens = BigInt::from(10).pow(u32::try_from(power.unsigned_abs()).map_err(|_| wrong())?);
        let digits: BigInt = format!("{sign}{whole}{fraction}").parse().map_err(|_| wrong())?;
        let one = BigInt::from(1);
        Ok(match power {
            0.. => Ratio { numerator: digits * tens, denominator: one },
            _ => Ratio { numerator: digits, denominator: tens },
        })
    }
}

/// With ten digits behind the point, halves away from zero.
fn rounded(numerator: &BigInt, denominator: &BigInt) -> String {
    let ten = BigInt::from(10).pow(FRACTION_DIGITS);
    let twice = numerator.magnitude() * ten.magnitude() * 2_u8 + denominator.magnitude();
    let digits = (twice / (denominator.magnitude() * 2_u8)).to_string();
    let digits = format!("{digits:0>width$}", width = FRACTION_DIGITS as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - FRACTION_DIGITS as usize);
    let sign = if numerator.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn amounts_are_those_of_opa() {
        check(&[
            ("units.parse", r#"["10K"]"#, Some("10000")),
            ("units.parse", r#"["100m"]"#, Some("0.1000000000")),
            ("units.parse", r#"["1.5Mi"]"#, Some("1572864")),
            ("units.parse", r#"["1e3k"]"#, Some("1000000")),
            ("units.parse", r#"["\"3\"E"]"#, Some("3000000000000000000")),
            ("units.parse", r#"["-0.00000000005"]"#, Some("-0.0000000001")),
            ("units.parse", r#"["1 k"]"#, None),
            ("units.parse", r#"["k"]"#, None),
            ("units.parse", r#"["1kk"]"#, None),
            ("units.parse", r#"["1e9999999"]"#, None),
            ("units.parse_bytes", r#"["1.5KiB"]"#, Some("1536")),
            ("units.parse_bytes", r#"["0.0005K"]"#, Some("0")),
            ("units.parse_bytes", r#"["100TB"]"#, Some("100000000000000")),
            ("units.parse_bytes", r#"["1.1.1"]"#, None),
            ("units.parse_bytes", r#"["1é"]"#, None),
        ]);
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        bounded(&[
            ("units.parse", "[\"1e999999\"]".to_owned()),
            ("units.parse_bytes", "[\"1e-999999\"]".to_owned()),
            ("units.parse_bytes", format!("[\"{}\"]", "9".repeat(100_000))),
        ]);
    }
}
