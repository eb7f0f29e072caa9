//! Durations such as `1h30m` and `1.5d`.

/// Nanoseconds by unit, as Go has them.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Hours by unit, which OPA adds.
const LONG_UNITS: [(char, f64); 3] = [('d', 24.0), ('w', 168.0), ('y', 8_760.0)];

/// The most that a duration may have before its sign.
const MOST: u64 = 1 << 63;

pub(super) fn nanoseconds(text: &str) -> Option<i64> {
    if text.contains(['d', 'w', 'y']) { of_segments(&in_hours(text)?) } else { of_segments(text) }
}

/// Writes units longer than an hour as hours. OPA's grammar knows one spelling of microseconds here.
fn in_hours(text: &str) -> Option<String> {
    let (sign, mut rest) = text.split_at(usize::from(text.starts_with(['-', '+'])));
    let mut out = sign.to_owned();
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        let two = ["ms", "us", "\u{b5}s", "ns"].into_iter().find(|unit| after.starts_with(unit));
        let unit = match two {
            Some(unit) => unit,
            None => after.get(..1).filter(|unit| unit.starts_with(|unit: char| unit.is_ascii_lowercase()))?,
        };
        if digits.is_empty() {
            return None;
        }
        rest = &after[unit.len()..];
        match LONG_UNITS.iter().find(|(long, _)| unit.starts_with(*long)) {
            Some((_, hours)) => {
                let hours = digits.parse::<f64>().ok().filter(|number| number.is_finite())? * hours;
                out.push_str(&format!("{hours}h"));
            }
            None => out.extend([digits, unit]),
        }
    }
    Some(out)
}

fn of_segments(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        let end = after.find(|part: char| part == '.' || part.is_ascii_digit()).unwrap_or(after.len());
        sum = sum.wrapping_add(of_segment(digits, &after[..end])?);
        if sum > MOST {
            return None;
        }
        rest = &after[end..];
    }
    match text {
        "" | "-" | "+" => None,
        _ if negative => Some((sum as i64).wrapping_neg()),
        _ => i64::try_from(sum).ok(),
    }
}

fn of_segment(digits: &str, unit: &str) -> Option<u64> {
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    if before.is_empty() && after.is_empty() || after.contains('.') {
        return None;
    }
    let size = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let whole = if before.is_empty() { 0 } else { before.parse::<u64>().ok()? };
    if whole > MOST / size {
        return None;
    }
    let (part, scale) = fraction(after);
    let part = (part as f64 * (size as f64 / scale)) as u64;
    Some(whole * size + part).filter(|sum| *sum <= MOST)
}

/// Digits behind a point and by what to divide them; what is too fine is left out.
fn fraction(digits: &str) -> (u64, f64) {
    let (mut part, mut scale) = (0_u64, 1.0);
    for digit in digits.bytes() {
        let longer = part.checked_mul(10).and_then(|part| part.checked_add(u64::from(digit - b'0')));
        match longer.filter(|longer| *longer <= MOST && part <= (MOST - 1) / 10) {
            Some(longer) => (part, scale) = (longer, scale * 10.0),
            None => break,
        }
    }
    (part, scale)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|part: char| part != '.' && !part.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn durations_are_those_of_opa() {
        for (text, expected) in [
            ("1h30m", Some(5_400_000_000_000)),
            ("-1.5d", Some(-129_600_000_000_000)),
            ("1d2h3us", Some(93_600_000_003_000)),
            ("1w1y", Some(32_140_800_000_000_000)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+.5s", Some(500_000_000)),
            ("1.\u{3bc}s", Some(1_000)),
            ("1d1\u{3bc}s", None),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("9223372036854775808ns", None),
            ("293y", None),
            ("", None),
            ("-", None),
            ("1", None),
            (".s", None),
            ("1..2s", None),
            ("1.2.3d", None),
            ("d", None),
            ("1dd", None),
            ("1ds", None),
            ("1 s", None),
            ("1D", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
        assert_eq!(nanoseconds(&"9".repeat(400)), None);
        assert_eq!(nanoseconds(&format!("{}d", "9".repeat(400))), None);
        assert_eq!(nanoseconds(&format!("0.{}s", "9".repeat(400))), Some(1_000_000_000));
    }
}
