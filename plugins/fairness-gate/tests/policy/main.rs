//! The policy as its callers see it: measures in, verdict out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod edges;
mod input;
mod labels;
mod properties;
mod worked;

use fairness_gate::{Config, evaluate};
use weir_sdk::{Effect, Finding, Measure, Quantity, Request, Verdict};

/// So many selected of a group.
type Count<'a> = (&'a str, u64, u64);

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

fn measure(name: &str, group: &str, value: f64, count: u64) -> Measure {
    Measure { name: name.to_owned(), group: group.to_owned(), value, count }
}

fn request(measures: Vec<Measure>) -> Request {
    Request { measures, ..Request::default() }
}

fn selected(counts: &[Count]) -> Request {
    let counts = counts.iter().copied();
    request(counts.map(|(group, value, count)| measure("selected", group, value as f64, count)).collect())
}

#[track_caller]
fn judge(json: &str, counts: &[Count]) -> Verdict {
    evaluate(&config(json), &selected(counts)).unwrap()
}

/// The effect under the default configuration.
#[track_caller]
fn effect(counts: &[Count]) -> Effect {
    judge("{}", counts).effect
}

fn found<'v>(verdict: &'v Verdict, code: &str, at: &str) -> Option<&'v Finding> {
    let mut findings = verdict.findings.iter();
    findings.find(|finding| finding.code == code && finding.at.as_deref() == Some(at))
}

#[track_caller]
fn measured(verdict: &Verdict, code: &str, at: &str) -> f64 {
    match found(verdict, code, at).and_then(|finding| finding.measured.as_ref()) {
        Some(Quantity::Number(number)) => *number,
        _ => panic!("no `{code}` at {at} in {:#?}", verdict.findings),
    }
}

fn codes(verdict: &Verdict) -> Vec<&str> {
    verdict.findings.iter().map(|finding| finding.code.as_str()).collect()
}
