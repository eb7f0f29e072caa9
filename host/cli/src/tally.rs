//! Counts over decisions, whether they come from a runtime or are read back from records.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use weir::{Decision, Effect, Failure, PolicyReport, Verdict};

/// Counts over any number of decisions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) effects: Effects,
    /// Decisions that no policy made, by reason: `unbound`, `record`, `overload`.
    pub(crate) by_host: BTreeMap<String, u64>,
    /// In the order in which they were named or first seen; one that ran in shadow and in force has two.
    pub(crate) policies: Vec<PolicyTally>,
}

/// How many were allowed, held for review and denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) allow: u64,
    pub(crate) review: u64,
    pub(crate) deny: u64,
}

impl Effects {
    pub(crate) fn add(&mut self, effect: Effect) {
        match effect {
            Effect::Allow => self.allow += 1,
            Effect::Review => self.review += 1,
            Effect::Deny => self.deny += 1,
        }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.allow + self.review + self.deny
    }
}

/// Counts over the calls of one policy.
#[derive(Debug, Default)]
pub(crate) struct PolicyTally {
    pub(crate) name: String,
    /// Whether it ran in shadow; none while it was not called.
    pub(crate) shadow: Option<bool>,
    /// Its verdicts. A failure is none, whatever it counted as.
    pub(crate) verdicts: Effects,
    /// By kind.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Wall-clock time of its calls, in nanoseconds.
    pub(crate) nanos: Spread,
    pub(crate) fuel: Spread,
}

impl PolicyTally {
    fn new(name: &str) -> PolicyTally {
        PolicyTally { name: name.to_owned(), ..PolicyTally::default() }
    }

    pub(crate) fn calls(&self) -> u64 {
        self.verdicts.sum() + self.failures.values().sum::<u64>()
    }
}

/// A distribution to three digits, and its exact maximum.
#[derive(Debug)]
pub(crate) struct Spread {
    histogram: Histogram<u64>,
    max: u64,
}

impl Default for Spread {
    fn default() -> Spread {
        Spread { histogram: Histogram::new(3).expect("three digits are within bounds"), max: 0 }
    }
}

impl Spread {
    pub(crate) fn add(&mut self, value: u64) {
        // It grows as it needs to; recording fails only for what no memory could hold.
        let _ = self.histogram.record(value);
        self.max = self.max.max(value);
    }

    /// The value that `percent` of all do not exceed; 0 without values.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        self.histogram.value_at_percentile(percent).min(self.max)
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

/// One policy's part in a decision, wherever it was read.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) policy: &'a str,
    pub(crate) shadow: bool,
    /// Its effect, or the kind of its failure.
    pub(crate) outcome: Result<Effect, String>,
    pub(crate) fuel: u64,
    pub(crate) micros: f64,
}

impl Tally {
    /// A tally that names these policies even if none of them is called.
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a str>) -> Tally {
        Tally { policies: policies.map(PolicyTally::new).collect(), ..Tally::default() }
    }

    /// Counts a decision.
    pub(crate) fn add(&mut self, decision: &Decision) {
        self.add_ruling(decision.effect(), decision.decided_by());
        for (reports, shadow) in [(decision.policies(), false), (decision.shadow(), true)] {
            reports.iter().for_each(|report| self.add_call(&call(report, shadow)));
        }
    }

    /// Counts what a decision came to.
    pub(crate) fn add_ruling(&mut self, effect: Effect, decided_by: &[String]) {
        self.effects.add(effect);
        let [by] = decided_by else { return };
        if let "unbound" | "record" | "overload" = by.as_str() {
            *self.by_host.entry(by.clone()).or_default() += 1;
        }
    }

    /// Names more policies, where they are not there yet: those that a set got while it was followed.
    pub(crate) fn name<'a>(&mut self, policies: impl Iterator<Item = &'a str>) {
        let known: BTreeSet<String> = self.policies.iter().map(|policy| policy.name.clone()).collect();
        self.policies.extend(policies.filter(|name| !known.contains(*name)).map(PolicyTally::new));
    }

    /// Counts a policy's part.
    pub(crate) fn add_call(&mut self, call: &Call<'_>) {
        let policy = self.policy(call.policy, call.shadow);
        match &call.outcome {
            Ok(effect) => policy.verdicts.add(*effect),
            Err(kind) => *policy.failures.entry(kind.clone()).or_default() += 1,
        }
        policy.fuel.add(call.fuel);
        policy.nanos.add((call.micros * 1e3) as u64);
    }

    /// What a policy said in shadow and what it said in force are two rows: a set may change that while it is followed.
    fn policy(&mut self, name: &str, shadow: bool) -> &mut PolicyTally {
        let same = |policy: &PolicyTally| policy.name == name && policy.shadow.is_none_or(|was| was == shadow);
        let position = self.policies.iter().position(same).unwrap_or_else(|| {
            self.policies.push(PolicyTally::new(name));
            self.policies.len() - 1
        });
        let policy = &mut self.policies[position];
        policy.shadow = Some(shadow);
        policy
    }
}

fn call(report: &PolicyReport, shadow: bool) -> Call<'_> {
    let outcome = report.outcome.as_ref().map(|verdict: &Verdict| verdict.effect);
    Call {
        policy: &report.name,
        shadow,
        outcome: outcome.map_err(|failure: &Failure| failure.kind.to_string()),
        fuel: report.fuel,
        micros: report.micros,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_and_failures_are_counted_apart() {
        let mut tally = Tally::of(["a", "b"].into_iter());
        let call = |outcome| Call { policy: "b", shadow: true, outcome, fuel: 100, micros: 2.5 };
        tally.add_call(&call(Ok(Effect::Review)));
        tally.add_call(&call(Err("fuel".to_owned())));
        tally.add_ruling(Effect::Deny, &["unbound".to_owned()]);
        let [a, b] = &tally.policies[..] else { panic!("{tally:?}") };
        assert_eq!((a.calls(), a.shadow, a.nanos.percentile(99.0)), (0, None, 0));
        assert_eq!((b.calls(), b.verdicts.review, b.failures["fuel"], b.shadow), (2, 1, 1, Some(true)));
        assert_eq!((b.nanos.max(), b.nanos.percentile(50.0), b.fuel.max()), (2_500, 2_500, 100));
        assert_eq!((tally.effects.deny, tally.by_host["unbound"]), (1, 1));
    }

    #[test]
    fn policies_that_come_or_leave_the_shadow_meanwhile_have_rows() {
        let mut tally = Tally::of(["a"].into_iter());
        for (policy, shadow) in [("a", true), ("b", false), ("a", false), ("a", true)] {
            tally.add_call(&Call { policy, shadow, outcome: Ok(Effect::Deny), fuel: 1, micros: 1.0 });
        }
        tally.name(["c", "a"].into_iter());
        let rows: Vec<_> = tally.policies.iter().map(|p| (p.name.as_str(), p.shadow, p.calls())).collect();
        let expected = [("a", Some(true), 2), ("b", Some(false), 1), ("a", Some(false), 1), ("c", None, 0)];
        assert_eq!(rows, expected);
    }
}
