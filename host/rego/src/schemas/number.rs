//! Decimal numbers, compared and divided exactly, at a cost of their digits and not of their powers.

use std::cmp::Ordering;

use num_bigint::BigUint;

use crate::sprintf::float;
use crate::value::Number;
use crate::{Context, Error};

/// The largest power of five or ten that Go's rationals take.
const LARGEST_POWER: u64 = 1_000_000;

/// `digits` with a point before them, times ten to the power of `point`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at both ends; empty for zero.
    digits: String,
    point: i64,
}

impl Decimal {
    /// None for what is too large or too small.
    pub(super) fn read(context: &Context, number: &Number) -> Result<Option<Decimal>, Error> {
        context.work(16 + number.as_str().len() as u64)?;
        Ok(Decimal::parse(number.as_str()))
    }

    fn parse(text: &str) -> Option<Decimal> {
        let (negative, amount) = text.strip_prefix('-').map_or((false, text), |amount| (true, amount));
        let (mantissa, power) = amount.split_once(['e', 'E']).unwrap_or((amount, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let power: i64 = power.parse().ok()?;
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let point = whole.len() as i64 - (all.len() - digits.len()) as i64;
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Decimal { negative: false, digits: String::new(), point: 0 });
        }
        let shift = power.checked_sub(fraction.len() as i64)?;
        if shift.unsigned_abs() > LARGEST_POWER {
            return None;
        }
        Some(Decimal { negative, digits: digits.to_owned(), point: point.checked_add(power)? })
    }

    pub(super) fn is_whole(&self) -> bool {
        self.digits.len() as i64 <= self.point || self.digits.is_empty()
    }

    pub(super) fn is_positive(&self) -> bool {
        !self.negative && !self.digits.is_empty()
    }

    fn sign(&self) -> i32 {
        match self.digits.is_empty() {
            true => 0,
            false if self.negative => -1,
            false => 1,
        }
    }

    pub(super) fn compare(&self, other: &Decimal) -> Ordering {
        let signs = self.sign().cmp(&other.sign());
        if signs != Ordering::Equal {
            return signs;
        }
        // Without zeros at the ends, digits are in the order of texts.
        let amounts = self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        if self.negative { amounts.reverse() } else { amounts }
    }

    /// Whether it is another number so and so many times.
    pub(super) fn is_multiple_of(&self, context: &Context, other: &Decimal) -> Result<bool, Error> {
        let size = (self.digits.len() + other.digits.len()) as u64;
        context.work(500 + size.saturating_mul(size) / 4)?;
        let least = |number: &Decimal| number.point - number.digits.len() as i64;
        // A number with a last digit that is no zero is no multiple of one whose last digit stands before it.
        let Ok(shift) = u32::try_from(least(self) - least(other)) else { return Ok(self.digits.is_empty()) };
        let whole = |number: &Decimal| number.digits.parse::<BigUint>().unwrap_or_default();
        let (amount, divisor) = (whole(self), whole(other));
        if divisor == BigUint::ZERO {
            return Ok(false);
        }
        let tens = BigUint::from(10_u8).modpow(&shift.into(), &divisor);
        Ok((amount % &divisor) * tens % &divisor == BigUint::ZERO)
    }
}

/// The number as Go writes a `big.Float` of it.
pub(super) fn written(context: &Context, number: &Number) -> Result<String, Error> {
    let Some(decimal) = Decimal::read(context, number)? else { return Ok(number.as_str().to_owned()) };
    let sign = if decimal.negative { "-" } else { "" };
    Ok(format!("{sign}{}", float::known(&decimal.digits, decimal.point)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_compared_by_their_values() {
        let order = ["-1e30", "-2", "-1.5", "-1e-9", "0", "1e-9", "0.1", "0.12", "1", "9.99", "10", "1e1000000"];
        assert!(order.windows(2).all(|pair| decimal(pair[0]).compare(&decimal(pair[1])) == Ordering::Less));
        for (one, another) in [("1.0", "1"), ("0.00100e3", "1"), ("-0", "0e5"), ("12e1", "120.0")] {
            assert_eq!(decimal(one).compare(&decimal(another)), Ordering::Equal, "{one} {another}");
        }
        assert_eq!(Decimal::parse("1e1000001"), None);
        assert_eq!(Decimal::parse("1e99999999999999999999"), None);
    }

    #[test]
    fn multiples_are_exact() {
        let context = Context::new(0, 0, 1_000_000);
        for (one, another, expected) in [
            ("0.3", "0.1", true),
            ("7", "2", false),
            ("-7.5", "2.5", true),
            ("0", "3", true),
            ("1e1000000", "7e-3", false),
            ("1e1000000", "8e-1000", true),
            ("1e-1000000", "3", false),
            ("120", "1.2e2", true),
        ] {
            let answer = decimal(one).is_multiple_of(&context, &decimal(another));
            assert_eq!(answer, Ok(expected), "{one} {another}");
        }
        assert!(decimal("1e3").is_whole() && decimal("1.0").is_whole() && !decimal("10.5").is_whole());
    }

    #[test]
    fn limits_are_written_as_go_writes_them() {
        let context = Context::new(0, 0, 1_000_000);
        for (text, expected) in [
            ("1.50", "1.5"),
            ("1000000", "1e+06"),
            ("999999", "999999"),
            ("0.00001", "1e-05"),
            ("-0", "0"),
            ("-12e1", "-120"),
        ] {
            assert_eq!(written(&context, &Number::parse(text).unwrap()).unwrap(), expected);
        }
    }
}
