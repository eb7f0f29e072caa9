//! United States, Canada, Mexico, Brazil, Chile.

use crate::checksum::{date, digit, luhn, luhn_sum, number, weighted};
use crate::kinds::Kind::{BrCnpj, BrCpf, CaSin, ClRut, MxCurp, UsItin, UsMbi, UsNpi, UsSsn};
use crate::rule::{DASH, DOT, MIXED, Rule, SLASH, SPACE, rule};

pub(crate) const RULES: &[Rule] = &[
    // SSA, POMS RM 10201.035: area not 000, 666 or 900 and up, group not 00, serial not 0000.
    rule(UsSsn, "US", "999999999", is_ssn).weak().form(0x324, DASH | SPACE | DOT).loose(DASH | SPACE | DOT),
    // IRS, Internal Revenue Manual 3.21.263: 9xx and the groups 50-65, 70-88, 90-92, 94-99.
    rule(UsItin, "US", "999999999", is_itin).weak().form(0x324, DASH | SPACE).loose(DASH | SPACE),
    // CMS, NPI check digit: Luhn over 80840 and the number; the type is 1 or 2.
    rule(UsNpi, "US", "9999999999", is_npi).weak().loose(DASH | SPACE),
    // CMS, "Understanding the MBI format": letters without S L O I B Z.
    rule(UsMbi, "US", "9AX9AX9AA99", is_mbi).upper().form(0x434, DASH | SPACE).loose(SPACE),
    // Service Canada: Luhn; 0 and 8 are not given to people.
    rule(CaSin, "CA", "999999999", |d| !matches!(d[0], b'0' | b'8') && luhn(d))
        .weak()
        .form(0x333, DASH)
        .weak_form(0x333, SPACE),
    // RENAPO, Instructivo normativo CURP: sex, state and a check digit over all characters.
    rule(MxCurp, "MX", "AAAA999999AAAAAAX9", is_curp),
    // Receita Federal: two check digits modulo 11.
    rule(BrCpf, "BR", "99999999999", is_cpf).form(0x3332, MIXED | DOT | DASH).form(0x92, DASH),
    rule(BrCnpj, "BR", "99999999999999", is_cnpj)
        // One time stamp of fourteen digits in a hundred passes as well.
        .weak()
        .form(0x23342, MIXED | DOT | SLASH | DASH)
        .form(0x842, MIXED | SLASH | DASH),
    // Registro Civil: modulo 11 with K for ten.
    rule(ClRut, "CL", "99999999X", is_rut).weak().form(0x2331, MIXED | DOT | DASH).weak_form(0x81, DASH),
    rule(ClRut, "CL", "9999999X", is_rut).weak().form(0x1331, MIXED | DOT | DASH).weak_form(0x71, DASH),
];

fn is_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    // Two numbers became famous in advertisements and are void.
    let famous = matches!(digits, b"078051120" | b"219099999");
    !famous && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

fn is_itin(digits: &[u8]) -> bool {
    digits[0] == b'9' && matches!(number(&digits[3..5]), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

fn is_npi(digits: &[u8]) -> bool {
    // 80840 adds 24 to the sum, because an even number of digits follows it.
    matches!(digits[0], b'1' | b'2') && (luhn_sum(digits) + 24).is_multiple_of(10)
}

fn is_mbi(text: &[u8]) -> bool {
    text[0] != b'0' && !text.iter().any(|byte| b"SLOIBZ".contains(byte))
}

fn is_curp(text: &[u8]) -> bool {
    // The official alphabet has Ñ between N and O.
    let value = |byte: &u8| match byte {
        b'0'..=b'9' => digit(*byte),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte - b'A') + 11,
    };
    let sum: u32 = text[..17].iter().zip((2..=18).rev()).map(|(byte, weight)| value(byte) * weight).sum();
    let born = date(number(&text[8..10]), number(&text[6..8]));
    born && matches!(text[10], b'H' | b'M' | b'X') && (10 - sum % 10) % 10 == digit(text[17])
}

/// A modulo 11 digit where ten and eleven become zero.
fn mod_11_digit(digits: &[u8], weights: &[u32]) -> u32 {
    let rest = weighted(digits, weights) % 11;
    if rest < 2 { 0 } else { 11 - rest }
}

/// Numbers of one repeated digit satisfy the sums and are never issued.
fn is_repeated(digits: &[u8]) -> bool {
    digits.iter().all(|byte| *byte == digits[0])
}

fn is_cpf(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
    !is_repeated(digits)
        && mod_11_digit(&digits[..9], &WEIGHTS[1..]) == digit(digits[9])
        && mod_11_digit(&digits[..10], &WEIGHTS) == digit(digits[10])
}

fn is_cnpj(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    !is_repeated(digits)
        && mod_11_digit(&digits[..12], &WEIGHTS[1..]) == digit(digits[12])
        && mod_11_digit(&digits[..13], &WEIGHTS) == digit(digits[13])
}

fn is_rut(text: &[u8]) -> bool {
    let (body, last) = text.split_at(text.len() - 1);
    let weights = [2, 3, 4, 5, 6, 7, 2, 3];
    let sum: u32 = body.iter().rev().zip(weights).map(|(byte, weight)| digit(*byte) * weight).sum();
    let check = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        value => b'0' + value as u8,
    };
    last[0] == check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn united_states() {
        check(
            RULES,
            UsSsn,
            &["123456789", "899010001"],
            &["000456789", "666456789", "900456789", "123006789", "123450000", "078051120"],
        );
        check(RULES, UsItin, &["900700000", "999881234"], &["899701234", "900661234", "900891234", "900931234"]);
        check(RULES, UsNpi, &["1000000004", "2000000002"], &["1000000005", "3000000000"]);
        check(RULES, UsMbi, &["1AC2DE3FG45"], &["0AC2DE3FG45", "1SC2DE3FG45", "1AC2DE3FG4A"]);
    }

    #[test]
    fn canada_and_mexico() {
        check(RULES, CaSin, &["123456782", "999999998"], &["123456783", "012345674"]);
        check(RULES, MxCurp, &["ABCD010203HDFXYZ09"], &["ABCD010203HDFXYZ06", "ABCD013203HDFXYZ09"]);
    }

    #[test]
    fn brazil_and_chile() {
        check(RULES, BrCpf, &["12345678909"], &["12345678900", "11111111111"]);
        check(RULES, BrCnpj, &["12345678000195"], &["12345678000196", "00000000000000"]);
        check(RULES, ClRut, &["123456785"], &["123456784"]);
    }
}
