//! One decision on a few lines: who asked what, what was said, and by whom.

use serde_json::Value;
use weir::{Decision, Effect, MergedEdit};

use crate::terminal::{Paint, plain, time, wrapped};

/// Width of a text, in characters.
const WIDTH: usize = 88;
/// Under the headline.
const INDENT: &str = "          ";
/// Findings and groups that are shown of one request.
const MOST: usize = 4;

/// Kinds of decisions worth showing: a name, and what has to be true.
type Kind = (&'static str, fn(&Decision) -> bool);

const KINDS: [Kind; 5] = [
    ("allowed", |d| {
        d.effect() == Effect::Allow && d.edits().is_empty() && d.request().checkpoint() == "inference.input"
    }),
    ("masked", |d| d.effect() == Effect::Allow && !d.edits().is_empty()),
    ("denied", |d| d.effect() == Effect::Deny && d.request().checkpoint() == "tool.call"),
    ("review", |d| d.effect() == Effect::Review),
    ("denied", |d| d.effect() == Effect::Deny && d.request().checkpoint() == "model.verify"),
];

/// Which kinds have been shown.
#[derive(Debug, Default)]
pub(super) struct Scenes {
    shown: [bool; KINDS.len()],
}

impl Scenes {
    /// The headline of a decision that is the first of a kind.
    pub(super) fn first_of_its_kind(&mut self, decision: &Decision) -> Option<&'static str> {
        let kinds = KINDS.iter().zip(&mut self.shown);
        let ((headline, _), shown) = kinds.into_iter().find(|((_, is), shown)| !**shown && is(decision))?;
        *shown = true;
        Some(headline)
    }

    #[cfg(test)]
    pub(super) fn missing(&self) -> Vec<&'static str> {
        KINDS.iter().zip(self.shown).filter(|(_, shown)| !shown).map(|((name, _), _)| *name).collect()
    }
}

/// A decision to show.
pub(super) struct Card<'a> {
    pub(super) decision: &'a Decision,
    pub(super) request: &'a Value,
    pub(super) headline: &'a str,
}

impl Card<'_> {
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let request = self.decision.request();
        let headline = format!("{:<8}", self.headline);
        let headline = match self.headline {
            "masked" => paint.cyan(headline),
            _ => paint.effect(self.decision.effect(), headline),
        };
        let system = request.system().unwrap_or("no system");
        let who = paint.faint(format!("{}, {system}", request.tenant()));
        let mut lines = vec![format!("{headline}  {}  {who}", paint.bold(format!("{:<17}", request.checkpoint())))];
        let mut body = self.asked();
        body.extend(self.masked(paint));
        body.extend(self.findings(paint));
        body.extend(self.failures(paint));
        body.push(paint.faint(self.signature()));
        lines.extend(body.into_iter().map(|line| format!("{INDENT}{line}")));
        lines
    }

    /// The text that was asked about, or the numbers.
    fn asked(&self) -> Vec<String> {
        let text = |key: &str| self.request.pointer(key).and_then(Value::as_str);
        let actor = text("/subject/id").unwrap_or("somebody");
        let content = self.request["content"].as_array();
        if let Some(part) = content.and_then(|parts| parts.last()) {
            let said = plain(part["text"].as_str().unwrap_or_default());
            let intro = match text("/action/name") {
                Some(action) => format!("{actor} calls {action}, which answers: "),
                None => format!("{actor}: "),
            };
            return wrapped(&format!("{intro}{said}"), WIDTH);
        }
        let mut lines = vec![match text("/resource/id") {
            Some(model) if text("/action/name").is_some() => format!("{actor} wants to ship {model}; selected were"),
            Some(model) => format!("{actor} reports about {model}"),
            None => actor.to_owned(),
        }];
        let measures = self.request["measures"].as_array();
        lines.extend(measures.into_iter().flatten().filter_map(selection).take(MOST));
        lines
    }

    /// The first text as it goes on.
    fn masked(&self, paint: Paint) -> Vec<String> {
        let Some(edited) = self.decision.edits().last().map(|merged: &MergedEdit| &merged.edit.at) else {
            return Vec::new();
        };
        let Ok(permit) = self.decision.clone().permit() else { return Vec::new() };
        let body: Value = serde_json::from_str(permit.body()).unwrap_or_default();
        let text = body.pointer(edited).and_then(Value::as_str).unwrap_or_default();
        let mut lines = wrapped(&format!("goes on as: {}", plain(text)), WIDTH);
        lines.iter_mut().for_each(|line| *line = paint.cyan(&*line));
        lines
    }

    fn findings(&self, paint: Paint) -> Vec<String> {
        let finding = |found: &weir::PolicyFinding| {
            let text = format!("{}  {}", plain(&found.finding.code), plain(&found.finding.message));
            let mut lines = wrapped(&text, WIDTH);
            lines.iter_mut().for_each(|line| *line = paint.effect(self.decision.effect(), &*line));
            lines
        };
        let findings = self.decision.findings().iter();
        let grave = findings.filter(|found| found.finding.severity > weir::Severity::Info);
        // A masked text shows what was found by what stands there instead.
        if self.headline == "masked" { Vec::new() } else { grave.take(2).flat_map(finding).collect() }
    }

    fn failures(&self, paint: Paint) -> Vec<String> {
        let failed =
            self.decision.policies().iter().filter_map(|report| Some((report, report.outcome.as_ref().err()?)));
        failed
            .map(|(report, failure)| {
                let after = time((report.micros * 1e3) as u64);
                format!("{}  after {after}", paint.red(format!("{}: failure {failure}", plain(&report.name))))
            })
            .collect()
    }

    fn signature(&self) -> String {
        let micros: f64 = self.decision.policies().iter().map(|report| report.micros).sum();
        let by = self.decision.decided_by().join(", ");
        let record = self.decision.record().unwrap_or("none");
        format!("by {by} in {}, record {record}", time((micros * 1e3) as u64))
    }
}

/// `sex=f  45 of 100  45 %`.
fn selection(measure: &Value) -> Option<String> {
    let (group, value, count) = (measure["group"].as_str()?, measure["value"].as_f64()?, measure["count"].as_f64()?);
    let percent = if count > 0.0 { value / count * 100.0 } else { 0.0 };
    Some(format!("  {:<14} {value:>5} of {count:>5}  {percent:>4.1} %", plain(group)))
}
