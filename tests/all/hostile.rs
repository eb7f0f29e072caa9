//! The fault list: one guest for each way a policy can hurt its host, and what has to come of it.
//!
//! Rows carry the numbers of the project's fault list. Every guest that is let in judges twice and has to do the same
//! both times with the same fuel, and after each row the host still judges a harmless policy.

mod components;
mod loading;
mod memory;
mod outputs;
mod random;
mod running;
mod text;

pub(crate) use random::config as random_config;

use std::panic::{AssertUnwindSafe, catch_unwind};

use weir::{Decision, Effect, FailureKind, Runtime};

use crate::harness::{asked, constant, host, request};

/// One fault.
struct Row {
    number: u32,
    name: &'static str,
    case: Case,
}

/// A guest, the lines of its policy in the set, and what has to come of it.
enum Case {
    /// The set is refused, and the report says all of this.
    Refused(Vec<u8>, &'static str, Vec<&'static str>),
    /// The policy is asked.
    Judged(Vec<u8>, &'static str, Expected),
    /// More than one policy or request; the argument names the row.
    Story(fn(&str)),
}

enum Expected {
    /// No verdict: the kind of failure, and what its detail contains.
    Failure(FailureKind, &'static str),
    /// This verdict.
    Effect(Effect),
    /// The verdict `allow`, with this much memory at the end.
    Memory(u64),
    /// A verdict whose first finding says this.
    Finding(&'static str),
}

fn refused(number: u32, name: &'static str, guest: Vec<u8>, lines: &'static str, says: &[&'static str]) -> Row {
    Row { number, name, case: Case::Refused(guest, lines, says.to_vec()) }
}

fn judged(number: u32, name: &'static str, guest: Vec<u8>, lines: &'static str, expected: Expected) -> Row {
    Row { number, name, case: Case::Judged(guest, lines, expected) }
}

fn fails(
    number: u32,
    name: &'static str,
    guest: Vec<u8>,
    lines: &'static str,
    kind: FailureKind,
    says: &'static str,
) -> Row {
    judged(number, name, guest, lines, Expected::Failure(kind, says))
}

fn allows(number: u32, name: &'static str, guest: Vec<u8>, lines: &'static str) -> Row {
    judged(number, name, guest, lines, Expected::Effect(Effect::Allow))
}

fn story(number: u32, name: &'static str, story: fn(&str)) -> Row {
    Row { number, name, case: Case::Story(story) }
}

#[test]
fn every_row_of_the_fault_list_holds() {
    let tables = [
        running::rows(),
        memory::rows(),
        outputs::rows(),
        loading::rows(),
        text::rows(),
        random::rows(),
        components::rows(),
    ];
    let rows: Vec<Row> = tables.into_iter().flatten().collect();
    for number in (1..=22).chain(26..=31) {
        assert!(rows.iter().any(|row| row.number == number), "row {number} is missing");
    }
    let outside = with_neighbour(constant(r#"{"effect":"deny"}"#), "").expect("both policies are harmless");
    // One row that fails does not hide the others; its panic is printed where it happens.
    let failed: Vec<String> = rows
        .into_iter()
        .map(|row| (format!("row {} ({})", row.number, row.name), row.case))
        .filter_map(|(label, case)| {
            catch_unwind(AssertUnwindSafe(|| try_row(case, &label, &outside))).err().map(|_| label)
        })
        .collect();
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

fn try_row(case: Case, label: &str, outside: &Runtime) {
    match case {
        Case::Refused(guest, lines, says) => {
            let report = with_neighbour(guest, lines).err().unwrap_or_else(|| panic!("{label}: was let in"));
            for text in says {
                assert!(report.contains(text), "{label}: `{text}` is not in:\n{report}");
            }
            assert!(report.len() < 100_000, "{label}: a report of {} bytes", report.len());
            assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{label}: {report:?}");
        }
        Case::Judged(guest, lines, expected) => judge_twice(guest, lines, &expected, label),
        Case::Story(story) => story(label),
    }
    still_judges(outside, label);
}

/// A host with the guest at checkpoint `test` and a harmless policy at `good`.
fn with_neighbour(guest: Vec<u8>, lines: &str) -> Result<Runtime, String> {
    let set = format!(
        "set = \"test\"\n[policies.good]\nmodule = \"good.wasm\"\ncheckpoints = [\"good\"]\n\
         [policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"test\"]\n{lines}\n"
    );
    host(&set, &[("p.wasm", guest), ("good.wasm", constant(r#"{"effect":"allow"}"#))])
        .map_err(|report| report.to_string())
}

fn still_judges(host: &Runtime, label: &str) {
    let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"good"}"#));
    assert_eq!(decision.effect(), Effect::Allow, "{label}: the host no longer judges: {decision:?}");
}

fn judge_twice(guest: Vec<u8>, lines: &str, expected: &Expected, label: &str) {
    let host = with_neighbour(guest, lines).unwrap_or_else(|report| panic!("{label}: {report}"));
    let decisions = [(); 2].map(|()| {
        let decision = host.evaluate_blocking(request());
        check(&decision, expected, label);
        let limit = if lines.contains("memory = \"256 MiB\"") { 256 << 20 } else { 16 << 20 };
        let used = decision.policies()[0].memory_bytes;
        assert!(used <= limit, "{label}: {used} bytes of memory");
        still_judges(&host, label);
        decision
    });
    let [first, second] = decisions.map(|decision| decision.policies()[0].clone());
    assert_eq!(first.outcome, second.outcome, "{label}: the second call differs");
    let on_the_clock = matches!(&first.outcome, Err(failure) if failure.kind.is_host_condition());
    let used = |report: &weir::PolicyReport| (report.fuel, report.memory_bytes);
    assert!(on_the_clock || used(&first) == used(&second), "{label}: {first:?} then {second:?}");
    assert_eq!(host.recorder().lines().len(), 4, "{label}: one record for each decision");
}

fn check(decision: &Decision, expected: &Expected, label: &str) {
    let report = &decision.policies()[0];
    match (&report.outcome, expected) {
        (Err(failure), Expected::Failure(kind, says)) => {
            assert_eq!(failure.kind, *kind, "{label}: {failure}");
            assert!(failure.detail.contains(says), "{label}: `{says}` is not in `{failure}`");
            assert!(failure.detail.len() <= 1024, "{label}: {} bytes of detail", failure.detail.len());
            assert!(!failure.detail.chars().any(char::is_control), "{label}: {:?}", failure.detail);
            assert_eq!(decision.effect(), Effect::Deny, "{label}: a failure denies");
        }
        (Ok(verdict), Expected::Effect(effect)) => assert_eq!(verdict.effect, *effect, "{label}: {verdict:?}"),
        (Ok(verdict), Expected::Memory(bytes)) => {
            assert_eq!((verdict.effect, report.memory_bytes), (Effect::Allow, *bytes), "{label}");
        }
        (Ok(verdict), Expected::Finding(says)) => {
            assert_eq!(verdict.findings[0].message, *says, "{label}");
        }
        (outcome, _) => panic!("{label}: unexpected {outcome:?}"),
    }
}
