//! Where the rule turns.

use weir_sdk::Effect;

use crate::{codes, effect, found, judge, measured};

#[test]
fn nobody_selected_has_no_ratio() {
    let verdict = judge("{}", &[("sex=f", 0, 100), ("sex=m", 0, 100)]);
    assert_eq!(verdict.effect, Effect::Review);
    assert!(codes(&verdict).contains(&"fairness.none_selected"));
    assert_eq!(verdict.scores.get("disparity"), None);
}

#[test]
fn everybody_selected_is_fair() {
    let verdict = judge("{}", &[("sex=f", 100, 100), ("sex=m", 100, 100)]);
    assert_eq!(verdict.effect, Effect::Allow);
    assert_eq!(verdict.scores["disparity"], 0.0);
}

#[test]
fn a_single_group_compares_with_nothing() {
    let verdict = judge("{}", &[("sex=f", 50, 100)]);
    assert_eq!(verdict.effect, Effect::Review);
    assert_eq!(codes(&verdict), ["fairness.single_group"]);
}

#[test]
fn both_deny_and_one_reviews() {
    assert_eq!(effect(&[("sex=f", 45, 100), ("sex=m", 60, 100)]), Effect::Deny);
    // Only the ratio: .75 at 1.34 standard deviations.
    assert_eq!(effect(&[("sex=f", 18, 40), ("sex=m", 24, 40)]), Effect::Review);
    // Only the test: .9 at 4.5 standard deviations.
    assert_eq!(effect(&[("sex=f", 450, 1000), ("sex=m", 500, 1000)]), Effect::Review);
    assert_eq!(effect(&[("sex=f", 480, 1000), ("sex=m", 500, 1000)]), Effect::Allow);
}

#[test]
fn exactly_four_fifths_passes_and_one_person_less_does_not() {
    let exact = judge("{}", &[("sex=f", 32, 80), ("sex=m", 40, 80)]);
    assert_eq!(measured(&exact, "fairness.impact_ratio", "/measures/0"), 0.8);
    // It passes, but hangs on one person: 31 against 41.
    assert_eq!(measured(&exact, "fairness.one_person", "/measures/0"), 31.0 / 41.0);
    assert_eq!(exact.effect, Effect::Review);
    // It fails, but one person would do: 31 against 40 becomes 32 against 39.
    let below = judge("{}", &[("sex=f", 31, 80), ("sex=m", 40, 80)]);
    assert_eq!(measured(&below, "fairness.one_person", "/measures/0"), 32.0 / 39.0);
    // 34 against 40 stays above with 33 against 41.
    let above = judge("{}", &[("sex=f", 34, 80), ("sex=m", 40, 80)]);
    assert!(found(&above, "fairness.one_person", "/measures/0").is_none());
    assert_eq!(above.effect, Effect::Allow);
}

#[test]
fn a_denial_stands_when_one_person_only_reaches_four_fifths() {
    // .79975 with 14 standard deviations: one person lifts it to .80003, not above the reference.
    let verdict = judge("{}", &[("sex=f", 3999, 10_000), ("sex=m", 5000, 10_000)]);
    assert!(found(&verdict, "fairness.one_person", "/measures/0").is_some());
    assert_eq!(verdict.effect, Effect::Deny);
}

/// Question 21 word for word: the exchange would give the group the higher rate.
#[test]
fn one_rejected_person_is_no_case() {
    let verdict = judge("{}", &[("race=x", 0, 1), ("race=y", 999, 1000)]);
    assert_eq!(measured(&verdict, "fairness.significance", "/measures/0"), 2.0 / 1001.0);
    assert_eq!(verdict.effect, Effect::Review);
    // Two rejected people would stay behind: 1 of 2.
    assert_eq!(effect(&[("race=x", 0, 2), ("race=y", 999, 1000)]), Effect::Deny);
}

#[test]
fn small_groups_ask_for_review_unless_told_otherwise() {
    let counts = [("sex=f", 490, 1000), ("sex=m", 500, 1000), ("sex=x", 10, 20)];
    let verdict = judge("{}", &counts);
    assert_eq!(verdict.effect, Effect::Review);
    assert_eq!(measured(&verdict, "fairness.small_group", "/measures/2"), 20.0);
    assert_eq!(measured(&verdict, "fairness.small_share", "/measures/2"), 20.0 / 2020.0);
    let lenient = r#"{"on_small":"allow","min_ratio":0.75}"#;
    let verdict = judge(lenient, &counts);
    assert_eq!(verdict.effect, Effect::Allow, "{:#?}", verdict.findings);
    // Reported all the same, and compared all the same.
    assert!(found(&verdict, "fairness.small_group", "/measures/2").is_some());
    let counts = [("sex=f", 490, 1000), ("sex=m", 500, 1000), ("sex=x", 0, 20)];
    assert_eq!(judge(lenient, &counts).effect, Effect::Deny);
}

#[test]
fn exactly_the_limits_are_not_small() {
    let verdict = judge("{}", &[("sex=f", 15, 30), ("sex=m", 735, 1470)]);
    assert!(codes(&verdict).iter().all(|code| !code.starts_with("fairness.small")), "{verdict:?}");
}

#[test]
fn a_tiny_group_on_top_hides_nothing() {
    let large = [("race=a", 300, 1000), ("race=b", 500, 1000)];
    let crowned = [("race=a", 300, 1000), ("race=b", 500, 1000), ("race=c", 2, 2)];
    assert_eq!(effect(&large), Effect::Deny);
    assert_eq!(effect(&crowned), Effect::Deny);
}

#[test]
fn intersections_are_judged_on_their_own() {
    let counts = [
        ("sex=f", 100, 200),
        ("sex=m", 100, 200),
        ("race=a", 100, 200),
        ("race=b", 100, 200),
        ("sex=f&race=a", 70, 100),
        ("race=b&sex=f", 30, 100),
        ("sex=m&race=a", 30, 100),
        ("sex=m&race=b", 70, 100),
    ];
    assert_eq!(effect(&counts[..4]), Effect::Allow);
    let verdict = judge("{}", &counts);
    assert_eq!(verdict.effect, Effect::Deny);
    assert_eq!(measured(&verdict, "fairness.impact_ratio", "/measures/5"), 3.0 / 7.0);
    assert_eq!(judge(r#"{"attributes":["sex","race"]}"#, &counts).effect, Effect::Allow);
    assert_eq!(judge(r#"{"attributes":["sex&race"]}"#, &counts).effect, Effect::Deny);
}

#[test]
fn the_test_can_be_chosen() {
    // 8 of 16 against 14 of 16: z = 2.29, Fisher p = .054.
    let counts = [("sex=f", 8, 16), ("sex=m", 14, 16)];
    assert_eq!(judge(r#"{"method":"z"}"#, &counts).effect, Effect::Deny);
    assert_eq!(judge(r#"{"method":"fisher"}"#, &counts).effect, Effect::Review);
    // Every expected cell is 5 or more, so `auto` takes z.
    assert_eq!(judge(r#"{"method":"auto"}"#, &counts).effect, Effect::Deny);
}

#[test]
fn many_findings_are_cut_from_the_mildest() {
    let names: Vec<String> = (0..1000).map(|index| format!("zip={index:04}")).collect();
    let mut counts: Vec<_> = names.iter().map(|name| (name.as_str(), 500, 1000)).collect();
    counts[999].1 = 300;
    let verdict = judge(r#"{"min_share":0}"#, &counts);
    assert_eq!(verdict.effect, Effect::Deny);
    assert_eq!(verdict.findings.len(), 401);
    assert_eq!(verdict.findings[0].at.as_deref(), Some("/measures/999"));
    assert_eq!(verdict.findings[400].message, "1599 more findings are left out, none graver than those above");
}
