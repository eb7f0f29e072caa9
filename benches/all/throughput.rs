//! How many requests a host judges in a second, on one core and on two.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use weir::{Decision, Recorder, Request, Runtime};

use crate::evaluation::folder;
use crate::hosts::{open, request};
use crate::measure::{Effort, median, process_time};
use crate::report::Figure;

/// The traffic of `weir demo` and the set that ships.
#[path = "../../host/cli/src/demo"]
#[expect(dead_code, unused_imports, reason = "its tests are compiled here and run there")]
mod demo {
    mod templates;
    pub(crate) mod traffic;
}

/// Requests of one round.
const REQUESTS: usize = 4_000;

/// One round of one pool of threads.
struct Round {
    per_second: f64,
    cpu_micros: f64,
}

/// Requests per second of `evaluate_all` by the clock on the wall, recorded in a file: one worker thread, two worker
/// threads, and how much the second adds. Where the machine has other work, the last one says the least.
pub(crate) fn requests_per_second(effort: Effort) -> Vec<Figure> {
    let folder = folder();
    let runtime = shipped(Recorder::jsonl_as("bench", folder.path()).expect("a new folder takes records"));
    let texts: Vec<String> = demo::traffic::Traffic::new(7).take(REQUESTS).collect();
    let requests: Vec<Request> = texts.iter().map(|text| request(text)).collect();
    check(&runtime, &requests);
    let (one, two) = (workers(1), workers(2));
    let rounds = effort.rounds.div_ceil(10);
    let rounds: Vec<(Round, Round)> =
        (0..rounds).map(|_| (round(&one, &runtime, &requests), round(&two, &runtime, &requests))).collect();
    let per_second = |name, which: fn(&(Round, Round)) -> &Round, against| {
        Figure::new(name, median(rounds.iter().map(|r| which(r).per_second)), "requests/s", against)
            .beside("max", rounds.iter().map(|r| which(r).per_second).fold(0.0, f64::max))
            .beside("cpu_micros_per_request", median(rounds.iter().map(|r| which(r).cpu_micros)))
    };
    let gain = median(rounds.iter().map(|(one, two)| two.per_second / one.per_second));
    vec![
        per_second("eval_requests_per_second_1", |r| &r.0, "nothing: the shipped set, demo traffic, one core"),
        per_second("eval_requests_per_second_2", |r| &r.1, "nothing: the shipped set, demo traffic, two cores"),
        Figure::new("eval_two_cores_over_one", gain, "ratio", "one worker thread, same traffic"),
    ]
}

fn shipped(recorder: Recorder) -> Runtime {
    let modules: Vec<(&str, &[u8])> = weir_plugins::modules().iter().map(|m| (m.name, m.wasm)).collect();
    open(weir_plugins::SET, &modules, recorder)
}

/// What goes out does not depend on the path or the number of threads, and no policy fails. Only the clock may come
/// between: on a busy machine some evaluation stands still until its deadline.
fn check(runtime: &Runtime, requests: &[Request]) {
    let told = |decision: &Decision| (decision.request().id().to_owned(), decision.effect(), decision.edits().len());
    let bulk = judge(&workers(2), runtime, requests);
    assert_eq!(bulk.len(), requests.len());
    let pairs = requests.iter().zip(&bulk).map(|(request, bulk)| (runtime.evaluate_blocking(request.clone()), bulk));
    let whole: Vec<_> = pairs.filter(|(alone, bulk)| in_time(alone) && in_time(bulk)).collect();
    assert!(whole.len() * 100 >= requests.len() * 95, "only {} of {} in time", whole.len(), requests.len());
    for (alone, bulk) in &whole {
        assert_eq!(told(bulk), told(alone));
    }
    for effect in [weir::Effect::Allow, weir::Effect::Deny] {
        assert!(whole.iter().any(|(alone, _)| alone.effect() == effect), "the traffic has no {effect:?}");
    }
}

/// Whether every policy answered, or else missed its deadline.
fn in_time(decision: &Decision) -> bool {
    let reports = decision.policies().iter().chain(decision.shadow());
    let failures: Vec<_> = reports.filter_map(|report| report.outcome.as_ref().err()).collect();
    assert!(failures.iter().all(|failure| failure.kind.is_host_condition()), "{failures:?}");
    failures.is_empty()
}

fn workers(count: usize) -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(count).build();
    built.expect("threads can be started")
}

fn round(workers: &tokio::runtime::Runtime, runtime: &Runtime, requests: &[Request]) -> Round {
    let requests = requests.to_vec();
    let (started, cpu) = (Instant::now(), process_time());
    let decisions = judge(workers, runtime, &requests);
    let (wall, cpu) = (started.elapsed(), process_time() - cpu);
    let count = decisions.len() as f64;
    Round { per_second: count / wall.as_secs_f64(), cpu_micros: cpu.as_secs_f64() * 1e6 / count }
}

/// All of it on the worker threads: the thread that waits does none of the work.
fn judge(workers: &tokio::runtime::Runtime, runtime: &Runtime, requests: &[Request]) -> Vec<Decision> {
    let decisions = runtime.evaluate_all(stream::iter(requests.to_vec()));
    workers.block_on(async { tokio::spawn(decisions.collect()).await }).expect("nothing panics")
}
