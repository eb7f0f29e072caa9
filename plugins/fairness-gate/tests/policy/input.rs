//! What cannot be counted is refused with its place, and nothing is skipped silently.

use fairness_gate::{Config, evaluate};
use weir_sdk::{Effect, Measure};

use crate::{measure, request, selected};

#[track_caller]
fn refused(measures: Vec<Measure>, message: &str) {
    assert_eq!(evaluate(&Config::default(), &request(measures)).unwrap_err(), message);
}

fn one(value: f64, count: u64) -> Vec<Measure> {
    vec![measure("selected", "sex=f", value, count)]
}

#[test]
fn counts_are_whole_people() {
    refused(one(-1.0, 10), "/measures/0: `selected` is -1, but counts people: a whole number, 0 or more");
    refused(one(0.5, 10), "/measures/0: `selected` is 0.5, but counts people: a whole number, 0 or more");
    refused(one(f64::NAN, 10), "/measures/0: `selected` is NaN, but counts people: a whole number, 0 or more");
    refused(one(f64::INFINITY, 10), "/measures/0: `selected` is inf, but counts people: a whole number, 0 or more");
    refused(one(11.0, 10), "/measures/0: `selected` is 11, more than the 10 people of the group");
    refused(one(0.0, 0), "/measures/0: `count` is 0: an empty group has no rate, leave it out");
    refused(
        one(1.0, u64::MAX),
        "/measures/0: `count` is 18446744073709551615, more than 1000000000 are not supported",
    );
}

#[test]
fn groups_have_attributes() {
    let group = |group: &str| vec![measure("selected", group, 1.0, 10)];
    let grammar = "is no group: write `attribute=value`, joined by `&` where they intersect";
    for text in ["", "f", "sex=", "sex=f&", "sex= "] {
        refused(group(text), &format!("/measures/0/group: `{text}` {grammar}"));
    }
    let bands = "/measures/0/group: `age>` is no attribute name (`age>`); name bands like `age=40+`";
    refused(group("age>=40"), bands);
    refused(group("sex=f&sex=m"), "/measures/0/group: attribute `sex` is repeated in `sex&sex`");
}

#[test]
fn a_group_is_counted_once() {
    let twice = vec![measure("selected", "sex=f&race=b", 1.0, 9), measure("selected", "race=b & sex=f", 1.0, 9)];
    let message = "/measures/1: `selected` of group `race=b & sex=f` was already given at /measures/0";
    refused(twice, message);
}

#[test]
fn measures_of_other_policies_are_skipped() {
    let mut request = selected(&[("sex=f", 480, 1000), ("sex=m", 500, 1000)]);
    request.measures.insert(0, measure("accuracy", "", 0.93, 0));
    let verdict = evaluate(&Config::default(), &request).unwrap();
    assert_eq!(verdict.effect, Effect::Allow);
    assert_eq!(verdict.findings[0].at.as_deref(), Some("/measures/1"));
    request.measures.truncate(1);
    refused(request.measures, "the request has no measure named `selected` (or `tp`, `fp`, `tn`, `fn`)");
}

#[test]
fn a_demanded_attribute_cannot_be_left_out() {
    let config: Config = serde_json::from_str(r#"{"attributes":["*","sex & race"]}"#).unwrap();
    let request = selected(&[("sex=f", 480, 1000), ("sex=m", 500, 1000)]);
    let error = evaluate(&config, &request).unwrap_err();
    assert_eq!(error, "no measure has the attribute `race&sex` that the configuration demands");
}

#[test]
fn configurations_are_checked() {
    let cases = [
        (r#"{"min_ratio":1.5}"#, "`min_ratio` is 1.5, but must lie between 0 and 1"),
        (r#"{"z":-1}"#, "`z` is -1, but must lie between 0 and 100"),
        (r#"{"attributes":[]}"#, "`attributes` is empty: list what is judged, or `*` for all that is found"),
        (r#"{"attributes":["a=b"]}"#, "`a=b` is no attribute name (`a=b`); name bands like `age=40+`"),
        (r#"{"ratio":0.8}"#, "unknown field `ratio`, expected one of `attributes`"),
        (r#"{"on_small":"deny"}"#, "unknown variant `deny`, expected `review` or `allow`"),
    ];
    for (json, message) in cases {
        let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}
