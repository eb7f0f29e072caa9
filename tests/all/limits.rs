//! The four bounds of an evaluation, each with its own failure, on both ways a guest can run, and what becomes of a
//! guest whose caller goes away.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use weir::{Effect, FailureKind, Runtime, Source};

use crate::harness::{
    ALLOW, FOREVER, allows_after, burn, failure, guest, host, host_of, one_policy, records, request, slow_loop,
};

/// More than a host has slots for instances that are kept and for those that are not.
const MORE_THAN_SLOTS: usize = 1_100;
/// A limit that is too large for the calling task: the guest runs on a stack of its own.
const FIBER: &str = "fuel = 10_000_000_000";

#[test]
fn each_bound_has_its_own_failure() {
    let grows =
        guest("", "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) (i64.const 0)");
    let logs = guest(
        r#"(import "weir" "log" (func $log (param i32 i32 i32)))"#,
        "(loop $again (call $log (i32.const 0) (i32.const 0) (i32.const 0)) (br $again)) (i64.const 0)",
    );
    let cases = [
        (guest("", FOREVER), "fuel = 1_000_000", "fuel", "limit 1000000"),
        (guest("", FOREVER), "fuel = 16_000_000", "fuel", "limit 16000000"),
        (guest("", &slow_loop()), "fuel = 15_000_000, deadline = \"2 ms\"", "deadline", "limit 2 ms"),
        (guest("", FOREVER), "fuel = 10_000_000_000, deadline = \"30 ms\"", "deadline", "limit 30 ms"),
        (grows.clone(), "memory = \"1 MiB\"", "memory", "limit 1048576 bytes"),
        (grows, "fuel = 16_000_000, memory = \"1 MiB\"", "memory", "limit 1048576 bytes"),
        (guest("", "(i64.const 2000)"), "output = \"1 KiB\"", "bad_output", "the limit is 1024 (limit `output`)"),
        (guest("", "(i64.const 2000)"), "fuel = 16_000_000, output = \"1 KiB\"", "bad_output", "the limit is 1024"),
        (logs.clone(), "host_calls = 5", "refused_host_call", "more than 5 host calls (limit `host_calls`)"),
        (logs, "fuel = 16_000_000, host_calls = 5", "refused_host_call", "more than 5 host calls"),
    ];
    for (wasm, limits, kind, says) in cases {
        let host = host_of(wasm, &format!("limits = {{ {limits} }}\ngrants = [\"log\"]"));
        let decision = host.evaluate_blocking(request());
        let (found, detail) = failure(&decision);
        assert!(found == kind && detail.contains(says), "{limits}: {found}: {detail}");
        assert_eq!((decision.effect(), host.metrics().denied), (Effect::Deny, 1), "{limits}");
        assert!(
            !FailureKind::is_host_condition(host.metrics().failures.into_keys().next().unwrap())
                || kind == "deadline"
        );
    }
}

#[test]
fn limits_are_each_policys_own() {
    let policy = |name: &str, limits: &str| {
        format!("[policies.{name}]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\nlimits = {{ {limits} }}\n")
    };
    let policies = [
        policy("little-fuel", "fuel = 100_000"),
        policy("enough", "fuel = 1_000_000"),
        policy("fiber", FIBER),
        policy("little-memory", "memory = \"128 KiB\""),
    ];
    let grows = "(if (i32.eq (memory.grow (i32.const 2)) (i32.const -1)) (then unreachable))";
    let wasm = guest(ALLOW, &format!("{} {grows} (i64.const 18)", burn(500_000)));
    let host = host(&format!("set = \"s\"\n{}", policies.concat()), &[("p.wasm", wasm)]).unwrap();
    let decision = host.evaluate_blocking(request());
    let kinds = decision.policies().iter().map(|report| report.outcome.as_ref().err().map(|failure| failure.kind));
    let expected = [Some(FailureKind::Fuel), None, None, Some(FailureKind::Memory)];
    assert_eq!(kinds.collect::<Vec<_>>(), expected, "{decision:?}");
    assert_eq!(decision.decided_by(), ["little-fuel", "little-memory"]);
}

#[test]
fn fuel_and_memory_are_the_same_on_every_run() {
    let wasm = allows_after("", &format!("{} (drop (memory.grow (i32.const 3)))", burn(2_500_000)));
    let inline = host_of(wasm.clone(), "");
    let fiber = host_of(wasm, &format!("limits = {{ {FIBER} }}"));
    let used = |host: &Runtime| {
        let decision = host.evaluate_blocking(request());
        assert_eq!(decision.effect(), Effect::Allow, "{decision:?}");
        (decision.policies()[0].fuel, decision.policies()[0].memory_bytes)
    };
    let first = used(&inline);
    assert!(first.0 > 2_000_000 && first.1 == 4 * 65_536, "{first:?}");
    for _ in 0..50 {
        assert_eq!((used(&inline), used(&fiber)), (first, first));
    }
}

/// A host with an endless fiber at checkpoint `test` and one that ends at `good`.
fn endless() -> Runtime {
    let policy = |name: &str, at: &str| {
        format!("[policies.{name}]\nmodule = \"{name}.wasm\"\ncheckpoints = [\"{at}\"]\nlimits = {{ {FIBER} }}\n")
    };
    let set = format!("set = \"s\"\n{}{}", policy("endless", "test"), policy("good", "good"));
    let good = allows_after("", &burn(3_000_000));
    host(&set, &[("endless.wasm", guest("", FOREVER)), ("good.wasm", good)]).unwrap()
}

fn good() -> weir::Request {
    crate::harness::asked(r#"{"checkpoint":"good"}"#)
}

/// Polls once; the guest goes on until it has to let others run.
fn begin(future: std::pin::Pin<&mut impl Future>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the guest ended");
}

#[test]
fn dropping_an_evaluation_ends_its_guest_and_is_recorded() {
    let host = endless();
    for _ in 0..MORE_THAN_SLOTS {
        begin(pin!(host.evaluate(request())));
    }
    // All slots came home, or this would wait for one for ever.
    assert_eq!(host.evaluate_blocking(good()).effect(), Effect::Allow);
    let records = records(&host);
    assert_eq!(records.len(), MORE_THAN_SLOTS + 1);
    for record in &records[..MORE_THAN_SLOTS] {
        let decision = &record["decision"];
        assert_eq!(
            (&decision["effect"], &decision["policies"][0]["failure"]["kind"]),
            (&"deny".into(), &"cancelled".into())
        );
    }
    assert_eq!(host.metrics().failures[&FailureKind::Cancelled], MORE_THAN_SLOTS as u64);
}

#[test]
fn an_evaluation_dropped_between_two_policies_keeps_what_the_first_said() {
    let policy = |name: &str| {
        format!("[policies.{name}]\nmodule = \"{name}.wasm\"\ncheckpoints = [\"*\"]\nlimits = {{ {FIBER} }}\n")
    };
    let set = format!("set = \"s\"\n{}{}", policy("first"), policy("second"));
    let first = allows_after("", &burn(1_500_000));
    let host = host(&set, &[("first.wasm", first), ("second.wasm", guest("", FOREVER))]).unwrap();
    {
        let mut evaluation = pin!(host.evaluate(request()));
        // The first yields once; the second time it ends, and the second policy begins.
        begin(evaluation.as_mut());
        begin(evaluation.as_mut());
    }
    let records = records(&host);
    let policies = &records[0]["decision"]["policies"];
    assert_eq!(policies[0]["effect"], "allow", "{policies}");
    assert_eq!(policies[1]["failure"]["kind"], "cancelled", "{policies}");
    assert_eq!(records[0]["decision"]["effect"], "deny");
}

#[test]
fn an_evaluation_that_was_never_polled_leaves_no_record() {
    let host = endless();
    drop(host.evaluate(request()));
    assert_eq!(records(&host).len(), 0, "nothing was asked: nothing is recorded");
}

#[test]
fn more_evaluations_than_slots_all_answer() {
    let host = endless();
    let decisions = pollster::block_on(join_all((0..MORE_THAN_SLOTS).map(|_| host.evaluate(good()))));
    let wrong = decisions.iter().find(|decision| decision.effect() != Effect::Allow);
    assert!(wrong.is_none(), "{wrong:?}");
    assert_eq!(host.metrics().allowed, MORE_THAN_SLOTS as u64);
}

#[test]
fn a_full_pool_is_no_reason_to_refuse_a_set() {
    let host = endless();
    let mut running: Vec<_> = (0..MORE_THAN_SLOTS).map(|_| Box::pin(host.evaluate(request()))).collect();
    running.iter_mut().for_each(|evaluation| begin(evaluation.as_mut()));
    std::thread::scope(|scope| {
        let (checking, begins) = std::sync::mpsc::channel();
        let source = Source::memory(one_policy(""), [("p.wasm", allows_after("", ""))]);
        let host = &host;
        let check = scope.spawn(move || {
            checking.send(()).unwrap();
            host.check(source)
        });
        begins.recv().unwrap();
        // Whether the check looks before or after this: it waits for a slot.
        drop(running);
        check.join().unwrap().unwrap_or_else(|report| panic!("{report}"));
    });
}

#[test]
fn time_in_the_queue_counts() {
    let policy = "limits = { fuel = 10_000_000_000, deadline = \"1 ms\" }";
    let host = host_of(guest("", FOREVER), policy);
    let mut running: Vec<_> = (0..MORE_THAN_SLOTS).map(|_| Box::pin(host.evaluate(request()))).collect();
    let mut decisions = Vec::new();
    while !running.is_empty() {
        running.retain_mut(|evaluation| match evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(decision) => {
                decisions.push(decision);
                false
            }
            Poll::Pending => true,
        });
    }
    for decision in decisions {
        assert_eq!(failure(&decision), ("deadline".to_owned(), "limit 1 ms".to_owned()));
    }
}
