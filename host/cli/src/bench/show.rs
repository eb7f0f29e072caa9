//! What was measured, as JSON or as a table.

use serde_json::{Value, json};

use super::measure::{Measured, Way};
use crate::table::Table;
use crate::terminal::{Paint, count, counted, plain};

/// A figure: its name in JSON, what it is in words, its unit, and how many digits of it mean something.
struct Figure {
    name: &'static str,
    meaning: &'static str,
    unit: &'static str,
    digits: usize,
    of: fn(&Measured) -> Option<f64>,
}

const fn figure(
    name: &'static str,
    meaning: &'static str,
    (unit, digits): (&'static str, usize),
    of: fn(&Measured) -> Option<f64>,
) -> Figure {
    Figure { name, meaning, unit, digits, of }
}

const MICROS: (&str, usize) = ("us", 2);

/// All figures of one policy, in the order they are shown in.
const FIGURES: [Figure; 16] = [
    figure("isolated_median_us", "as a host calls it, median", MICROS, |m| Some(m.isolated.micros(0.5))),
    figure("isolated_p99_us", "as a host calls it, 99th percentile", MICROS, |m| Some(m.isolated.micros(0.99))),
    figure("fresh_median_us", "in a fresh instance each time", MICROS, |m| Some(m.fresh.micros(0.5))),
    figure("warm_median_us", "never put back: the floor", MICROS, |m| Some(m.warm.micros(0.5))),
    figure("warm_p99_us", "never put back, 99th percentile", MICROS, |m| Some(m.warm.micros(0.99))),
    figure("plain_median_us", "without a snapshot, configured each time", MICROS, |m| Some(m.plain.micros(0.5))),
    figure("isolated_over_warm", "isolation over the floor", ("x", 2), |m| over(&m.isolated, &m.warm)),
    figure("snapshot_gain", "saved by its snapshot", ("x", 1), |m| over(&m.plain, &m.isolated)),
    figure("snapshot_gain_fresh", "saved by it where instances are fresh", ("x", 1), |m| over(&m.plain, &m.fresh)),
    figure("fuel_median", "fuel, median", ("", 0), |m| Some(m.fuel.value_at_quantile(0.5) as f64)),
    figure("fuel_largest", "fuel, largest", ("", 0), |m| Some(m.fuel.max() as f64)),
    figure("memory_kib", "memory of the guest", ("KiB", 0), |m| Some(m.memory_bytes as f64 / 1024.0)),
    figure("put_back_kib", "put back after each call", ("KiB", 0), |m| Some(m.plan.put_back_bytes as f64 / 1024.0)),
    figure("ready_instance_kib", "memory of a ready instance", ("KiB", 1), |m| m.ready_kib),
    figure("answer_bytes", "largest answer", ("bytes", 0), |m| Some(m.answer_bytes as f64)),
    figure("load_ms", "to load it", ("ms", 0), |m| Some(m.load_ms)),
];

fn over(one: &Way, other: &Way) -> Option<f64> {
    Some(one.micros(0.5) / other.micros(0.5))
}

impl Figure {
    fn text(&self, measured: &Measured) -> String {
        (self.of)(measured).map_or("not known".to_owned(), |value| number(value, self.digits))
    }

    /// The first over the second.
    fn ratio(&self, one: &Measured, other: &Measured) -> Option<f64> {
        Some((self.of)(one)? / (self.of)(other)?)
    }
}

/// One object: the figures of each module, and those of the first over those of the second.
pub(super) fn json(measured: &[Measured], requests: usize, calls: u32) -> Value {
    let module = |measured: &Measured| {
        let plan = &measured.plan;
        let mut module = json!({
            "name": measured.name, "digest": plan.digest, "isolation": plan.isolation, "snapshot": plan.snapshot,
            "plain": plan.plain, "unrestorable": plan.unrestorable, "samples": plan.samples,
        });
        FIGURES.iter().for_each(|figure| module[figure.name] = json!((figure.of)(measured)));
        module
    };
    let ratios = match measured {
        [one, other] => {
            FIGURES.iter().map(|figure| (figure.name.to_owned(), json!(figure.ratio(one, other)))).collect()
        }
        _ => Value::Null,
    };
    let against = measured.get(1).map_or(Value::Null, module);
    json!({ "v": 1, "requests": requests, "calls": calls, "module": module(&measured[0]), "against": against, "ratios": ratios })
}

/// A title, a table and what explains it.
pub(super) fn lines(measured: &[Measured], requests: usize, paint: Paint) -> Vec<String> {
    let names: Vec<String> = measured.iter().map(|measured| plain(&measured.name)).collect();
    let mut lines = vec![
        format!("{}, on {}", paint.bold(names.join(" against ")), counted(requests as u64, "request")),
        String::new(),
    ];
    let mut table = Table::new(&["", ">", "", ">", ">"]);
    for figure in &FIGURES {
        let other = measured.get(1);
        let ratio = other.and_then(|other| figure.ratio(&measured[0], other)).filter(|ratio| ratio.is_finite());
        table.row([
            figure.meaning.to_owned(),
            figure.text(&measured[0]),
            figure.unit.to_owned(),
            other.map_or_else(String::new, |other| figure.text(other)),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
        ]);
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
