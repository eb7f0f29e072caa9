//! What holds for every request.

use fairness_gate::{Config, evaluate};
use proptest::prelude::*;
use weir_sdk::{Effect, Measure, Request, Verdict};

use crate::{config, measure, request};

/// A table of some groups with any counts.
fn table() -> impl Strategy<Value = Vec<Measure>> {
    let count = prop_oneof![1u64..8, 1u64..100, 1u64..3000];
    let counts = count.prop_flat_map(|whole| (0..=whole, Just(whole)));
    prop::collection::vec(counts, 1..6).prop_map(|counts| {
        let groups = counts.into_iter().enumerate();
        groups.map(|(index, (part, whole))| measure("selected", &format!("a=g{index}"), part as f64, whole)).collect()
    })
}

fn effect(json: &str, measures: &[Measure]) -> Effect {
    evaluate(&config(json), &request(measures.to_vec())).unwrap().effect
}

/// A verdict without the places, which are those of the request.
fn placeless(mut verdict: Verdict) -> Verdict {
    verdict.findings.iter_mut().for_each(|finding| finding.at = None);
    verdict
}

proptest! {
    #[test]
    fn the_order_of_measures_does_not_matter(measures in table().prop_shuffle()) {
        let mut sorted = measures.clone();
        sorted.sort_by(|one, other| one.group.cmp(&other.group));
        let config = Config::default();
        let one = evaluate(&config, &request(measures)).unwrap();
        let other = evaluate(&config, &request(sorted)).unwrap();
        prop_assert_eq!(placeless(one), placeless(other));
    }

    #[test]
    fn more_of_the_same_keeps_ratios_and_denials(measures in table(), scale in 2u64..1000) {
        let larger: Vec<Measure> = measures.iter().map(|of| {
            measure(&of.name, &of.group, of.value * scale as f64, of.count * scale)
        }).collect();
        let config = config(r#"{"method":"z"}"#);
        let small = evaluate(&config, &request(measures)).unwrap();
        let large = evaluate(&config, &request(larger)).unwrap();
        for name in ["disparity", "demographic_parity_difference"] {
            prop_assert_eq!(small.scores.get(name), large.scores.get(name));
        }
        prop_assert!(small.effect != Effect::Deny || large.effect == Effect::Deny);
    }

    #[test]
    fn names_do_not_matter(part in 0u64..50, whole in 50u64..99, other_part in 0u64..50, other in 50u64..99) {
        let ways = [["a=x", "a=y"], ["a=y", "a=x"]];
        let verdicts = ways.map(|[one, two]| {
            let measures = vec![measure("selected", one, part as f64, whole), measure("selected", two, other_part as f64, other)];
            evaluate(&Config::default(), &request(measures)).unwrap()
        });
        prop_assert_eq!(verdicts[0].effect, verdicts[1].effect);
        prop_assert_eq!(&verdicts[0].scores, &verdicts[1].scores);
    }

    #[test]
    fn stricter_thresholds_never_loosen(measures in table(), from in 0.0..1.0, more in 0.0..1.0) {
        let (low, high) = (from * more, from);
        for key in ["min_ratio", "alpha", "min_share"] {
            let [loose, strict] = [low, high].map(|value| effect(&format!("{{\"{key}\":{value}}}"), &measures));
            prop_assert!(loose <= strict, "{key}: {loose:?} {strict:?}");
        }
        for key in ["z", "max_gap"] {
            let [strict, loose] = [low, high].map(|value| effect(&format!("{{\"{key}\":{value}}}"), &measures));
            prop_assert!(loose <= strict, "{key}: {loose:?} {strict:?}");
        }
        let [loose, strict] = [low, high].map(|value| (value * 3000.0) as u64);
        let [loose, strict] = [loose, strict].map(|value| effect(&format!("{{\"min_n\":{value}}}"), &measures));
        prop_assert!(loose <= strict, "min_n: {loose:?} {strict:?}");
    }

    #[test]
    fn a_small_group_more_never_saves_two_large_ones(
        counts in [(0u64..1000, 1000u64..2000), (0u64..1000, 1000u64..2000)],
        part in 0u64..10, whole in 10u64..29,
    ) {
        let mut measures: Vec<Measure> = counts.iter().zip(["a=x", "a=y"])
            .map(|((part, whole), group)| measure("selected", group, *part as f64, *whole)).collect();
        let before = effect("{}", &measures);
        measures.push(measure("selected", "a=z", part as f64, whole));
        let after = effect("{}", &measures);
        prop_assert!(after >= before, "{before:?} {after:?}");
    }

    #[test]
    fn nothing_panics(
        measures in prop::collection::vec(
            (
                prop_oneof![Just("selected".to_owned()), "tp|fp|tn|fn", any::<String>()],
                prop_oneof!["[ab]=[xy]", "[ab]=x&[bc]=y", any::<String>()],
                prop_oneof![any::<f64>(), (0u32..20).prop_map(f64::from), Just(1e9)],
                prop_oneof![any::<u64>(), 0u64..20, Just(1_000_000_000)],
            ),
            0..12,
        ),
    ) {
        let measures = measures.into_iter().map(|(name, group, value, count)| measure(&name, &group, value, count));
        let request = Request { measures: measures.collect(), ..Request::default() };
        if let Ok(verdict) = evaluate(&Config::default(), &request) {
            prop_assert!(verdict.scores.values().all(|score| (0.0..=1.0).contains(score)));
            prop_assert!(verdict.findings.iter().all(|finding| !finding.message.is_empty()));
        }
    }
}
