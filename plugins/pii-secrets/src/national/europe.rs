//! Spain, Portugal, Italy, Poland, Czechia's neighbours to the south-east.

use crate::checksum::{date, digit, luhn, mod_11_10, number, weighted};
use crate::kinds::Kind::{EsNie, EsNif, HrOib, ItFiscalCode, ItVat, PlPesel, PtNif, RoCnp};
use crate::rule::{DASH, DOT, MIXED, Rule, SPACE, rule};

pub(crate) const RULES: &[Rule] = &[
    // Real Decreto 1553/2005: eight digits (older ones seven) and a letter by the remainder of 23.
    rule(EsNif, "ES", "99999999A", |text| is_nif(text, 0)).upper().form(0x81, DASH).form(0x2331, MIXED | DOT | DASH),
    rule(EsNif, "ES", "9999999A", |text| is_nif(text, 0)).upper().weak().weak_form(0x71, DASH),
    // Orden INT/2058/2008: X, Y and Z stand for 0, 1 and 2.
    rule(EsNie, "ES", "A9999999A", is_nie).upper().form(0x81, DASH).form(0x171, DASH | SPACE),
    // Decreto-Lei 14/2013: nine digits, weights 9 to 2 modulo 11.
    rule(PtNif, "PT", "999999999", is_pt_nif).weak().weak_form(0x333, SPACE),
    // Decreto ministeriale 23/12/1976: names, birth, place and a check letter; digits may have become letters (omocodia).
    rule(ItFiscalCode, "IT", "AAAAAAXXAXXAXXXA", is_fiscal_code).format_alone(is_fiscal_form).loose(SPACE),
    // DPR 633/1972 article 35: seven digits, office, Luhn.
    rule(ItVat, "IT", "99999999999", |d| number(&d[..7]) > 0 && luhn(d)).weak(),
    // Ustawa o ewidencji ludności: date with century in the month, weights 1 3 7 9.
    rule(PlPesel, "PL", "99999999999", is_pesel),
    // HG 1375/2005: sex and century, date, county, weights 2 7 9 1 4 6 3 5 8 2 7 9.
    rule(RoCnp, "RO", "9999999999999", is_cnp),
    // Zakon o osobnom identifikacijskom broju: ISO 7064 MOD 11,10. No structure besides.
    rule(HrOib, "HR", "99999999999", mod_11_10).weak(),
];

/// The letter of the remainder by 23; the body may have a digit that stands for its first letter.
fn is_nif(text: &[u8], leading: u32) -> bool {
    let (body, letter) = text.split_at(text.len() - 1);
    let value = leading * 10_000_000 + number(body);
    letter[0] == b"TRWAGMYFPDXBNJZSQVHLCKE"[(value % 23) as usize]
}

fn is_nie(text: &[u8]) -> bool {
    let leading = text[0].wrapping_sub(b'X');
    leading < 3 && is_nif(&text[1..], u32::from(leading))
}

fn is_pt_nif(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let check = if rest < 2 { 0 } else { 11 - rest };
    matches!(digits[0], b'1'..=b'3' | b'5' | b'6' | b'8' | b'9') && check == digit(digits[8])
}

fn is_fiscal_code(text: &[u8]) -> bool {
    is_fiscal_form(text) && fiscal_letter(&text[..15]) == text[15]
}

/// Month letter and places that hold digits or the letters that replace them.
fn is_fiscal_form(text: &[u8]) -> bool {
    let numeric = |byte: &u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte);
    b"ABCDEHLMPRST".contains(&text[8]) && [6, 7, 9, 10, 12, 13, 14].iter().all(|index| numeric(&text[*index]))
}

/// Places count from one: odd ones by the decree's table, even ones by their position in the alphabet.
fn fiscal_letter(body: &[u8]) -> u8 {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let value = |byte: u8| if byte <= b'9' { digit(byte) } else { u32::from(byte - b'A') };
    let add = |sum: u32, (index, byte): (usize, &u8)| match index % 2 {
        0 => sum + ODD[value(*byte) as usize],
        _ => sum + value(*byte),
    };
    b'A' + (body.iter().enumerate().fold(0, add) % 26) as u8
}

fn is_pesel(digits: &[u8]) -> bool {
    // 80, 0, 20, 40 and 60 are added to the month by century.
    let month = number(&digits[2..4]) % 20;
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    date(number(&digits[4..6]), month) && sum.is_multiple_of(10)
}

fn is_cnp(digits: &[u8]) -> bool {
    let rest = weighted(digits, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    let check = if rest == 10 { 1 } else { rest };
    let county = matches!(number(&digits[7..9]), 1..=48 | 51 | 52 | 70 | 80..=83);
    let born = date(number(&digits[5..7]), number(&digits[3..5]));
    digits[0] != b'0' && county && born && check == digit(digits[12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn the_iberian_peninsula() {
        check(RULES, EsNif, &["12345678Z", "1234567L"], &["12345678A"]);
        check(RULES, EsNie, &["X1234567L", "Y1234567X", "Z1234567R"], &["X1234567M", "W1234567L"]);
        check(RULES, PtNif, &["123456789"], &["123456788", "423456789"]);
    }

    #[test]
    fn italy() {
        check(
            RULES,
            ItFiscalCode,
            &["RSSMRA85T10A562S", "RSSMRA85T10A56NH"],
            &["RSSMRA85T10A562T", "RSSMRA85F10A562S"],
        );
        check(RULES, ItVat, &["12345678903"], &["12345678904", "00000000000"]);
    }

    #[test]
    fn the_east() {
        check(RULES, PlPesel, &["90010112349"], &["90010112345", "90130112349"]);
        check(RULES, RoCnp, &["1900101123457"], &["1900101123456", "0900101123457"]);
        check(RULES, HrOib, &["12345678903"], &["12345678904"]);
    }
}
