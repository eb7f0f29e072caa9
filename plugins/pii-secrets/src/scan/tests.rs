use super::*;
use crate::KINDS;

fn all(every_doubt: bool) -> Detector {
    Detector::new(KINDS.iter().copied().collect(), None, every_doubt)
}

/// What is found in the text, as `kind:value`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = all(false).scan(text).found;
    let found: Vec<String> =
        found.iter().map(|found| format!("{}:{}", found.kind.info().name, &text[found.start..found.end])).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn every_way_to_write_a_number() {
    for value in
        ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4111\u{a0}1111\u{a0}1111\u{a0}1111"]
    {
        check(&format!("é{value}é"), &[&format!("card:{value}")]);
    }
    check(
        "GB82 WEST 1234 5698 7654 32 or DE89370400440532013000.",
        &["iban:GB82 WEST 1234 5698 7654 32", "iban:DE89370400440532013000"],
    );
    check("QA58 DOHB 0000 1234 5678 90AB CDEF G", &["iban:QA58 DOHB 0000 1234 5678 90AB CDEF G"]);
    check("SSN 899-01-0001, CPF 123.456.789-09", &["us_ssn:899-01-0001", "br_cpf:123.456.789-09"]);
    check("NINO AB 12 34 56 C and hetu 010190-123M", &["uk_nino:AB 12 34 56 C", "fi_hetu:010190-123M"]);
}

#[test]
fn weak_numbers_need_a_word() {
    check("order 123456782 shipped", &[]);
    check("TFN: 123456782", &["au_tfn:123456782"]);
    check("her SIN is 123 456 782", &["ca_sin:123 456 782"]);
    check("passport C01X00T47", &["passport:C01X00T47"]);
    check("part C01X00T47", &[]);
    let high = all(true).scan("order 123456782").found;
    assert_eq!(high.len(), 1);
}

#[test]
fn parts_of_longer_things_are_nothing() {
    check("id 123e4567-e89b-12d3-a456-234567890124", &[]);
    check("0.4111111111111111", &[]);
    check("4111-1111-1111-1111-1", &[]);
    check("user_4111111111111111", &[]);
    check("2026-04-12 10:30:00, 1,234.50, v1.2.3.4, std::vector, 12:34:56", &[]);
}

#[test]
fn several_readings_become_one() {
    check("VAT 12345678903", &["it_vat:12345678903"]);
    check(
        "mail a@b.example, host 10.0.0.7, +49 30 901820",
        &["email:a@b.example", "ip:10.0.0.7", "phone:+49 30 901820"],
    );
    check("db=postgres://app:s3cr3t@db.example/x", &["url_password:s3cr3t"]);
}

#[test]
fn countries_choose_rules() {
    let italy = ["IT".to_owned()];
    let detector = Detector::new(KINDS.iter().copied().collect(), Some(&italy), false);
    assert_eq!(detector.scan("NIF 12345678Z, RSSMRA85T10A562S").found.len(), 1);
}

/// A small generator of texts made of what the rules react to.
fn text(state: &mut u64, length: usize) -> String {
    const PIECES: &[&str] = &[
        "4",
        "1",
        "11",
        "1111",
        " ",
        "-",
        ".",
        "/",
        ":",
        "::",
        "+",
        "(",
        ")",
        "@",
        "_",
        "AB",
        "ab",
        "DE89",
        "é",
        "语",
        "\u{a0}",
        "\u{2011}",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "eyJhbGciOiJIUzI1NiJ9",
        "sk-ant-",
        "password=",
        "'",
        "\n",
        "10.0.0.7",
        "a@b.example",
        "ssn ",
        "4111111111111111",
        "https://u:p",
        "x9K2mQ7zL4vB8nR3",
    ];
    let mut text = String::new();
    while text.len() < length {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        text.push_str(PIECES[*state as usize % PIECES.len()]);
    }
    text
}

#[test]
fn spans_lie_on_characters_and_do_not_overlap() {
    let (normal, high) = (all(false), all(true));
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3000 {
        let text = text(&mut state, 120);
        for detector in [&normal, &high] {
            let mut last = 0;
            for found in detector.scan(&text).found {
                assert!(found.start >= last && found.start < found.end, "{found:?} in {text:?}");
                assert!(text.get(found.start..found.end).is_some(), "{found:?} in {text:?}");
                last = found.end;
            }
        }
    }
}

#[test]
fn work_grows_with_the_text_and_no_faster() {
    let detector = all(true);
    let steps = |piece: &str, length: usize| detector.scan(&piece.repeat(length / piece.len())).steps;
    assert!(steps("7", 1_000_000) < 10);
    for piece in ["1 ", "1234 ", "1-", "1.", "a@", "eyJ-", "::", "+1 ", "xoxb-", "token=", "AB 1", "DE12 "] {
        let (small, large) = (steps(piece, 5_000), steps(piece, 100_000));
        assert!(large <= small * 21, "{piece:?}: {small} steps, then {large}");
    }
}
