//! Finland, Sweden, Norway, Denmark.

use crate::checksum::{date, luhn, number, remainder, weighted};
use crate::kinds::Kind::{DkCpr, FiHetu, NoFnr, SePersonnummer};
use crate::rule::{DASH, PLUS, Rule, SPACE, rule};

pub(crate) const RULES: &[Rule] = &[
    // DVV: date, century sign, individual number, and a character by the remainder of 31. The signs are + - A to F and,
    // since 2023, Y X W V U.
    rule(FiHetu, "FI", "999999A999X", is_hetu),
    rule(FiHetu, "FI", "999999999X", |text| is_hetu_of(&text[..6], &text[6..])).never_bare().form(0x64, DASH | PLUS),
    // Folkbokföringslagen section 18: Luhn over the last ten digits; coordination numbers add 60 to the day.
    rule(SePersonnummer, "SE", "9999999999", is_personnummer).weak().form(0x64, DASH | PLUS),
    rule(SePersonnummer, "SE", "999999999999", |d| matches!(number(&d[..2]), 18..=20) && is_personnummer(&d[2..]))
        .weak()
        .form(0x84, DASH | PLUS),
    // Folkeregisterforskriften: two check digits modulo 11; D numbers add 40 to the day.
    rule(NoFnr, "NO", "99999999999", is_fnr).form(0x65, SPACE),
    // CPR-loven: since 2007 the check digit is given up, so a date and a grouping is all there is.
    rule(DkCpr, "DK", "9999999999", |d| date(number(&d[..2]), number(&d[2..4]))).weak().weak_form(0x64, DASH | SPACE),
];

fn is_hetu(text: &[u8]) -> bool {
    b"ABCDEFYXWVU".contains(&text[6]) && is_hetu_of(&text[..6], &text[7..])
}

fn is_hetu_of(day: &[u8], rest: &[u8]) -> bool {
    const CHECKS: &[u8] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let mut digits = [0; 9];
    digits[..6].copy_from_slice(day);
    digits[6..].copy_from_slice(&rest[..3]);
    let check = CHECKS[remainder(&digits, 31) as usize];
    date(number(&day[..2]), number(&day[2..4])) && number(&rest[..3]) >= 2 && check == rest[3]
}

fn is_personnummer(digits: &[u8]) -> bool {
    let day = number(&digits[4..6]);
    date(if day > 60 { day - 60 } else { day }, number(&digits[2..4])) && luhn(digits)
}

fn is_fnr(digits: &[u8]) -> bool {
    let day = number(&digits[..2]);
    let born = date(if day > 40 { day - 40 } else { day }, number(&digits[2..4]));
    born && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn check_digits() {
        check(RULES, FiHetu, &["010190A123M"], &["010190A123N", "310290A1230", "010190G123M"]);
        check(RULES, SePersonnummer, &["9001011239"], &["9001011235", "9013011239"]);
        check(RULES, NoFnr, &["01019010046"], &["01019010047"]);
        check(RULES, DkCpr, &["0101901234"], &["0113901234"]);
    }
}
