//! The main job: requests in, recorded decisions out.

use weir::Effect;

use crate::harness::{
    asked, component, constant, echo, host, host_of, one_policy, patient, records, request, with_manifest,
};

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

/// A component that cannot judge, for the reason that stands in its request at this place of the record.
fn telling(place: u32) -> Vec<u8> {
    let tell = format!(
        "(i32.store (i32.const 128) (i32.const 1))
         (i64.store (i32.const 132) (i64.load (i32.add (local.get $request) (i32.const {place}))))
         (i32.const 128)"
    );
    component("", &tell)
}

/// Places of the context and the payload, which are the 10th and the last of its fields.
const CONTEXT: u32 = 104;
const PAYLOAD: u32 = 128;

#[test]
fn policies_of_either_abi_are_given_what_they_read() {
    let reading = |wasm: Vec<u8>, pointer: &str| with_manifest(&wasm, &format!("{{\"reads\":[\"{pointer}\"]}}"));
    let policies = [
        ("part", reading(telling(PAYLOAD), "/payload/n")),
        ("nothing", reading(telling(PAYLOAD), "/content")),
        ("whole", telling(PAYLOAD)),
        ("same", telling(PAYLOAD)),
        ("context", reading(telling(CONTEXT), "/context/role")),
        ("core", reading(echo(), "/payload/n")),
    ];
    let table = |name: &str| format!("[policies.{name}]\nmodule = \"{name}.wasm\"\ncheckpoints = [\"*\"]\n");
    let tables = policies.iter().map(|(name, _)| table(name));
    let system = "[systems.s]\nrole = \"deployer\"\n";
    let set = patient(&format!("set = \"test\"\n{system}{}", tables.collect::<String>()));
    let names: Vec<_> = policies.iter().map(|(name, wasm)| (format!("{name}.wasm"), wasm.clone())).collect();
    let modules: Vec<_> = names.iter().map(|(name, wasm)| (name.as_str(), wasm.clone())).collect();
    let host = host(&set, &modules).unwrap_or_else(|report| panic!("{report}"));
    let request =
        asked(r#"{"checkpoint":"a","system":"s","context":{"role":"boss"},"payload":{"n":1.50, "m":"\u00fc"}}"#);
    let decision = host.evaluate_blocking(request);
    let said = |name: &str| {
        let policy = decision.policies().iter().find(|policy| policy.name == name).unwrap();
        match &policy.outcome {
            Ok(verdict) => verdict.findings[0].message.clone(),
            Err(failure) => failure.detail.clone(),
        }
    };
    assert_eq!(said("part"), r#"{"n":1.50}"#);
    assert_eq!(said("nothing"), "null");
    assert_eq!(said("whole"), r#"{"n":1.50, "m":"\u00fc"}"#);
    assert_eq!(said("same"), said("whole"));
    assert_eq!(said("context"), r#"{"role":"deployer"}"#);
    assert_eq!(said("core"), "{'payload':{'n':1.50}}");
    let record = &records(&host)[0];
    let given = |name: &str| {
        let place = decision.policies().iter().position(|policy| policy.name == name).unwrap();
        record["policies"][place]["given"].as_str().unwrap().to_owned()
    };
    assert_eq!(given("part"), given("core"), "what is given has one digest, however it is encoded");
}
