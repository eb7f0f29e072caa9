//! What it costs to start every evaluation from the same state, against calls that start from whatever the last one left.

use std::time::Duration;

use weir::{Source, Trial, TrialOptions};

use crate::floor::Floor;
use crate::hosts::{CALL, COMPONENT_GUEST, GUEST, REGEX_GUEST, request};
use crate::measure::{Effort, Ratio, compare, compare_process, timed};
use crate::report::Figure;

const AGAINST_WARM: &str =
    "bare wasmtime 48, same settings: one warm instance of the same module, typed alloc and evaluate, never put back";

/// A policy that does nothing, which shows what everything else costs.
const NOOP: &str = r#"(module (memory (export "memory") 1) (data (i32.const 0) "{\22effect\22:\22allow\22}")
    (func (export "weir_abi_1"))
    (func (export "weir_alloc") (param i32) (result i32) (i32.const 4096))
    (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 18)))"#;

/// A call that makes the guest read all of its table.
const TABLE: &str =
    r#"{"id":"r-82","checkpoint":"tool.call","time":"2026-11-23T09:00:00Z","resource":{"type":"tool","id":"table"}}"#;
/// Kibibytes of the table that makes the memory of the guest large: more takes more fuel than a call inline has.
const TABLE_KIB: u32 = 14 << 10;

fn noop() -> Vec<u8> {
    wat::parse_str(NOOP).expect("the bench's own text parses")
}

/// A trial of one policy, said to be isolated in some way.
pub(crate) fn trial(wasm: &[u8], isolation: &str, config: &str, options: TrialOptions) -> Trial {
    let trial = trial_of(wasm, &format!("isolation = \"{isolation}\""), config, options);
    assert_eq!(trial.plan().policies[0].isolation.as_str(), isolation, "{:?}", trial.plan().policies[0].unrestorable);
    trial
}

/// The same with other lines in the policy's table.
pub(crate) fn trial_of(wasm: &[u8], lines: &str, config: &str, options: TrialOptions) -> Trial {
    let set = format!(
        "set = \"bench\"\n[policies.guard]\nmodule = \"guest.wasm\"\ncheckpoints = [\"tool.call\"]\n\
         {lines}\nconfig = {config}\n\
         limits = {{ fuel = 15_000_000, memory = \"64 MiB\", deadline = \"60 s\" }}\n"
    );
    let trial = Trial::open(&Source::memory(set, [("guest.wasm", wasm)]), options);
    trial.unwrap_or_else(|error| panic!("{error}"))
}

/// Calls with one request, in batches.
pub(crate) fn calls<'a>(trial: &'a Trial, given: &'a [u8]) -> impl FnMut(usize) -> Duration + 'a {
    move |count| timed(vec![(); count], |()| trial.call(0, given).answer.expect("the guest answers"))
}

/// What the policy is given of a request.
fn given(trial: &Trial, text: &str) -> Vec<u8> {
    trial.given(0, &request(text))
}

/// One policy in one isolation against the warm floor, and the KiB that are put back after each of its calls.
fn over_warm(effort: Effort, wasm: &[u8], isolation: &str, (toml, json): (&str, &str)) -> (Ratio, f64) {
    let trial = trial(wasm, isolation, toml, TrialOptions::default());
    let given = given(&trial, CALL);
    let floor = Floor::new(wasm);
    let mut warm = floor.warm(json.as_bytes());
    assert_eq!(trial.call(0, &given).answer.expect("the guest answers"), warm.call(&given));
    let ratio = compare(effort, calls(&trial, &given), |count| timed(vec![(); count], |()| warm.call(&given)));
    (ratio, trial.plan().policies[0].put_back_bytes as f64 / 1024.0)
}

const PLAIN: (&str, &str) = ("{}", "{}");

/// Warm, restored and fresh calls of the 2 us guest, and the no-op.
pub(crate) fn over_warm_calls(effort: Effort) -> Vec<Figure> {
    let fine = Effort { rounds: effort.rounds, batch: effort.batch * 5 };
    let (warm, _) = over_warm(fine, GUEST, "reuse", PLAIN);
    let (restored, put_back) = over_warm(fine, GUEST, "restore", PLAIN);
    let (fresh, _) = over_warm(effort, GUEST, "fresh", PLAIN);
    let (noop, _) = over_warm(Effort { batch: effort.batch * 50, ..effort }, &noop(), "restore", PLAIN);
    let overhead = (noop.micros.0 - noop.micros.1) * 1e3;
    vec![
        Figure::ratio("warm_call", &warm, AGAINST_WARM).goal("<= 1.05"),
        Figure::new("noop_overhead_ns", overhead, "ns", AGAINST_WARM)
            .goal("<= 150")
            .beside("micros", noop.micros.0)
            .beside("micros_against", noop.micros.1),
        Figure::ratio("restore_call", &restored, AGAINST_WARM).goal("<= 1.08").beside("put_back_kib", put_back),
        Figure::ratio("fresh_call", &fresh, AGAINST_WARM).goal("<= 3.6"),
    ]
}

/// Restored calls of a guest that writes much, and of one with a large memory that is read.
pub(crate) fn restored(effort: Effort) -> Vec<Figure> {
    let (regex, regex_put_back) = over_warm(effort, REGEX_GUEST, "restore", PLAIN);
    let (toml, json) = (format!("{{ table_kib = {TABLE_KIB} }}"), format!("{{\"table_kib\":{TABLE_KIB}}}"));
    let trial = trial(GUEST, "restore", &toml, TrialOptions::default());
    let given_table = given(&trial, TABLE);
    let floor = Floor::new(GUEST);
    let mut warm = floor.warm(json.as_bytes());
    let read = trial.call(0, &given_table);
    assert!(read.memory_bytes >= 14 << 20, "the memory has {} bytes", read.memory_bytes);
    assert_eq!(read.answer.expect("the guest answers"), warm.call(&given_table));
    let given = given(&trial, CALL);
    let fine = Effort { batch: effort.batch * 5, ..effort };
    let large = compare(fine, calls(&trial, &given), |count| timed(vec![(); count], |()| warm.call(&given)));
    vec![
        Figure::ratio("restore_call_regex", &regex, AGAINST_WARM)
            .goal("<= 1.20")
            .beside("put_back_kib", regex_put_back),
        Figure::ratio("restore_call_large", &large, AGAINST_WARM)
            .goal("<= 1.10")
            .beside("memory_mib", read.memory_bytes as f64 / (1 << 20) as f64),
    ]
}

/// What fresh instances gain by a tuned pool and a snapshot, and what a snapshot saves of an expensive start.
pub(crate) fn gains(effort: Effort) -> Vec<Figure> {
    let fresh = trial(GUEST, "fresh", "{}", TrialOptions::default());
    let given = given(&fresh, CALL);
    let floor = Floor::with_default_pool(GUEST);
    let gain =
        compare(effort, |count| timed(vec![(); count], |()| floor.configured(b"{}", &given)), calls(&fresh, &given));
    let plain = trial(REGEX_GUEST, "fresh", "{}", TrialOptions { snapshots: false, ..TrialOptions::default() });
    let trained = trial(REGEX_GUEST, "fresh", "{}", TrialOptions::default());
    let few = Effort { batch: effort.batch.div_ceil(10), ..effort };
    let saved = compare(few, calls(&plain, &given), calls(&trained, &given));
    vec![
        Figure::ratio(
            "fresh_gain",
            &gain,
            "`fresh` from a snapshot; the value is the default pool without one / that",
        )
        .goal(">= 3"),
        Figure::ratio("snapshot_gain", &saved, "`fresh` from a trained snapshot; the value is without one / that")
            .goal(">= 40"),
    ]
}

/// CPU time of a call where two threads call, against one.
pub(crate) fn two_threads(effort: Effort) -> Vec<Figure> {
    let trial = trial(GUEST, "restore", "{}", TrialOptions::default());
    let given = given(&trial, CALL);
    let count = Effort { batch: effort.batch * 5, ..effort };
    let both = compare_process(count, 2, |count| {
        timed(vec![(); count], |()| trial.call(0, &given).answer.expect("the guest answers"));
    });
    vec![Figure::ratio("two_thread_cpu", &both, "the same calls by one thread").goal("<= 1.10")]
}

/// The 2 us guest as a component, warm and fresh, against itself as a core module in the same isolation.
pub(crate) fn components(effort: Effort) -> Vec<Figure> {
    let over_core = |isolation: &str, effort: Effort| {
        let trial_of = |wasm| trial(wasm, isolation, "{}", TrialOptions::default());
        let (component, core) = (trial_of(COMPONENT_GUEST), trial_of(GUEST));
        let (typed, json) = (given(&component, CALL), given(&core, CALL));
        let said = |trial: &Trial, given| trial.call(0, given).answer.expect("the guest answers");
        assert_eq!(said(&component, &typed), said(&core, &json));
        compare(effort, calls(&component, &typed), calls(&core, &json))
    };
    let warm = over_core("reuse", Effort { batch: effort.batch * 5, ..effort });
    let fresh = over_core("fresh", effort);
    let against = "the same policy as a core module, in the same isolation";
    vec![
        Figure::ratio("component_over_core", &warm, against).goal("<= 1.20"),
        Figure::ratio("component_over_core_fresh", &fresh, against),
    ]
}
