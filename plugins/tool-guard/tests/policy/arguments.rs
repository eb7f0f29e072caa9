//! Arguments: their schema, their rules, and what is made smaller.

use serde_json::{Value, json};
use weir_sdk::Effect;

use crate::{call, codes, fresh};

fn in_text(tool: &str, arguments: &str) -> Value {
    let mut request = call(tool, json!({}), &[]);
    request["payload"] = json!({"tool_calls": [{"function": {"name": tool, "arguments": arguments}}]});
    request
}

#[test]
fn a_violation_is_named_with_its_place() {
    let verdict = fresh(&call("mail.send", json!({"to": 7, "extra": 1}), &[]));
    assert_eq!(verdict.effect, Effect::Deny);
    let places: Vec<_> = verdict.findings.iter().map(|f| (f.at.as_deref().unwrap(), f.message.as_str())).collect();
    assert_eq!(
        places,
        [
            ("/payload/params/arguments", "`body` is missing"),
            ("/payload/params/arguments/extra", "nothing may be here"),
            ("/payload/params/arguments/to", "expected string, found integer"),
        ]
    );
    let verdict = fresh(&in_text("mail.send", r#"{"to":7,"body":""}"#));
    let finding = &verdict.findings[0];
    assert_eq!(finding.at.as_deref(), Some("/payload/tool_calls/0/function/arguments"));
    assert_eq!(finding.message, "`/to`: expected string, found integer");
}

#[test]
fn rules_bound_amounts_folders_and_queries() {
    let amount = fresh(&call("payments.transfer", json!({"to": "x", "amount": 501}), &[("user", "x")]));
    assert_eq!((amount.effect, codes(&amount)[0]), (Effect::Deny, "tool.rule"));
    assert_eq!(amount.findings[0].at.as_deref(), Some("/payload/params/arguments/amount"));
    for (path, effect) in [("/srv/work/a", Effect::Allow), ("/srv/work/../../etc/passwd", Effect::Deny)] {
        let request = call("files.write", json!({"path": path}), &[("user", &format!("write {path}"))]);
        assert_eq!(fresh(&request).effect, effect, "{path}");
    }
    for (sql, effect) in [("select 1", Effect::Allow), ("drop table claims", Effect::Deny)] {
        assert_eq!(fresh(&call("db.query", json!({"sql": sql}), &[])).effect, effect, "{sql}");
    }
}

#[test]
fn what_is_too_large_is_made_smaller_in_every_shape() {
    let object = fresh(&call("db.query", json!({"sql": "select 1", "limit": 5000}), &[]));
    let edit = &object.edits[0];
    assert_eq!(object.effect, Effect::Allow);
    assert_eq!((edit.at.as_str(), edit.start, edit.end), ("/payload/params/arguments/limit", 0, 0));
    assert_eq!(edit.replacement, "100");
    let arguments = r#"{"sql":"select 1", "limit" : 5e3 }"#;
    let text = fresh(&in_text("db.query", arguments));
    let edit = &text.edits[0];
    assert_eq!(
        (edit.at.as_str(), &arguments[edit.start..edit.end]),
        ("/payload/tool_calls/0/function/arguments", "5e3")
    );
    let small = fresh(&call("db.query", json!({"sql": "select 1", "limit": 50}), &[]));
    assert_eq!(small.edits, []);
    let odd = fresh(&call("db.query", json!({"sql": "select 1", "limit": "all"}), &[]));
    assert_eq!((odd.effect, codes(&odd)), (Effect::Deny, vec!["tool.too_large"]));
}
