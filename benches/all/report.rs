//! What is printed: a line of JSON for each figure, or a table for people.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::measure::Ratio;

/// One figure, as the README's table takes it.
#[derive(Serialize)]
pub(crate) struct Figure {
    figure: &'static str,
    value: f64,
    unit: &'static str,
    against: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<&'static str>,
    command: String,
    /// What helps to judge the value: its spread, and absolute times of this machine on this day.
    #[serde(flatten)]
    beside: BTreeMap<&'static str, f64>,
}

impl Figure {
    pub(crate) fn new(figure: &'static str, value: f64, unit: &'static str, against: &'static str) -> Figure {
        let command = format!("cargo bench -p weir-benches -- --json {figure}");
        Figure { figure, value: rounded(value), unit, against, goal: None, command, beside: BTreeMap::new() }
    }

    /// A ratio with the spread of its rounds and the times behind it.
    pub(crate) fn ratio(figure: &'static str, ratio: &Ratio, against: &'static str) -> Figure {
        Figure::new(figure, ratio.value, "ratio", against)
            .beside("p10", ratio.spread.0)
            .beside("p90", ratio.spread.1)
            .beside("micros", ratio.micros.0)
            .beside("micros_against", ratio.micros.1)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.figure
    }

    pub(crate) fn goal(self, goal: &'static str) -> Figure {
        Figure { goal: Some(goal), ..self }
    }

    pub(crate) fn beside(mut self, name: &'static str, value: f64) -> Figure {
        self.beside.insert(name, rounded(value));
        self
    }

    pub(crate) fn print(&self, json: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            serde_json::to_writer(&mut out, self)?;
            return writeln!(out);
        }
        let Figure { figure, value, unit, against, .. } = self;
        let goal = self.goal.map_or_else(String::new, |goal| format!(" (goal {goal})"));
        let beside: Vec<String> = self.beside.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let beside = beside.join(", ");
        writeln!(out, "{figure:30} {value:>10} {unit}{goal}\n{:30}   against {against}\n{:30}   {beside}", "", "")
    }
}

/// Three digits behind the point: more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
