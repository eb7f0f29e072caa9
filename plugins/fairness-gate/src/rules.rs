//! What the rates mean: the four-fifths rule, the significance test and the limits of small numbers, on one table.

use std::fmt;

use weir_sdk::{Effect, Severity};

use crate::config::{Config, Method, OnSmall};
use crate::groups::{Group, Table};
use crate::report::{Entry, Report, Thousandths};
use crate::stats::{Share, deviations, exchange, fisher, impact_ratio, smallest_expected};

/// Judges the selection rates of one attribute or intersection.
pub(crate) fn judge(table: &Table, config: &Config, report: &mut Report) {
    comparable(table, report);
    for group in &table.groups {
        size(group, table, config, report);
    }
    for reference in references(table) {
        for group in &table.groups {
            let higher = group.selected.cmp_rate(reference.selected).is_gt();
            if !higher && group.name != reference.name {
                compare(group, reference, config, report);
            }
        }
    }
}

/// The group with the highest rate (29 CFR 1607.4(D)); among equals the largest, then the first by name.
///
/// Where that group is small, the highest of the others is a second reference. Hardly anything differs significantly
/// from two people: without it, a tiny group on top would hide what the large ones show. What is small here is fixed:
/// if it followed `min_n`, a stricter `min_n` could take away the reference that a denial rests on.
fn references(table: &Table) -> Vec<&Group> {
    let solid = |group: &&Group| group.selected.whole >= SOLID_PEOPLE && table.share(group) >= SOLID_SHARE;
    let mut references = Vec::from_iter(highest(table.groups.iter()));
    if !references.iter().all(solid) {
        references.extend(highest(table.groups.iter().filter(solid)));
    }
    references
}

/// What a second reference has at least. Conventions of ours, equal to the defaults of `min_n` and `min_share`.
const SOLID_PEOPLE: u64 = 30;
const SOLID_SHARE: f64 = 0.02;

fn highest<'t>(groups: impl Iterator<Item = &'t Group>) -> Option<&'t Group> {
    groups.max_by(|one, other| {
        let by_rate = one.selected.cmp_rate(other.selected);
        let by_size = one.selected.whole.cmp(&other.selected.whole);
        by_rate.then(by_size).then(other.name.cmp(&one.name))
    })
}

/// What has no ratio cannot pass for a good one.
fn comparable(table: &Table, report: &mut Report) {
    let Table { attributes, groups, .. } = table;
    let Some(first) = groups.first() else { return };
    let entry =
        |code| Entry { code, severity: Severity::Medium, measure: first.measure, measured: None, threshold: None };
    if groups.len() == 1 {
        report.tighten(Effect::Review);
        report.add(
            entry("fairness.single_group"),
            format_args!("`{}` is the only group by `{attributes}`: nothing to compare it with", first.name),
        );
    } else if groups.iter().all(|group| group.selected.part == 0) {
        report.tighten(Effect::Review);
        report.add(
            entry("fairness.none_selected"),
            format_args!("nobody was selected in any group by `{attributes}`: there is no impact ratio"),
        );
    }
}

/// A group that is small says little: 6 RCNY 5-301(d) lets an auditor leave out categories below 2 % when their numbers
/// are still printed; the minimum number is a convention of ours.
fn size(group: &Group, table: &Table, config: &Config, report: &mut Report) {
    let (severity, effect) = match config.on_small {
        OnSmall::Review => (Severity::Medium, Effect::Review),
        OnSmall::Allow => (Severity::Info, Effect::Allow),
    };
    let entry = |code, measured, threshold| Entry {
        code,
        severity,
        measure: group.measure,
        measured: Some(measured),
        threshold: Some(threshold),
    };
    let (people, least) = (group.selected.whole, config.min_people);
    if people < least {
        report.tighten(effect);
        report.add(
            entry("fairness.small_group", people as f64, least as f64),
            format_args!("group `{}` has {people} people, fewer than {least}", group.name),
        );
    }
    let (share, least) = (table.share(group), config.min_share);
    if share < least {
        report.tighten(effect);
        let Table { attributes, people, .. } = table;
        let part = Thousandths(share);
        report.add(
            entry("fairness.small_share", share, least),
            format_args!(
                "group `{}` is {part} of the {people} people by `{attributes}`, less than {least}",
                group.name
            ),
        );
    }
}

/// The heart of the gate: one group against its reference.
fn compare(group: &Group, reference: &Group, config: &Config, report: &mut Report) {
    let (ours, theirs) = (group.selected, reference.selected);
    let Some(ratio) = impact_ratio(ours, theirs) else {
        return;
    };
    let below = ratio < config.min_ratio;
    let test = Test::new(ours, theirs, config);
    let exchange = Exchange::new(ours, theirs, config.min_ratio);
    let effect = match (below, test.significant) {
        // Q&A 21 calls enforcement inappropriate here. It is the only case in which little data loosens anything.
        (true, true) if exchange.is_some_and(|exchange| exchange.overtakes) => Effect::Review,
        (true, true) => Effect::Deny,
        (false, false) if exchange.is_none() => Effect::Allow,
        _ => Effect::Review,
    };
    report.tighten(effect);
    report.worst("disparity", (1.0 - ratio).clamp(0.0, 1.0));
    let entry = |holds, code, measured, threshold| Entry {
        code,
        severity: match (holds, effect) {
            (false, _) => Severity::Info,
            (true, Effect::Deny) => Severity::High,
            (true, _) => Severity::Medium,
        },
        measure: group.measure,
        measured: Some(measured),
        threshold: Some(threshold),
    };
    report.add(
        entry(below, "fairness.impact_ratio", ratio, config.min_ratio),
        format_args!("{group} are selected at {} of the rate of {reference}", Thousandths(ratio)),
    );
    report.add(
        entry(test.significant, "fairness.significance", test.measured, test.threshold),
        format_args!("{test}: {group} against {reference}"),
    );
    if let Some(Exchange { ratio, .. }) = exchange {
        report.add(
            entry(true, "fairness.one_person", ratio, config.min_ratio),
            format_args!(
                "one different person selected would make it {}: {group} against {reference}",
                Thousandths(ratio)
            ),
        );
    }
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Share { part, whole } = self.selected;
        let rate = Thousandths(self.selected.rate());
        write!(formatter, "`{}` ({part} of {whole}, {rate})", self.name)
    }
}

/// Whether a difference is more than chance.
struct Test {
    exact: bool,
    measured: f64,
    threshold: f64,
    significant: bool,
}

impl Test {
    /// Fisher's test where the normal approximation is not good enough, else standard deviations: "greater than two or
    /// three" in Castaneda v. Partida, 430 U.S. 482, 497 n.17 (1977), and Hazelwood, 433 U.S. 299, 308 n.14 (1977).
    fn new(ours: Share, theirs: Share, config: &Config) -> Test {
        let exact = match config.method {
            Method::Auto => smallest_expected(ours, theirs) < 5.0,
            Method::Fisher => true,
            Method::Z => false,
        };
        let (measured, threshold) = if exact {
            (fisher(ours, theirs), config.alpha)
        } else {
            (deviations(ours, theirs).abs(), config.deviations)
        };
        let significant = if exact { measured < threshold } else { measured > threshold };
        Test { exact, measured, threshold, significant }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let verdict = if self.significant { "significant" } else { "not significant" };
        let measured = Thousandths(self.measured);
        if self.exact {
            write!(formatter, "{verdict} (Fisher p = {measured})")
        } else {
            write!(formatter, "{verdict} ({measured} standard deviations)")
        }
    }
}

/// A four-fifths outcome that hangs on one person.
///
/// The source, UGESP Questions and Answers 21 (44 FR 11996, 1979), selects "one different person for one job": one more
/// of one group *instead of* one of the other, so the number selected stays. It speaks of a group that thereby gets the
/// *higher* rate (`overtakes`). Asking for review whenever the exchange crosses the minimal ratio, in either direction,
/// is the wider convention of ours.
#[derive(Clone, Copy)]
struct Exchange {
    /// The impact ratio of the same two groups afterwards.
    ratio: f64,
    overtakes: bool,
}

impl Exchange {
    /// `None` when one person changes nothing.
    fn new(ours: Share, theirs: Share, min_ratio: f64) -> Option<Exchange> {
        // Without anybody selected in the reference, the group has all there is.
        let ratio = |ours, theirs| impact_ratio(ours, theirs).unwrap_or(1.0);
        if ratio(ours, theirs) < min_ratio {
            let (ours, theirs) = exchange(ours, theirs)?;
            let after = ratio(ours, theirs);
            let overtakes = ours.cmp_rate(theirs).is_gt();
            (after >= min_ratio).then_some(Exchange { ratio: after, overtakes })
        } else {
            let (theirs, ours) = exchange(theirs, ours)?;
            let after = ratio(ours, theirs);
            (after < min_ratio).then_some(Exchange { ratio: after, overtakes: false })
        }
    }
}
