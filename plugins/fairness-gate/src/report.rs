//! The verdict under construction: it only tightens, and it stays within every output limit.

use std::cmp::Reverse;
use std::fmt;

use weir_sdk::{Effect, Finding, Severity, Verdict};

/// What was found so far.
pub(crate) struct Report {
    verdict: Verdict,
    /// Mild findings that were not written down.
    left_out: usize,
}

/// The worst 400 findings are kept; about 130 KiB, half of a policy's default output limit.
const MAX_FINDINGS: usize = 400;

/// A finding about one measure, by its position in the request.
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    pub(crate) measure: usize,
    pub(crate) measured: Option<f64>,
    pub(crate) threshold: Option<f64>,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report { verdict: Verdict::allow(), left_out: 0 }
    }

    /// Makes the effect at least this strict.
    pub(crate) fn tighten(&mut self, effect: Effect) {
        self.verdict.effect = self.verdict.effect.max(effect);
    }

    /// Adds a finding. Writing text costs more fuel than the statistics, so a mild one beyond the limit is only counted.
    pub(crate) fn add(&mut self, entry: Entry, message: fmt::Arguments) {
        if entry.severity == Severity::Info && self.verdict.findings.len() >= MAX_FINDINGS {
            self.left_out += 1;
            return;
        }
        let finding = Finding::new(entry.code, entry.severity, message.to_string());
        let mut finding = finding.at_value(format!("/measures/{}", entry.measure));
        finding.measured = entry.measured.map(Into::into);
        finding.threshold = entry.threshold.map(Into::into);
        self.verdict.findings.push(finding);
    }

    /// Raises a score to this risk: a score is the worst of what every table says.
    pub(crate) fn worst(&mut self, score: &'static str, risk: f64) {
        match self.verdict.scores.get_mut(score) {
            Some(worst) => *worst = worst.max(risk),
            None => {
                self.verdict.scores.insert(score.to_owned(), risk);
            }
        }
    }

    /// The worst findings first, and what is left out is said.
    pub(crate) fn finish(self) -> Verdict {
        let Report { mut verdict, mut left_out } = self;
        verdict.findings.sort_by_key(|finding| Reverse(finding.severity));
        left_out += verdict.findings.len().saturating_sub(MAX_FINDINGS);
        verdict.findings.truncate(MAX_FINDINGS);
        if left_out > 0 {
            let message = format!("{left_out} more findings are left out, none graver than those above");
            verdict.findings.push(Finding::new("fairness.truncated", Severity::Info, message));
        }
        verdict
    }
}

/// Three decimals, for messages; `{:.3}` takes far more fuel.
pub(crate) struct Thousandths(pub(crate) f64);

impl fmt::Display for Thousandths {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let thousandths = (self.0 * 1000.0).round() as u64;
        write!(formatter, "{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}
