//! Every evaluation starts from the same state, whatever the ones before it did, however many there are at once.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use weir::{Effect, PolicyReport, Recorder, Runtime, Source};

use crate::harness::{asked, guest};

/// Allows only if nothing is left of any call before: it looks at its global, its table, the size of its memory and
/// every byte of it, data aside, and also at a page that it grows. Then it changes all of that.
///
/// `trace` adds module fields.
fn suspicious(trace: &str) -> Vec<u8> {
    let parts = r#"
        (table $table 8 funcref) (elem declare func $any) (func $any)
        (global $calls (mut i32) (i32.const 0))
        (data (i32.const 0) "{\22effect\22:\22allow\22}{\22effect\22:\22deny\22}")
        ;; All words from $at to $end, one over the other: zero if they are.
        (func $all (param $at i32) (param $end i32) (result i64) (local $all i64)
          (loop $next
            (local.set $all (i64.or (local.get $all) (i64.load (local.get $at))))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
          (local.get $all))"#;
    // Bytes 35 to 4096 and from 8192 on are nobody's; the request lies between.
    let body = r#"
        (local $dirty i64)
        (local.set $dirty (i64.extend_i32_u (i32.or
          (i32.or (global.get $calls) (i32.ne (memory.size) (i32.const 1)))
          (i32.or (i32.eqz (ref.is_null (table.get $table (i32.const 7)))) (i32.ne (local.get $ptr) (i32.const 4096))))))
        (local.set $dirty (i64.or (local.get $dirty) (call $all (i32.const 40) (i32.const 4096))))
        (local.set $dirty (i64.or (local.get $dirty) (call $all (i32.const 8192) (i32.const 65536))))
        (drop (memory.grow (i32.const 1)))
        (local.set $dirty (i64.or (local.get $dirty) (call $all (i32.const 65536) (i32.const 131072))))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (table.set $table (i32.const 7) (ref.func $any))
        (memory.fill (i32.const 40) (i32.const 0xA5) (i32.const 4056))
        (memory.fill (i32.const 8192) (i32.const 0xA5) (i32.const 122880))
        (select (i64.const 18) (i64.const 0x12_0000_0011) (i64.eqz (local.get $dirty)))"#;
    guest(&format!("{parts} {trace}"), body)
}

/// The guest twice: run on the calling task, and with more fuel on a stack of its own.
fn host(trace: &str) -> Runtime {
    let policy = |name: &str, fuel: u64| {
        format!(
            "[policies.{name}]\nmodule = \"p.wasm\"\ncheckpoints = [\"{name}\"]\n\
             limits = {{ fuel = {fuel}, memory = \"128 KiB\", deadline = \"60 s\" }}\n"
        )
    };
    let set = format!("set = \"s\"\n{}{}", policy("inline", 2_000_000), policy("fiber", 20_000_000));
    let source = Source::memory(set, [("p.wasm", suspicious(trace))]);
    pollster::block_on(Runtime::builder().recorder(Recorder::memory(10)).open(source)).unwrap()
}

#[test]
fn a_hundred_thousand_calls_at_once_start_fresh() {
    const CALLS: usize = 100_000;
    const AT_ONCE: usize = 4_000;
    let host = Arc::new(host(""));
    let used = |report: &PolicyReport| (report.fuel, report.memory_bytes);
    let first = used(&host.evaluate_blocking(asked(r#"{"checkpoint":"fiber"}"#)).policies()[0]);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let counted = executor.block_on(async {
        let calls = (0..CALLS).map(|call| {
            let (host, checkpoint) = (Arc::clone(&host), if call % 4 == 0 { "fiber" } else { "inline" });
            let request =
                asked(&format!(r#"{{"id":"{call}","checkpoint":"{checkpoint}","tenant":"t{}"}}"#, call % 7));
            tokio::spawn(async move { (call, host.evaluate(request).await) })
        });
        let fresh = stream::iter(calls).buffer_unordered(AT_ONCE).map(|joined| {
            let (call, decision) = joined.unwrap();
            let report = &decision.policies()[0];
            assert_eq!(decision.effect(), Effect::Allow, "call {call}: {report:?}");
            assert_eq!(used(report), first, "call {call}");
        });
        fresh.count().await
    });
    assert_eq!(counted, CALLS);
    let metrics = host.metrics();
    assert_eq!((metrics.allowed, metrics.records.written), (CALLS as u64 + 1, CALLS as u64 + 1));
    assert!(metrics.records.groups <= metrics.records.written && metrics.failures.is_empty(), "{metrics:?}");
}

#[test]
fn the_suspicious_guest_has_its_eyes_open() {
    let traces = [
        "(data (i32.const 41) \"x\")",
        "(data (i32.const 65535) \"x\")",
        "(elem (table $table) (i32.const 7) func $any)",
        "(func $begin (global.set $calls (i32.const 1))) (start $begin)",
        "(func $begin (drop (memory.grow (i32.const 1)))) (start $begin)",
    ];
    for trace in traces {
        let decision = host(trace).evaluate_blocking(asked(r#"{"checkpoint":"inline"}"#));
        let verdict = decision.policies()[0].outcome.as_ref().map(|verdict| verdict.effect);
        assert_eq!(verdict, Ok(Effect::Deny), "{trace}");
    }
}
