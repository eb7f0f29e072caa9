//! Counts of what a host has done, for whoever watches it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::decision::{Decision, PolicyReport};
use crate::pool::InstanceMetrics;
use crate::schedule::ScheduleMetrics;
use crate::state::StateMetrics;
use crate::verdict::{Effect, FailureKind};

/// A reading of the counters since the host was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// Decisions that allow.
    pub allowed: u64,
    /// Decisions that wait for people.
    pub reviews: u64,
    /// Decisions that deny.
    pub denied: u64,
    /// Policies that gave no verdict, by kind; shadowed ones included.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Failures that counted as less than deny because the set says so.
    pub loosened_failures: u64,
    /// Decisions that could not be recorded.
    pub record_failures: u64,
    /// Decisions that went out without a record because the set says so.
    pub unrecorded: u64,
    /// Log lines of guests that were dropped.
    pub log_lines_dropped: u64,
    /// What the recorder has done.
    pub records: RecordMetrics,
    /// What has become of sets.
    pub sets: SetMetrics,
    /// What has become of the instances that are kept for the next evaluation.
    pub instances: InstanceMetrics,
    /// Who had to wait for a core.
    pub schedule: ScheduleMetrics,
    /// What policies have taken of their counters.
    pub state: StateMetrics,
}

/// What has become of the sets a host was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SetMetrics {
    /// Number of the generation in force.
    pub generation: u64,
    /// Sets that came into force, the first one included.
    pub published: u64,
    /// Generations that were brought back.
    pub rolled_back: u64,
    /// Sets that were refused.
    pub refused: u64,
    /// Looks at a followed folder, most of which find nothing new.
    pub looks: u64,
    /// Modules that were given to the compiler.
    pub compilations: u64,
    /// Modules that it could not compile within its limits.
    pub compile_failures: u64,
    /// Processor time of compiling, in microseconds.
    pub compile_cpu_micros: u64,
    /// Most memory that compiling one module took in a child, in bytes.
    pub compile_peak_bytes: u64,
    /// Modules whose machine code was found in the store.
    pub stored_code_used: u64,
    /// Times the store could not keep something, or held something that was not its own.
    pub store_faults: u64,
    /// Times it could not be written down what is in force.
    pub state_faults: u64,
    /// Changes of files are not heard of, only found by looking from time to time.
    pub watch_degraded: bool,
}

/// What a recorder has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RecordMetrics {
    /// Lines written, the recorder's own about repairs included.
    pub written: u64,
    /// Writes that put them down; `written / groups` is the size of a group commit.
    pub groups: u64,
    /// Bytes of those lines.
    pub bytes: u64,
    /// Times the disk confirmed them.
    pub syncs: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
    /// Bytes of torn lines cut off when the recorder was opened.
    pub repaired_bytes: u64,
}

const KINDS: [FailureKind; 11] = [
    FailureKind::Fuel,
    FailureKind::Memory,
    FailureKind::Deadline,
    FailureKind::Overload,
    FailureKind::Trap,
    FailureKind::BadOutput,
    FailureKind::GuestError,
    FailureKind::RefusedHostCall,
    FailureKind::Cancelled,
    FailureKind::Unavailable,
    FailureKind::Unbound,
];

/// The counters behind [`Metrics`] of one core.
#[derive(Default)]
pub(crate) struct Counters {
    effects: [AtomicU64; 3],
    failures: [AtomicU64; KINDS.len()],
    loosened_failures: AtomicU64,
    pub(crate) record_failures: AtomicU64,
    unrecorded: AtomicU64,
    pub(crate) log_lines_dropped: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, decision: &Decision) {
        self.effects[decision.effect() as usize].fetch_add(1, Relaxed);
        if decision.record().is_none() && decision.effect() != Effect::Deny {
            self.unrecorded.fetch_add(1, Relaxed);
        }
        decision.policies().iter().for_each(|report| self.count_failure(report, true));
        decision.shadow().iter().for_each(|report| self.count_failure(report, false));
    }

    fn count_failure(&self, report: &PolicyReport, counts: bool) {
        let Err(failure) = &report.outcome else { return };
        self.failures[failure.kind as usize].fetch_add(1, Relaxed);
        if counts && report.counted_as < Effect::Deny {
            self.loosened_failures.fetch_add(1, Relaxed);
        }
    }

    /// What all of them have counted together: each core has its own.
    pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Counters>) -> Metrics {
        all.fold(Metrics::default(), |sum, counters| counters.added_to(sum))
    }

    fn added_to(&self, mut sum: Metrics) -> Metrics {
        let [allowed, reviews, denied] = &self.effects;
        sum.allowed += allowed.load(Relaxed);
        sum.reviews += reviews.load(Relaxed);
        sum.denied += denied.load(Relaxed);
        for (kind, count) in KINDS.iter().zip(&self.failures).filter(|(_, count)| count.load(Relaxed) > 0) {
            *sum.failures.entry(*kind).or_default() += count.load(Relaxed);
        }
        sum.loosened_failures += self.loosened_failures.load(Relaxed);
        sum.record_failures += self.record_failures.load(Relaxed);
        sum.unrecorded += self.unrecorded.load(Relaxed);
        sum.log_lines_dropped += self.log_lines_dropped.load(Relaxed);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_counter_of_its_place() {
        for (place, kind) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
    }
}
