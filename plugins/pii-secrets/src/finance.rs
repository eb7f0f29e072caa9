//! Payment cards, IBAN, bank numbers of the US, and cryptocurrency addresses.

use sha2::{Digest, Sha256};

use crate::bytes::{self, DIGIT, LETTER};
use crate::checksum::{iban_mod_97, luhn, number, weighted};
use crate::kinds::Kind::{Card, Imei, UsAba, UsBankAccount};
use crate::rule::{DASH, DOT, Evidence, Rule, SPACE, rule};

/// A card number: ISO/IEC 7812-1 for the check digit, the networks' published ranges for prefix and length.
const fn card(shape: &'static str) -> Rule {
    rule(Card, "", shape, is_card).loose(DASH | SPACE | DOT)
}

/// Numbers of fixed length.
pub(crate) const RULES: &[Rule] = &[
    // 12, 13 and 17 to 19 digits are rare on cards and common elsewhere (bar codes, snowflake ids, timestamps).
    card("999999999999").weak(),
    card("9999999999999").weak().form(0x4333, DASH | SPACE),
    card("99999999999999").form(0x464, DASH | SPACE),
    card("999999999999999").form(0x465, DASH | SPACE),
    // UATP: major industry identifier 1, fifteen digits. So short a prefix needs a word beside it.
    rule(Card, "", "999999999999999", |digits| digits[0] == b'1' && luhn(digits)).weak(),
    card("9999999999999999").form(0x4444, DASH | SPACE | DOT).form(0x88, SPACE | DASH),
    card("99999999999999999").weak(),
    card("999999999999999999").weak(),
    card("9999999999999999999").weak().form(0x44443, DASH | SPACE).form(0x6D, SPACE),
    // 3GPP TS 23.003 section 6.2.1 and annex B: fifteen digits with Luhn, also grouped 2-6-6-1.
    rule(Imei, "", "999999999999999", |digits| digits[0] != b'0' && luhn(digits))
        .weak()
        .weak_form(0x2661, DASH | SPACE),
    // ABA routing number: 3-7-1 weights, Federal Reserve prefixes 00-12, 21-32, 61-72, 80.
    rule(UsAba, "US", "999999999", is_aba).weak().weak_form(0x441, DASH | SPACE),
    // No standard and no check digit: 8 to 17 digits, only where the text says so.
    rule(UsBankAccount, "US", "99999999", any).weak(),
    rule(UsBankAccount, "US", "999999999", any).weak(),
    rule(UsBankAccount, "US", "9999999999", any).weak(),
    rule(UsBankAccount, "US", "99999999999", any).weak(),
    rule(UsBankAccount, "US", "999999999999", any).weak(),
    rule(UsBankAccount, "US", "9999999999999", any).weak(),
    rule(UsBankAccount, "US", "99999999999999", any).weak(),
    rule(UsBankAccount, "US", "99999999999999999", any).weak(),
];

fn any(_: &[u8]) -> bool {
    true
}

fn is_aba(digits: &[u8]) -> bool {
    let prefix = matches!(number(&digits[..2]), 0..=12 | 21..=32 | 61..=72 | 80);
    prefix && number(digits) > 0 && weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}

fn is_card(digits: &[u8]) -> bool {
    let (two, three, four) = (number(&digits[..2]), number(&digits[..3]), number(&digits[..4]));
    let six = number(&digits[..6]);
    let issued = match digits.len() {
        12 | 17 => is_maestro(two),
        // Visa's old length.
        13 => digits[0] == b'4',
        // Diners Club.
        14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39),
        // American Express, JCB's old ranges.
        15 => matches!(two, 34 | 37) || matches!(four, 1800 | 2131),
        16 => is_sixteen(two, four, six),
        // UnionPay, Visa, Discover and JCB of nineteen digits.
        18 | 19 => two == 62 || is_maestro(two) || digits.len() == 19 && is_sixteen(two, four, six),
        _ => false,
    };
    issued && luhn(digits)
}

/// Maestro: 50, 56 to 58, 6304, 6759, 676x.
fn is_maestro(two: u32) -> bool {
    matches!(two, 50 | 56..=58 | 63 | 67)
}

/// Visa, Mastercard, Discover, JCB, UnionPay, Mir, RuPay, Diners on Mastercard's and Discover's rails.
fn is_sixteen(two: u32, four: u32, six: u32) -> bool {
    matches!(two, 40..=49 | 51..=55 | 62 | 65 | 36 | 38 | 39 | 81 | 82)
        || matches!(four, 2200..=2204 | 2221..=2720 | 3528..=3589 | 6011 | 6440..=6499)
        || matches!(six, 508500..=508999 | 606985..=607984 | 608001..=608500)
        || is_maestro(two)
}

/// The length of a country's IBAN: SWIFT's IBAN registry, and the countries of Africa whose banks use one without it.
fn iban_length(country: &[u8]) -> Option<usize> {
    const LENGTHS: &[(usize, &str)] = &[
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FK FO GL NL SD"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "AO CV GW LY MZ PT ST"),
        (26, "DZ IR IS TR"),
        (27, "BI CF CG CM DJ FR GA GQ GR IT KM MC MG MR SM TD"),
        (28, "AL AZ BF BJ BY CI CY DO GT HN HU LB MA ML NE NI PL SN SV TG"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    ];
    let has = |list: &&(usize, &str)| list.1.as_bytes().chunks(3).any(|code| &code[..2] == country);
    LENGTHS.iter().find(has).map(|(length, _)| *length)
}

/// ISO 13616-1: country, two check digits, account; the remainder by 97 is one.
pub(crate) fn is_iban(compact: &[u8]) -> bool {
    let [first, second, tens, ones, ..] = compact else {
        return false;
    };
    let starts =
        bytes::is(*first, LETTER) && bytes::is(*second, LETTER) && bytes::is(*tens, DIGIT) && bytes::is(*ones, DIGIT);
    // 00, 01 and 99 are congruent to 97, 98 and 02 and never issued as check digits.
    starts
        && matches!(number(&compact[2..4]), 2..=98)
        && iban_length(&compact[..2]) == Some(compact.len())
        && iban_mod_97(compact)
}

/// A Bitcoin address by its checksum, or an Ethereum address by its form.
pub(crate) fn crypto(token: &[u8]) -> Option<Evidence> {
    match token {
        [b'1' | b'3', ..] if (26..=35).contains(&token.len()) => base58check(token).then_some(Evidence::Firm),
        [b'b' | b'B', b'c' | b'C', b'1', ..] | [b't' | b'T', b'b' | b'B', b'1', ..] => {
            bech32(token).then_some(Evidence::Firm)
        }
        // Forty hexadecimal digits may be any hash of 160 bits. EIP-55's check needs Keccak for one bit per letter.
        [b'0', b'x', hex @ ..] if hex.len() == 40 => hex.iter().all(u8::is_ascii_hexdigit).then_some(Evidence::Weak),
        _ => None,
    }
}

/// Bitcoin's Base58Check: version 0 (P2PKH) or 5 (P2SH), twenty bytes, four bytes of a doubled SHA-256.
fn base58check(token: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0_u8; 25];
    for character in token {
        let Some(value) = ALPHABET.iter().position(|letter| letter == character) else {
            return false;
        };
        let mut carry = value as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (payload, check) = bytes.split_at(21);
    matches!(payload[0], 0 | 5) && Sha256::digest(Sha256::digest(payload))[..4] == *check
}

/// BIP 173 (Bech32, constant 1) and BIP 350 (Bech32m), for the prefixes `bc` and `tb`.
fn bech32(token: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const BECH32M: u32 = 0x2bc8_30a3;
    let mixed = token.iter().any(u8::is_ascii_lowercase) && token.iter().any(u8::is_ascii_uppercase);
    if !(14..=90).contains(&token.len()) || mixed {
        return false;
    }
    let (first, second) = (token[0] | 32, token[1] | 32);
    let prefix = [first >> 5, second >> 5, 0, first & 31, second & 31];
    let mut sum = prefix.iter().fold(1, |sum, value| polymod(sum, u32::from(*value)));
    for character in &token[3..] {
        let lower = character.to_ascii_lowercase();
        let Some(value) = ALPHABET.iter().position(|letter| *letter == lower) else {
            return false;
        };
        sum = polymod(sum, value as u32);
    }
    sum == 1 || sum == BECH32M
}

/// One step of the BCH code of BIP 173.
fn polymod(sum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum >> 25;
    let mut sum = (sum & 0x1ff_ffff) << 5 ^ value;
    for (bit, term) in GENERATOR.iter().enumerate() {
        if top >> bit & 1 == 1 {
            sum ^= term;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::national::tests::check;

    #[test]
    fn cards_have_a_network_and_a_check_digit() {
        let good = ["4111111111111111", "378282246310005", "30569309025904", "2221000000000009", "100000000000009"];
        check(RULES, Card, &good, &["4111111111111112", "9111111111111116", "411111111111111", "0000000000000000"]);
    }

    #[test]
    fn numbers_of_banks_and_telephones() {
        check(RULES, UsAba, &["021000021"], &["021000022", "500000003", "000000000"]);
        check(RULES, Imei, &["490154203237518"], &["490154203237519"]);
    }

    #[test]
    fn ibans_have_their_country_s_length() {
        for good in
            ["GB82WEST12345698765432", "DE89370400440532013000", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"]
        {
            assert!(is_iban(good.as_bytes()), "{good}");
        }
        // A wrong digit, a digit too many, an unknown country, check digits that are never issued.
        for bad in [
            "GB82WEST12345698765433",
            "DE8937040044053201300",
            "XX82WEST12345698765432",
            "GB99WEST12345698765432",
            "G",
        ] {
            assert!(!is_iban(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn addresses_carry_their_checksums() {
        let check = |address: &str, evidence| assert_eq!(crypto(address.as_bytes()), evidence, "{address}");
        // The address of the first block, BIP 173's and BIP 350's own vectors.
        check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Some(Evidence::Firm));
        check("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", None);
        check("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", Some(Evidence::Firm));
        check("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", Some(Evidence::Firm));
        check("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", None);
        check("0x00000000000000000000000000000000000000aB", Some(Evidence::Weak));
        check("0x00000000000000000000000000000000000000aG", None);
    }
}
