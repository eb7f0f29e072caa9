//! What evaluations start from, and what a policy cannot become.

use weir::{Effect, Isolation};

use crate::harness::{allows_after, burn, guest, host_of, records, refused, request, with_manifest};

const SAMPLES: &str = r#"{"samples":[{"checkpoint":"a"},{"checkpoint":"b"}]}"#;

/// Answers with the bytes it keeps at 100, after work that depends on what the policy has seen before.
fn remembers(work: &str) -> Vec<u8> {
    let parts = r#"(data (i32.const 0) "{\22effect\22:\22allow\22}{\22effect\22:\22deny\22}") (global $calls (mut i32) (i32.const 0))"#;
    with_manifest(&guest(parts, work), SAMPLES)
}

#[test]
fn a_policy_is_configured_and_trained_once() {
    // Twenty thousand units of fuel the first time, and none after that.
    let lazy = remembers(
        r#"(local $left i32)
           (if (i32.eqz (global.get $calls)) (then
             (local.set $left (i32.const 2000))
             (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
             (global.set $calls (i32.const 1))))
           (i64.const 18)"#,
    );
    let host = host_of(lazy, "");
    let decision = host.evaluate_blocking(request());
    assert!(decision.policies()[0].fuel < 1_000, "{decision:?}");
    let plan = &host.generation().plan().policies[0].clone();
    assert_eq!((plan.isolation, &plan.plain, &plan.unrestorable), (Isolation::Restore, &None, &None));
    let snapshot = plan.snapshot.unwrap().to_string();
    assert_eq!(records(&host)[0]["policies"][0]["snapshot"], snapshot);
}

#[test]
fn a_large_configuration_is_read_with_fuel_of_its_own() {
    let work = burn(8_000_000);
    let reads = format!(r#"(func (export "weir_configure") (param i32 i32) (result i64) {work} (i64.const 0))"#);
    let policy =
        || guest(&format!("(data (i32.const 0) \"{{\\22effect\\22:\\22allow\\22}}\") {reads}"), "(i64.const 18)");
    let config = |bytes: usize| format!("config = {{ text = \"{}\" }}", "a".repeat(bytes));
    assert!(refused(policy(), &config(100)).contains("cannot be started: fuel: limit 5000000"));
    assert!(refused(policy(), &config(2_013)).contains("cannot be started: fuel: limit 6000000"));
    for isolation in ["restore", "fresh"] {
        let host = host_of(policy(), &format!("{}\nisolation = \"{isolation}\"", config(20_000)));
        let decision = host.evaluate_blocking(request());
        assert_eq!(decision.effect(), Effect::Allow, "{decision:?}");
        assert!(decision.policies()[0].fuel < 1_000, "what it was started for is nobody's request: {decision:?}");
    }
}

#[test]
fn training_must_not_change_a_verdict() {
    let forgetful = remembers(
        r#"(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
           (select (i64.const 18) (i64.const 0x12_0000_0011) (i32.le_u (global.get $calls) (i32.const 1)))"#,
    );
    let report = refused(forgetful, "");
    assert!(report.contains("after it has judged its samples once, it judges them otherwise"), "{report}");
}

#[test]
fn what_cannot_be_trained_is_only_configured() {
    let once = remembers(
        r#"(if (global.get $calls) (then (unreachable))) (global.set $calls (i32.const 1)) (i64.const 18)"#,
    );
    let host = host_of(once, "");
    let plan = &host.generation().plan().policies[0].clone();
    assert!(
        plan.plain.as_ref().is_some_and(|why| why.contains("not trained: it does not judge sample 1")),
        "{plan:?}"
    );
    assert!(plan.snapshot.is_some() && plan.isolation == Isolation::Restore, "{plan:?}");
    (0..3).for_each(|_| assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow));
}

#[test]
fn what_no_snapshot_can_hold_runs_as_it_is() {
    let cases = [
        (
            "(table $t 1 funcref) (func $f) (elem declare func $f)",
            "(table.set $t (i32.const 0) (ref.func $f))",
            "table.set",
        ),
        ("(data $d \"x\")", "(data.drop $d)", "data.drop"),
        ("(global $f (mut funcref) (ref.null func))", "(global.set $f (ref.null func))", "reference"),
        ("(memory $m 1) (export \"__wizer_memory_0\" (memory 0))", "", "__wizer_"),
    ];
    for (parts, work, why) in cases {
        let wasm = match parts.contains("__wizer_") {
            true => allows_after("(func (export \"__wizer_memory_0\"))", ""),
            false => allows_after(parts, work),
        };
        let host = host_of(wasm.clone(), "");
        (0..3).for_each(|_| assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow, "{why}"));
        let plan = &host.generation().plan().policies[0].clone();
        assert!(plan.plain.as_ref().is_some_and(|plain| plain.contains(why)), "{why}: {plan:?}");
        assert_eq!((plan.isolation, plan.snapshot), (Isolation::Fresh, None), "{why}");
        assert!(records(&host)[0]["policies"][0].get("snapshot").is_none(), "{why}");
        let inspected = weir::inspect(&wasm).unwrap();
        assert!(inspected.plain.is_some_and(|plain| plain.contains(why)), "{why}");
    }
    assert_eq!(weir::inspect(&allows_after("", "")).unwrap().plain, None);
}

#[test]
fn snapshots_are_the_same_every_time() {
    let snapshot =
        || host_of(remembers("(i64.const 18)"), "config = { a = 1 }").generation().plan().policies[0].snapshot;
    assert_eq!(snapshot(), snapshot());
}
