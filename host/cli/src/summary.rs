//! What `weir eval` and `weir demo` say at the end, for people and as JSON.
//!
//! The JSON form is stable: keys are added, never renamed or removed, while `v` is 1.
//!
//! ```json
//! {"v":1, "set":"claims-eu", "generation":{"number":1,"digest":"sha256:…"}, "generations":1, "audit":"audit",
//!  "requests":1000, "bad_lines":0, "allow":950, "review":20, "deny":30, "by_host":{"unbound":2},
//!  "complete":true, "wall_seconds":0.081, "requests_per_second":12345.7,
//!  "policies":[{"name":"pii", "shadow":false, "calls":998, "allow":950, "review":20, "deny":27, "failures":{"fuel":1},
//!               "micros":{"p50":41.2,"p90":60.1,"p99":95.0,"max":310.4}, "fuel":{"p50":26692,"max":81022}}]}
//! ```
//!
//! `requests` is the number of decisions; `complete` says whether they are those of the whole input, bad lines aside. A
//! policy's `allow`, `review` and `deny` count verdicts, so `calls` is their sum and that of `failures`. `shadow` is
//! null for a policy that was never called. `generation` is the last one of the `generations` there were: with
//! `--follow` policies come and go, and one that left the shadow has two entries.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use weir::{Effect, GenerationId};

use crate::table::Table;
use crate::tally::{PolicyTally, Tally};
use crate::terminal::{Paint, count, counted, short_digest, time};

/// Everything there is to say about a number of decisions.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    pub(crate) set: &'a str,
    /// The last one.
    pub(crate) generation: GenerationId,
    /// The folder of the records.
    pub(crate) audit: String,
    pub(crate) tally: &'a Tally,
    pub(crate) bad_lines: u64,
    pub(crate) complete: bool,
    pub(crate) wall: Duration,
}

#[derive(Serialize)]
struct Json<'a> {
    v: u32,
    set: &'a str,
    generation: GenerationId,
    generations: u64,
    audit: &'a str,
    requests: u64,
    bad_lines: u64,
    allow: u64,
    review: u64,
    deny: u64,
    by_host: &'a BTreeMap<String, u64>,
    complete: bool,
    wall_seconds: f64,
    requests_per_second: f64,
    policies: Vec<PolicyJson<'a>>,
}

#[derive(Serialize)]
struct PolicyJson<'a> {
    name: &'a str,
    shadow: Option<bool>,
    calls: u64,
    allow: u64,
    review: u64,
    deny: u64,
    failures: &'a BTreeMap<String, u64>,
    micros: MicrosJson,
    fuel: FuelJson,
}

#[derive(Serialize)]
struct MicrosJson {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
struct FuelJson {
    p50: u64,
    max: u64,
}

impl Summary<'_> {
    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        let effects = self.tally.effects;
        let json = Json {
            v: 1,
            set: self.set,
            generation: self.generation,
            // They are counted from 1.
            generations: self.generation.number.get(),
            audit: &self.audit,
            requests: effects.sum(),
            bad_lines: self.bad_lines,
            allow: effects.allow,
            review: effects.review,
            deny: effects.deny,
            by_host: &self.tally.by_host,
            complete: self.complete,
            wall_seconds: self.wall.as_secs_f64(),
            requests_per_second: self.per_second(),
            policies: self.tally.policies.iter().map(policy_json).collect(),
        };
        serde_json::to_string(&json).expect("numbers and texts always serialise") + "\n"
    }

    /// Lines for people.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let requests = self.tally.effects.sum();
        let rate = format!("{} in {:.2} s", counted(requests, "request"), self.wall.as_secs_f64());
        let rate = if requests > 1 { format!("{rate}, {}/s", count(self.per_second() as u64)) } else { rate };
        let mut lines = vec![format!("{}  {rate}", paint.bold(self.set)), effects_line(self.tally, paint)];
        if self.bad_lines > 0 {
            lines.push(paint.red(format!("{} not judged", counted(self.bad_lines, "bad line"))));
        }
        lines.push(String::new());
        lines.extend(policy_table(&self.tally.policies, paint));
        lines.push(String::new());
        lines.push(format!("records  {}", self.audit));
        let GenerationId { number, digest } = self.generation;
        if number.get() > 1 {
            let last = format!("{} generations, the last one is {}", count(number.get()), short_digest(digest));
            lines.push(format!("set      {last}"));
        }
        lines
    }

    fn per_second(&self) -> f64 {
        let seconds = self.wall.as_secs_f64();
        if seconds > 0.0 { self.tally.effects.sum() as f64 / seconds } else { 0.0 }
    }
}

/// `950 allow, 20 review, 30 deny (no policy applied to 2)`.
pub(crate) fn effects_line(tally: &Tally, paint: Paint) -> String {
    let of = |effect, number| match number {
        0 => format!("0 {effect}"),
        _ => paint.effect(effect, format!("{} {effect}", count(number))),
    };
    let effects = tally.effects;
    let all = [(Effect::Allow, effects.allow), (Effect::Review, effects.review), (Effect::Deny, effects.deny)];
    let mut line = all.map(|(effect, number)| of(effect, number)).join(", ");
    if !tally.by_host.is_empty() {
        let reasons: Vec<String> = tally.by_host.iter().map(|(why, number)| by_host(why, *number)).collect();
        line.push_str(&format!(" ({})", reasons.join(", ")));
    }
    line
}

/// Decisions that no policy made.
fn by_host(reason: &str, number: u64) -> String {
    match reason {
        "unbound" => format!("no policy applied to {}", count(number)),
        "record" => format!("{} could not be recorded", count(number)),
        reason => format!("{} by {reason}", count(number)),
    }
}

/// One row for each policy.
pub(crate) fn policy_table(policies: &[PolicyTally], paint: Paint) -> Vec<String> {
    let mut table = Table::new(&[
        "policy",
        "mode",
        ">calls",
        ">allow",
        ">review",
        ">deny",
        ">p50",
        ">p90",
        ">p99",
        ">max",
        ">fuel p50",
        ">fuel max",
        "failures",
    ]);
    for policy in policies {
        let (verdicts, nanos, fuel) = (policy.verdicts, &policy.nanos, &policy.fuel);
        let called = |text: String| if policy.calls() > 0 { text } else { "-".to_owned() };
        let failures: Vec<String> = policy.failures.iter().map(|(kind, n)| format!("{} {kind}", count(*n))).collect();
        let mut row = vec![policy.name.clone(), if policy.shadow == Some(true) { "shadow" } else { "" }.to_owned()];
        row.extend([policy.calls(), verdicts.allow, verdicts.review, verdicts.deny].map(count));
        row.extend([50.0, 90.0, 99.0].map(|percent| called(time(nanos.percentile(percent)))));
        row.extend([time(nanos.max()), count(fuel.percentile(50.0)), count(fuel.max())].map(called));
        row.push(failures.join(", "));
        table.row(row);
    }
    table.painted(paint)
}

fn policy_json(policy: &PolicyTally) -> PolicyJson<'_> {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let at = |percent| micros(policy.nanos.percentile(percent));
    PolicyJson {
        name: &policy.name,
        shadow: policy.shadow,
        calls: policy.calls(),
        allow: policy.verdicts.allow,
        review: policy.verdicts.review,
        deny: policy.verdicts.deny,
        failures: &policy.failures,
        micros: MicrosJson { p50: at(50.0), p90: at(90.0), p99: at(99.0), max: micros(policy.nanos.max()) },
        fuel: FuelJson { p50: policy.fuel.percentile(50.0), max: policy.fuel.max() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Call;

    fn tally() -> Tally {
        let mut tally = Tally::of(["pii", "idle"].into_iter());
        for (outcome, effect) in [(Ok(Effect::Allow), Effect::Allow), (Err("fuel".to_owned()), Effect::Deny)] {
            tally.add_ruling(effect, &["pii".to_owned()]);
            tally.add_call(&Call { policy: "pii", shadow: false, outcome, fuel: 1_500, micros: 12.0 });
        }
        tally.add_ruling(Effect::Deny, &["unbound".to_owned()]);
        tally
    }

    #[test]
    fn people_see_a_table() {
        let tally = tally();
        assert_eq!(effects_line(&tally, Paint::none()), "1 allow, 0 review, 2 deny (no policy applied to 1)");
        assert_eq!(
            policy_table(&tally.policies, Paint::none()),
            [
                "policy  calls  allow  review  deny      p50      p90      p99      max  fuel p50  fuel max  failures",
                "pii         2      1       0     0  12.0 µs  12.0 µs  12.0 µs  12.0 µs     1,500     1,500  1 fuel",
                "idle        0      0       0     0        -        -        -        -         -         -",
            ]
        );
    }
}
