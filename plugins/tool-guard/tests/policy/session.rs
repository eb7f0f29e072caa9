//! What a session has done before.

use serde_json::{Value, json};
use weir_sdk::{Effect, state};

use crate::{agent, call, codes, judge};

#[test]
fn the_same_call_again_and_again_is_stopped() {
    state::forget();
    let same = || judge(&agent(), &call("db.query", json!({"sql": "select 1", "limit": 1}), &[]));
    assert_eq!([same().effect, same().effect, same().effect], [Effect::Allow; 3]);
    let fourth = same();
    assert_eq!((fourth.effect, codes(&fourth)), (Effect::Deny, vec!["tool.repeated"]));
    let other = judge(&agent(), &call("db.query", json!({"sql": "select 2", "limit": 1}), &[]));
    assert_eq!(other.effect, Effect::Allow);
    let mut elsewhere = call("db.query", json!({"sql": "select 1", "limit": 1}), &[]);
    elsewhere["context"]["session"] = json!("another");
    assert_eq!(judge(&agent(), &elsewhere).effect, Effect::Allow);
}

#[test]
fn calls_are_counted_for_a_session_and_for_a_tool() {
    state::forget();
    let mut config = agent();
    config["calls"] = json!({"most": 4, "window": "1h"});
    config["tools"][0]["calls"] = json!({"most": 2, "window": "1h"});
    let search = |n: usize| judge(&config, &call("mail.search", json!({"query": n}), &[])).effect;
    assert_eq!([search(1), search(2), search(3)], [Effect::Allow, Effect::Allow, Effect::Deny]);
    let query = judge(&config, &call("db.query", json!({"sql": "select 9"}), &[]));
    // Natively nothing is given back for the denied one.
    assert_eq!(query.effect, Effect::Allow);
    let full = judge(&config, &call("db.query", json!({"sql": "select 10"}), &[]));
    assert_eq!((full.effect, codes(&full)), (Effect::Deny, vec!["tool.too_many_calls"]));
}

#[test]
fn money_is_counted_by_its_user() {
    state::forget();
    let pay = |amount: Value, user: &str| {
        let arguments = json!({"to": "ann", "amount": amount});
        let mut request = call("payments.transfer", arguments.clone(), &[]);
        request["context"]["confirmed"] = json!([{"tool": "payments.transfer", "arguments": arguments}]);
        request["subject"]["id"] = json!(user);
        judge(&agent(), &request)
    };
    assert_eq!([pay(json!(500), "assistant").effect, pay(json!("499.5"), "assistant").effect], [Effect::Allow; 2]);
    let spent = pay(json!(1), "assistant");
    assert_eq!((spent.effect, codes(&spent)), (Effect::Deny, vec!["tool.spent"]));
    assert_eq!(spent.findings[0].message, "999.5 of 1000 are spent; this much fits in 86400.0 s");
    assert_eq!(pay(json!(0.5), "assistant").effect, Effect::Allow);
    assert_eq!(codes(&pay(json!(-5), "assistant")), ["tool.no_amount"]);
    assert_eq!(codes(&pay(json!("all"), "assistant")), ["tool.rule", "tool.no_amount"]);
}

#[test]
fn private_data_and_foreign_words_do_not_leave_together() {
    state::forget();
    let send = || call("mail.send", json!({"to": "boss@acme.example", "body": "x"}), &[]);
    let effect = |request: &Value| judge(&agent(), request).effect;
    assert_eq!(effect(&send()), Effect::Allow);
    assert_eq!(effect(&call("mail.search", json!({"query": "salaries"}), &[])), Effect::Allow);
    assert_eq!(effect(&send()), Effect::Allow, "private data alone may be sent");
    let foreign = call("mail.search", json!({"query": "news"}), &[("retrieved", "some web page")]);
    assert_eq!(effect(&foreign), Effect::Allow);
    let verdict = judge(&agent(), &send());
    assert_eq!((verdict.effect, codes(&verdict)), (Effect::Deny, vec!["session.order"]));
    let mut other = send();
    other["context"]["session"] = json!("t");
    assert_eq!(effect(&other), Effect::Allow);
}

#[test]
fn calls_side_by_side_have_no_order() {
    state::forget();
    let mut both = call("", json!({}), &[("tool", "a page")]);
    both["payload"] = json!([
        {"method": "tools/call", "params": {"name": "mail.send", "arguments": {"to": "boss@acme.example", "body": "x"}}},
        {"method": "tools/call", "params": {"name": "mail.search", "arguments": {}}},
    ]);
    assert!(codes(&judge(&agent(), &both)).contains(&"session.order"));
}
