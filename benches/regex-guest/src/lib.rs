//! Looks for personal data by regular expressions: compiling them takes a thousand times as long as using them.

use regex::bytes::{RegexSet, RegexSetBuilder};
use serde::{Deserialize, Deserializer};
use weir_sdk::{Finding, Request, Severity, Verdict};

weir_sdk::policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["tool.call"],
    samples: r#"[
        {"checkpoint":"tool.call","content":[{"role":"tool","origin":"tool","text":"claim 4711: write to a.person@example.com or call +49 30 1234567, card 4111 1111 1111 1111, from 10.0.0.1"}]},
        {"checkpoint":"tool.call","content":[{"role":"tool","origin":"tool","text":"claim 4711: approved, 1250.00 EUR, account on file, no open questions"}]}
    ]"#,
}

/// What is looked for: code and pattern.
const PATTERNS: [(&str, &str); 15] = [
    ("email", r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b"),
    ("phone", r"\+\d{1,3}[ -]?\d{1,4}[ -]?\d{4,10}\b"),
    ("card", r"\b(?:\d{4}[ -]?){3}\d{4}\b"),
    ("iban", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b"),
    ("us_ssn", r"\b\d{3}-\d{2}-\d{4}\b"),
    ("ipv4", r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
    ("ipv6", r"\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b"),
    ("mac", r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b"),
    ("aws_key", r"\bAKIA[0-9A-Z]{16}\b"),
    ("jwt", r"\beyJ[\w-]+\.[\w-]+\.[\w-]+\b"),
    ("private_key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("password", r"(?i)\bpassword\s*[:=]\s*\S+"),
    ("uuid", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    ("date_of_birth", r"(?i)\b(?:born|dob)\D{0,10}\d{4}-\d{2}-\d{2}\b"),
    ("url_token", r"(?i)https?://\S+[?&](?:token|key)=\S+"),
];

/// The patterns, compiled when the policy is configured.
pub struct Config(RegexSet);

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Config, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer)?;
        // What is looked for is written in ASCII.
        let patterns = RegexSetBuilder::new(PATTERNS.map(|(_, pattern)| pattern)).unicode(false).build();
        patterns.map(Config).map_err(serde::de::Error::custom)
    }
}

/// Judges one call.
///
/// # Errors
/// Never; the signature is the SDK's.
pub fn evaluate(Config(patterns): &Config, request: &Request) -> Result<Verdict, String> {
    let mut verdict = Verdict::allow();
    for (pointer, text) in request.texts() {
        for index in patterns.matches(text.as_bytes()) {
            let finding = Finding::new(PATTERNS[index].0, Severity::High, "personal data");
            verdict = Verdict::deny().finding(finding.at(pointer.clone(), 0..text.len()));
        }
    }
    Ok(verdict)
}
