//! Authorises a call of a tool: reads the request, then looks at who asks, for how much, and with which words.
//!
//! Small on purpose, about 2 us on a warm instance: the smaller the guest, the more the host around it shows.

use serde::Deserialize;
use weir_sdk::{Finding, Request, Severity, Verdict};

weir_sdk::policy! {
    config: Config,
    evaluate: evaluate,
    checkpoints: ["tool.call"],
}

/// What the policy can be told; nothing is.
#[derive(Debug, Default, Deserialize)]
pub struct Config {}

/// Words that do not belong into the text of a call.
const FORBIDDEN: [&str; 4] = ["ignore previous", "rm -rf", "PRIVATE KEY", "password:"];
/// Tools that an agent may call.
const TOOLS: [&str; 4] = ["bank", "calendar", "mail", "search"];
/// The most an agent may move without a human.
const MOST: f64 = 5_000.0;

/// Judges one call.
///
/// # Errors
/// Never; the signature is the SDK's.
pub fn evaluate(_config: &Config, request: &Request) -> Result<Verdict, String> {
    let mut verdict = Verdict::allow();
    if !TOOLS.contains(&request.resource.id.as_str()) {
        let message = "no agent may call this tool";
        verdict = Verdict::deny().finding(Finding::new("tool.unknown", Severity::High, message));
    }
    let amount = request.payload["amount"].as_f64();
    if request.subject.kind == "agent" && amount.is_some_and(|amount| amount > MOST) {
        let message = "an agent moves more than it may";
        verdict = Verdict::deny().finding(Finding::new("amount.high", Severity::High, message));
    }
    for (pointer, text) in request.texts() {
        for word in FORBIDDEN {
            if let Some(start) = text.find(word) {
                let finding = Finding::new("text.forbidden", Severity::Medium, "words that steer or leak");
                verdict = Verdict::deny().finding(finding.at(pointer.clone(), start..start + word.len()));
            }
        }
    }
    Ok(verdict)
}
