//! What became of a case.

use weir::Decision;

use super::cases::{Case, Edit};

/// What became of a case.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: String,
    /// What is not as it should be; nothing where the case passes.
    pub(super) wrong: Vec<String>,
    /// Codes of its findings.
    pub(super) codes: Vec<String>,
    pub(super) effect: String,
    pub(super) fuel: u64,
    pub(super) micros: f64,
}

impl Outcome {
    pub(super) fn passed(case: &Case) -> Outcome {
        Outcome {
            name: case.name.clone(),
            wrong: Vec::new(),
            codes: Vec::new(),
            effect: "refused".to_owned(),
            fuel: 0,
            micros: 0.0,
        }
    }

    pub(super) fn failed(case: &Case, why: String) -> Outcome {
        Outcome { wrong: vec![why], ..Outcome::passed(case) }
    }

    pub(super) fn of(case: &Case, decision: &Decision) -> Outcome {
        let report = &decision.policies()[0];
        let effect = decision.effect().to_string();
        let failure = report.outcome.as_ref().err();
        let mut codes: Vec<String> = decision.findings().iter().map(|found| found.finding.code.clone()).collect();
        codes.sort();
        let mut wrong = Vec::new();
        if case.effect.as_deref() != Some(effect.as_str()) {
            wrong.push(format!("effect: expected {}, found {effect}", case.effect.as_deref().unwrap_or_default()));
        }
        match (&case.failure, failure) {
            (None, None) => {}
            (Some(expected), Some(failure)) if failure.kind.to_string() == *expected => {}
            (expected, found) => {
                let found = found.map_or_else(|| "none".to_owned(), ToString::to_string);
                wrong.push(format!("failure: expected {}, found {found}", expected.as_deref().unwrap_or("none")));
            }
        }
        if let Some(expected) = &case.findings {
            let mut expected = expected.clone();
            expected.sort();
            if expected != codes {
                wrong.push(format!("findings: expected {expected:?}, found {codes:?}"));
            }
        }
        let edits = decision.edits().iter().map(|merged| &merged.edit);
        let edits: Vec<Edit> = edits
            .map(|edit| Edit {
                at: edit.at.clone(),
                start: edit.start,
                end: edit.end,
                replacement: edit.replacement.clone(),
            })
            .collect();
        if case.edits.as_ref().is_some_and(|expected| *expected != edits) {
            wrong.push(format!("edits: expected {:?}, found {edits:?}", case.edits.as_deref().unwrap_or_default()));
        }
        if let Some(most) = case.fuel.filter(|most| report.fuel > *most) {
            wrong.push(format!("fuel: expected at most {most}, found {}", report.fuel));
        }
        Outcome { name: case.name.clone(), wrong, codes, effect, fuel: report.fuel, micros: report.micros }
    }
}
