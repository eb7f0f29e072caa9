//! India, China, Korea, Singapore, Thailand, Turkey, Australia, South Africa.

use crate::checksum::{date, digit, luhn, mod_11_2, number, verhoeff, weighted};
use crate::kinds::Kind::{
    AuAbn, AuAcn, AuMedicare, AuTfn, CnId, InAadhaar, InGstin, InPan, InVoter, KrRrn, SgNric, SgUen, ThTnin, TrId,
    ZaId,
};
use crate::rule::{COLON, DASH, Rule, SPACE, rule};

pub(crate) const RULES: &[Rule] = &[
    // UIDAI: twelve digits, the first 2 to 9, Verhoeff; palindromes are not issued.
    rule(InAadhaar, "IN", "999999999999", is_aadhaar).weak().form(0x444, SPACE | DASH).weak_form(0x444, COLON),
    // Income Tax Department: the fourth letter is the holder's type; the check letter's rule is not published.
    rule(InPan, "IN", "AAAAA9999A", |text| b"ABCFGHJLPT".contains(&text[3])).upper().format_alone(|_| true),
    // CBIC: state code, PAN, entity, Z, and a check character of modulo 36.
    rule(InGstin, "IN", "99AAAAA9999AXAX", is_gstin).format_alone(is_gstin_form).loose(SPACE | DASH),
    // Election Commission, EPIC: no public check digit.
    rule(InVoter, "IN", "AAA9999999", |_| true).weak(),
    // GB 11643-1999.
    rule(CnId, "CN", "999999999999999999", is_cn_id),
    rule(CnId, "CN", "99999999999999999A", is_cn_id),
    // Resident Registration Act: date, century and sex; since October 2020 the last six digits are random.
    rule(KrRrn, "KR", "9999999999999", is_rrn_date).never_bare().form(0x67, DASH),
    rule(KrRrn, "KR", "9999999999999", |d| is_rrn_date(d) && is_rrn_check(d)).weak(),
    // ICA: weights 2 7 6 5 4 3 2, a constant and a letter table by series.
    rule(SgNric, "SG", "A9999999A", is_nric).upper().format_alone(|text| b"STFGM".contains(&text[0])),
    // ACRA, UEN: three forms with a check letter each.
    rule(SgUen, "SG", "99999999A", is_uen_business).upper(),
    rule(SgUen, "SG", "999999999A", is_uen_company).upper(),
    rule(SgUen, "SG", "A99AA9999A", is_uen_other).upper(),
    // Department of Provincial Administration: type 1 to 8, province, modulo 11.
    rule(ThTnin, "TH", "9999999999999", is_tnin).weak().form(0x14521, DASH | SPACE),
    // NVI: two check digits.
    rule(TrId, "TR", "99999999999", is_tckn).loose(SPACE),
    // ATO: weights 1 4 3 7 5 8 6 9 10 modulo 11.
    rule(AuTfn, "AU", "999999999", is_tfn).weak().weak_form(0x333, SPACE | DASH),
    // ABR: one less in the first digit, weights 10 1 3 … 19 modulo 89.
    rule(AuAbn, "AU", "99999999999", is_abn).weak().form(0x2333, SPACE | DASH),
    // ASIC: weights 8 to 1 modulo 10.
    rule(AuAcn, "AU", "999999999", is_acn).weak().weak_form(0x333, SPACE | DASH),
    // Services Australia: first digit 2 to 6, weights 1 3 7 9 modulo 10, then the issue and perhaps the person.
    rule(AuMedicare, "AU", "9999999999", is_medicare).weak().form(0x451, SPACE | DASH),
    rule(AuMedicare, "AU", "99999999999", is_medicare).weak().form(0x4511, SPACE | DASH),
    // Identification Act 1986: date, sequence, citizenship 0 to 2, Luhn.
    rule(ZaId, "ZA", "9999999999999", is_za_id).form(0x6412, SPACE).form(0x643, SPACE).form(0x6421, SPACE),
];

fn is_aadhaar(digits: &[u8]) -> bool {
    digits[0] >= b'2' && !digits.iter().eq(digits.iter().rev()) && verhoeff(digits)
}

fn is_gstin(text: &[u8]) -> bool {
    let value = |byte: &u8| if *byte <= b'9' { digit(*byte) } else { u32::from(byte - b'A') + 10 };
    let fold = |sum: u32, (index, byte): (usize, &u8)| {
        let product = value(byte) * (index as u32 % 2 + 1);
        sum + product / 36 + product % 36
    };
    let sum = text[..14].iter().enumerate().fold(0, fold);
    is_gstin_form(text) && (36 - sum % 36) % 36 == value(&text[14])
}

/// State codes 01 to 38 and 97 (other territory).
fn is_gstin_form(text: &[u8]) -> bool {
    matches!(number(&text[..2]), 1..=38 | 97) && text[12] != b'0' && text[13] == b'Z'
}

fn is_cn_id(text: &[u8]) -> bool {
    let born = date(number(&text[12..14]), number(&text[10..12]));
    born && matches!(number(&text[6..10]), 1850..=2099) && matches!(text[17], b'0'..=b'9' | b'X') && mod_11_2(text)
}

fn is_rrn_date(digits: &[u8]) -> bool {
    date(number(&digits[4..6]), number(&digits[2..4])) && (b'1'..=b'8').contains(&digits[6])
}

fn is_rrn_check(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    (11 - sum % 11) % 10 == digit(digits[12])
}

fn is_nric(text: &[u8]) -> bool {
    let sum = weighted(&text[1..8], &[2, 7, 6, 5, 4, 3, 2]);
    let (letters, constant) = match text[0] {
        b'S' => (b"JZIHGFEDCBA", 0),
        b'T' => (b"JZIHGFEDCBA", 4),
        b'F' => (b"XWUTRQPNMLK", 0),
        b'G' => (b"XWUTRQPNMLK", 4),
        b'M' => (b"XWUTRQPNJLK", 3),
        _ => return false,
    };
    text[8] == letters[((sum + constant) % 11) as usize]
}

fn is_uen_business(text: &[u8]) -> bool {
    let sum = weighted(text, &[10, 4, 9, 3, 8, 2, 7, 1]);
    text[8] == b"XMKECAWLJDB"[(sum % 11) as usize]
}

fn is_uen_company(text: &[u8]) -> bool {
    let sum = weighted(text, &[10, 8, 6, 4, 9, 7, 5, 3, 1]);
    matches!(number(&text[..4]), 1800..=2099) && text[9] == b"ZKCMDNERGWH"[(sum % 11) as usize]
}

fn is_uen_other(text: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWX0123456789";
    let value = |byte: &u8| ALPHABET.iter().position(|letter| letter == byte);
    let mut sum = 0;
    for (byte, weight) in text.iter().zip([4, 3, 5, 3, 10, 2, 2, 5, 7]) {
        let Some(value) = value(byte) else {
            return false;
        };
        sum += value * weight;
    }
    // Eleven is added twice so that subtracting five stays positive.
    matches!(text[0], b'R' | b'S' | b'T') && ALPHABET.get((sum + 17) % 11) == text.last()
}

fn is_tnin(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let issued = (b'1'..=b'8').contains(&digits[0]) && matches!(number(&digits[1..3]), 10..=96);
    issued && (11 - sum % 11) % 10 == digit(digits[12])
}

fn is_tckn(digits: &[u8]) -> bool {
    let odd = weighted(digits, &[1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let even = weighted(digits, &[0, 1, 0, 1, 0, 1, 0, 1]);
    let tenth = digit(digits[9]);
    // Adding 80 keeps the difference positive without changing it modulo 10.
    digits[0] != b'0' && (odd * 7 + 80 - even) % 10 == tenth && (odd + even + tenth) % 10 == digit(digits[10])
}

fn is_tfn(digits: &[u8]) -> bool {
    number(digits) > 0 && weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

fn is_abn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    digits[0] != b'0' && sum % 89 == 10
}

fn is_acn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[8, 7, 6, 5, 4, 3, 2, 1]);
    number(digits) > 0 && (10 - sum % 10) % 10 == digit(digits[8])
}

fn is_medicare(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9]);
    (b'2'..=b'6').contains(&digits[0]) && sum % 10 == digit(digits[8]) && digits[9] != b'0'
}

fn is_za_id(digits: &[u8]) -> bool {
    let born = date(number(&digits[4..6]), number(&digits[2..4]));
    born && matches!(digits[10], b'0'..=b'2') && luhn(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn india_and_china() {
        check(RULES, InAadhaar, &["234567890124"], &["234567890123", "134567890120"]);
        check(RULES, InPan, &["ABCPE1234F"], &["ABCXE1234F", "ABCP11234F"]);
        check(RULES, InGstin, &["29ABCPE1234F1Z7"], &["29ABCPE1234F1ZX", "39ABCPE1234F1ZV"]);
        check(RULES, CnId, &["110101199003070011"], &["110101199003070012", "110101199013070011"]);
    }

    #[test]
    fn the_rest_of_asia() {
        check(RULES, KrRrn, &["9001011234568"], &["9001011234567", "9013011234568"]);
        check(RULES, SgNric, &["S1234567D", "T1234567J", "F1234567N", "G1234567X"], &["S1234567E", "A1234567D"]);
        check(RULES, ThTnin, &["1101700230708"], &["1101700230709", "9101700230708"]);
        check(RULES, TrId, &["12345678950"], &["12345678951", "02345678950"]);
    }

    #[test]
    fn australia_and_south_africa() {
        check(RULES, AuTfn, &["123456782"], &["123456783", "000000000"]);
        check(RULES, AuAbn, &["51824753556"], &["51824753557"]);
        check(RULES, AuAcn, &["123456780"], &["123456781"]);
        check(RULES, AuMedicare, &["2123456701"], &["2123456711", "7123456701"]);
        check(RULES, ZaId, &["9001015000085"], &["9001015000086", "9001015000385"]);
    }
}
