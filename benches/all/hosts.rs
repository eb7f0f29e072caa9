//! Hosts to measure: opened, and seen to judge rightly before anything is timed.

use weir::{Decision, Effect, Recorder, Request, Runtime, Source};

/// The small policy of `guest/`, as a module.
pub(crate) const GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.wasm"));

/// The same policy as a component.
pub(crate) const COMPONENT_GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest-component.wasm"));

/// The policy of `regex-guest/`: it compiles regular expressions when it is configured.
pub(crate) const REGEX_GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/regex-guest.wasm"));

/// The policy of `grants-guest/`, whose rule other engines have, too.
pub(crate) const GRANTS_GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/grants-guest.wasm"));

/// A set with the small policy and nothing else.
pub(crate) const ONE_POLICY: &str = r#"
set = "bench"
[policies.guard]
module = "guest.wasm"
checkpoints = ["tool.call"]
"#;

/// A call of a tool, written as the host hands it to guests: both sides of a ratio read the same bytes.
pub(crate) const CALL: &str = r#"{"id":"r-81","checkpoint":"tool.call","tenant":"acme/claims","time":"2026-11-23T09:00:00Z","subject":{"type":"agent","id":"claims-bot"},"action":{"name":"payments.transfer"},"resource":{"type":"tool","id":"bank"},"context":{"region":"eu"},"content":[{"role":"tool","origin":"tool","text":"claim 4711: approved, 1250.00 EUR, account on file, no open questions"}],"payload":{"amount":1250.00,"currency":"EUR"}}"#;

/// The same call for more money than an agent may move.
fn refused_call() -> String {
    CALL.replace(r#""amount":1250.00"#, r#""amount":9250.00"#)
}

/// Opens a host.
pub(crate) fn open(set: &str, modules: &[(&str, &[u8])], recorder: Recorder) -> Runtime {
    let modules = modules.iter().map(|(name, wasm)| (*name, *wasm));
    let opened = pollster::block_on(Runtime::builder().recorder(recorder).open(Source::memory(set, modules)));
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// A host with the small policy, which allows what its source in plain Rust allows and denies what that denies.
pub(crate) fn one_policy(recorder: Recorder) -> Runtime {
    let runtime = open(ONE_POLICY, &[("guest.wasm", GUEST)], recorder);
    for text in [CALL.to_owned(), refused_call()] {
        let decision = runtime.evaluate_blocking(request(&text));
        assert_eq!(decision.effect(), expected(&text), "{decision:?}");
        let outcome = decision.policies()[0].outcome.as_ref();
        assert!(outcome.is_ok(), "the effect is the guest's and not its failure's: {outcome:?}");
        assert!(decision.record().is_some(), "every decision is recorded");
    }
    runtime
}

fn expected(text: &str) -> Effect {
    let request = weir_sdk::Request::from_json(text).expect("the bench's own request");
    let verdict = weir_bench_guest::evaluate(&weir_bench_guest::Config::default(), &request);
    match verdict.expect("the policy never fails").effect {
        weir_sdk::Effect::Allow => Effect::Allow,
        weir_sdk::Effect::Review => Effect::Review,
        weir_sdk::Effect::Deny => Effect::Deny,
    }
}

/// A request from JSON.
pub(crate) fn request(json: &str) -> Request {
    Request::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Judges one after the other on this thread, and hands each decision on.
pub(crate) fn evaluate(runtime: &Runtime, request: Request) -> Decision {
    pollster::block_on(runtime.evaluate(request))
}
