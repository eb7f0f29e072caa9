//! How many instances are kept, for whom, and what is told of it.

use std::time::{Duration, Instant};

use weir::{Effect, Isolation, Recorder, Runtime, Source};

use super::{input, thief, trial};
use crate::harness::{ALLOW, allows_after, asked, guest, guest_in, host_of, one_policy, records, request};

/// Counts its calls in a global and in its memory; denies from the second one on.
fn counter() -> Vec<u8> {
    let parts = r#"(data (i32.const 0) "{\22effect\22:\22allow\22}{\22effect\22:\22deny\22}") (global $calls (mut i32) (i32.const 0))"#;
    let body = r#"
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store (i32.const 60000) (i32.add (i32.load (i32.const 60000)) (i32.const 1)))
        (select (i64.const 18) (i64.const 0x12_0000_0011)
          (i32.and (i32.eq (global.get $calls) (i32.const 1)) (i32.eq (i32.load (i32.const 60000)) (i32.const 1))))"#;
    guest(parts, body)
}

#[test]
fn reuse_keeps_what_it_finds_and_says_so() {
    let host = host_of(counter(), "isolation = \"reuse\"");
    let effects: Vec<Effect> = (0..3).map(|_| host.evaluate_blocking(request()).effect()).collect();
    assert_eq!(effects, [Effect::Allow, Effect::Deny, Effect::Deny]);
    assert_eq!(host.generation().plan().policies[0].isolation, Isolation::Reuse);
    assert!(host.generation().plan().warnings.iter().any(|warning| warning.contains("`reuse`")));
    for record in records(&host) {
        assert_eq!(record["policies"][0]["isolation"], "reuse", "{record}");
    }
    for isolation in ["", "isolation = \"fresh\""] {
        let host = host_of(counter(), isolation);
        assert!((0..3).all(|_| host.evaluate_blocking(request()).effect() == Effect::Allow), "{isolation}");
        assert!(records(&host).iter().all(|record| record["policies"][0].get("isolation").is_none()), "{isolation}");
    }
}

#[test]
fn the_budget_bounds_what_is_ready_and_nobody_waits_for_it() {
    let builder = Runtime::builder().recorder(Recorder::memory(100)).ready_instances(1);
    let set = one_policy("") + "[policies.q]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\nconfig = { a = 1 }\n";
    let source = Source::memory(set, [("p.wasm", counter())]);
    let host = pollster::block_on(builder.open(source)).unwrap_or_else(|error| panic!("{error}"));
    for _ in 0..20 {
        assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow);
        assert!(host.metrics().instances.ready <= 1);
    }
    let without = Runtime::builder().recorder(Recorder::memory(100)).ready_instances(0);
    let host = pollster::block_on(without.open(Source::memory(one_policy(""), [("p.wasm", counter())])));
    let host = host.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow);
    assert_eq!(host.metrics().instances.ready, 0);
}

#[test]
fn a_former_generation_keeps_no_instances() {
    let source = |number: u32| {
        Source::memory(one_policy(&format!("config = {{ n = {number} }}")), [("p.wasm", allows_after("", ""))])
    };
    let builder = Runtime::builder().recorder(Recorder::memory(100));
    let host = pollster::block_on(builder.open(source(1))).unwrap_or_else(|error| panic!("{error}"));
    let ready = |host: &Runtime| host.metrics().instances.ready;
    let first = ready(&host);
    assert!(first >= 1, "instances are ready before the first request");
    let rested = |instances: u64| {
        let until = Instant::now() + Duration::from_secs(60);
        while ready(&host) != instances {
            assert!(Instant::now() < until, "{} instances are still there", ready(&host));
            std::thread::yield_now();
        }
    };
    for number in 2..6 {
        pollster::block_on(host.publish(source(number))).unwrap_or_else(|report| panic!("{report}"));
    }
    let cold = || host.metrics().instances.cold;
    let former = host.generations()[1].id().number;
    pollster::block_on(host.rollback(former)).unwrap();
    assert_eq!(
        (host.evaluate_blocking(request()).effect(), cold()),
        (Effect::Allow, 0),
        "they outlive it for a while"
    );
    rested(first);
    let rested_by_now = host.generations()[1].id().number;
    pollster::block_on(host.rollback(rested_by_now)).unwrap();
    assert_eq!((host.evaluate_blocking(request()).effect(), cold()), (Effect::Allow, 1));
    rested(1);
}

#[test]
fn pages_are_learned_from_those_who_write_them() {
    let trial = trial(&thief(), "");
    let repeated = || trial.instances().repeated;
    for page in [20, 21, 22, 40] {
        let (before, deed) = (repeated(), input('a', page * 4096 + 5));
        let first = trial.call(0, &deed);
        assert_eq!(repeated(), before + 1, "page {page} was not known");
        for _ in 0..5 {
            assert_eq!(trial.call(0, &deed), first);
        }
        assert_eq!(repeated(), before + 1, "page {page} is known now");
    }
}

#[test]
fn a_policy_that_never_fits_is_served_all_the_same() {
    let kept = trial(&thief(), "");
    let fresh = trial(&thief(), "isolation = \"fresh\"");
    for deed in ['l', 'n', 'o'] {
        let deed = input(deed, 9000);
        let expected = fresh.call(0, &deed);
        (0..40).for_each(|_| assert_eq!(kept.call(0, &deed), expected));
    }
    // After so many losses fresh instances are used for a while: nothing is begun twice any more.
    let before = kept.instances();
    (0..100).for_each(|_| drop(kept.call(0, &input('l', 0))));
    assert_eq!(kept.instances(), before);
}

#[test]
fn long_requests_go_to_fresh_instances() {
    let host = host_of(allows_after("", ""), "");
    let text = "x".repeat(40_000);
    let long = asked(&format!(r#"{{"checkpoint":"test","content":[{{"text":"{text}"}}]}}"#));
    let short = host.evaluate_blocking(request());
    assert_eq!(host.evaluate_blocking(long).effect(), Effect::Allow);
    assert_eq!(host.evaluate_blocking(request()).policies()[0].fuel, short.policies()[0].fuel);
    assert_eq!((host.metrics().instances.repeated, host.metrics().instances.dropped), (0, 0));
}

#[test]
fn pages_that_are_written_what_they_hold_are_learned_too() {
    let body = r#"(local $at i32)
        (local.set $at (i32.const 8192))
        (loop $next
          (i32.store (local.get $at) (i32.const 0))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 98304))))
        (i64.const 18)"#;
    let trial = trial(&guest_in("2", ALLOW, body), "");
    assert_eq!(trial.plan().policies[0].put_back_bytes, 23 * 4096);
    for _ in 0..100 {
        assert!(trial.call(0, &input(' ', 0)).answer.is_ok());
    }
    let instances = trial.instances();
    assert_eq!((instances.repeated, instances.dropped, instances.cold), (0, 0, 0), "{instances:?}");
}

#[test]
fn pages_that_no_sample_writes_are_learned_at_once_from_the_first_evaluation_that_does() {
    // Its input says whether it goes on.
    let body = r#"(local $at i32)
        (local.set $at (i32.const 8192))
        (if (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 119)) (then
          (loop $next
            (i32.store (local.get $at) (i32.const 0))
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 57344))))))
        (i64.const 18)"#;
    let trial = trial(&guest_in("1", ALLOW, body), "");
    let learned = |calls: usize| {
        for _ in 0..calls {
            assert!(trial.call(0, &input('w', 0)).answer.is_ok());
        }
        trial.instances().repeated
    };
    // One page is learned from each: only where it stopped is known of what does not differ.
    assert_eq!(learned(100), 12);
    assert_eq!(learned(100), 12);
}
