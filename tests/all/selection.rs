//! Which policies judge a request, and what they get to see of it.

use weir::{Decision, Effect, Report, Runtime};

use crate::harness::{asked, constant, echo, host, with_manifest};

const SCOPES: &str = r#"
set = "test"

[systems.claims]
deployed_in = ["DE"]
affects     = ["EU", "UK"]
risk_tier   = "high"

[systems.hiring]
deployed_in = ["US"]
risk_tier   = "high"

[policies.everywhere]
module      = "allow.wasm"
checkpoints = ["in"]

[policies.claims]
module      = "allow.wasm"
checkpoints = ["in"]
systems     = ["cl*"]

[policies.hiring]
module      = "allow.wasm"
checkpoints = ["in"]
systems     = ["hiring"]

[policies.europe]
module      = "allow.wasm"
checkpoints = ["in"]
when        = { affects = ["EU"] }

[policies.gold]
module      = "allow.wasm"
checkpoints = ["in"]
when        = { plan = ["gold-*"], seats = ["7"] }

[policies.unused]
module      = "allow.wasm"
checkpoints = ["in"]
mode        = "off"
"#;

fn judged_by(host: &Runtime, json: &str) -> Vec<String> {
    host.evaluate_blocking(asked(json)).policies().iter().map(|report| report.name.clone()).collect()
}

#[test]
fn scopes_narrow_only_by_what_the_request_says() {
    let host = host(SCOPES, &[("allow.wasm", constant(r#"{"effect":"allow"}"#))]).unwrap();
    let everything = ["everywhere", "claims", "hiring", "europe", "gold"];
    let cases: [(&str, &[&str]); 8] = [
        (r#"{"checkpoint":"in"}"#, &everything),
        (r#"{"checkpoint":"in","system":"nobody-knows-me"}"#, &everything),
        // Only a registered system can say whom it affects.
        (r#"{"checkpoint":"in","system":"claimsX","context":{"affects":["US"]}}"#, &everything),
        (r#"{"checkpoint":"in","system":"claims"}"#, &["everywhere", "claims", "europe", "gold"]),
        (r#"{"checkpoint":"in","system":"hiring","context":{"plan":"free"}}"#, &["everywhere", "hiring", "europe"]),
        (
            r#"{"checkpoint":"in","system":"claims","context":{"plan":["free","gold-1"],"seats":7}}"#,
            &["everywhere", "claims", "europe", "gold"],
        ),
        // A value that cannot be compared counts as lacking.
        (
            r#"{"checkpoint":"in","system":"claims","context":{"plan":{"name":"free"},"seats":7}}"#,
            &["everywhere", "claims", "europe", "gold"],
        ),
        // What is registered cannot be replaced, so this does not escape `europe`.
        (
            r#"{"checkpoint":"in","system":"claims","context":{"affects":["US"],"plan":"free"}}"#,
            &["everywhere", "claims", "europe"],
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(judged_by(&host, json), expected, "{json}");
    }
}

fn seen(decision: &Decision) -> String {
    decision.findings()[0].finding.message.clone()
}

fn echoing(reads: &str, system: &str) -> Result<Runtime, Report> {
    let manifest = format!(r#"{{"reads":{reads}}}"#);
    let set = format!("set = 'test'\n{system}\n[policies.p]\nmodule = 'p.wasm'\ncheckpoints = ['in']\n");
    host(&set, &[("p.wasm", with_manifest(&echo(), &manifest))])
}

#[test]
fn a_policy_sees_only_what_it_reads() {
    let host = echoing(r#"["/content","/context/region","/payload/n"]"#, "").unwrap();
    let decision = host.evaluate_blocking(asked(
        r#"{"checkpoint":"in","subject":{"type":"person","id":"secret"},"context":{"region":"eu","sex":"f"},
            "content":[{"text":"a"}],"payload":{"n":1.50,"age":42}}"#,
    ));
    assert_eq!(seen(&decision), "{'context':{'region':'eu'},'content':[{'text':'a'}],'payload':{'n':1.50}}");
    let record: serde_json::Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    let policy = &record["policies"][0];
    assert_eq!(policy["reads"], serde_json::json!(["/content", "/context/region", "/payload/n"]));
    let given = r#"{"context":{"region":"eu"},"content":[{"text":"a"}],"payload":{"n":1.50}}"#;
    assert_eq!(policy["given"], weir::Digest::of(given.as_bytes()).to_string());
}

#[test]
fn the_registered_context_reaches_the_guest_whatever_the_caller_says() {
    let system = "[systems.claims]\nrisk_tier = 'high'\ndeployed_in = ['DE']";
    let host = echoing(r#"["/context"]"#, system).unwrap();
    let caller = r#"{"checkpoint":"in","system":"claims","context":{"risk_tier":"minimal","region":"eu"}}"#;
    let decision = host.evaluate_blocking(asked(caller));
    assert_eq!(seen(&decision), "{'context':{'deployed_in':['DE'],'risk_tier':'high','region':'eu'}}");
}

fn shipped() -> Runtime {
    let modules: Vec<(&str, Vec<u8>)> =
        weir_plugins::modules().iter().map(|module| (module.name, module.wasm.to_vec())).collect();
    host(&weir_plugins::SET.replace("250 ms", "60 s"), &modules).unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn the_shipped_set_masks_denies_and_reviews() {
    let host = shipped();
    let masked = host.evaluate_blocking(asked(
        r#"{"checkpoint":"inference.input","system":"claims-triage","time":"2026-01-05T09:00:00Z",
            "content":[{"role":"user","origin":"user","text":"pay DE89370400440532013000 today"}]}"#,
    ));
    assert_eq!(masked.effect(), Effect::Allow);
    let [shadow] = masked.shadow() else { panic!("{:?}", masked.shadow()) };
    assert_eq!(shadow.outcome.as_ref().unwrap().effect, Effect::Review);
    let permit = masked.permit().unwrap();
    assert_eq!(permit.content()[0].text, "pay <IBAN_1> today");

    let measures = |female: u32| {
        format!(
            r#"{{"checkpoint":"model.verify","system":"hiring-screener","measures":[
                {{"name":"selected","group":"sex=f","value":{female},"count":400}},
                {{"name":"selected","group":"sex=m","value":240,"count":400}}]}}"#
        )
    };
    let effects = [236, 200, 120].map(|female| host.evaluate_blocking(asked(&measures(female))).effect());
    assert_eq!(effects, [Effect::Allow, Effect::Review, Effect::Deny]);

    let unbound = host.evaluate_blocking(asked(r#"{"checkpoint":"training.run"}"#));
    assert_eq!((unbound.effect(), unbound.decided_by()), (Effect::Deny, &["unbound".to_owned()][..]));
    let monitoring = host.evaluate_blocking(asked(r#"{"checkpoint":"monitoring.window"}"#));
    assert_eq!(monitoring.effect(), Effect::Allow);
}
