//! E-mail addresses and telephone numbers.

use std::ops::Range;

use crate::bytes::{self, DIGIT, LETTER, WORD};
use crate::kinds::Kind::Phone;
use crate::rule::{DASH, DOT, Rule, SLASH, SPACE, rule};

/// Telephone numbers of fixed length; those with `+` are read by [`international`].
pub(crate) const RULES: &[Rule] = &[
    // North American Numbering Plan: area code and exchange start with 2 to 9, neither is a service code N11.
    rule(Phone, "US", "9999999999", nanp)
        .weak()
        .form(0x334, DASH | DOT)
        .weak_form(0x334, SPACE | SLASH)
        .weak_form(0x37, DASH | SPACE),
    rule(Phone, "US", "99999999999", |digits| digits[0] == b'1' && nanp(&digits[1..]))
        .weak()
        .form(0x1334, DASH | DOT)
        .weak_form(0x1334, SPACE),
    // National numbers elsewhere: trunk prefix 0, nine to twelve digits, only where the text says so.
    rule(Phone, "", "999999999", trunk).weak().loose(DASH | SPACE | DOT | SLASH),
    rule(Phone, "", "9999999999", trunk).weak().loose(DASH | SPACE | DOT | SLASH),
    rule(Phone, "", "99999999999", trunk).weak().loose(DASH | SPACE | DOT | SLASH),
    rule(Phone, "", "999999999999", trunk).weak().loose(DASH | SPACE | DOT | SLASH),
    // China: mobile numbers have eleven digits and start with 13 to 19; usually written after the word for telephone.
    rule(Phone, "CN", "99999999999", |digits| digits[0] == b'1' && digits[1] >= b'3').weak().loose(DASH | SPACE),
];

fn nanp(digits: &[u8]) -> bool {
    let part = |at: usize| digits[at] >= b'2' && digits[at + 1..at + 3] != *b"11";
    part(0) && part(3)
}

fn trunk(digits: &[u8]) -> bool {
    digits[0] == b'0' && digits[1] != b'0'
}

/// The e-mail address around an `@`: RFC 5321 lengths, the unquoted characters that mailboxes really use, and a domain
/// of at least two labels (RFC 1035) whose last one is alphabetic or `xn--` (RFC 5890).
pub(crate) fn email(text: &[u8], at: usize) -> Option<Range<usize>> {
    let mut start = at;
    while start > 0 && at - start < 64 && is_local(text[start - 1]) {
        start -= 1;
    }
    // Quotes and full stops around an address are the sentence's.
    while start < at && matches!(text[start], b'.' | b'\'' | b'-') {
        start += 1;
    }
    // A limit inside a character or a word is no start.
    if start == at || text[start] & 0xC0 == 0x80 || text[at - 1] == b'.' {
        return None;
    }
    Some(start..domain(text, at + 1)?)
}

fn is_local(byte: u8) -> bool {
    bytes::is(byte, WORD) || matches!(byte, b'.' | b'+' | b'-' | b'%' | b'\'') || byte >= 0x80
}

/// Where the domain that starts here ends.
fn domain(text: &[u8], from: usize) -> Option<usize> {
    let limit = text.len().min(from + 255);
    let (mut label, mut index, mut end) = (from, from, None);
    loop {
        while index < limit && (bytes::is(text[index], DIGIT | LETTER) || text[index] == b'-') {
            index += 1;
        }
        let last = &text[label..index];
        if last.is_empty() || last.len() > 63 || last[0] == b'-' {
            break;
        }
        if label > from && is_top_level(last) {
            end = Some(index);
        }
        if bytes::at(text, index) != b'.' || index >= limit {
            break;
        }
        index += 1;
        label = index;
    }
    // Something like `user@host.name_x` goes on as another word.
    end.filter(|end| bytes::at(text, *end) != b'_')
}

fn is_top_level(label: &[u8]) -> bool {
    label.len() >= 2 && (label.iter().all(u8::is_ascii_alphabetic) || label.starts_with(b"xn--"))
}

/// A number in international form at its `+`: ITU-T E.164, a country code that is assigned and at most 15 digits.
pub(crate) fn international(text: &[u8], plus: usize) -> Option<Range<usize>> {
    if bytes::is(bytes::before(text, plus), WORD) {
        return None;
    }
    let mut digits = [0_u8; 16];
    let (count, end) = dialled(text, plus + 1, &mut digits);
    let code = code_length(&digits[..count])?;
    let enough = match code {
        1 if digits[0] == b'1' => count == 11 && nanp(&digits[1..]),
        _ => (8..=15).contains(&count) && count - code >= 5,
    };
    let whole = !bytes::is(bytes::at(text, end), WORD) && !is_decimal(&text[plus..end]);
    (enough && whole).then_some(plus..end)
}

/// `+255959.999`: one dot, nothing else, and no country code before it.
fn is_decimal(number: &[u8]) -> bool {
    let mut signs = (1..number.len()).filter(|at| !bytes::is(number[*at], DIGIT));
    matches!((signs.next(), signs.next()), (Some(at), None) if at > 4 && number[at] == b'.')
}

/// A North American number that starts with its area code in brackets.
pub(crate) fn bracketed(text: &[u8], bracket: usize) -> Option<Range<usize>> {
    let close = bytes::at(text, bracket + 4) == b')';
    if !close || bytes::is(bytes::before(text, bracket), WORD) {
        return None;
    }
    let mut digits = [0_u8; 16];
    let (count, end) = dialled(text, bracket, &mut digits);
    let whole = count == 10 && nanp(&digits) && !bytes::is(bytes::at(text, end), WORD);
    whole.then_some(bracket..end)
}

/// Reads digits with the signs that people put between them; how many, and where they end.
fn dialled(text: &[u8], from: usize, digits: &mut [u8; 16]) -> (usize, usize) {
    let (mut count, mut end, mut index) = (0, from, from);
    while count < digits.len() {
        match bytes::at(text, index) {
            digit @ b'0'..=b'9' => {
                digits[count] = digit;
                count += 1;
                end = index + 1;
            }
            // Two signs may follow each other, as in `) `, but not more. Complete numbers end at a space.
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if index - end < 2 => {
                let complete = count >= 11 || count == 10 && digits[0] != b'1';
                if complete && bytes::at(text, index) == b' ' && digits[0] == b'1' {
                    break;
                }
            }
            _ => break,
        }
        index += 1;
    }
    (count, end)
}

/// How many digits the country code has, by its first two: ITU-T's list of assigned codes (annex to Operational
/// Bulletin 1114). Pairs without an assignment have none.
fn code_length(digits: &[u8]) -> Option<usize> {
    let [first, second, ..] = digits else {
        return None;
    };
    match (first, second) {
        (b'1' | b'7', _) => Some(1),
        (b'2', b'0' | b'7') => Some(2),
        (b'3', b'0'..=b'4' | b'6' | b'9') => Some(2),
        (b'4', b'0' | b'1' | b'3'..=b'9') => Some(2),
        (b'5', b'1'..=b'8') => Some(2),
        (b'6', b'0'..=b'6') => Some(2),
        (b'8', b'1' | b'2' | b'4' | b'6') => Some(2),
        (b'9', b'0'..=b'5' | b'8') => Some(2),
        (b'2', _) | (b'3', _) | (b'4', b'2') | (b'5', _) | (b'6', _) => Some(3),
        (b'8', b'0' | b'5' | b'7' | b'8') | (b'9', b'6' | b'7' | b'9') => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(find: fn(&[u8], usize) -> Option<Range<usize>>, sign: char, text: &str, expected: Option<&str>) {
        let at = text.find(sign).unwrap();
        assert_eq!(find(text.as_bytes(), at).map(|span| &text[span]), expected, "{text}");
    }

    #[test]
    fn mail_addresses() {
        let check = |text: &str, expected| check(email, '@', text, expected);
        check("write to Jo.Doe+x@mail.example, please", Some("Jo.Doe+x@mail.example"));
        check("('o'neil@mail.example')", Some("o'neil@mail.example"));
        check("<jürgen@mail.example>.", Some("jürgen@mail.example"));
        check("联系jo@mail.example。", Some("联系jo@mail.example"));
        check("jo@xn--mail-9qa.xn--p1ai", Some("jo@xn--mail-9qa.xn--p1ai"));
        check("jo@mail.example.", Some("jo@mail.example"));
        check("jo@host", None);
        check("@mail.example", None);
        check("jo@10.0.0.1", None);
        check("jo@mail..example", None);
        check("@decorator.name", None);
    }

    #[test]
    fn numbers_with_a_country_code() {
        let check = |text: &str, expected| check(international, '+', text, expected);
        check("call +49 (0)30 901820, room 3", Some("+49 (0)30 901820"));
        check("+1-415-555-2671.", Some("+1-415-555-2671"));
        check("+1 415 555 2671 2 times", Some("+1 415 555 2671"));
        check("+442079460958", Some("+442079460958"));
        check("+1 115 555 2671", None);
        check("+290 22000", Some("+290 22000"));
        check("+831 22000000", None);
        check("+255959.999", None);
        check("+2 100", None);
        check("a+4420794609", None);
        check("+44207946095812345678", None);
    }

    #[test]
    fn numbers_with_a_bracketed_area_code() {
        let check = |text: &str, expected| check(bracketed, '(', text, expected);
        check("at (415) 555-2671 or", Some("(415) 555-2671"));
        check("(415)555.2671", Some("(415)555.2671"));
        check("(115) 555-2671", None);
        check("f(415) 555-2671", None);
        check("(2026) 555-2671", None);
    }
}
