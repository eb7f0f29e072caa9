//! What was measured, as JSON or as a table.

use serde_json::{Value, json};

use super::measure::{Measured, Way};
use crate::table::Table;
use crate::terminal::{Paint, count, counted, plain};

/// All figures of one policy, in the order they are shown in: name, value, digits after the point.
fn figures(measured: &Measured) -> Vec<(&'static str, Option<f64>, usize)> {
    let Measured { isolated, fresh, warm, plain, fuel, memory_bytes, answer_bytes, ready_kib, load_ms, plan, .. } =
        measured;
    let over = |one: &Way, other: &Way| Some(one.micros(0.5) / other.micros(0.5));
    vec![
        ("isolated_median_us", Some(isolated.micros(0.5)), 2),
        ("isolated_p99_us", Some(isolated.micros(0.99)), 2),
        ("fresh_median_us", Some(fresh.micros(0.5)), 2),
        ("warm_median_us", Some(warm.micros(0.5)), 2),
        ("plain_median_us", Some(plain.micros(0.5)), 2),
        ("isolated_over_warm", over(isolated, warm), 2),
        ("snapshot_gain", over(plain, isolated), 1),
        ("snapshot_gain_fresh", over(plain, fresh), 1),
        ("fuel_median", Some(fuel.value_at_quantile(0.5) as f64), 0),
        ("fuel_largest", Some(fuel.max() as f64), 0),
        ("memory_kib", Some(*memory_bytes as f64 / 1024.0), 0),
        ("put_back_kib", Some(plan.put_back_bytes as f64 / 1024.0), 0),
        ("ready_instance_kib", *ready_kib, 1),
        ("answer_bytes", Some(*answer_bytes as f64), 0),
        ("load_ms", Some(*load_ms), 0),
    ]
}

/// What each figure is, for people.
const MEANINGS: [&str; 15] = [
    "as a host calls it, median",
    "as a host calls it, 99th percentile",
    "in a fresh instance each time",
    "never put back: the floor",
    "without a snapshot, configured each time",
    "isolation over the floor",
    "saved by its snapshot",
    "saved by it where instances are fresh",
    "fuel, median",
    "fuel, largest",
    "memory of the guest",
    "put back after each call",
    "memory of a ready instance",
    "largest answer",
    "to load it",
];

const UNITS: [&str; 15] = ["us", "us", "us", "us", "us", "x", "x", "x", "", "", "KiB", "KiB", "KiB", "bytes", "ms"];

/// One object: the figures of each module, and those of the first over those of the second.
pub(super) fn json(measured: &[Measured], requests: usize, calls: u32) -> Value {
    let module = |measured: &Measured| {
        let plan = &measured.plan;
        let mut module = json!({
            "name": measured.name, "digest": plan.digest, "isolation": plan.isolation, "snapshot": plan.snapshot,
            "plain": plan.plain, "unrestorable": plan.unrestorable, "samples": plan.samples,
        });
        figures(measured).into_iter().for_each(|(name, value, _)| module[name] = json!(value));
        module
    };
    let ratios = match measured {
        [one, other] => ratios(one, other).into_iter().map(|(name, ratio)| (name.to_owned(), json!(ratio))).collect(),
        _ => Value::Null,
    };
    let against = measured.get(1).map_or(Value::Null, module);
    json!({ "v": 1, "requests": requests, "calls": calls, "module": module(&measured[0]), "against": against, "ratios": ratios })
}

/// The first over the second, figure by figure.
fn ratios(one: &Measured, other: &Measured) -> Vec<(&'static str, Option<f64>)> {
    let pairs = figures(one).into_iter().zip(figures(other));
    pairs.map(|((name, one, _), (_, other, _))| (name, one.zip(other).map(|(one, other)| one / other))).collect()
}

/// A title, a table and what explains it.
pub(super) fn lines(measured: &[Measured], requests: usize, paint: Paint) -> Vec<String> {
    let names: Vec<String> = measured.iter().map(|measured| plain(&measured.name)).collect();
    let mut lines = vec![
        format!("{}, on {}", paint.bold(names.join(" against ")), counted(requests as u64, "request")),
        String::new(),
    ];
    let mut table = Table::new(&["", ">", "", ">", ">"]);
    let all: Vec<Vec<_>> = measured.iter().map(figures).collect();
    let ratios = measured.get(1).map(|other| ratios(&measured[0], other));
    for (row, (meaning, unit)) in MEANINGS.iter().zip(UNITS).enumerate() {
        let cell = |(_, value, digits): &(&str, Option<f64>, usize)| {
            value.map_or("not known".to_owned(), |value| number(value, *digits))
        };
        let other = all.get(1).map_or_else(String::new, |other| cell(&other[row]));
        let ratio = ratios.as_ref().and_then(|ratios| ratios[row].1).filter(|ratio| ratio.is_finite());
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
        table.row([(*meaning).to_owned(), cell(&all[0][row]), unit.to_owned(), other, ratio]);
    }
    lines.extend(table.lines().into_iter().skip(1));
    lines.push(String::new());
    lines.extend(measured.iter().map(why));
    lines
}

fn number(value: f64, digits: usize) -> String {
    if digits == 0 { count(value.round() as u64) } else { format!("{value:.digits$}") }
}

/// What limits or helps a policy, in a sentence.
fn why(measured: &Measured) -> String {
    let (name, plan) = (plain(&measured.name), &measured.plan);
    let samples = counted(plan.samples as u64, "sample");
    match (&plan.plain, &plan.unrestorable) {
        (Some(why), _) if plan.snapshot.is_none() => {
            format!("{name}: no snapshot, it is configured for each evaluation: {}", plain(why))
        }
        (Some(why), _) => format!("{name}: evaluations start from a snapshot, {}", plain(why)),
        (None, Some(why)) => format!("{name}: each evaluation has a fresh instance: {}", plain(why)),
        (None, None) if plan.samples == 0 => format!(
            "{name}: evaluations start from a snapshot that is not trained, since the manifest has no samples"
        ),
        (None, None) => format!("{name}: evaluations start from a snapshot trained with {samples}"),
    }
}
