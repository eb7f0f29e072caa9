//! Checksums as pure functions over ASCII bytes; each names the standard it implements.
//!
//! Callers pass digits (or digits and upper-case letters) without separators. A byte outside the alphabet gives a wrong
//! sum instead of a panic.

/// The value of an ASCII digit.
pub(crate) fn digit(byte: u8) -> u32 {
    u32::from(byte.wrapping_sub(b'0'))
}

/// The number that a short run of digits stands for.
pub(crate) fn number(digits: &[u8]) -> u32 {
    let push = |value: u32, byte: &u8| value.wrapping_mul(10).wrapping_add(digit(*byte));
    digits.iter().fold(0, push)
}

/// The sum of digits times weights; the shorter list decides how many.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    let products = digits.iter().zip(weights).map(|(byte, weight)| digit(*byte) * weight);
    products.sum()
}

/// Luhn, ISO/IEC 7812-1 annex B: from the right every second digit counts double.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    luhn_sum(digits).is_multiple_of(10)
}

/// The Luhn sum, for standards that put a constant before the number.
pub(crate) fn luhn_sum(digits: &[u8]) -> u32 {
    const DOUBLED: [u32; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let mut sum = 0;
    for (place, byte) in digits.iter().rev().enumerate() {
        let value = digit(*byte) % 10;
        sum += if place % 2 == 1 { DOUBLED[value as usize] } else { value };
    }
    sum
}

/// Verhoeff 1969: the dihedral group D5 catches every single error and every neighbouring transposition.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let mut check = 0;
    for (place, byte) in digits.iter().rev().enumerate() {
        let mut value = digit(*byte) % 10;
        for _ in 0..place % 8 {
            value = u32::from(PERMUTED[value as usize]);
        }
        check = dihedral(check, value);
    }
    check == 0
}

/// The product in D5: 0 to 4 are turns, 5 to 9 are reflections.
fn dihedral(left: u32, right: u32) -> u32 {
    match (left < 5, right < 5) {
        (true, true) => (left + right) % 5,
        (true, false) => (left + right) % 5 + 5,
        (false, true) => (left - right) % 5 + 5,
        (false, false) => (left + 5 - right) % 5,
    }
}

/// ISO/IEC 7064 MOD 11,10 (hybrid), as in the German tax id and the Croatian OIB: the last digit closes the sum.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((last, body)) = digits.split_last() else {
        return false;
    };
    let mut product = 10;
    for byte in body {
        let sum = (digit(*byte) + product) % 10;
        product = if sum == 0 { 10 } else { sum } * 2 % 11;
    }
    (product + digit(*last)) % 10 == 1
}

/// ISO/IEC 7064 MOD 11-2, as in the Chinese resident id: the last place may be `X`, which stands for ten.
pub(crate) fn mod_11_2(text: &[u8]) -> bool {
    let value = |byte: &u8| if *byte == b'X' { 10 } else { digit(*byte) };
    text.iter().fold(0, |sum, byte| (sum * 2 + value(byte)) % 11) == 1
}

/// The remainder of a long decimal number.
pub(crate) fn remainder(digits: &[u8], modulus: u32) -> u32 {
    digits.iter().fold(0, |rest, byte| (rest * 10 + digit(*byte)) % modulus)
}

/// ISO/IEC 7064 MOD 97-10 with letters as 10 to 35, as in ISO 13616: the first four characters count last.
pub(crate) fn iban_mod_97(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(4) else {
        return false;
    };
    let push = |rest: u32, byte: &u8| match byte {
        b'0'..=b'9' => (rest * 10 + digit(*byte)) % 97,
        _ => (rest * 100 + u32::from(byte.wrapping_sub(b'A')) % 26 + 10) % 97,
    };
    tail.iter().chain(head).fold(0, push) == 1
}

/// The check digit of GTIN-13 (GS1 General Specifications 7.9): weights 1 and 3 in turn.
pub(crate) fn ean13(digits: &[u8]) -> bool {
    weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Whether day and month exist; the year is not known well enough to tell leap years.
pub(crate) fn date(day: u32, month: u32) -> bool {
    const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let Some(days) = (month as usize).checked_sub(1).and_then(|index| DAYS.get(index)) else {
        return false;
    };
    (1..=*days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the ten last digits exactly one passes.
    #[track_caller]
    fn one_of_ten(body: &str, check: fn(&[u8]) -> bool, last: char) {
        for digit in '0'..='9' {
            let text = format!("{body}{digit}");
            assert_eq!(check(text.as_bytes()), digit == last, "{text}");
        }
    }

    #[test]
    fn check_digits_are_unique() {
        one_of_ten("7992739871", luhn, '3');
        one_of_ten("2468135790", luhn, '1');
        one_of_ten("236", verhoeff, '3');
        one_of_ten("8609574271", mod_11_10, '9');
        one_of_ten("400638133393", ean13, '1');
    }

    #[test]
    fn verhoeff_sees_neighbours_swapped() {
        assert!(verhoeff(b"2363"));
        assert!(!verhoeff(b"3263"));
        assert!(!verhoeff(b"2633"));
    }

    #[test]
    fn mod_11_2_counts_x_as_ten() {
        // 0794 with check 0 is the example of ISO/IEC 7064.
        assert!(mod_11_2(b"07940"));
        assert!(!mod_11_2(b"07941"));
        assert!(mod_11_2(b"079X"));
    }

    #[test]
    fn remainders_need_no_big_numbers() {
        assert_eq!(remainder(b"123456789012345678901234567890", 97), 52);
        assert_eq!(number(b"0420"), 420);
    }

    #[test]
    fn dates_exist() {
        assert!(date(29, 2) && date(31, 12));
        assert!(!date(30, 2) && !date(31, 4) && !date(0, 1) && !date(1, 13) && !date(1, 0));
    }
}
