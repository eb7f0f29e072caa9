//! What the records say about an act in which the policies changed: whether any decision was lost, late or mixed.
//!
//! Two accounts are compared: what callers were told, and what the files say. The generations a host had say which
//! modules each decision must name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use weir::{Digest, Effect, Generation};

use super::callers::Told;
use super::operator;
use super::records::{self, EffectName};
use crate::exit::Failed;
use crate::table::Table;
use crate::tally::Effects;
use crate::terminal::{Paint, count, counted, shortened};

/// Faults that are named; the rest is counted.
const MOST: usize = 3;

/// A line of a file.
#[derive(Deserialize)]
struct Line {
    record: String,
    decision: Option<DecisionLine>,
}

#[derive(Deserialize)]
struct DecisionLine {
    generation: GenerationLine,
    effect: EffectName,
    edits: Vec<serde::de::IgnoredAny>,
    policies: Vec<PolicyLine>,
    shadow: Vec<PolicyLine>,
}

#[derive(Deserialize)]
struct GenerationLine {
    number: u64,
    digest: Digest,
}

#[derive(Deserialize)]
struct PolicyLine {
    name: String,
    module: Digest,
    config: Digest,
    failure: Option<FailureLine>,
}

#[derive(Deserialize)]
struct FailureLine {
    kind: String,
}

/// What a generation was made of.
#[derive(Debug)]
struct Made {
    digest: Digest,
    policies: BTreeMap<String, Part>,
    /// What sets it apart, for people.
    about: String,
}

/// What a policy was made of in a generation.
#[derive(Debug)]
struct Part {
    module: Digest,
    shadow: bool,
    /// As text, since records have only its digest.
    config: String,
}

/// The decisions of one generation.
#[derive(Debug, Default)]
struct Row {
    effects: Effects,
    masked: u64,
    first: u64,
    last: u64,
}

/// The outcome of the comparison.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    asked: u64,
    decisions: u64,
    /// Policies in decisions, each compared with its generation.
    compared: u64,
    made: BTreeMap<u64, Made>,
    rows: BTreeMap<u64, Row>,
    /// Each policy's configurations with the digests that decisions have for them, and the other way round.
    configs: BTreeMap<(String, String), BTreeSet<Digest>>,
    digests: BTreeMap<(String, Digest), BTreeSet<String>>,
    lost: Vec<String>,
    late: Vec<String>,
    mixed: Vec<String>,
    went_back: Vec<String>,
}

impl Evidence {
    /// Reads the records of the act, which is the last one of the folder, and compares.
    pub(super) fn gather(folder: &Path, told: &Told, generations: &[Arc<Generation>]) -> Result<Evidence, Failed> {
        let made = generations.iter().map(|generation| (generation.id().number.get(), made(generation))).collect();
        let first = told.callers.iter().flatten().filter_map(|answer| answer.record).min().unwrap_or(u64::MAX);
        let mut decisions = BTreeMap::new();
        records::each_line(folder, |line: Line| {
            let number = records::number(&line.record).filter(|number| *number >= first);
            decisions.extend(number.zip(line.decision));
        })?;
        Ok(Evidence::compare(told, made, &decisions))
    }

    fn compare(told: &Told, made: BTreeMap<u64, Made>, decisions: &BTreeMap<u64, DecisionLine>) -> Evidence {
        let (asked, number) = (told.asked, decisions.len() as u64);
        let mut evidence = Evidence { asked, decisions: number, made, ..Evidence::default() };
        decisions.iter().for_each(|(record, decision)| evidence.add(*record, decision));
        evidence.compare_configs();
        evidence.compare_answers(told, decisions);
        evidence
    }

    /// Counts a decision, and compares it with what its generation was made of.
    fn add(&mut self, record: u64, decision: &DecisionLine) {
        let number = decision.generation.number;
        let row = self.rows.entry(number).or_insert_with(|| Row { first: record, ..Row::default() });
        let effect = Effect::from(decision.effect);
        row.effects.add(effect);
        row.masked += u64::from(effect == Effect::Allow && !decision.edits.is_empty());
        row.last = record;
        let policies = decision.policies.iter().map(|policy| (policy, false));
        let all: Vec<_> = policies.chain(decision.shadow.iter().map(|policy| (policy, true))).collect();
        for (policy, _) in &all {
            if let Some(failure) = &policy.failure {
                self.late.push(format!("record {record}: `{}` failed: {}", policy.name, failure.kind));
            }
        }
        let Some(made) = self.made.get(&number).filter(|made| made.digest == decision.generation.digest) else {
            return self.mixed.push(format!("record {record} names a generation {number} that was never in force"));
        };
        for (policy, shadow) in all {
            self.compared += 1;
            let part = made.policies.get(&policy.name);
            let Some(part) = part.filter(|part| part.module == policy.module && part.shadow == shadow) else {
                self.mixed.push(format!("record {record}: `{}` is not of generation {number}", policy.name));
                continue;
            };
            let (name, config) = (policy.name.clone(), part.config.clone());
            self.configs.entry((name.clone(), config.clone())).or_default().insert(policy.config);
            self.digests.entry((name, policy.config)).or_default().insert(config);
        }
    }

    /// Equal configurations have equal digests, and others have others: so no decision has another generation's.
    fn compare_configs(&mut self) {
        let two_digests = self.configs.iter().filter(|(_, digests)| digests.len() > 1).map(|((name, _), _)| name);
        let two_configs = self.digests.iter().filter(|(_, configs)| configs.len() > 1).map(|((name, _), _)| name);
        let names: BTreeSet<&String> = two_digests.chain(two_configs).collect();
        let fault = |name: &&String| format!("decisions of `{name}` have the configuration of another generation");
        self.mixed.extend(names.iter().map(fault));
    }

    /// Every answer has its record, which names the generation the caller was told; no caller's generation goes back.
    fn compare_answers(&mut self, told: &Told, decisions: &BTreeMap<u64, DecisionLine>) {
        if told.asked != self.decisions {
            self.lost.push(format!("{} asked, {} recorded", count(told.asked), count(self.decisions)));
        }
        let mut records = BTreeSet::new();
        for caller in &told.callers {
            for answer in caller {
                let recorded = answer.record.filter(|record| records.insert(*record));
                let recorded = recorded.and_then(|record| decisions.get(&record));
                if recorded.is_none_or(|decision| decision.generation.number != answer.generation) {
                    self.lost.push(format!("an answer of generation {} has no record", answer.generation));
                }
            }
            let pairs = caller.windows(2).map(|pair| (pair[0], pair[1]));
            for (before, after) in pairs.filter(|(a, b)| a.generation > b.generation || a.record >= b.record) {
                let (from, to) = (before.generation, after.generation);
                self.went_back.push(format!("a caller was answered by generation {from} and then {to}"));
            }
        }
    }

    /// One row for each generation.
    pub(super) fn table(&self, paint: Paint) -> Vec<String> {
        let head = ["generation", "policies", ">decisions", ">allow", ">masked", ">review", ">deny", ">records", ""];
        let mut table = Table::new(&head);
        for (number, Row { effects, masked, first, last, .. }) in &self.rows {
            let about = self.made.get(number).map_or("", |made| made.about.as_str());
            let numbers = [effects.sum(), effects.allow, *masked, effects.review, effects.deny].map(count);
            let records = [count(*first), format!("to {}", count(*last))];
            table.row([number.to_string(), about.to_owned()].into_iter().chain(numbers).chain(records));
        }
        let mut lines = table.painted(paint);
        if self.rows.values().zip(self.rows.values().skip(1)).any(|(before, after)| before.last > after.first) {
            let overlap = "What began under one generation ended under it, while the next one answered already.";
            lines.push(paint.faint(overlap));
        }
        lines
    }

    /// What was compared, and whether it holds.
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let (requests, compared) = (counted(self.asked, "request"), counted(self.compared, "policy"));
        let rows = [
            (&self.lost, "lost", format!("{requests} asked, each answered and recorded")),
            (&self.late, "late", "no policy missed its deadline or failed otherwise".to_owned()),
            (
                &self.mixed,
                "mixed",
                format!("each decision has one generation's modules and settings: {compared} compared"),
            ),
            (&self.went_back, "went back", "no caller was answered by an older generation than before".to_owned()),
        ];
        let line = |(faults, what, fine): (&Vec<String>, &str, String)| match faults.len() {
            0 => format!("{}  {fine}", paint.green(format!("none {what:<9}"))),
            number => format!("{}  {}", paint.red(format!("{} {what}", count(number as u64))), named(faults)),
        };
        rows.map(line).to_vec()
    }

    /// Whether everything is as it should be.
    pub(super) fn holds(&self) -> bool {
        [&self.lost, &self.late, &self.mixed, &self.went_back].iter().all(|faults| faults.is_empty())
    }

    /// All of it in a line, or what is wrong.
    pub(super) fn summary(&self, paint: Paint) -> Vec<String> {
        if !self.holds() {
            return self.lines(paint);
        }
        let generations = counted(self.rows.len() as u64, "generation");
        let text = format!("{} of them while the policies changed, by {generations}", count(self.decisions));
        vec![paint.green(format!("{text}: none lost, late or mixed"))]
    }
}

/// The first few of many.
fn named(faults: &[String]) -> String {
    let shown: Vec<&str> = faults.iter().take(MOST).map(String::as_str).collect();
    let more = if faults.len() > MOST { "; …" } else { "" };
    shortened(&shown.join("; "), 300) + more
}

fn made(generation: &Generation) -> Made {
    let plan = generation.plan();
    let part = |policy: &weir::PlannedPolicy| {
        let (module, shadow, config) = (policy.digest, policy.mode == "shadow", policy.config.to_string());
        (policy.name.clone(), Part { module, shadow, config })
    };
    let pii = plan.policies.iter().find(|policy| policy.name == operator::CHANGED);
    let action = pii.and_then(|policy| policy.config["action"].as_str()).unwrap_or_default();
    let about = match generation.restores() {
        Some(number) => format!("those of generation {number}"),
        None => format!("{} says {action}", operator::CHANGED),
    };
    Made { digest: plan.digest, policies: plan.policies.iter().map(part).collect(), about }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::callers::Answer;

    fn module() -> Digest {
        Digest::of(b"module")
    }

    fn set(number: u64) -> Digest {
        Digest::of(&[number as u8])
    }

    /// A decision of the set of one generation, with the policy's configuration of another.
    fn decision(number: u64, config: u64) -> DecisionLine {
        let config = Digest::of(&[config as u8]);
        DecisionLine {
            generation: GenerationLine { number, digest: set(if number == 3 { 1 } else { number }) },
            effect: EffectName::Deny,
            edits: Vec::new(),
            policies: vec![PolicyLine { name: "p".into(), module: module(), config, failure: None }],
            shadow: Vec::new(),
        }
    }

    /// Three generations, the last one as the first; a caller, and what it was told.
    fn story() -> (Told, BTreeMap<u64, DecisionLine>) {
        let answer = |(record, generation)| Answer { record: Some(record), generation };
        let caller = [(10, 1), (11, 2), (12, 3)].map(answer).to_vec();
        let decisions = BTreeMap::from([(10, decision(1, 1)), (11, decision(2, 2)), (12, decision(3, 1))]);
        (Told { asked: 3, callers: vec![caller] }, decisions)
    }

    fn compared((told, decisions): (Told, BTreeMap<u64, DecisionLine>)) -> Evidence {
        let made = |(number, like): (u64, u64)| {
            let part = Part { module: module(), shadow: false, config: like.to_string() };
            let policies = BTreeMap::from([("p".to_owned(), part)]);
            (number, Made { digest: set(like), policies, about: String::new() })
        };
        Evidence::compare(&told, [(1, 1), (2, 2), (3, 1)].map(made).into(), &decisions)
    }

    /// The names of what does not hold after a change of the story.
    fn faults(change: impl FnOnce(&mut Told, &mut BTreeMap<u64, DecisionLine>)) -> Vec<String> {
        let (mut told, mut decisions) = story();
        change(&mut told, &mut decisions);
        let evidence = compared((told, decisions));
        assert_eq!(evidence.holds(), evidence.summary(Paint::none()).len() == 1);
        let lines = evidence.lines(Paint::none());
        let faults = lines.iter().filter(|line| !line.starts_with("none "));
        faults.map(|line| line.split_once("  ").unwrap().0.to_owned()).collect()
    }

    #[test]
    fn a_good_story_holds() {
        assert_eq!(faults(|_, _| ()), Vec::<String>::new());
        let evidence = compared(story());
        assert_eq!((evidence.compared, evidence.table(Paint::none()).len()), (3, 4));
        let summary = "3 of them while the policies changed, by 3 generations: none lost, late or mixed";
        assert_eq!(evidence.summary(Paint::none()), [summary]);
    }

    #[test]
    fn every_fault_is_found() {
        let policy = |decisions: &mut BTreeMap<u64, DecisionLine>, change: fn(&mut PolicyLine)| {
            change(&mut decisions.get_mut(&12).unwrap().policies[0]);
        };
        assert_eq!(faults(|told, _| told.asked = 4), ["1 lost"]);
        assert_eq!(faults(|told, _| told.callers[0][1].record = None), ["1 lost", "1 went back"]);
        assert_eq!(faults(|_, decisions| drop(decisions.remove(&11))), ["2 lost"]);
        assert_eq!(faults(|told, _| told.callers[0][1].generation = 1), ["1 lost"]);
        assert_eq!(faults(|told, _| told.callers[0].swap(0, 1)), ["1 went back"]);
        assert_eq!(faults(|_, all| policy(all, |p| p.module = Digest::of(b"other"))), ["1 mixed"]);
        assert_eq!(faults(|_, all| policy(all, |p| p.config = Digest::of(&[2]))), ["1 mixed"]);
        assert_eq!(faults(|_, all| policy(all, |p| p.name = "q".into())), ["1 mixed"]);
        assert_eq!(faults(|_, all| all.get_mut(&11).unwrap().generation.digest = set(1)), ["1 mixed"]);
        let other_config = |p: &mut PolicyLine| p.config = Digest::of(&[1]);
        assert_eq!(faults(|_, all| other_config(&mut all.get_mut(&11).unwrap().policies[0])), ["1 mixed"]);
        let late = |p: &mut PolicyLine| p.failure = Some(FailureLine { kind: "deadline".into() });
        assert_eq!(faults(|_, all| policy(all, late)), ["1 late"]);
    }
}
