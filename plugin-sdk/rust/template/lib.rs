//! Finds the words of its configuration in the texts of a request, and masks them or refuses the request.

use weir_sdk::{Edit, Effect, Finding, Request, Severity, Verdict, policy};

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    words: Vec<String>,
    action: Action,
}

#[derive(Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    #[default]
    Mask,
    Deny,
}

fn evaluate(config: &Config, request: &Request) -> Result<Verdict, String> {
    let mut verdict = Verdict::allow();
    for (at, text) in request.texts() {
        for word in &config.words {
            for (start, word) in text.match_indices(word.as_str()) {
                let span = start..start + word.len();
                let finding = Finding::new("words.found", Severity::High, "a forbidden word");
                verdict = verdict.finding(finding.at(&at, span.clone()));
                verdict = match config.action {
                    Action::Mask => verdict.edit(Edit::new(&at, span, "***")),
                    Action::Deny => verdict.at_least(Effect::Deny),
                };
            }
        }
    }
    Ok(verdict)
}

policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["inference.input", "inference.output"],
    reads: ["/content"],
    config_schema: include_str!("../config.schema.json"),
    samples: include_str!("../samples.json"),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_word_is_masked() {
        let config = Config { words: vec!["zebra".to_owned()], ..Config::default() };
        let request = Request::from_json(r#"{"content":[{"text":"a zebra"}]}"#).unwrap();
        assert_eq!(evaluate(&config, &request).unwrap().edits, [Edit::new("/content/0/text", 2..7, "***")]);
    }
}
