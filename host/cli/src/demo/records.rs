//! Records read back: what `weir demo` says at the end is what somebody would find in the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir::Effect;

use crate::exit::{Failed, OrFail};
use crate::table::Table;
use crate::tally::{Call, Effects, Tally};
use crate::terminal::{Paint, count};

/// Counts over the records of a folder.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) decisions: u64,
    pub(super) tally: Tally,
    checkpoints: BTreeMap<String, CheckpointTally>,
}

#[derive(Debug, Default)]
struct CheckpointTally {
    effects: Effects,
    /// Allowed with edits.
    masked: u64,
    tenants: BTreeSet<String>,
}

/// A line of a file. Other kinds than `decision` tell of repairs and failed disks.
#[derive(Deserialize)]
struct Line {
    record: String,
    kind: String,
    decision: Option<DecisionLine>,
}

#[derive(Deserialize)]
struct DecisionLine {
    checkpoint: String,
    tenant: String,
    effect: EffectName,
    decided_by: Vec<String>,
    edits: Vec<serde::de::IgnoredAny>,
    policies: Vec<PolicyLine>,
    shadow: Vec<PolicyLine>,
}

#[derive(Deserialize)]
struct PolicyLine {
    name: String,
    /// Of a policy that counted.
    effect: Option<EffectName>,
    /// Of a policy in shadow.
    verdict: Option<VerdictLine>,
    failure: Option<FailureLine>,
    /// Missing where the clock ended the policy.
    #[serde(default)]
    fuel: u64,
    micros: f64,
}

#[derive(Deserialize)]
struct VerdictLine {
    effect: EffectName,
}

#[derive(Deserialize)]
struct FailureLine {
    kind: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EffectName {
    Allow,
    Review,
    Deny,
}

impl From<EffectName> for Effect {
    fn from(name: EffectName) -> Effect {
        match name {
            EffectName::Allow => Effect::Allow,
            EffectName::Review => Effect::Review,
            EffectName::Deny => Effect::Deny,
        }
    }
}

/// The number in a record's name, such as 4711 in `host-1/4711`.
pub(super) fn number(record: &str) -> Option<u64> {
    record.rsplit_once('/')?.1.parse().ok()
}

impl Records {
    /// Reads the records of a folder from number `first` on; without one there is none.
    pub(super) fn read(folder: &Path, first: Option<u64>) -> Result<Records, Failed> {
        let mut records = Records::default();
        let Some(first) = first else { return Ok(records) };
        each_line(folder, |line| records.add(line, first))?;
        Ok(records)
    }

    fn add(&mut self, line: Line, first: u64) {
        let wanted = line.kind == "decision" && number(&line.record).is_some_and(|number| number >= first);
        let Some(decision) = line.decision.filter(|_| wanted) else { return };
        self.decisions += 1;
        let effect = Effect::from(decision.effect);
        self.tally.add_ruling(effect, &decision.decided_by);
        for (policies, shadow) in [(&decision.policies, false), (&decision.shadow, true)] {
            policies.iter().filter_map(|policy| policy.call(shadow)).for_each(|call| self.tally.add_call(&call));
        }
        let checkpoint = self.checkpoints.entry(decision.checkpoint).or_default();
        checkpoint.effects.add(effect);
        checkpoint.masked += u64::from(effect == Effect::Allow && !decision.edits.is_empty());
        checkpoint.tenants.insert(decision.tenant);
    }

    /// One row for each checkpoint.
    pub(super) fn checkpoint_table(&self, paint: Paint) -> Vec<String> {
        let mut table =
            Table::new(&["checkpoint", ">decisions", ">allow", ">masked", ">review", ">deny", ">tenants"]);
        for (name, CheckpointTally { effects, masked, tenants }) in &self.checkpoints {
            let numbers = [effects.sum(), effects.allow, *masked, effects.review, effects.deny, tenants.len() as u64];
            table.row([name.clone()].into_iter().chain(numbers.map(count)));
        }
        table.painted(paint)
    }
}

impl PolicyLine {
    fn call(&self, shadow: bool) -> Option<Call<'_>> {
        let effect = self.effect.or(self.verdict.as_ref().map(|verdict| verdict.effect));
        let outcome = match (&self.failure, effect) {
            (Some(failure), _) => Err(failure.kind.clone()),
            (None, Some(effect)) => Ok(effect.into()),
            (None, None) => return None,
        };
        Some(Call { policy: &self.name, shadow, outcome, fuel: self.fuel, micros: self.micros })
    }
}

/// Reads every line of a folder's files, oldest first.
pub(super) fn each_line<L: DeserializeOwned>(folder: &Path, mut take: impl FnMut(L)) -> Result<(), Failed> {
    for path in segments(folder)? {
        let file = File::open(&path).or_environment("read", path.display())?;
        for (index, line) in BufReader::new(file).lines().enumerate() {
            let line = line.or_environment("read", path.display())?;
            take(serde_json::from_str(&line).map_err(|error| {
                let place = format!("cannot read `{}`, line {}", path.display(), index + 1);
                Failed::environment(anyhow::Error::new(error).context(place))
            })?);
        }
    }
    Ok(())
}

/// The files of a folder, oldest first: their names carry the number of their first record.
fn segments(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder).or_environment("read", folder.display())? {
        let path = entry.or_environment("read", folder.display())?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            segments.push(path);
        }
    }
    segments.sort();
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_counted_and_other_lines_are_not() {
        let policy = r#"{"name":"pii","effect":"allow","fuel":10,"micros":1.5}"#;
        let failed =
            r#"{"name":"loop","failure":{"kind":"fuel","detail":"limit 1"},"counted_as":"deny","fuel":1,"micros":2}"#;
        let shadow = r#"{"name":"strict","verdict":{"effect":"review"},"fuel":10,"micros":1.5}"#;
        let decision = format!(
            r#"{{"v":1,"record":"h/2","kind":"decision","decision":{{"checkpoint":"c","tenant":"t","effect":"deny",
               "decided_by":["loop"],"edits":[{{"at":"/x"}}],"policies":[{policy},{failed}],"shadow":[{shadow}]}}}}"#
        );
        let mut records = Records::default();
        for line in [decision.as_str(), r#"{"v":1,"record":"h/3","kind":"repair","cut_bytes":7}"#] {
            records.add(serde_json::from_str(line).unwrap(), 2);
            records.add(serde_json::from_str(line).unwrap(), 4);
        }
        assert_eq!((records.decisions, records.tally.effects.deny), (1, 1));
        let names: Vec<_> = records.tally.policies.iter().map(|p| (p.name.as_str(), p.calls(), p.shadow)).collect();
        assert_eq!(names, [("pii", 1, Some(false)), ("loop", 1, Some(false)), ("strict", 1, Some(true))]);
        assert_eq!(records.checkpoint_table(Paint::none()).len(), 2);
    }
}
