//! Examples that others have published, with their figures.

use weir_sdk::{Effect, Severity};

use crate::{found, judge, measured};

/// UGESP Questions and Answers 12: rates 60, 45, 48 and 51 %; "adverse impact is indicated for American Indians but not
/// for Hispanics or Blacks".
#[test]
fn the_four_fifths_rule_of_the_agencies() {
    let counts =
        [("race=white", 60, 100), ("race=indian", 45, 100), ("race=hispanic", 48, 100), ("race=black", 51, 100)];
    let verdict = judge("{}", &counts);
    for (index, ratio) in [(1, 0.75), (2, 0.8), (3, 0.85)] {
        let at = format!("/measures/{index}");
        assert_eq!(measured(&verdict, "fairness.impact_ratio", &at), ratio);
        let severity = found(&verdict, "fairness.impact_ratio", &at).unwrap().severity;
        assert_eq!(severity > Severity::Info, ratio < 0.8, "{ratio}");
    }
    // Of 100 people each, 45 against 60 is 2.12 standard deviations: both hold.
    assert_eq!(verdict.effect, Effect::Deny);
    assert_eq!(
        found(&verdict, "fairness.impact_ratio", "/measures/1").unwrap().message,
        "`race=indian` (45 of 100, 0.450) are selected at 0.750 of the rate of `race=white` (60 of 100, 0.600)"
    );
}

/// UGESP Questions and Answers 21: 16 of 80 against 3 of 20 is 75 %, but one more "instead of a white" makes it 20 %
/// against 18.7 %.
#[test]
fn the_small_numbers_of_the_agencies() {
    let verdict = judge("{}", &[("race=white", 16, 80), ("race=black", 3, 20)]);
    assert_eq!(verdict.effect, Effect::Review);
    assert_eq!(measured(&verdict, "fairness.impact_ratio", "/measures/1"), 0.75);
    assert_eq!(measured(&verdict, "fairness.one_person", "/measures/1"), 0.2 / 0.1875);
    assert_eq!(measured(&verdict, "fairness.small_group", "/measures/1"), 20.0);
    let p = measured(&verdict, "fairness.significance", "/measures/1");
    assert!((p - 0.757_062_058_822_018).abs() < 1e-12);
}

/// The table in the example of 6 RCNY 5-301(b): applicants, selected, impact ratio.
#[test]
fn the_first_table_of_new_york() {
    let sex = [("sex=male", 667, 1390), ("sex=female", 555, 1181)];
    check("{}", &sex, &["", "0.979"]);
    let race = [
        ("race=hispanic", 205, 408),
        ("race=white", 412, 797),
        ("race=black", 170, 390),
        ("race=pacific", 52, 119),
        ("race=asian", 302, 616),
        ("race=native", 18, 41),
        ("race=several", 96, 213),
    ];
    check("{}", &race, &["0.972", "", "0.843", "0.845", "0.948", "0.849", "0.872"]);
}

/// The table in the example of 6 RCNY 5-301(d): scoring rates among few applicants.
#[test]
fn the_second_table_of_new_york() {
    check("{}", &[("sex=male", 50, 92), ("sex=female", 34, 76)], &["", "0.823"]);
    let race = [
        ("race=hispanic", 18, 28),
        ("race=white", 15, 40),
        ("race=black", 16, 32),
        ("race=pacific", 5, 8),
        ("race=asian", 10, 24),
    ];
    check("{}", &race, &["", "0.583", "0.778", "0.972", "0.648"]);
}

/// German credit by sex passes the ratio and fails the test: people must look.
#[test]
fn german_credit_by_sex() {
    let counts = [("sex=female", 201, 310), ("sex=male", 499, 690)];
    let verdict = judge(r#"{"method":"fisher"}"#, &counts);
    assert_eq!(verdict.effect, Effect::Review);
    let figures = ["fairness.impact_ratio", "fairness.significance"];
    let figures = figures.map(|code| format!("{:.3}", measured(&verdict, code, "/measures/0")));
    assert_eq!(figures, ["0.897", "0.021"]);
    assert_eq!(judge("{}", &counts).effect, Effect::Review);
}

#[track_caller]
fn check(config: &str, counts: &[crate::Count], ratios: &[&str]) {
    let verdict = judge(config, counts);
    for (index, expected) in ratios.iter().enumerate() {
        if !expected.is_empty() {
            let ratio = measured(&verdict, "fairness.impact_ratio", &format!("/measures/{index}"));
            assert_eq!(format!("{ratio:.3}"), *expected, "{:?}", counts[index]);
        }
    }
}
