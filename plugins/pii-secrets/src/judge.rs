//! From what a scan found to the verdict.

use std::collections::BTreeMap;

use weir_sdk::{Edit, Effect, Finding, Request, Severity, Verdict};

use crate::config::{Action, Config};
use crate::kinds::Kind;
use crate::overlap::Found;

/// More findings than this do not fit into an answer of 256 KiB, the usual limit, and a text that is masked in part is
/// not masked.
const MOST_FINDINGS: usize = 512;

/// Judges every text of the request.
///
/// # Errors
///
/// None at present; the signature is the SDK's.
pub fn evaluate(config: &Config, request: &Request) -> Result<Verdict, String> {
    let mut verdict = Verdict::allow();
    let mut numbers = Numbers::default();
    for (pointer, text) in request.texts() {
        let scan = config.detector.scan(text);
        if scan.too_many || verdict.findings.len() + scan.found.len() > MOST_FINDINGS {
            return Ok(too_many(&pointer));
        }
        for found in scan.found {
            let value = &text[found.start..found.end];
            if config.allow_values.iter().any(|allowed| allowed == value) {
                continue;
            }
            verdict = add(verdict, config, &pointer, &found);
            if config.action == Action::Mask {
                let placeholder = numbers.placeholder(request, found.kind, value);
                verdict.edits.push(Edit::new(pointer.as_str(), found.start..found.end, placeholder));
            }
        }
    }
    // Nobody gets to see the masked text of a refused request.
    if verdict.effect == Effect::Deny {
        verdict.edits.clear();
    }
    Ok(verdict)
}

fn add(verdict: Verdict, config: &Config, pointer: &str, found: &Found) -> Verdict {
    let info = found.kind.info();
    let effect = match config.action {
        _ if config.deny.has(found.kind) => Effect::Deny,
        Action::Mask => Effect::Allow,
        Action::Review => Effect::Review,
        Action::Deny => Effect::Deny,
    };
    let finding = Finding::new(found.kind.code(), info.severity, info.message);
    verdict.at_least(effect).finding(finding.at(pointer, found.start..found.end))
}

fn too_many(pointer: &str) -> Verdict {
    let message =
        format!("the texts hold more than {MOST_FINDINGS} identifiers or secrets, more than one verdict can mask");
    Verdict::deny().finding(Finding::new("pii.too_many", Severity::High, message).at_value(pointer))
}

/// Numbers of placeholders: the same value has the same number in the whole request.
#[derive(Default)]
struct Numbers {
    given: BTreeMap<(Kind, String), usize>,
    last: BTreeMap<Kind, usize>,
}

impl Numbers {
    fn placeholder(&mut self, request: &Request, kind: Kind, value: &str) -> String {
        let name = kind.info().name.to_ascii_uppercase();
        // A text that was masked before holds placeholders already, which mean other values: counting goes on behind them.
        let last = self.last.entry(kind).or_insert_with(|| highest(request, &format!("<{name}_")));
        let number = self.given.entry((kind, normal(kind, value))).or_insert_with(|| {
            *last += 1;
            *last
        });
        format!("<{name}_{number}>")
    }
}

/// The highest number of a placeholder that begins like this, up to a million; 0 when there is none.
fn highest(request: &Request, begin: &str) -> usize {
    let mut highest = 0;
    for (_, text) in request.texts() {
        for (at, _) in text.match_indices(begin) {
            let rest = &text[at + begin.len()..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits <= 6 && rest[digits..].starts_with('>') {
                highest = highest.max(rest[..digits].parse().unwrap_or(0));
            }
        }
    }
    highest
}

/// The value as it is compared: separators and case are how it is written, except where they carry meaning.
fn normal(kind: Kind, value: &str) -> String {
    match kind {
        _ if kind.is_secret() => value.to_owned(),
        Kind::Crypto => value.to_owned(),
        Kind::Email | Kind::Ip => value.to_lowercase(),
        _ => value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn judge(config: Value, texts: &[&str]) -> Verdict {
        let parts: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
        let request = Request::from_json(&json!({"content": parts}).to_string()).unwrap();
        evaluate(&serde_json::from_value(config).unwrap(), &request).unwrap()
    }

    /// The texts as the caller would see them.
    fn masked(texts: &[&str]) -> Vec<String> {
        let mut masked: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        for edit in judge(json!({}), texts).edits.iter().rev() {
            let index: usize = edit.at.split('/').nth(2).unwrap().parse().unwrap();
            masked[index].replace_range(edit.start..edit.end, &edit.replacement);
        }
        masked
    }

    #[test]
    fn the_same_value_has_the_same_number() {
        let texts = [
            "from DE89370400440532013000 to GB82WEST12345698765432",
            "Überweise auf DE89 3704 0044 0532 0130 00, a@b.example",
        ];
        assert_eq!(masked(&texts), ["from <IBAN_1> to <IBAN_2>", "Überweise auf <IBAN_1>, <EMAIL_1>"]);
    }

    #[test]
    fn placeholders_of_an_earlier_pass_are_not_given_again() {
        assert_eq!(masked(&["<EMAIL_1> and a@b.example"]), ["<EMAIL_1> and <EMAIL_2>"]);
    }

    #[test]
    fn the_action_decides_and_deny_is_stricter() {
        let text = ["card 4111111111111111, mail a@b.example"];
        let effect = |config| judge(config, &text).effect;
        assert_eq!(effect(json!({})), Effect::Allow);
        assert_eq!(effect(json!({"action": "review"})), Effect::Review);
        assert_eq!(effect(json!({"action": "deny"})), Effect::Deny);
        assert_eq!(effect(json!({"deny": ["card"]})), Effect::Deny);
        assert_eq!(effect(json!({"deny": ["secrets"]})), Effect::Allow);
        assert_eq!(effect(json!({"deny": ["card"], "identifiers": ["email"]})), Effect::Allow);
        assert!(judge(json!({"deny": ["card"]}), &text).edits.is_empty());
        assert!(judge(json!({"action": "review"}), &text).edits.is_empty());
    }

    #[test]
    fn messages_never_hold_the_value() {
        let verdict = judge(json!({}), &["card 4111111111111111"]);
        let finding = &verdict.findings[0];
        assert_eq!((finding.code.as_str(), finding.severity), ("pii.card", Severity::High));
        assert_eq!((finding.at.as_deref(), finding.start, finding.end), (Some("/content/0/text"), Some(5), Some(21)));
        assert!(!serde_json::to_string(&verdict).unwrap().contains("4111"));
    }

    #[test]
    fn own_values_are_allowed() {
        assert_eq!(judge(json!({"allow_values": ["a@b.example"]}), &["a@b.example"]), Verdict::allow());
    }

    #[test]
    fn what_cannot_be_masked_whole_is_denied() {
        let many = "a@b.example ".repeat(600);
        let verdict = judge(json!({}), &[&many]);
        assert_eq!((verdict.effect, verdict.findings.len()), (Effect::Deny, 1));
        assert_eq!(judge(json!({}), &[&"4111111111111111 ".repeat(5000)]).effect, Effect::Deny);
    }
}
