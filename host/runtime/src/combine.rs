//! All answers to one request become one [`Ruling`]: a pure function, and the only place that knows the rules.
//!
//! Deny over review over allow; a failure counts as what its policy's `on_failure` says; the order of the answers does
//! not matter; one more policy never loosens the result. Edits merge: equal ones once, and overlapping different ones
//! become their union, replaced by `[REDACTED]`, since neither author saw the other's text. Scores keep the maximum,
//! findings and obligations unite.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::verdict::{Edit, Effect, Failure, Finding, Verdict};

/// What stands where policies replace overlapping spans by different texts.
pub(crate) const REDACTED: &str = "[REDACTED]";

/// One policy's outcome, ready to be combined.
pub(crate) struct Judged<'a> {
    pub(crate) policy: &'a str,
    pub(crate) outcome: &'a Result<Verdict, Failure>,
    /// The effect it brings into the ruling: the verdict's, or what a failure of this policy counts as now.
    pub(crate) counted_as: Effect,
}

/// A finding and the policy that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyFinding {
    /// The policy's name in the set.
    pub policy: String,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// An edit and the policies that asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedEdit {
    /// The replacement to make.
    #[serde(flatten)]
    pub edit: Edit,
    /// Names of the policies, sorted.
    pub policies: Vec<String>,
}

/// An obligation and the policies that impose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MergedObligation {
    /// What must be done.
    pub name: String,
    /// The rules behind it, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// Names of the policies, sorted.
    pub policies: Vec<String>,
}

/// The combined result, not yet recorded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ruling {
    pub(crate) effect: Effect,
    pub(crate) decided_by: Vec<String>,
    pub(crate) findings: Vec<PolicyFinding>,
    pub(crate) edits: Vec<MergedEdit>,
    pub(crate) scores: BTreeMap<String, f64>,
    pub(crate) obligations: Vec<MergedObligation>,
}

impl Ruling {
    /// A ruling made by the host itself, named in `decided_by`.
    pub(crate) fn by_host(effect: Effect, reason: &str) -> Ruling {
        Ruling {
            effect,
            decided_by: vec![reason.to_owned()],
            findings: Vec::new(),
            edits: Vec::new(),
            scores: BTreeMap::new(),
            obligations: Vec::new(),
        }
    }
}

/// Combines the outcomes of all policies that applied and are enforced; none at all is `unbound`'s effect.
pub(crate) fn combine(judged: &[Judged<'_>], unbound: Effect) -> Ruling {
    if judged.is_empty() {
        return Ruling::by_host(unbound, "unbound");
    }
    let mut sorted: Vec<&Judged<'_>> = judged.iter().collect();
    sorted.sort_by_key(|judged| judged.policy);
    let effect = sorted.iter().map(|judged| judged.counted_as).max().unwrap_or(Effect::Deny);
    let verdicts: Vec<(&str, &Verdict)> =
        sorted.iter().filter_map(|judged| Some((judged.policy, judged.outcome.as_ref().ok()?))).collect();
    Ruling {
        effect,
        decided_by: sorted.iter().filter(|j| j.counted_as == effect).map(|j| j.policy.to_owned()).collect(),
        findings: findings(&verdicts),
        edits: merge_edits(verdicts.iter().flat_map(|(policy, v)| v.edits.iter().map(move |edit| (*policy, edit)))),
        scores: scores(&verdicts),
        obligations: obligations(&verdicts),
    }
}

fn findings(verdicts: &[(&str, &Verdict)]) -> Vec<PolicyFinding> {
    let of = |(policy, verdict): &(&str, &Verdict)| {
        let policy = (*policy).to_owned();
        verdict
            .findings
            .iter()
            .cloned()
            .map(move |finding| PolicyFinding { policy: policy.clone(), finding })
            .collect::<Vec<_>>()
    };
    verdicts.iter().flat_map(of).collect()
}

fn scores(verdicts: &[(&str, &Verdict)]) -> BTreeMap<String, f64> {
    let mut highest = BTreeMap::new();
    for (name, score) in verdicts.iter().flat_map(|(_, verdict)| &verdict.scores) {
        let entry = highest.entry(name.clone()).or_insert(*score);
        *entry = score.max(*entry);
    }
    highest
}

fn obligations(verdicts: &[(&str, &Verdict)]) -> Vec<MergedObligation> {
    let mut united: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for (policy, verdict) in verdicts {
        for obligation in &verdict.obligations {
            let (because, policies) = united.entry(&obligation.name).or_default();
            because.extend(obligation.because.iter().map(String::as_str));
            policies.insert(policy);
        }
    }
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    let merged = |(name, (because, policies)): (&str, (BTreeSet<&str>, BTreeSet<&str>))| MergedObligation {
        name: name.to_owned(),
        because: owned(because),
        policies: owned(policies),
    };
    united.into_iter().map(merged).collect()
}

/// Edits of one text that touch each other, grown while the sorted edits are walked.
struct Cluster<'a> {
    at: &'a str,
    start: u32,
    end: u32,
    replacements: BTreeSet<(u32, u32, &'a str)>,
    policies: BTreeSet<&'a str>,
}

impl<'a> Cluster<'a> {
    fn of(policy: &'a str, edit: &'a Edit) -> Cluster<'a> {
        let mut cluster = Cluster {
            at: &edit.at,
            start: edit.start,
            end: edit.end,
            replacements: BTreeSet::new(),
            policies: BTreeSet::new(),
        };
        cluster.add(policy, edit);
        cluster
    }

    /// Whether `edit`, which does not start before this cluster, shares a byte or an insertion point with it.
    fn meets(&self, edit: &Edit) -> bool {
        let same_point = self.start == self.end && edit.start == edit.end && self.start == edit.start;
        self.at == edit.at && (edit.start < self.end || same_point)
    }

    fn add(&mut self, policy: &'a str, edit: &'a Edit) {
        self.end = self.end.max(edit.end);
        self.replacements.insert((edit.start, edit.end, &edit.replacement));
        self.policies.insert(policy);
    }

    fn merged(self) -> MergedEdit {
        let replacement = match self.replacements.first() {
            Some((_, _, text)) if self.replacements.len() == 1 => text,
            _ => REDACTED,
        };
        MergedEdit {
            edit: Edit {
                at: self.at.to_owned(),
                start: self.start,
                end: self.end,
                replacement: replacement.to_owned(),
            },
            policies: self.policies.into_iter().map(str::to_owned).collect(),
        }
    }
}

fn merge_edits<'a>(edits: impl Iterator<Item = (&'a str, &'a Edit)>) -> Vec<MergedEdit> {
    let mut sorted: Vec<(&str, &Edit)> = edits.collect();
    sorted.sort_by_key(|(_, edit)| (&edit.at, edit.start, edit.end));
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for (policy, edit) in sorted {
        match clusters.last_mut() {
            Some(cluster) if cluster.meets(edit) => cluster.add(policy, edit),
            _ => clusters.push(Cluster::of(policy, edit)),
        }
    }
    clusters.into_iter().map(Cluster::merged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{FailureKind, Obligation, Severity};
    use proptest::prelude::*;

    type Answer = (Result<Verdict, Failure>, Effect);

    fn combined(answers: &[(String, Answer)]) -> Ruling {
        let judged: Vec<Judged<'_>> = answers
            .iter()
            .map(|(policy, (outcome, on_failure))| {
                let counted_as = outcome.as_ref().map_or(*on_failure, |verdict| verdict.effect);
                Judged { policy, outcome, counted_as }
            })
            .collect();
        combine(&judged, Effect::Deny)
    }

    fn edit(start: u32, end: u32, replacement: &str) -> Edit {
        Edit { at: "/content/0/text".into(), start, end, replacement: replacement.into() }
    }

    fn merged(edits: &[(&str, Edit)]) -> Vec<(u32, u32, String, String)> {
        merge_edits(edits.iter().map(|(policy, edit)| (*policy, edit)))
            .into_iter()
            .map(|m| (m.edit.start, m.edit.end, m.edit.replacement, m.policies.join("+")))
            .collect()
    }

    #[test]
    fn nothing_that_applies_is_unbound() {
        assert_eq!(combine(&[], Effect::Deny), Ruling::by_host(Effect::Deny, "unbound"));
        assert_eq!(combine(&[], Effect::Allow).decided_by, ["unbound"]);
    }

    #[test]
    fn edits_merge_and_conflicts_are_redacted() {
        let same = [("a", edit(0, 4, "X")), ("b", edit(0, 4, "X"))];
        assert_eq!(merged(&same), [(0, 4, "X".into(), "a+b".into())]);
        let neighbours = [("a", edit(0, 4, "X")), ("b", edit(4, 6, "Y"))];
        assert_eq!(merged(&neighbours).len(), 2);
        let overlap = [("b", edit(3, 9, "Y")), ("a", edit(0, 4, "X")), ("c", edit(8, 12, "Z"))];
        assert_eq!(merged(&overlap), [(0, 12, REDACTED.into(), "a+b+c".into())]);
        let other_text = [("a", edit(0, 4, "X")), ("b", edit(0, 4, "Y"))];
        assert_eq!(merged(&other_text), [(0, 4, REDACTED.into(), "a+b".into())]);
        let insertions = [("a", edit(2, 2, "X")), ("b", edit(2, 2, "Y")), ("c", edit(2, 5, "Z"))];
        assert_eq!(merged(&insertions), [(2, 2, REDACTED.into(), "a+b".into()), (2, 5, "Z".into(), "c".into())]);
    }

    fn effect() -> impl Strategy<Value = Effect> {
        prop_oneof![Just(Effect::Allow), Just(Effect::Review), Just(Effect::Deny)]
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        let finding = ("[a-c]", 0u32..9).prop_map(|(code, start)| Finding {
            code,
            severity: Severity::Low,
            message: String::new(),
            at: None,
            start: Some(start),
            end: None,
            measured: None,
            threshold: None,
            because: vec![],
        });
        let edit = ("/[ab]", 0u32..12, 0u32..6, "[xy]").prop_map(|(at, start, length, replacement)| Edit {
            at,
            start,
            end: start + length,
            replacement,
        });
        let obligation =
            ("[a-c]", prop::collection::vec("[r-t]", 0..3)).prop_map(|(name, because)| Obligation { name, because });
        (
            effect(),
            prop::collection::vec(finding, 0..3),
            prop::collection::vec(edit, 0..4),
            prop::collection::btree_map("[a-c]", 0.0..=1.0f64, 0..3),
            prop::collection::vec(obligation, 0..3),
        )
            .prop_map(|(effect, findings, edits, scores, obligations)| Verdict {
                effect,
                findings,
                edits,
                scores,
                obligations,
            })
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let failure = Just(Failure::new(FailureKind::Trap, "unreachable"));
        (prop_oneof![3 => verdict().prop_map(Ok), 1 => failure.prop_map(Err)], effect())
    }

    fn answers() -> impl Strategy<Value = Vec<(String, Answer)>> {
        prop::collection::btree_map("[a-f]", answer(), 1..6).prop_map(|answers| answers.into_iter().collect())
    }

    proptest! {
        #[test]
        fn order_does_not_matter((sorted, shuffled) in answers().prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle()))) {
            prop_assert_eq!(combined(&sorted), combined(&shuffled));
        }

        #[test]
        fn one_more_policy_never_loosens(answers in answers(), more in answer()) {
            let before = combined(&answers);
            let mut with_more = answers;
            with_more.push(("zz".to_owned(), more));
            let after = combined(&with_more);
            prop_assert!(after.effect >= before.effect);
            prop_assert!(after.findings.len() >= before.findings.len());
            for (name, score) in &before.scores {
                prop_assert!(after.scores[name] >= *score);
            }
            for obligation in &before.obligations {
                prop_assert!(after.obligations.iter().any(|o| o.name == obligation.name));
            }
            // Every byte that was replaced before is still replaced.
            for edit in before.edits.iter().map(|merged| &merged.edit) {
                prop_assert!(after.edits.iter().map(|m| &m.edit).any(|e| e.at == edit.at && e.start <= edit.start && e.end >= edit.end));
            }
        }

        #[test]
        fn a_failure_counts_as_its_policy_says(answers in answers()) {
            let ruling = combined(&answers);
            let strictest = answers.iter().map(|(_, (o, f))| o.as_ref().map_or(*f, |v| v.effect)).max();
            prop_assert_eq!(Some(ruling.effect), strictest);
            prop_assert!(!ruling.decided_by.is_empty());
            let deciding: Vec<&String> = answers.iter()
                .filter(|(_, (o, f))| o.as_ref().map_or(*f, |v| v.effect) == ruling.effect).map(|(name, _)| name).collect();
            prop_assert_eq!(ruling.decided_by.iter().collect::<Vec<_>>(), deciding);
        }

        #[test]
        fn merged_edits_never_overlap(answers in answers()) {
            let edits = combined(&answers).edits;
            for pair in edits.windows(2) {
                let (a, b) = (&pair[0].edit, &pair[1].edit);
                prop_assert!(a.at < b.at || a.end <= b.start);
            }
        }
    }
}
