//! The act of the endless loop: the shipped set with a policy in it that never answers.

use std::collections::BTreeMap;

use weir::{Decision, FailureKind, Source};

use crate::tally::Spread;
use crate::terminal::{Paint, count, counted, time};

pub(super) const CAPTION: [&str; 3] = [
    "It is an endless loop, and it judges every tool call and every monitoring window. At tool calls it has little",
    "fuel; at monitoring windows so much that the clock ends it, after 20 ms. It fails, with a reason and a record;",
    "a failure counts as a denial. The other requests do not notice.",
];

/// The loop under two names: one that runs out of fuel, one that runs out of time.
const POLICIES: &str = r#"
[policies.endless-loop]
module      = "endless_loop.wasm"
checkpoints = ["tool.call"]
limits      = { fuel = 1_000_000, deadline = "20 ms" }

[policies.endless-loop-2]
module      = "endless_loop.wasm"
checkpoints = ["monitoring.window"]
limits      = { fuel = 10_000_000_000, deadline = "20 ms" }
"#;

/// The shipped set and the loop.
pub(super) fn set() -> Source {
    let shipped = weir_plugins::modules().iter().map(|module| (module.name, module.wasm));
    let modules = shipped.chain([("endless_loop.wasm", weir_plugins::endless_loop())]);
    Source::memory(format!("{}{POLICIES}", weir_plugins::SET), modules)
}

/// How many requests the act takes: enough to see, and not more than a second or two of endless loops.
pub(super) fn requests(all: u64) -> u64 {
    (all / 5).clamp(200, 1_000)
}

/// What has been seen of the act.
#[derive(Debug, Default)]
pub(super) struct Seen {
    failures: BTreeMap<FailureKind, u64>,
    /// Requests the loop had no part in: how many, and how long their policies took.
    others: u64,
    nanos: Spread,
}

impl Seen {
    /// Counts a decision; the answer is a headline where it is the first failure of its kind.
    pub(super) fn add(&mut self, decision: &Decision) -> Option<&'static str> {
        let Some(failure) = decision.policies().iter().find_map(|report| report.outcome.as_ref().err()) else {
            let micros: f64 = decision.policies().iter().map(|report| report.micros).sum();
            self.others += 1;
            self.nanos.add((micros * 1e3) as u64);
            return None;
        };
        let seen = self.failures.entry(failure.kind).or_default();
        *seen += 1;
        (*seen == 1).then_some("denied")
    }

    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let failures: Vec<String> = self.failures.iter().map(|(kind, n)| format!("{} {kind}", count(*n))).collect();
        let (p50, p99) = (time(self.nanos.percentile(50.0)), time(self.nanos.percentile(99.0)));
        let others = counted(self.others, "other request");
        vec![
            format!("the loop failed      {}", paint.red(failures.join(", "))),
            format!("at the same time     {}, p50 {p50}, p99 {p99}", paint.green(format!("{others} judged"))),
        ]
    }
}
