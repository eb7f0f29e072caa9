//! Secrets with a published prefix: prefix, alphabet and length from the vendors' documentation, entropy against samples.

use std::ops::Range;

use crate::bytes::{self, DIGIT, HEX, LETTER, UNDERSCORE, WORD};
use crate::kinds::Kind;
use crate::kinds::Kind::{
    AnthropicKey, AwsAccessKey, DigitaloceanToken, GithubToken, GitlabToken, GoogleApiKey, HuggingfaceToken,
    NpmToken, OpenaiKey, PrivateKey, PypiToken, SendgridKey, SlackToken, StripeKey, TwilioKey, VendorToken,
};

/// What the characters behind the prefix are.
#[derive(Clone, Copy, PartialEq)]
enum Alphabet {
    /// Capitals and digits.
    Upper,
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`: base64 for URLs.
    Url,
    /// The same and the dot that joins parts.
    Dotted,
    /// Hexadecimal digits.
    Hex,
}

struct Pattern(Kind, &'static str, Alphabet, usize, usize);

use Alphabet::{Alnum, Dotted, Hex, Upper, Url};

/// Longer prefixes of the same beginning come first. Lengths count what follows the prefix.
const PATTERNS: &[Pattern] = &[
    // AWS IAM, "Unique identifiers": AKIA long-term and ASIA temporary keys.
    Pattern(AwsAccessKey, "AKIA", Upper, 16, 16),
    Pattern(AwsAccessKey, "ASIA", Upper, 16, 16),
    // GitHub, "Behind GitHub's new authentication token formats" (2021) and fine-grained tokens.
    Pattern(GithubToken, "ghp_", Alnum, 36, 251),
    Pattern(GithubToken, "gho_", Alnum, 36, 251),
    Pattern(GithubToken, "ghu_", Alnum, 36, 251),
    Pattern(GithubToken, "ghs_", Alnum, 36, 251),
    Pattern(GithubToken, "ghr_", Alnum, 36, 251),
    Pattern(GithubToken, "github_pat_", Url, 59, 251),
    // GitLab, "Token overview": personal, deploy, runner, CI job, feed tokens.
    Pattern(GitlabToken, "glpat-", Dotted, 20, 300),
    Pattern(GitlabToken, "gldt-", Url, 20, 300),
    Pattern(GitlabToken, "glrt-", Dotted, 20, 300),
    Pattern(GitlabToken, "glcbt-", Url, 20, 300),
    Pattern(GitlabToken, "glptt-", Url, 40, 300),
    // Slack, "Token types".
    Pattern(SlackToken, "xoxb-", Url, 20, 250),
    Pattern(SlackToken, "xoxa-", Url, 20, 250),
    Pattern(SlackToken, "xoxp-", Url, 20, 250),
    Pattern(SlackToken, "xoxr-", Url, 20, 250),
    Pattern(SlackToken, "xoxs-", Url, 20, 250),
    Pattern(SlackToken, "xapp-", Url, 20, 250),
    // Stripe, "API keys": only live keys move money.
    Pattern(StripeKey, "sk_live_", Alnum, 16, 250),
    Pattern(StripeKey, "rk_live_", Alnum, 16, 250),
    Pattern(StripeKey, "whsec_", Alnum, 24, 250),
    Pattern(AnthropicKey, "sk-ant-", Url, 24, 250),
    Pattern(OpenaiKey, "sk-proj-", Url, 24, 250),
    Pattern(OpenaiKey, "sk-svcacct-", Url, 24, 250),
    Pattern(VendorToken, "sk-or-v1-", Hex, 64, 64),
    Pattern(OpenaiKey, "sk-", Alnum, 20, 100),
    // Google Cloud, "API keys": 39 characters in all; OAuth client secrets.
    Pattern(GoogleApiKey, "AIza", Url, 35, 35),
    Pattern(GoogleApiKey, "GOCSPX-", Url, 28, 28),
    Pattern(NpmToken, "npm_", Alnum, 36, 36),
    // PyPI tokens are macaroons: `AgEIcHlwaS5vcmc` is base64 of their header.
    Pattern(PypiToken, "pypi-AgE", Url, 50, 400),
    Pattern(SendgridKey, "SG.", Dotted, 60, 70),
    Pattern(TwilioKey, "SK", Hex, 32, 32),
    Pattern(TwilioKey, "AC", Hex, 32, 32),
    Pattern(HuggingfaceToken, "hf_", Alnum, 30, 60),
    Pattern(DigitaloceanToken, "dop_v1_", Hex, 64, 64),
    Pattern(DigitaloceanToken, "doo_v1_", Hex, 64, 64),
    Pattern(DigitaloceanToken, "dor_v1_", Hex, 64, 64),
    // Each of these vendors documents its prefix for secret scanners.
    Pattern(VendorToken, "shpat_", Hex, 32, 32),
    Pattern(VendorToken, "shpss_", Hex, 32, 32),
    Pattern(VendorToken, "shpca_", Hex, 32, 32),
    Pattern(VendorToken, "dapi", Hex, 32, 34),
    Pattern(VendorToken, "lin_api_", Alnum, 32, 64),
    Pattern(VendorToken, "PMAK-", Url, 50, 70),
    Pattern(VendorToken, "NRAK-", Alnum, 27, 27),
    Pattern(VendorToken, "gsk_", Alnum, 40, 64),
    Pattern(VendorToken, "xai-", Alnum, 60, 100),
    Pattern(VendorToken, "pplx-", Alnum, 40, 64),
    Pattern(VendorToken, "r8_", Alnum, 37, 37),
    Pattern(VendorToken, "figd_", Url, 30, 64),
    Pattern(VendorToken, "dckr_pat_", Url, 27, 27),
    Pattern(VendorToken, "hvs.", Url, 24, 250),
    Pattern(VendorToken, "glsa_", Alnum, 32, 50),
    Pattern(VendorToken, "sntrys_", Url, 40, 300),
    Pattern(VendorToken, "ATATT3", Url, 100, 250),
    Pattern(VendorToken, "sq0atp-", Url, 22, 60),
    Pattern(VendorToken, "sq0csp-", Url, 40, 60),
    Pattern(VendorToken, "EAAA", Url, 60, 64),
    Pattern(VendorToken, "tskey-", Url, 20, 80),
    Pattern(VendorToken, "AGE-SECRET-KEY-1", Upper, 58, 58),
    Pattern(VendorToken, "pul-", Hex, 40, 40),
];

/// Bytes that a pattern starts with; most words are refused by this one look.
const FIRST: [bool; 256] = {
    let mut first = [false; 256];
    let mut index = 0;
    while index < PATTERNS.len() {
        first[PATTERNS[index].1.as_bytes()[0] as usize] = true;
        index += 1;
    }
    first
};

/// The secret that starts with this word.
pub(crate) fn prefixed(text: &[u8], start: usize) -> Option<(Kind, Range<usize>)> {
    if !FIRST[usize::from(text[start])] {
        return None;
    }
    let rest = &text[start..];
    let pattern = PATTERNS.iter().find(|pattern| rest.starts_with(pattern.1.as_bytes()))?;
    let Pattern(kind, prefix, alphabet, least, most) = pattern;
    let body = start + prefix.len();
    let mut end = body;
    while end < text.len() && end - body <= *most && alphabet.has(text[end]) {
        end += 1;
    }
    // A full stop or dash behind a secret is the sentence's.
    while end > body && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let whole = (*least..=*most).contains(&(end - body)) && !bytes::is(bytes::at(text, end), WORD);
    (whole && is_random(&text[body..end])).then_some((*kind, start..end))
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Upper => byte.is_ascii_uppercase() || bytes::is(byte, DIGIT),
            Alnum => bytes::is(byte, LETTER | DIGIT | UNDERSCORE),
            Url => bytes::is(byte, WORD) || byte == b'-',
            Dotted => bytes::is(byte, WORD) || byte == b'-' || byte == b'.',
            Hex => bytes::is(byte, HEX),
        }
    }
}

/// RFC 7519 in the compact form of RFC 7515: `{"` in base64 is `eyJ`, and two dots separate header, claims, signature.
///
/// # Errors
///
/// Where the refused run ends: nothing that starts before is a token either, so nobody needs to read it again.
pub(crate) fn jwt(text: &[u8], start: usize) -> Result<Range<usize>, usize> {
    let header = url_run(text, start, 1024);
    if bytes::at(text, header) != b'.' || header - start < 16 || !text[header + 1..].starts_with(b"eyJ") {
        return Err(header);
    }
    let claims = url_run(text, header + 1, 16_384);
    if bytes::at(text, claims) != b'.' || claims - header < 8 {
        return Err(claims);
    }
    // An unsigned token ends with the dot.
    Ok(start..url_run(text, claims + 1, 2048))
}

fn url_run(text: &[u8], from: usize, limit: usize) -> usize {
    let end = text.len().min(from + limit);
    let run = text[from..end].iter().position(|byte| !Url.has(*byte));
    run.map_or(end, |length| from + length)
}

/// A private key in the form of RFC 7468 (or OpenSSH's, PGP's), from its first dash to its last.
pub(crate) fn pem(text: &[u8], begin: usize) -> Option<(Kind, Range<usize>)> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const LINE: usize = 64;
    const LONGEST: usize = 16_384;
    let start = begin.checked_sub(5)?;
    let label = text[start..].strip_prefix(BEGIN)?;
    let line = &label[..label.len().min(LINE)];
    let dashes = find(line, b"-----")?;
    let name = &line[..dashes];
    if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    let body = start + BEGIN.len() + dashes + 5;
    let window = &text[body..text.len().min(body + LONGEST)];
    // A key without an end is cut off, not harmless: what looks like base64 belongs to it.
    let cut = || window.iter().position(|byte| !is_base64_line(*byte)).unwrap_or(window.len());
    let end = match find(window, b"-----").filter(|at| window[*at..].starts_with(b"-----END ")) {
        Some(at) => find(&window[at + 9..], b"-----").map_or(at + 9, |dashes| at + 9 + dashes + 5),
        None => cut(),
    };
    Some((PrivateKey, start..body + end))
}

fn is_base64_line(byte: u8) -> bool {
    bytes::is(byte, LETTER | DIGIT) || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\r' | b'\\')
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Whether a value looks drawn at random: at least three bits per character, and no word that marks a sample.
pub(crate) fn is_random(value: &[u8]) -> bool {
    // Written by people who mean "your secret goes here".
    const SAMPLES: [&[u8]; 14] = [
        b"example",
        b"xxxx",
        b"changeme",
        b"change_me",
        b"your_",
        b"your-",
        b"yourkey",
        b"placeholder",
        b"dummy",
        b"redacted",
        b"insert",
        b"replace",
        b"....",
        b"****",
    ];
    let opens = matches!(value.first(), Some(b'<' | b'$' | b'{' | b'%' | b'['));
    let sample =
        SAMPLES.iter().any(|sample| value.windows(sample.len()).any(|window| window.eq_ignore_ascii_case(sample)));
    !opens && !sample && entropy(value) >= 3.0
}

/// Shannon entropy in bits per character, of the first 255 characters.
fn entropy(value: &[u8]) -> f32 {
    let value = &value[..value.len().min(255)];
    let mut counts = [0_u8; 256];
    value.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = value.len() as f32;
    let share = |count: &u8| {
        let share = f32::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(share).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that look drawn at random, by a small generator: the repository holds no token of anybody.
    fn random(alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        let mut state = 0x2545_f491_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            alphabet[state as usize % alphabet.len()]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn every_prefix_is_found_at_its_lengths_only() {
        for Pattern(kind, prefix, alphabet, least, most) in PATTERNS {
            let characters = match alphabet {
                Upper => "ABCDEFGHJKMNPQRSTUVWXYZ234567",
                Hex => "0123456789abcdef",
                _ => "abcdefghijkmnopqrstuvwyz0123456789ABCDEFGHJKMNPQRSTUVWYZ",
            };
            for (length, found) in [(*least, true), (*most, true), (least - 1, false), (most + 1, false)] {
                let token = format!("{prefix}{}", random(characters, length));
                let expected = found.then_some((*kind, 0..token.len()));
                assert_eq!(prefixed(format!("{token} ").as_bytes(), 0), expected, "{token}");
            }
        }
    }

    #[test]
    fn samples_are_no_secrets() {
        for sample in [
            "AKIAIOSFODNN7EXAMPLE",
            "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-your_key_goes_here_1234",
            "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(prefixed(sample.as_bytes(), 0), None, "{sample}");
        }
    }

    #[test]
    fn entropy_counts_bits() {
        assert_eq!(entropy(b"aaaa"), 0.0);
        assert_eq!(entropy(b"abababab"), 1.0);
        assert_eq!(entropy(b"abcdefgh"), 3.0);
    }

    #[test]
    fn tokens_in_three_parts() {
        let (header, claims, signature) =
            (random("abcdXYZ019", 20), random("abcdXYZ019", 30), random("abcdXYZ019", 43));
        let token = format!("eyJ{header}.eyJ{claims}.{signature}");
        assert_eq!(jwt(token.as_bytes(), 0), Ok(0..token.len()));
        let two = format!("eyJ{header}.eyJ{claims}");
        assert_eq!(jwt(two.as_bytes(), 0), Err(two.len()));
    }

    #[test]
    fn key_blocks_with_and_without_an_end() {
        let body = random("abcdXYZ019+/", 64);
        let check = |text: String, length: usize| {
            let begin = text.find("BEGIN").unwrap();
            assert_eq!(pem(text.as_bytes(), begin), Some((PrivateKey, 0..length)), "{text}");
        };
        let whole = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----");
        check(format!("{whole} and"), whole.len());
        let cut = format!("-----BEGIN PRIVATE KEY-----\n{body}");
        check(format!("{cut} and"), cut.len());
        assert_eq!(pem(b"-----BEGIN PUBLIC KEY-----\nabc", 5), None);
    }
}
