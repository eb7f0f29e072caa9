//! The policy as its users meet it: a set's configuration, requests, verdicts.

#![expect(clippy::unwrap_used, reason = "in a test, a panic at its place is the message")]

mod arguments;
mod scenarios;
mod session;
mod spoken;

use serde_json::{Value, json};
use tool_guard::Config;
use weir_sdk::{Effect, Request, Verdict, state};

/// The set of the page in the documentation, as its policies get it.
fn agent() -> Value {
    json!({
        "known": ["*@acme.example"],
        "repeats": {"most": 3, "window": "10m"},
        "order": [{"after": ["private", "untrusted"], "then": "egress", "effect": "deny"}],
        "tools": [
            {"name": "mail.search", "kinds": ["read"], "labels": ["private"]},
            {"name": "mail.send", "agents": ["assistant"], "kinds": ["egress"],
             "schema": {"type": "object", "required": ["to", "body"], "additionalProperties": false,
                        "properties": {"to": {"type": "string"}, "cc": {"type": "array", "items": {"type": "string"}},
                                       "subject": {"type": "string"}, "body": {"type": "string"}}}},
            {"name": "calendar.create", "kinds": ["write"]},
            {"name": "web.fetch", "kinds": ["egress"], "trusted": ["/url"]},
            {"name": "payments.transfer", "agents": ["assistant"], "kinds": ["spend", "irreversible"],
             "trusted": ["/to"], "rules": [{"at": "/amount", "most": 500}],
             "spend": {"at": "/amount", "most": 1000, "window": "1d", "per": "user"}},
            {"name": "shell", "kinds": ["write"], "trusted": ["/command"]},
            {"name": "files.*", "kinds": ["write"], "rules": [{"at": "/path", "below": ["/srv/work"]}]},
            {"name": "db.query", "kinds": ["read"], "rules": [{"at": "/sql", "sql": "read"}],
             "narrow": [{"at": "/limit", "most": 100}]}
        ]
    })
}

fn config(config: &Value) -> Config {
    serde_json::from_value(config.clone()).unwrap_or_else(|error| panic!("{error}"))
}

fn judge(with: &Value, request: &Value) -> Verdict {
    tool_guard::evaluate(&config(with), &Request::from_json(&request.to_string()).unwrap()).unwrap()
}

fn codes(verdict: &Verdict) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// A call in MCP's shape by the agent `assistant`, after these texts: origin and text.
fn call(tool: &str, arguments: Value, texts: &[(&str, &str)]) -> Value {
    let content: Vec<Value> =
        texts.iter().map(|(origin, text)| json!({"role": origin, "origin": origin, "text": text})).collect();
    json!({
        "checkpoint": "tool.call", "subject": {"type": "agent", "id": "assistant"}, "context": {"session": "s"},
        "content": content, "payload": {"method": "tools/call", "params": {"name": tool, "arguments": arguments}},
    })
}

/// Judges in a session that has seen nothing.
fn fresh(request: &Value) -> Verdict {
    state::forget();
    judge(&agent(), request)
}

#[test]
fn what_is_not_listed_is_denied_for_this_agent() {
    let verdict = fresh(&call("shell.root", json!({}), &[]));
    assert_eq!((verdict.effect, codes(&verdict)), (Effect::Deny, vec!["tool.not_allowed"]));
    assert_eq!(verdict.findings[0].at.as_deref(), Some("/payload/params/name"));
    let mut stranger = call("mail.send", json!({"to": "ann@acme.example", "body": "."}), &[]);
    assert_eq!(fresh(&stranger).effect, Effect::Allow);
    stranger["subject"]["id"] = json!("stranger");
    assert_eq!(codes(&fresh(&stranger)), ["tool.not_allowed"]);
}

#[test]
fn what_cannot_be_read_is_denied() {
    let mut request = call("mail.send", json!({}), &[]);
    request["payload"] = json!({"tool_calls": [{"function": {"name": "mail.send", "arguments": "{\"to\":"}}]});
    let verdict = fresh(&request);
    assert_eq!((verdict.effect, codes(&verdict)), (Effect::Deny, vec!["tool.malformed"]));
    assert_eq!(verdict.findings[0].at.as_deref(), Some("/payload/tool_calls/0/function/arguments"));
}

#[test]
fn parallel_calls_are_judged_one_by_one() {
    let mut request = call("", json!({}), &[("user", "mail ann@acme.example and bob@beta.test")]);
    let one = |id: &str, to: &str| {
        let arguments = json!({"to": to, "body": "."}).to_string();
        json!({"id": id, "type": "function", "function": {"name": "mail.send", "arguments": arguments}})
    };
    request["payload"] =
        json!({"tool_calls": [one("a", "ann@acme.example"), one("b", "eve@evil.test"), one("c", "bob@beta.test")]});
    let verdict = fresh(&request);
    assert_eq!(verdict.effect, Effect::Review);
    let each = verdict.findings.iter().filter(|finding| finding.code == "tool.judged");
    let each: Vec<_> = each.map(|finding| (finding.message.as_str(), finding.measured.clone().unwrap())).collect();
    assert_eq!(each, [("call `a`", "allow".into()), ("call `b`", "review".into()), ("call `c`", "allow".into())]);
}

#[test]
fn irreversible_acts_wait_for_the_user_to_confirm_the_very_call() {
    let arguments = json!({"to": "DE02 1203 0000 0000 2020 51", "amount": 20});
    let mut request = call("payments.transfer", arguments.clone(), &[("user", "pay 20 to DE02120300000000202051")]);
    let verdict = fresh(&request);
    assert_eq!((verdict.effect, codes(&verdict)), (Effect::Review, vec!["tool.unconfirmed"]));
    assert_eq!(verdict.obligations[0].name, "confirm_with_user");
    request["context"]["confirmed"] = json!([{"tool": "payments.transfer", "arguments": arguments}]);
    assert_eq!(fresh(&request).effect, Effect::Allow);
    request["context"]["confirmed"][0]["arguments"]["amount"] = json!(21);
    assert_eq!(fresh(&request).effect, Effect::Review, "another call than the one that was confirmed");
    request["context"]["confirmed"] = json!(true);
    assert_eq!(fresh(&request).effect, Effect::Review);
}

#[test]
fn every_sample_is_judged() {
    let manifest: Value = serde_json::from_str(include_str!("../../samples.json")).unwrap();
    for sample in manifest.as_array().unwrap() {
        fresh(sample);
    }
}
