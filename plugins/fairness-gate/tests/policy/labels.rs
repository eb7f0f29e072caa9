//! Error rates, where it is known who deserved selection.

use fairness_gate::{Config, evaluate};
use weir_sdk::{Effect, Measure, Verdict};

use crate::{codes, found, measure, measured, request};

/// True positives, false positives, true negatives, false negatives.
fn labelled(groups: &[(&str, [u64; 4])]) -> Vec<Measure> {
    let of = |(group, cells): &(&str, [u64; 4])| {
        let people: u64 = cells.iter().sum();
        let cells = ["tp", "fp", "tn", "fn"].into_iter().zip(*cells);
        cells.map(|(name, cell)| measure(name, group, cell as f64, people)).collect::<Vec<_>>()
    };
    groups.iter().flat_map(of).collect()
}

#[track_caller]
fn judge(groups: &[(&str, [u64; 4])]) -> Verdict {
    evaluate(&Config::default(), &request(labelled(groups))).unwrap()
}

/// TPR .9 and .8, FPR .2 and .5, precision 90/110 and 80/130.
const UNEQUAL: [(&str, [u64; 4]); 2] = [("sex=f", [90, 20, 80, 10]), ("sex=m", [80, 50, 50, 20])];

#[test]
fn gaps_are_those_of_fairlearn() {
    let verdict = judge(&UNEQUAL);
    let scores = [
        ("demographic_parity_difference", 0.1),
        ("equal_opportunity_difference", 0.1),
        ("equalized_odds_difference", 0.3),
        ("predictive_parity_difference", 29.0 / 143.0),
    ];
    for (name, expected) in scores {
        assert_eq!(verdict.scores[name], expected, "{name}");
    }
    assert_eq!(measured(&verdict, "fairness.equalized_odds", "/measures/0"), 0.3);
    assert_eq!(
        found(&verdict, "fairness.equalized_odds", "/measures/0").unwrap().message,
        "equalized odds difference by `sex` is 0.300: false positive rate 0.500 in `sex=m`, 0.200 in `sex=f`"
    );
}

#[test]
fn a_gap_above_the_limit_asks_for_review() {
    assert_eq!(judge(&UNEQUAL).effect, Effect::Review);
    // Exactly .1 everywhere is not above.
    let verdict = judge(&[("sex=f", [450, 100, 400, 50]), ("sex=m", [400, 100, 400, 100])]);
    assert_eq!(verdict.scores["equal_opportunity_difference"], 0.1);
    let wide = found(&verdict, "fairness.equal_opportunity", "/measures/4").unwrap();
    assert_eq!(wide.severity, weir_sdk::Severity::Info);
}

#[test]
fn equal_groups_pass() {
    assert_eq!(judge(&[("sex=f", [90, 20, 80, 10]), ("sex=m", [90, 20, 80, 10])]).effect, Effect::Allow);
}

#[test]
fn who_was_selected_follows_from_labels() {
    let verdict = judge(&[("sex=f", [40, 5, 45, 10]), ("sex=m", [45, 15, 35, 5])]);
    assert_eq!(measured(&verdict, "fairness.impact_ratio", "/measures/0"), 0.75);
    assert_eq!(verdict.effect, Effect::Deny);
}

#[test]
fn a_rate_that_nobody_counts_for_asks_for_review() {
    // Nobody of `sex=f` deserved selection, so a true positive rate does not exist there.
    let verdict = judge(&[("sex=f", [0, 50, 50, 0]), ("sex=m", [25, 25, 25, 25])]);
    assert!(codes(&verdict).contains(&"fairness.undefined_rate"));
    assert_eq!(verdict.effect, Effect::Review);
}

#[test]
fn a_part_may_be_labelled() {
    let mut measures = labelled(&UNEQUAL);
    measures.push(measure("selected", "sex=f", 550.0, 1000));
    measures.push(measure("selected", "sex=m", 550.0, 1000));
    let verdict = evaluate(&Config::default(), &request(measures)).unwrap();
    assert_eq!(verdict.scores["disparity"], 0.0);
    assert_eq!(verdict.scores["equalized_odds_difference"], 0.3);
}

#[track_caller]
fn refused(measures: Vec<Measure>, message: &str) {
    assert_eq!(evaluate(&Config::default(), &request(measures)).unwrap_err(), message);
}

#[test]
fn labels_must_be_whole() {
    let mut missing = labelled(&UNEQUAL);
    missing.remove(2);
    refused(missing, "/measures/0: group `sex=f` needs all of `tp`, `fp`, `tn`, `fn`, or none");
    let mut wrong = labelled(&UNEQUAL);
    wrong[3].value = 9.0;
    refused(wrong, "/measures/0/count: 200 people in group `sex=f`, but its `tp`, `fp`, `tn`, `fn` add up to 199");
    let mut contradiction = labelled(&UNEQUAL);
    contradiction.push(measure("selected", "sex=f", 111.0, 200));
    refused(contradiction, "/measures/8: 111 of 200 are selected in group `sex=f`, but `tp` and `fp` say 110 of 200");
    let mut bare = labelled(&UNEQUAL);
    bare.push(measure("selected", "sex=x", 50.0, 100));
    refused(bare, "/measures/8: group `sex=x` has no `tp`, `fp`, `tn`, `fn`, but group `sex=f` has");
}
