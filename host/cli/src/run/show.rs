//! A decision for people: what was said, about which words, and what it took.

use serde::Deserialize;
use serde_json::Value;
use weir::{Decision, Edit, Failure, Finding, PolicyFinding, PolicyReport, Quantity, Severity};

use crate::table::Table;
use crate::terminal::{Paint, count, plain, size, time};

/// Longest excerpt of a request, in characters.
const EXCERPT: usize = 80;

/// A decision and what it is about.
pub(super) struct Shown<'a> {
    decision: &'a Decision,
    /// The request as the caller wrote it.
    request: Value,
    evidence: Vec<PolicyEvidence>,
    fuel_limit: u64,
    /// What a trap tells with the lines of source on the way to it.
    trap: Option<String>,
}

/// The part of a record that decisions lack.
#[derive(Deserialize)]
struct Record {
    policies: Vec<PolicyEvidence>,
}

#[derive(Deserialize)]
struct PolicyEvidence {
    #[serde(default)]
    log: Vec<LogLine>,
    #[serde(default)]
    log_dropped: u64,
}

#[derive(Deserialize)]
struct LogLine {
    level: String,
    text: String,
}

impl<'a> Shown<'a> {
    pub(super) fn new(decision: &'a Decision, body: &[u8], record: &str, fuel_limit: u64) -> Shown<'a> {
        let evidence = serde_json::from_str(record).map_or_else(|_| Vec::new(), |record: Record| record.policies);
        let request = serde_json::from_slice(body).unwrap_or_default();
        Shown { decision, request, evidence, fuel_limit, trap: None }
    }

    /// With what a trap tells of the lines of source on the way to it.
    pub(super) fn with_trap(self, trap: Option<String>) -> Shown<'a> {
        Shown { trap, ..self }
    }

    /// What the guest logged.
    pub(super) fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for evidence in &self.evidence {
            lines.extend(evidence.log.iter().map(|line| format!("{:<5}  {}", line.level, plain(&line.text))));
            if evidence.log_dropped > 0 {
                lines.push(format!("       ({} more lines were dropped)", count(evidence.log_dropped)));
            }
        }
        lines
    }

    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let mut lines = vec![self.title(paint)];
        let failures = self.decision.policies().iter().filter_map(|policy| policy.outcome.as_ref().err());
        let detail = |failure: &Failure| self.trap.clone().unwrap_or_else(|| failure.detail.clone());
        lines.extend(failures.map(|failure| format!("{}  {}", paint.red(failure.kind), plain(&detail(failure)))));
        section(&mut lines, paint, "findings", self.decision.findings().iter().flat_map(|f| self.finding(paint, f)));
        section(
            &mut lines,
            paint,
            "edits",
            self.decision.edits().iter().map(|merged| self.edit(paint, &merged.edit)),
        );
        section(&mut lines, paint, "text after the edits", self.edited(paint).into_iter());
        let scores = self.decision.scores().iter();
        section(
            &mut lines,
            paint,
            "scores",
            scores.map(|(name, score)| format!("{}  {}", plain(name), number(*score))),
        );
        let obligations = self.decision.obligations().iter();
        let duty = |name: &str, because: &[String]| format!("{}{}", plain(name), reasons(because));
        section(&mut lines, paint, "obligations", obligations.map(|duty_of| duty(&duty_of.name, &duty_of.because)));
        section(&mut lines, paint, "log", self.log().into_iter());
        section(&mut lines, paint, "used", self.decision.policies().iter().flat_map(|report| self.used(report)));
        lines
    }

    fn title(&self, paint: Paint) -> String {
        let effect = self.decision.effect();
        let by = plain(&self.decision.decided_by().join(", "));
        let verb = paint.effect(effect, effect);
        format!("{verb}  by {by}, at {}", plain(self.decision.request().checkpoint()))
    }

    fn finding(&self, paint: Paint, PolicyFinding { policy: _, finding }: &PolicyFinding) -> Vec<String> {
        let severity = match finding.severity {
            Severity::Info => paint.faint("info    "),
            Severity::Low => paint.faint("low     "),
            Severity::Medium => paint.yellow("medium  "),
            Severity::High => paint.red("high    "),
            Severity::Critical => paint.red("critical"),
        };
        let head = format!("{severity}  {}  {}", paint.bold(plain(&finding.code)), plain(&finding.message));
        let mut details = Vec::new();
        details.extend(place(finding));
        details.extend(finding.measured.as_ref().map(|measured| format!("measured {}", quantity(measured))));
        details.extend(finding.threshold.as_ref().map(|threshold| format!("threshold {}", quantity(threshold))));
        let details = details.join(", ") + &reasons(&finding.because);
        let mut lines = vec![head];
        if !details.is_empty() {
            lines.push(format!("          {}", paint.faint(details)));
        }
        let excerpt = finding.at.as_ref().and_then(|at| self.excerpt(at, finding.start?, finding.end?));
        lines.extend(excerpt.map(|excerpt| format!("          {excerpt}")));
        lines
    }

    fn edit(&self, paint: Paint, edit: &Edit) -> String {
        let was = self.excerpt(&edit.at, edit.start, edit.end).unwrap_or_default();
        let place = paint.faint(format!("{} {}..{}", plain(&edit.at), edit.start, edit.end));
        format!("{place}  {was} -> {}", paint.cyan(plain(&edit.replacement)))
    }

    /// The content as the caller may use it; nothing without edits, or where it may not.
    fn edited(&self, paint: Paint) -> Vec<String> {
        if self.decision.edits().is_empty() {
            return Vec::new();
        }
        let Ok(permit) = self.decision.clone().permit() else { return Vec::new() };
        let part = |part: weir::Part| {
            let role = if part.role.is_empty() { String::new() } else { paint.faint(plain(&part.role) + ": ") };
            format!("{role}{}", plain(&part.text))
        };
        permit.content().into_iter().map(part).collect()
    }

    /// The words of the request that are meant, in quotes.
    fn excerpt(&self, at: &str, start: u32, end: u32) -> Option<String> {
        let text = self.request.pointer(at)?.as_str()?.get(start as usize..end as usize)?;
        let cut: String = text.chars().take(EXCERPT).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        Some(format!("\"{}{more}\"", plain(&cut)))
    }

    fn used(&self, report: &PolicyReport) -> Vec<String> {
        let mut table = Table::new(&["", ""]);
        table.row(["fuel".to_owned(), format!("{} of {}", count(report.fuel), count(self.fuel_limit))]);
        table.row(["memory".to_owned(), size(report.memory_bytes)]);
        table.row(["time".to_owned(), time((report.micros * 1e3) as u64)]);
        table.lines().split_off(1)
    }
}

fn section(lines: &mut Vec<String>, paint: Paint, name: &str, content: impl Iterator<Item = String>) {
    let mut content = content.peekable();
    if content.peek().is_some() {
        lines.extend([String::new(), paint.bold(name)]);
        lines.extend(content.map(|line| format!("  {line}")));
    }
}

fn place(finding: &Finding) -> Option<String> {
    let at = plain(finding.at.as_ref()?);
    Some(match (finding.start, finding.end) {
        (Some(start), Some(end)) => format!("at {at} {start}..{end}"),
        _ => format!("at {at}"),
    })
}

fn quantity(quantity: &Quantity) -> String {
    match quantity {
        Quantity::Number(value) => number(*value),
        Quantity::Text(text) => plain(text),
    }
}

/// Four decimals are enough for eyes; `--json` has all of them.
fn number(value: f64) -> String {
    let rounded = format!("{value:.4}");
    if rounded.parse() == Ok(value) || value.abs() < 0.001 { value.to_string() } else { rounded }
}

fn reasons(because: &[String]) -> String {
    if because.is_empty() { String::new() } else { format!(" (because of {})", plain(&because.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_wrong() {
        assert_eq!(
            [number(0.8), number(2.0), number(0.513_763_3), number(0.000_04)],
            ["0.8", "2", "0.5138", "0.00004"]
        );
    }
}
