//! Numbers of passports, identity cards, licences and certificates. Most have no public check digit: they count beside a
//! word that names them.

use crate::checksum::{digit, weighted};
use crate::kinds::Kind::{ItDrivingLicence, ItIdentityCard, Passport, UsDea};
use crate::rule::{Rule, SPACE, rule};

const fn paper(kind: crate::Kind, country: &'static str, shape: &'static str) -> Rule {
    rule(kind, country, shape, |_| true).weak()
}

pub(crate) const RULES: &[Rule] = &[
    // Formats as printed: US 9 digits or a letter and 8, UK 9 digits or two letters and 7, Spain three letters and 6,
    // Italy two letters and 7, India a letter and 7.
    paper(Passport, "US", "999999999"),
    paper(Passport, "US", "A99999999"),
    paper(Passport, "GB", "AA9999999"),
    paper(Passport, "ES", "AAA999999"),
    paper(Passport, "IT", "AA9999999"),
    // India: a capital, then no zero first and no zero last.
    rule(Passport, "IN", "A9999999", |text| text[1] != b'0' && text[7] != b'0').weak(),
    // Germany: nine of the characters CFGHJKLMNPRTVWXYZ0-9, starting with a letter of them.
    rule(Passport, "DE", "AXXXXXXXX", is_german_passport).weak(),
    // Ministero dell'Interno: paper cards, electronic cards 2.0 and 3.0.
    paper(ItIdentityCard, "IT", "AA9999999").weak_form(0x27, SPACE),
    paper(ItIdentityCard, "IT", "9999999AA"),
    paper(ItIdentityCard, "IT", "AA99999AA"),
    // Ministero delle Infrastrutture: two letters, seven digits, one letter; or U1 and characters without vowels A E I O Q V.
    paper(ItDrivingLicence, "IT", "AA9999999A"),
    rule(ItDrivingLicence, "IT", "A9XXXXXXXA", is_u1_licence).weak(),
    // 21 CFR 1301 and the DEA's check: first, third, fifth digit plus twice the others; its last digit.
    rule(UsDea, "US", "AA9999999", is_dea).weak(),
    rule(UsDea, "US", "A99999999", is_dea).weak(),
];

fn is_german_passport(text: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte);
    text.iter().all(allowed) && text.iter().filter(|byte| byte.is_ascii_digit()).count() >= 4
}

fn is_u1_licence(text: &[u8]) -> bool {
    text.starts_with(b"U1") && text[2..].iter().all(|byte| !b"AEIOQV".contains(byte))
}

fn is_dea(text: &[u8]) -> bool {
    // Registrant types; the second place is the surname's initial, or 9 for a business.
    let registrant = b"ABCDEFGHJKLMPRSTUX".contains(&text[0]);
    let name = text[1].is_ascii_uppercase() || text[1] == b'9';
    let sum = weighted(&text[2..8], &[1, 2, 1, 2, 1, 2]);
    registrant && name && sum % 10 == digit(text[8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn formats_and_the_one_check_digit() {
        check(
            RULES,
            Passport,
            &["123456789", "A12345678", "AB1234567", "ABC123456", "C01X00T47"],
            &["12345678", "ABCD12345"],
        );
        check(RULES, ItIdentityCard, &["CA12345AA", "1234567AA"], &["CA123456A"]);
        check(RULES, ItDrivingLicence, &["U1B12345CD", "AB1234567C"], &["U1A12345CD"]);
        check(RULES, UsDea, &["AB1234563", "A91234563"], &["AB1234564", "IB1234563"]);
    }
}
