//! The measuring: all ways of all policies take turns.

use std::time::Instant;

use hdrhistogram::Histogram;
use weir::{Called, PlannedPolicy, Request, Trial};

use super::Subject;
use crate::exit::Failed;

/// Calls of one way before it is the next one's turn.
const BATCH: usize = 50;
/// Calls without a snapshot, for each hundred of the others: they are the slow ones.
const PLAIN_PERCENT: usize = 10;
/// Instances that are made to see what one takes.
const INSTANCES: usize = 200;

/// What was found out about one policy.
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) plan: PlannedPolicy,
    pub(super) load_ms: f64,
    pub(super) isolated: Way,
    pub(super) fresh: Way,
    pub(super) warm: Way,
    pub(super) plain: Way,
    pub(super) fuel: Histogram<u64>,
    pub(super) memory_bytes: u64,
    pub(super) answer_bytes: usize,
    /// Private memory of a ready instance; none where the system does not tell.
    pub(super) ready_kib: Option<f64>,
}

/// Nanoseconds on the clock of each call made one way.
pub(super) struct Way(Histogram<u64>);

impl Way {
    fn new() -> Way {
        Way(histogram())
    }

    /// Microseconds below which a share of the calls lies.
    pub(super) fn micros(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    fn call(&mut self, trial: &Trial, policy: usize, given: &[u8]) {
        let before = Instant::now();
        let called = trial.call(policy, given);
        let nanos = before.elapsed().as_nanos() as u64;
        drop(called);
        // A call of more than an hour counts as one of an hour.
        self.0.saturating_record(nanos);
    }
}

fn histogram() -> Histogram<u64> {
    const HOUR: u64 = 3_600_000_000_000;
    Histogram::new_with_bounds(1, HOUR, 3).expect("these bounds are valid")
}

impl Measured {
    /// Asks each request once: what fails is not measured.
    pub(super) fn first(subject: &Subject, requests: &[Request]) -> Result<Measured, Failed> {
        let Subject { name, trial, load_ms, given, .. } = subject;
        let mut measured = Measured {
            name: name.clone(),
            plan: trial.plan().policies[0].clone(),
            load_ms: *load_ms,
            isolated: Way::new(),
            fresh: Way::new(),
            warm: Way::new(),
            plain: Way::new(),
            fuel: histogram(),
            memory_bytes: 0,
            answer_bytes: 0,
            ready_kib: ready_kib(trial),
        };
        for (index, (request, given)) in requests.iter().zip(given).enumerate() {
            let Called { answer, fuel, memory_bytes } = trial.call(0, given);
            let answer = answer.map_err(|failure| {
                let which = format!("request {} (id `{}`)", index + 1, request.id());
                Failed::refused(format!("`{name}` does not answer {which}: {failure}"))
            })?;
            measured.fuel.saturating_record(fuel);
            measured.memory_bytes = measured.memory_bytes.max(memory_bytes);
            measured.answer_bytes = measured.answer_bytes.max(answer.len());
        }
        Ok(measured)
    }
}

/// Calls all policies in all ways, in turns.
pub(super) fn measure(subjects: &[Subject], mut measured: Vec<Measured>, calls: usize) -> Vec<Measured> {
    for start in (0..calls).step_by(BATCH) {
        let batch = start..calls.min(start + BATCH);
        for (Subject { trial, plain, given, .. }, measured) in subjects.iter().zip(&mut measured) {
            let Measured { isolated, fresh, warm, plain: unprepared, .. } = measured;
            for (policy, way) in [isolated, fresh, warm].into_iter().enumerate() {
                batch.clone().for_each(|call| way.call(trial, policy, &given[call % given.len()]));
            }
            let few = (batch.len() * PLAIN_PERCENT).div_ceil(100);
            batch.clone().take(few).for_each(|call| unprepared.call(plain, 0, &given[call % given.len()]));
        }
    }
    measured
}

/// Private memory that an instance takes when it is made ready, and the pages that its first call makes its own.
fn ready_kib(trial: &Trial) -> Option<f64> {
    let (before, ready) = (private_kib()?, trial.instances().ready as usize);
    let made = trial.make_ready(0, INSTANCES) - ready;
    let put_back = trial.plan().policies[0].put_back_bytes as f64 / 1024.0;
    (made > 0).then_some((private_kib()? - before) / made as f64 + put_back)
}

fn private_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
