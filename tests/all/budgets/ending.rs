//! What was taken is given back unless the decision allows and is recorded.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use weir::{Effect, FailureKind};

use super::{GRANTED, allowed, ask, taker, taker_of};
use crate::harness::{asked, constant, failure, host, host_of};

/// How many of ten requests a host allows that another policy at `tight` denies.
fn grants_beside(other: &str, wasm: Vec<u8>) -> usize {
    let set = format!(
        "set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\n{GRANTED}\n\
         [policies.q]\nmodule = \"q.wasm\"\ncheckpoints = [\"tight\"]\n{other}\n"
    );
    let host = host(&set, &[("p.wasm", taker(1, 3, 60_000)), ("q.wasm", wasm)]).unwrap();
    for _ in 0..10 {
        let request = asked(r#"{"checkpoint":"tight","tenant":"a","time":"2026-01-01T00:00:00Z"}"#);
        let decision = host.evaluate_blocking(request);
        assert_ne!(decision.effect(), Effect::Allow);
        assert_eq!(decision.policies()[0].counted_as, Effect::Allow, "p itself had nothing against it");
    }
    (0..10).filter(|_| allowed(&ask(&host, "a", 0))).count()
}

#[test]
fn a_ruling_that_does_not_allow_gives_back() {
    assert_eq!(grants_beside("", constant(r#"{"effect":"deny"}"#)), 3);
    assert_eq!(grants_beside("", constant(r#"{"effect":"review"}"#)), 3);
    assert_eq!(grants_beside("", constant("no verdict at all")), 3);
}

#[test]
fn a_policy_that_fails_gives_back() {
    for (after, kind) in [
        ("(unreachable)", FailureKind::Trap),
        ("(loop $again (br $again))", FailureKind::Fuel),
        ("(return (i64.const 4294967296000))", FailureKind::BadOutput),
    ] {
        let wasm = taker_of("key", 1, 1, 60_000, after);
        let host = host_of(wasm, GRANTED);
        for _ in 0..3 {
            assert_eq!(failure(&ask(&host, "a", 0)).0, kind.to_string(), "each of them finds the budget untouched");
        }
        assert_eq!(host.metrics().state.granted, 3);
    }
}

#[test]
fn an_evaluation_that_is_repeated_takes_once() {
    // It stores where no sample did, so that the first evaluations are judged again in fresh instances.
    let wasm = taker_of("key", 1, 40, 60_000, "(i32.store (i32.const 61440) (i32.const 1))");
    let host = host_of(wasm, GRANTED);
    assert_eq!((0..60).filter(|_| allowed(&ask(&host, "a", 0))).count(), 40);
    assert_eq!(host.metrics().state.granted - host.metrics().instances.repeated, 40);
}

#[test]
fn a_caller_that_goes_away_gives_back() {
    let endless = taker_of("key", 1, 1, 60_000, "(loop $again (br $again))");
    let host = host_of(endless, &format!("{GRANTED}\nlimits = {{ fuel = 10_000_000_000, deadline = \"60 s\" }}"));
    for _ in 0..3 {
        let request = asked(r#"{"checkpoint":"test","tenant":"a","time":"2026-01-01T00:00:00Z"}"#);
        let mut evaluation = Box::pin(host.evaluate(request));
        let before = host.metrics().state.granted;
        // It yields now and then, and is left when it has taken.
        while host.metrics().state.granted == before {
            let polled = pin!(&mut evaluation).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending));
        }
        drop(evaluation);
    }
    let metrics = host.metrics();
    assert_eq!(metrics.failures[&FailureKind::Cancelled], 3);
    assert_eq!((metrics.state.granted, metrics.state.refused), (3, 0), "each of them was granted all there is");
}
