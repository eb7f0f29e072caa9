//! What one evaluation costs beyond the guest, and what its record costs.

use std::task::Poll;
use std::time::Duration;

use weir::{Recorder, Runtime};

use crate::floor::Floor;
use crate::hosts::{CALL, GUEST, evaluate, one_policy, request};
use crate::measure::{Effort, compare, timed};
use crate::report::Figure;

const AGAINST_FRESH: &str =
    "bare wasmtime 48: same settings and pool, fresh store and instance, typed alloc and evaluate of the same guest";

/// A whole evaluation, recorded in a file, against a bare fresh instance and call.
///
/// The request is parsed beforehand for `evaluate_over_fresh`, since a server parses a body once for whatever follows;
/// `parse_and_evaluate_over_fresh` starts from the bytes of the request.
///
/// In batches the floor runs alone, with every cache to itself, which no host ever has: recording a decision alone
/// pushes parts of wasmtime and of the guest out of the first level. `evaluate_over_fresh_by_turns` lets the sides
/// follow each other call by call, so that both find the caches as a host's work leaves them.
pub(crate) fn over_fresh(effort: Effort) -> Vec<Figure> {
    let folder = folder();
    let runtime = one_policy(recorder(&folder));
    let floor = Floor::new(GUEST);
    let bare = |count| timed(vec![(); count], |()| floor.evaluate(CALL.as_bytes()));
    assert_eq!(floor.evaluate(CALL.as_bytes()), br#"{"effect":"allow"}"#);
    let parsed = compare(effort, |count| whole(&runtime, count), bare);
    let parse = |()| evaluate(&runtime, request(CALL));
    let unparsed = compare(effort, |count| timed(vec![(); count], parse), bare);
    let turns = Effort { rounds: effort.rounds * effort.batch / 4, batch: 1 };
    let turns = compare(turns, |count| whole(&runtime, count), bare);
    let fuel = runtime.evaluate_blocking(request(CALL)).policies()[0].fuel as f64;
    vec![
        Figure::ratio("evaluate_over_fresh", &parsed, AGAINST_FRESH).goal("<= 1.3").beside("guest_fuel", fuel),
        Figure::ratio("evaluate_over_fresh_by_turns", &turns, AGAINST_FRESH).beside("guest_fuel", fuel),
        Figure::ratio("parse_and_evaluate_over_fresh", &unparsed, AGAINST_FRESH).beside("guest_fuel", fuel),
    ]
}

/// A whole evaluation from the text of a request, its record numbered and forgotten, against the same work in plain Rust:
/// the policy's own source, compiled for this machine, from the text of the request to that of the verdict.
pub(crate) fn over_native(effort: Effort) -> Vec<Figure> {
    let runtime = one_policy(Recorder::discard());
    let config = weir_bench_guest::Config::default();
    let native = |()| {
        let request = weir_sdk::Request::from_json(CALL).expect("the bench's own request");
        let verdict = weir_bench_guest::evaluate(&config, &request).expect("the policy never fails");
        serde_json::to_vec(&verdict).expect("verdicts are JSON")
    };
    assert_eq!(native(()), br#"{"effect":"allow"}"#);
    let whole = |()| evaluate(&runtime, request(CALL));
    let ratio = compare(effort, |count| timed(vec![(); count], whole), |count| timed(vec![(); count], native));
    vec![Figure::ratio("evaluate_call", &ratio, "the policy's own source in plain Rust, from text to text")]
}

/// What waiting for a turn costs where nobody waits, polled as an evaluation is.
pub(crate) fn idle_scheduler(effort: Effort) -> Vec<Figure> {
    let runtime = one_policy(Recorder::discard());
    let turn = |()| pollster::block_on(runtime.turn());
    // A future that is as often polled, and waits for nothing.
    let yields = |()| {
        pollster::block_on(async {
            let mut polled = false;
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
    };
    let ratio = compare(
        Effort { batch: effort.batch * 50, ..effort },
        |count| timed(vec![(); count], turn),
        |count| timed(vec![(); count], yields),
    );
    let (ours, other) = ratio.micros;
    let against = "a future that is polled as often: nanoseconds beyond it, and those of its yield";
    vec![Figure::new("scheduler_idle_ns", (ours - other) * 1e3, "ns", against).beside("yield_ns", other * 1e3)]
}

/// An evaluation recorded in a file against one whose record is numbered and forgotten.
pub(crate) fn record_cost(effort: Effort) -> Vec<Figure> {
    let folder = folder();
    let (recorded, forgotten) = (one_policy(recorder(&folder)), one_policy(Recorder::discard()));
    let ratio = compare(effort, |count| whole(&recorded, count), |count| whole(&forgotten, count));
    vec![Figure::ratio("record_cost", &ratio, "the same with Recorder::discard").goal("<= 1.25")]
}

fn whole(runtime: &Runtime, count: usize) -> Duration {
    timed(vec![request(CALL); count], |request| evaluate(runtime, request))
}

fn recorder(folder: &tempfile::TempDir) -> Recorder {
    Recorder::jsonl_as("bench", folder.path()).expect("a new folder takes records")
}

/// Beside the build, which is on a disk; the system's folder for temporary files may be in memory.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written to")
}
