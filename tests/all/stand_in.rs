//! The stand-in for WASI: a world that follows from the request, and last words that reach the author.

use serde_json::json;
use weir::{Decision, Runtime};

use crate::harness::{asked, failure, guest, host_of, records, refused};

/// Imports of WASI, as compilers name them.
const WASI: &str = r#"
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environment (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (data (i32.const 64) "{\22effect\22:\22allow\22,\22scores\22:{\22x\22:0.0000000000000000000}}")
    (data (i32.const 256) "panic: no such rule\n")"#;

/// Writes the digits of a number after `0.` in the answer above.
const SHOW: &str = r#"(func $show (param $n i64) (result i64) (local $at i32)
    (local.set $at (i32.const 116))
    (loop $digit
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10)))))
      (local.set $n (i64.div_u (local.get $n) (i64.const 10)))
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (br_if $digit (i64.ne (local.get $n) (i64.const 0))))
    (i64.or (i64.shl (i64.const 64) (i64.const 32)) (i64.const 55)))"#;

fn world(body: &str) -> Vec<u8> {
    guest(&format!("{WASI} {SHOW}"), body)
}

fn ask(host: &Runtime, id: &str, time: &str) -> Decision {
    host.evaluate_blocking(asked(&format!(r#"{{"id":"{id}","checkpoint":"test","time":"{time}"}}"#)))
}

/// The digits that a guest has shown.
fn shown(decision: &Decision) -> f64 {
    assert_eq!(decision.policies()[0].outcome.as_ref().map(|_| ()), Ok(()), "{decision:?}");
    decision.scores()["x"]
}

#[test]
fn the_clock_is_the_time_of_the_request_and_moves_on_by_a_microsecond() {
    let read = "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 0)))";
    let after = |more: &str| {
        let host = host_of(world(&format!("{more} {read} (call $show (i64.load (i32.const 0)))")), "");
        (shown(&ask(&host, "a", "1970-01-01T00:00:01Z")) * 1e19).round()
    };
    assert_eq!(after(""), 1_000_001_000.0);
    assert_eq!(after(read), 1_000_002_000.0);
    let sleep = |flags: u32, timeout: u64| {
        format!(
            "(i64.store (i32.const 24) (i64.const {timeout})) (i32.store16 (i32.const 40) (i32.const {flags}))
             (drop (call $poll (i32.const 0) (i32.const 512) (i32.const 1) (i32.const 600)))"
        )
    };
    // Reading the clock for an absolute time takes a step, too.
    assert_eq!(after(&sleep(0, 5_000_000)), 1_005_002_000.0);
    assert_eq!(after(&sleep(1, 1_007_000_000)), 1_007_001_000.0);
}

#[test]
fn random_numbers_follow_from_the_id() {
    let body = "(drop (call $random (i32.const 0) (i32.const 7))) (call $show (i64.load (i32.const 0)))";
    let (one, other) = (host_of(world(body), ""), host_of(world(body), "isolation = \"fresh\""));
    let time = "2026-01-01T00:00:00Z";
    let first = shown(&ask(&one, "a", time));
    assert_eq!(shown(&ask(&one, "a", time)), first);
    assert_eq!(shown(&ask(&other, "a", time)), first);
    assert_ne!(shown(&ask(&one, "b", time)), first);
}

#[test]
fn what_a_policy_does_not_read_its_clock_does_not_tell() {
    let body = "(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 0))) (call $show (i64.load (i32.const 0)))";
    let wasm = crate::harness::with_manifest(&world(body), r#"{"name":"p","version":"1","reads":["/content"]}"#);
    let host = host_of(wasm, "");
    assert_eq!((shown(&ask(&host, "a", "2026-01-01T00:00:00Z")) * 1e19).round(), 1_000.0);
}

#[test]
fn what_is_printed_goes_to_the_log_and_last_words_to_the_author() {
    let print = |descriptor: u32| {
        format!(
            "(i32.store (i32.const 0) (i32.const 256)) (i32.store (i32.const 4) (i32.const 20))
             (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 8)))"
        )
    };
    let host =
        host_of(world(&format!("{} (call $show (i64.load32_u (i32.const 8)))", print(1))), "grants = [\"log\"]");
    assert_eq!((shown(&ask(&host, "a", "2026-01-01T00:00:00Z")) * 1e19).round(), 20.0, "bytes written");
    assert_eq!(records(&host)[0]["policies"][0]["log"], json!([{"level": "info", "text": "panic: no such rule"}]));
    let dies = world(&format!("{} (call $exit (i32.const 2)) (i64.const 0)", print(2)));
    let (kind, detail) = failure(&ask(&host_of(dies, ""), "a", "2026-01-01T00:00:00Z"));
    assert_eq!((kind.as_str(), detail.as_str()), ("guest_error", "panic: no such rule"));
    let silent = world("(call $exit (i32.const 2)) (i64.const 0)");
    assert_eq!(failure(&ask(&host_of(silent, ""), "a", "2026-01-01T00:00:00Z")).0, "trap");
}

#[test]
fn a_module_is_started_by_what_it_exports_for_it() {
    let parts = r#"(global $started (mut i32) (i32.const 0))
                   (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
                   (func (export "_initialize") (global.set $started (i32.const 1)) (drop (call $yield)))
                   (data (i32.const 0) "{\22effect\22:\22allow\22}")"#;
    let parts = parts.replacen("(global $started (mut i32) (i32.const 0))", "", 1);
    let parts = format!("{parts} (global $started (mut i32) (i32.const 0))");
    let wasm = guest(&parts, "(if (i32.eqz (global.get $started)) (then unreachable)) (i64.const 18)");
    assert_eq!(ask(&host_of(wasm, ""), "a", "2026-01-01T00:00:00Z").effect(), weir::Effect::Allow);
}

#[test]
fn files_and_sockets_are_refused_by_name() {
    let parts = r#"(import "wasi_snapshot_preview1" "path_open" (func)) (import "wasi_snapshot_preview1" "sock_recv" (func))"#;
    let report = refused(guest(parts, "(i64.const 0)"), "");
    for told in ["wasi_snapshot_preview1.path_open", "wasi_snapshot_preview1.sock_recv", "no files and no sockets"] {
        assert!(report.contains(told), "{report}");
    }
}

#[test]
fn loops_in_the_stand_in_are_paid_for() {
    let endless = "(drop (call $random (i32.const 0) (i32.const 60000))) (i64.const 0)";
    let (kind, _) = failure(&ask(&host_of(world(endless), ""), "a", "2026-01-01T00:00:00Z"));
    assert_eq!(kind, "refused_host_call");
    let far = "(drop (call $random (i32.const -1) (i32.const 2))) (i64.const 0)";
    assert_eq!(failure(&ask(&host_of(world(far), ""), "a", "2026-01-01T00:00:00Z")).0, "trap");
}
