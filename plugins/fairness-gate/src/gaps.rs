//! The distances between the groups' rates: of selection, and of errors where labels exist.
//!
//! Definitions as in Fairlearn (`demographic_parity_difference`, `equal_opportunity_difference`, and
//! `equalized_odds_difference` as the larger of two gaps), after Hardt, Price and Srebro (2016); predictive parity after
//! Chouldechova (2017). That a gap above 0.10 asks for review is a convention of ours.

use weir_sdk::{Effect, Severity};

use crate::config::Config;
use crate::groups::{Group, Labels, Table};
use crate::report::{Entry, Report, Thousandths};
use crate::stats::{Share, gap};

/// Reports the gaps of one table, and asks for review where labels exist and a gap is too wide; without labels the
/// ratio and the test already say what there is to say about selection.
pub(crate) fn judge(table: &Table, config: &Config, report: &mut Report) {
    if table.groups.len() < 2 {
        return;
    }
    let labelled = table.groups.iter().all(|group| group.labels.is_some());
    let limit = labelled.then_some(config.max_gap);
    let tell = |kind, spread: Option<&Spread>, report: &mut Report| {
        if let Some(spread) = spread {
            tell(kind, spread, table, limit, report);
        }
    };
    let parity = spread("selection rate", table, |group| Some(group.selected), report);
    tell(PARITY, parity.as_ref(), report);
    if labelled {
        let hits = spread("true positive rate", table, labelled_share(true_positives), report);
        let alarms = spread("false positive rate", table, labelled_share(false_positives), report);
        let worth = spread("precision", table, labelled_share(precision), report);
        let odds = match (&hits, &alarms) {
            (Some(hit), Some(alarm)) if alarm.gap > hit.gap => Some(alarm),
            (Some(hit), _) => Some(hit),
            (None, alarm) => alarm.as_ref(),
        };
        tell(OPPORTUNITY, hits.as_ref(), report);
        tell(ODDS, odds, report);
        tell(PRECISION, worth.as_ref(), report);
    }
}

/// A measure of fairness: code of its finding, name of its score, name for people.
type Kind = (&'static str, &'static str, &'static str);

const PARITY: Kind =
    ("fairness.demographic_parity", "demographic_parity_difference", "demographic parity difference");
const OPPORTUNITY: Kind =
    ("fairness.equal_opportunity", "equal_opportunity_difference", "equal opportunity difference");
const ODDS: Kind = ("fairness.equalized_odds", "equalized_odds_difference", "equalized odds difference");
const PRECISION: Kind =
    ("fairness.predictive_parity", "predictive_parity_difference", "predictive parity difference");

/// Of those who deserved it, how many were selected.
fn true_positives(labels: Labels) -> Share {
    let hits = labels.true_positives;
    Share::new(hits, hits + labels.false_negatives)
}

/// Of those who did not deserve it, how many were selected.
fn false_positives(labels: Labels) -> Share {
    let alarms = labels.false_positives;
    Share::new(alarms, alarms + labels.true_negatives)
}

/// Of those who were selected, how many deserved it.
fn precision(labels: Labels) -> Share {
    let hits = labels.true_positives;
    Share::new(hits, hits + labels.false_positives)
}

fn labelled_share(rate: fn(Labels) -> Share) -> impl Fn(&Group) -> Option<Share> {
    move |group| group.labels.map(rate)
}

/// The groups with the highest and the lowest rate.
struct Spread<'t> {
    rate: &'static str,
    highest: (&'t Group, Share),
    lowest: (&'t Group, Share),
    gap: f64,
}

/// Finds the extremes among the groups that have the rate. A group without one (nobody in it deserved selection, say)
/// cannot be judged, and that asks for review.
fn spread<'t>(
    rate: &'static str,
    table: &'t Table,
    share: impl Fn(&Group) -> Option<Share>,
    report: &mut Report,
) -> Option<Spread<'t>> {
    let mut known = Vec::new();
    for group in &table.groups {
        match share(group) {
            Some(share) if share.whole > 0 => known.push((group, share)),
            _ => {
                report.tighten(Effect::Review);
                let entry = Entry {
                    code: "fairness.undefined_rate",
                    severity: Severity::Medium,
                    measure: group.measure,
                    measured: None,
                    threshold: None,
                };
                report.add(entry, format_args!("group `{}` has no {rate}: nobody in it counts for one", group.name));
            }
        }
    }
    // Groups come ordered by name; `reduce` keeps the first of equals.
    let pick = |better: fn(Share, Share) -> bool| {
        let known = known.iter().copied();
        known.reduce(|best, next| if better(next.1, best.1) { next } else { best })
    };
    let highest = pick(|next, best| next.cmp_rate(best).is_gt())?;
    let lowest = pick(|next, best| next.cmp_rate(best).is_lt())?;
    let gap = gap(highest.1, lowest.1);
    Some(Spread { rate, highest, lowest, gap })
}

fn tell((code, score, title): Kind, spread: &Spread, table: &Table, limit: Option<f64>, report: &mut Report) {
    let Spread { rate, highest, lowest, gap } = spread;
    let wide = limit.is_some_and(|limit| *gap > limit);
    if wide {
        report.tighten(Effect::Review);
    }
    report.worst(score, *gap);
    let entry = Entry {
        code,
        severity: if wide { Severity::Medium } else { Severity::Info },
        measure: lowest.0.measure,
        measured: Some(*gap),
        threshold: limit,
    };
    let [difference, high, low] = [*gap, highest.1.rate(), lowest.1.rate()].map(Thousandths);
    report.add(
        entry,
        format_args!(
            "{title} by `{}` is {difference}: {rate} {high} in `{}`, {low} in `{}`",
            table.attributes, highest.0.name, lowest.0.name,
        ),
    );
}
