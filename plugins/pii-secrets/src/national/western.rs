//! Great Britain, Ireland, France, Belgium, the Netherlands, Germany, Switzerland.

use crate::checksum::{date, digit, ean13, mod_11_10, number, remainder, weighted};
use crate::kinds::Kind::{
    BeNn, ChAhv, DeTaxId, FrNir, IePps, NlBsn, UkDrivingLicence, UkNhs, UkNino, UkPostcode, UkVehicle,
};
use crate::rule::{DASH, DOT, MIXED, Rule, SLASH, SPACE, rule};

pub(crate) const RULES: &[Rule] = &[
    // NHS Data Dictionary: weights 10 to 2 modulo 11. Telephone numbers of the US have the same grouping.
    rule(UkNhs, "GB", "9999999999", is_nhs).weak().weak_form(0x334, SPACE | DASH),
    // HMRC, NIM39110: excluded letters and prefixes; the suffix is A to D.
    rule(UkNino, "GB", "AA999999A", is_nino)
        .upper()
        .form(0x22221, SPACE | DASH)
        .form(0x261, SPACE | DASH)
        .loose(SPACE | DASH),
    // DVLA: surname, decade, month (plus 50 for women), day, year, initials, two arbitrary characters, check letters.
    rule(UkDrivingLicence, "GB", "XXXXX999999XXXAA", is_uk_driving_licence),
    // DVLA INF104: area letters without I Q Z, age identifier, three letters without I and Q.
    rule(UkVehicle, "GB", "AA99AAA", is_current_plate).weak().weak_form(0x43, SPACE | DASH),
    // Before 2001: a year letter before or behind one to three digits.
    rule(UkVehicle, "GB", "A9AAA", is_prefix_plate).weak().weak_form(0x23, SPACE | DASH),
    rule(UkVehicle, "GB", "A99AAA", is_prefix_plate).weak().weak_form(0x33, SPACE | DASH),
    rule(UkVehicle, "GB", "A999AAA", is_prefix_plate).weak().weak_form(0x43, SPACE | DASH),
    rule(UkVehicle, "GB", "AAA9A", is_suffix_plate).weak().weak_form(0x32, SPACE | DASH),
    rule(UkVehicle, "GB", "AAA99A", is_suffix_plate).weak().weak_form(0x33, SPACE | DASH),
    rule(UkVehicle, "GB", "AAA999A", is_suffix_plate).weak().weak_form(0x34, SPACE | DASH),
    // BS 7666, in the six forms of the Post Office's address file.
    rule(UkPostcode, "GB", "A99AA", is_postcode).weak().weak_form(0x23, SPACE),
    rule(UkPostcode, "GB", "AX99AA", is_postcode).weak().weak_form(0x33, SPACE),
    rule(UkPostcode, "GB", "A9A9AA", is_postcode).weak().weak_form(0x33, SPACE),
    rule(UkPostcode, "GB", "AAX9AA", is_postcode).weak().weak_form(0x33, SPACE),
    rule(UkPostcode, "GB", "AA9X9AA", is_postcode).weak().weak_form(0x43, SPACE),
    // Department of Social Protection: weights 8 to 2, the second letter times 9, modulo 23.
    rule(IePps, "IE", "9999999A", is_pps).upper().weak(),
    rule(IePps, "IE", "9999999AA", is_pps).upper(),
    // INSEE, code officiel: sex, year, month, commune, order and a key of 97 minus the remainder.
    rule(FrNir, "FR", "999999999999999", is_nir).form(0x1222332, SPACE).form(0xD2, SPACE).loose(SPACE),
    rule(FrNir, "FR", "999999A99999999", is_nir).form(0x1222332, SPACE).form(0xD2, SPACE).loose(SPACE),
    // Royal decree of 3 April 1984: date, order, and 97 minus the remainder; a 2 in front for births since 2000.
    rule(BeNn, "BE", "99999999999", is_be_nn)
        .form(0x22232, MIXED | DOT | DASH)
        .form(0x632, DASH | SPACE)
        .loose(SPACE | DOT),
    // Wet algemene bepalingen BSN: the eleven test, with -1 for the last digit.
    rule(NlBsn, "NL", "999999999", is_bsn).weak().weak_form(0x432, DOT | SPACE).weak_form(0x333, DOT | SPACE),
    // Section 139b AO and BZSt: one digit twice or three times among the first ten; ISO 7064 MOD 11,10.
    rule(DeTaxId, "DE", "99999999999", is_de_tax_id).form(0x2333, SPACE).loose(SPACE | SLASH),
    // Central Compensation Office: 756 and the check digit of GTIN-13.
    rule(ChAhv, "CH", "9999999999999", |d| d.starts_with(b"756") && ean13(d)).form(0x3442, DOT | SPACE),
];

fn is_nhs(digits: &[u8]) -> bool {
    number(&digits[..9]) > 0 && weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

fn is_nino(text: &[u8]) -> bool {
    let excluded = |byte: &u8| b"DFIQUV".contains(byte);
    let prefix = &text[..2];
    !prefix.iter().any(excluded)
        && prefix[1] != b'O'
        && !matches!(prefix, b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
        && (b'A'..=b'D').contains(&text[8])
}

fn is_uk_driving_licence(text: &[u8]) -> bool {
    let surname = text[..5].trim_ascii_end();
    let letters = surname.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let padded = letters > 0 && surname[letters..].iter().all(|byte| *byte == b'9');
    let month = number(&text[6..8]);
    let born = date(number(&text[8..10]), if month > 50 { month - 50 } else { month });
    let initial = |byte: u8| byte.is_ascii_uppercase() || byte == b'9';
    padded && born && initial(text[11]) && initial(text[12]) && (text[11] != b'9' || text[12] == b'9')
}

fn is_current_plate(text: &[u8]) -> bool {
    let area = text[..2].iter().all(|byte| !b"IQZ".contains(byte));
    // 02 to 29 from March, 51 to 79 from September.
    let age = matches!(number(&text[2..4]), 2..=29 | 51..=79);
    area && age && text[4..].iter().all(|byte| !b"IQ".contains(byte))
}

/// Letters that no old plate has as its year or in its serial.
fn is_plate_letter(byte: u8) -> bool {
    !b"IOQUZ".contains(&byte)
}

fn is_prefix_plate(text: &[u8]) -> bool {
    is_plate_letter(text[0]) && text[text.len() - 3..].iter().all(|byte| !b"IQ".contains(byte))
}

fn is_suffix_plate(text: &[u8]) -> bool {
    is_plate_letter(text[text.len() - 1]) && text[..3].iter().all(|byte| !b"IQ".contains(byte))
}

fn is_postcode(text: &[u8]) -> bool {
    let (outward, inward) = text.split_at(text.len() - 3);
    // Girobank's own, which fits no form.
    if text == b"GIR0AA" {
        return true;
    }
    let first = !b"QVX".contains(&outward[0]);
    let second = !b"IJZ".contains(&outward[1]);
    let third = outward.len() < 3 || outward[2] <= b'9' || b"ABCDEFGHJKPSTUW".contains(&outward[2]);
    first && second && third && inward[1..].iter().all(|byte| !b"CIKMOV".contains(byte))
}

fn is_pps(text: &[u8]) -> bool {
    let second = text.get(8).filter(|byte| **byte != b'W').map_or(0, |byte| u32::from(byte - b'A') + 1);
    let sum = weighted(&text[..7], &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    let fits = text.get(8).is_none_or(|byte| (b'A'..=b'I').contains(byte) || *byte == b'W');
    fits && text[7] == b"WABCDEFGHIJKLMNOPQRSTUV"[(sum % 23) as usize]
}

fn is_nir(text: &[u8]) -> bool {
    let mut digits = [0; 15];
    digits.copy_from_slice(text);
    // Corsica: 2A counts as 19, 2B as 18.
    match &text[5..7] {
        b"2A" => digits[5..7].copy_from_slice(b"19"),
        b"2B" => digits[5..7].copy_from_slice(b"18"),
        other if other[1] > b'9' => return false,
        _ => {}
    }
    let month = matches!(number(&text[3..5]), 1..=12 | 20 | 30..=42 | 50..=99);
    let sex = matches!(text[0], b'1' | b'2' | b'3' | b'4' | b'7' | b'8');
    sex && month && 97 - remainder(&digits[..13], 97) == number(&digits[13..])
}

fn is_be_nn(digits: &[u8]) -> bool {
    let month = number(&digits[2..4]);
    // BIS numbers of people without residence add 20 or 40 to the month.
    let born = date(number(&digits[4..6]), month % 20) && month < 60;
    let rest = remainder(&digits[..9], 97);
    // A 2 in front adds 2,000,000,000, which is 60 modulo 97 less than a multiple: 2e9 mod 97.
    let since_2000 = (rest + 2_000_000_000 % 97) % 97;
    born && matches!(number(&digits[9..]), key if key == 97 - rest || key == 97 - since_2000)
}

fn is_bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) + 11 - digit(digits[8]);
    number(digits) > 0 && sum.is_multiple_of(11)
}

fn is_de_tax_id(digits: &[u8]) -> bool {
    let mut counts = [0_u8; 10];
    digits[..10].iter().for_each(|byte| counts[digit(*byte) as usize % 10] += 1);
    let most = counts.iter().max().copied().unwrap_or(0);
    let repeated = counts.iter().filter(|count| **count > 1).count();
    digits[0] != b'0' && repeated == 1 && most <= 3 && mod_11_10(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn great_britain() {
        check(RULES, UkNhs, &["1234567881"], &["1234567882", "0000000000"]);
        check(RULES, UkNino, &["AB123456C"], &["AB123456E", "DB123456C", "AO123456C", "GB123456C"]);
        check(
            RULES,
            UkDrivingLicence,
            &["SMITH902157AB9CD", "OX999562299Z99AA"],
            &["SMITH913157AB9CD", "S9ITH902157AB9CD", "99999902157AB9CD"],
        );
        check(RULES, UkVehicle, &["CD24EFG", "A1BCD", "BCD12E"], &["CI24EFG", "CD49EFG", "I1BCD", "BCD12Z"]);
        check(RULES, UkPostcode, &["M11AE", "B338TH", "CR26XH", "W1A0AX", "EC1A1BB"], &["Q11AE", "M11CE", "AI11AE"]);
        check(RULES, IePps, &["1234567T", "1234567FA", "1234567TW"], &["1234567U", "1234567FJ"]);
    }

    #[test]
    fn the_continent() {
        check(RULES, FrNir, &["185057800608491", "285052A00608482"], &["185057800608492", "585057800608491"]);
        check(RULES, BeNn, &["85073003328"], &["85073003329", "85133003328"]);
        check(RULES, NlBsn, &["123456782"], &["123456783", "000000000"]);
        check(RULES, DeTaxId, &["12345678995"], &["12345678996", "01234567898", "11223456789"]);
        check(RULES, ChAhv, &["7561234567897"], &["7561234567898", "7551234567897"]);
    }
}
