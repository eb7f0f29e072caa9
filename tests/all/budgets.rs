//! The capability `state`: budgets that are never overspent, given back when a ruling does not allow, and kept across swaps
//! and restarts.

mod ending;
mod lasting;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::json;
use weir::{Decision, Effect, Runtime};

use crate::harness::{asked, failure, guest, host, host_of, one_policy, records, refused, wat_text};

/// Lines of a policy that may ask counters.
const GRANTED: &str = "grants = [\"state\"]";

/// A guest that takes `amount` below `limit` in a window and allows, or denies where it does not fit.
fn taker(amount: u64, limit: u64, window_ms: u64) -> Vec<u8> {
    taker_of("key", amount, limit, window_ms, "")
}

/// As [`taker`], of a key; `after` runs when it was granted.
fn taker_of(key: &str, amount: u64, limit: u64, window_ms: u64, after: &str) -> Vec<u8> {
    let parts = format!(
        r#"(import "weir" "state_take" (func $take (param i32 i32 i64 i64 i64 i32) (result i64)))
           (data (i32.const 0) "{{\22effect\22:\22allow\22}}") (data (i32.const 32) "{{\22effect\22:\22deny\22}}")
           (data (i32.const 64) {})"#,
        wat_text(key)
    );
    let body = format!(
        r#"(if (result i64) (i64.ge_s
             (call $take (i32.const 64) (i32.const {}) (i64.const {amount}) (i64.const {limit}) (i64.const {window_ms}) (i32.const 0))
             (i64.const 0))
           (then {after} (i64.const 18))
           (else (i64.const {})))"#,
        key.len(),
        32u64 << 32 | 17
    );
    guest(&parts, &body)
}

/// Asks at a second of an hour in 2026, for a tenant.
fn ask(host: &Runtime, tenant: &str, second: u64) -> Decision {
    let (minute, second) = (second / 60, second % 60);
    let request = asked(&format!(
        r#"{{"checkpoint":"test","tenant":"{tenant}","time":"2026-01-01T00:{minute:02}:{second:02}Z"}}"#
    ));
    host.evaluate_blocking(request)
}

fn allowed(decision: &Decision) -> bool {
    decision.effect() == Effect::Allow
}

#[test]
fn a_policy_that_was_not_granted_state_is_refused() {
    let report = refused(taker(1, 1, 1000), "");
    assert!(report.contains("import `weir.state_take` is not granted"), "{report}");
    assert!(report.contains("grants = [\"state\"]"), "{report}");
}

#[test]
fn the_limit_holds_by_tenant_within_the_window_of_request_time() {
    let host = host_of(taker(3, 10, 60_000), GRANTED);
    let grants = |tenant: &str, second| (0..5).filter(|_| allowed(&ask(&host, tenant, second))).count();
    assert_eq!(grants("a", 0), 3);
    assert_eq!(grants("b", 0), 3, "another tenant has a budget of its own");
    assert_eq!(grants("a", 59), 0);
    assert_eq!(grants("a", 64), 3, "what was taken at 0 has left a window of 60 s at 64 s at the latest");
    assert_eq!(host.metrics().state.keys, 2);
    assert_eq!(host.metrics().state.granted, 9);
}

#[test]
fn threads_racing_on_one_key_are_granted_exactly_the_limit() {
    let limits = "limits = { deadline = \"60 s\" }";
    let host = host_of(taker(7, 7_000, 60_000), &format!("{GRANTED}\n{limits}"));
    let granted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let count = (0..40).filter(|_| allowed(&ask(&host, "a", 1))).count();
                granted.fetch_add(count as u64, Relaxed);
            });
        }
    });
    assert_eq!(granted.into_inner(), 1_000);
}

#[test]
fn the_record_holds_what_was_asked_and_answered() {
    let host = host_of(taker(3, 10, 1_600), GRANTED);
    ask(&host, "a", 1);
    let records = records(&host);
    assert_eq!(
        records[0]["policies"][0]["host_calls"],
        json!([{"call": "state_take", "key": "key", "amount": 3, "limit": 10, "window_ms": 1600, "window": "sliding",
                "granted": true, "used": 3, "resets_in_ms": 1700}])
    );
}

#[test]
fn what_makes_no_sense_is_a_refused_call() {
    let call = |amount: &str, window: &str, kind: u32, length: u32| {
        let parts = r#"(import "weir" "state_take" (func $take (param i32 i32 i64 i64 i64 i32) (result i64)))
                       (data (i32.const 64) "\ff\fe")"#;
        let work = format!(
            "(drop (call $take (i32.const 64) (i32.const {length}) (i64.const {amount}) (i64.const 5) (i64.const {window}) \
             (i32.const {kind})))"
        );
        let host = host_of(crate::harness::allows_after(parts, &work), GRANTED);
        failure(&ask(&host, "a", 0))
    };
    for (amount, window, kind, length, why) in [
        ("-1", "1000", 0, 0, "the amount is negative: -1"),
        ("1", "0", 0, 0, "a window has 1 ms to 366 days, not 0"),
        ("1", "99999999999999", 1, 0, "a window has 1 ms to 366 days"),
        ("1", "1000", 2, 0, "a window is 0 (sliding) or 1 (tumbling), not 2"),
        ("1", "1000", 0, 1, "UTF-8"),
        ("1", "1000", 0, 100_000, "outside the guest's memory"),
        ("1", "1000", 0, 513, "up to 512 bytes"),
    ] {
        let (kind, detail) = call(amount, window, kind, length);
        assert_eq!(kind, "refused_host_call", "{why}");
        assert!(detail.contains(why), "{detail}");
    }
}

#[test]
fn every_call_costs_fuel_and_counts() {
    let again = "(loop $again (drop (call $take (i32.const 64) (i32.const 3) (i64.const 0) (i64.const 1) (i64.const 1) \
                 (i32.const 0))) (br $again))";
    let wasm = taker_of("key", 1, 10, 1000, again);
    let (kind, detail) = failure(&ask(&host_of(wasm.clone(), GRANTED), "a", 0));
    assert_eq!(
        (kind.as_str(), detail.as_str()),
        ("refused_host_call", "more than 1000 host calls (limit `host_calls`)")
    );
    let poor = format!("{GRANTED}\nlimits = {{ fuel = 3000 }}");
    assert_eq!(failure(&ask(&host_of(wasm, &poor), "a", 0)).0, "fuel");
}

#[test]
fn a_shadow_spends_a_copy() {
    let set = format!(
        "set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\n{GRANTED}\n\
         [policies.q]\nmodule = \"q.wasm\"\ncheckpoints = [\"*\"]\nmode = \"shadow\"\n{GRANTED}\n"
    );
    let modules = [("p.wasm", taker(1, 5, 60_000)), ("q.wasm", taker(1, 2, 60_000))];
    let host = host(&set, &modules).unwrap();
    let decisions: Vec<Decision> = (0..6).map(|_| ask(&host, "a", 0)).collect();
    assert_eq!(decisions.iter().filter(|decision| allowed(decision)).count(), 5, "q never says anything that counts");
    let shadows = decisions.iter().filter(|decision| decision.shadow()[0].counted_as == Effect::Allow);
    assert_eq!(shadows.count(), 2);
    let mode = |mode: &str| format!("{}mode = \"{mode}\"", one_policy(GRANTED));
    let source = |text: String| weir::Source::memory(text, [("p.wasm", taker(1, 5, 60_000))]);
    pollster::block_on(host.publish(source(mode("shadow")))).unwrap();
    assert_eq!(ask(&host, "a", 0).shadow()[0].counted_as, Effect::Deny, "a shadow begins with what was taken before");
    assert_eq!(ask(&host, "new", 0).shadow()[0].counted_as, Effect::Allow);
    pollster::block_on(host.publish(source(mode("enforce")))).unwrap();
    let grants = (0..9).filter(|_| allowed(&ask(&host, "new", 0))).count();
    assert_eq!(grants, 5, "what a shadow spent costs nobody anything");
}

#[test]
fn samples_and_test_cases_spend_nothing() {
    let manifest =
        r#"{"name":"p","version":"1","samples":[{"checkpoint":"test"},{"checkpoint":"test"},{"checkpoint":"test"}]}"#;
    let wasm = crate::harness::with_manifest(&taker(1, 2, 60_000), manifest);
    let host = host_of(wasm, GRANTED);
    assert_eq!((0..4).filter(|_| allowed(&ask(&host, "default", 0))).count(), 2);
}
