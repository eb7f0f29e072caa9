//! The main job: requests in, recorded decisions out.

use weir::Effect;

use crate::harness::{constant, host, host_of, one_policy, request};

#[test]
fn a_verdict_becomes_a_recorded_decision() {
    let host = host_of(constant(r#"{"effect":"review","scores":{"risk":0.5}}"#), "");
    let decision = host.evaluate_blocking(request());
    assert_eq!(decision.effect(), Effect::Review);
    assert_eq!(decision.decided_by(), ["p"]);
    assert_eq!(decision.scores()["risk"], 0.5);
    assert_eq!(decision.record(), Some("memory/1"));
    let lines = host.recorder().lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let record: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(record["record"], "memory/1");
    assert_eq!(record["decision"]["effect"], "review");
    assert_eq!(record["decision"]["policies"][0]["fuel"], decision.policies()[0].fuel);
}

#[test]
fn nothing_that_applies_denies() {
    let set = one_policy("").replace("\"*\"", "\"other\"");
    let host = host(&set, &[("p.wasm", constant(r#"{"effect":"allow"}"#))]).unwrap();
    let decision = host.evaluate_blocking(request());
    assert_eq!((decision.effect(), decision.decided_by()), (Effect::Deny, &["unbound".to_owned()][..]));
}
