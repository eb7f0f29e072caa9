//! What Prometheus reads: counters of the server and of the host behind it, none of them by tenant.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use weir::Runtime;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Evaluate,
    Batch,
    Generation,
    Document,
    Other,
}

const ROUTES: [(Route, &str, &str); 5] = [
    (Route::Evaluate, "/v1/evaluate", "evaluate"),
    (Route::Batch, "/v1/evaluate/batch", "batch"),
    (Route::Generation, "/v1/generation", "generation"),
    (Route::Document, "/openapi.json", "document"),
    (Route::Other, "", "other"),
];
/// Statuses that are counted apart; others are counted under the hundred they belong to.
const STATUSES: [u16; 12] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 503];
/// Upper bounds of the histogram, in microseconds.
const BOUNDS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

impl Route {
    pub(crate) fn of(path: &str) -> Route {
        ROUTES.iter().find(|(_, known, _)| *known == path).map_or(Route::Other, |(route, ..)| *route)
    }
}

/// Answers of a server, by route and status, and how long evaluations took.
#[derive(Default)]
pub(crate) struct Counts {
    answers: [[AtomicU64; STATUSES.len() + 1]; ROUTES.len()],
    took: [AtomicU64; BOUNDS.len() + 1],
    took_micros: AtomicU64,
}

impl Counts {
    pub(crate) fn count(&self, route: Route, status: StatusCode, took: Duration) {
        let place = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len());
        self.answers[route as usize][place].fetch_add(1, Relaxed);
        if route == Route::Evaluate && status == StatusCode::OK {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let place = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
            self.took[place].fetch_add(1, Relaxed);
            self.took_micros.fetch_add(micros, Relaxed);
        }
    }

    fn write(&self, text: &mut String) {
        text.push_str(
            "# HELP weir_http_answers_total Answers by route and status.\n# TYPE weir_http_answers_total counter\n",
        );
        for (route, _, name) in ROUTES {
            for (place, count) in self.answers[route as usize].iter().enumerate() {
                let count = count.load(Relaxed);
                let status = STATUSES.get(place).map_or("other".to_owned(), u16::to_string);
                if count > 0 {
                    line(text, &format!("weir_http_answers_total{{route=\"{name}\",status=\"{status}\"}}"), count);
                }
            }
        }
        text.push_str(
            "# HELP weir_http_evaluate_seconds Time from request to decision, waiting and recording included.\n",
        );
        text.push_str("# TYPE weir_http_evaluate_seconds histogram\n");
        let mut sum = 0;
        for (place, count) in self.took.iter().enumerate() {
            sum += count.load(Relaxed);
            let bound = BOUNDS.get(place).map_or("+Inf".to_owned(), |bound| (*bound as f64 / 1e6).to_string());
            line(text, &format!("weir_http_evaluate_seconds_bucket{{le=\"{bound}\"}}"), sum);
        }
        let seconds = self.took_micros.load(Relaxed) as f64 / 1e6;
        line(text, "weir_http_evaluate_seconds_sum", seconds);
        line(text, "weir_http_evaluate_seconds_count", sum);
    }
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(text, "{name} {value}").expect("a string grows");
}

/// Everything, in the text format of Prometheus.
pub(crate) fn text(counts: &Counts, keys_refused: u64, runtime: &Runtime) -> String {
    let mut text = String::new();
    counts.write(&mut text);
    text.push_str("# HELP weir_http_keys_refused_total Requests without a key of this server.\n");
    text.push_str("# TYPE weir_http_keys_refused_total counter\n");
    line(&mut text, "weir_http_keys_refused_total", keys_refused);
    let metrics = serde_json::to_value(runtime.metrics()).expect("metrics always serialise");
    flat(&mut text, "weir", &metrics);
    text
}

/// The host's own figures under their own names: `sets.published` is `weir_sets_published`.
fn flat(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(fields) if name == "weir_failures" => {
            for (kind, count) in fields {
                line(text, &format!("weir_failures{{kind=\"{kind}\"}}"), count);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flat(text, &format!("{name}_{key}"), value)),
        Value::Bool(flag) => line(text, name, u8::from(*flag)),
        Value::Number(number) => line(text, name, number),
        Value::Null | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_stand_at_their_places_and_a_histogram_adds_up() {
        for (place, (route, path, _)) in ROUTES.iter().enumerate() {
            assert_eq!((*route as usize, Route::of(path)), (place, *route));
        }
        let counts = Counts::default();
        for micros in [10, 60, 60, 7_000_000] {
            counts.count(Route::Evaluate, StatusCode::OK, Duration::from_micros(micros));
        }
        counts.count(Route::Other, StatusCode::IM_A_TEAPOT, Duration::ZERO);
        let mut text = String::new();
        counts.write(&mut text);
        for told in [
            "weir_http_answers_total{route=\"evaluate\",status=\"200\"} 4",
            "weir_http_answers_total{route=\"other\",status=\"other\"} 1",
            "le=\"0.00005\"} 1",
            "le=\"0.0001\"} 3",
            "le=\"5\"} 3",
            "le=\"+Inf\"} 4",
            "weir_http_evaluate_seconds_sum 7.00013",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }
}
