//! What Prometheus reads: counters of the server and of the host behind it, none of them by tenant.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use weir::Runtime;

use crate::credential::Door;
use crate::listener::Connections;
use crate::tls::Tls;

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
    pub(crate) connections: Connections,
}

/// Figures of the host that go up and down, or say how something is; all others only grow.
const GAUGES: [&str; 9] = [
    "weir_sets_generation",
    "weir_sets_watch_degraded",
    "weir_sets_compile_peak_bytes",
    "weir_instances_ready",
    "weir_instances_most",
    "weir_instances_mappings",
    "weir_schedule_waiting",
    "weir_schedule_most_waiting",
    "weir_state_keys",
];

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
        about(text, "weir_http_answers_total", "counter", "Answers by route and status.");
        for (route, _, name) in ROUTES {
            for (place, count) in self.answers[route as usize].iter().enumerate() {
                let count = count.load(Relaxed);
                let status = STATUSES.get(place).map_or("other".to_owned(), u16::to_string);
                if count > 0 {
                    line(text, &format!("weir_http_answers_total{{route=\"{name}\",status=\"{status}\"}}"), count);
                }
            }
        }
        let what = "Time from request to decision, waiting and recording included.";
        about(text, "weir_http_evaluate_seconds", "histogram", what);
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

fn about(text: &mut String, name: &str, kind: &str, what: &str) {
    writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}").expect("a string grows");
}

fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    writeln!(text, "{name} {value}").expect("a string grows");
}

/// Everything, in the text format of Prometheus.
pub(crate) fn text(counts: &Counts, door: &Door, tls: Option<&Tls>, runtime: &Runtime) -> String {
    let mut text = String::new();
    counts.write(&mut text);
    let Connections { open, turned_away } = &counts.connections;
    let (open, turned_away) = (open.load(Relaxed), turned_away.load(Relaxed));
    for (name, kind, what, value) in [
        ("weir_http_connections", "gauge", "Connections of callers that are open.", open),
        ("weir_http_connections_refused_total", "counter", "Connections beyond those of one address.", turned_away),
        ("weir_http_keys_refused_total", "counter", "Requests without a key for what they asked.", door.refused()),
        ("weir_http_keys_stale", "gauge", "1 while the file of keys cannot be read.", door.has_stale_keys().into()),
        (
            "weir_http_certificates_stale",
            "gauge",
            "1 while the files of certificates cannot be used.",
            tls.is_some_and(Tls::is_stale).into(),
        ),
    ] {
        about(&mut text, name, kind, what);
        line(&mut text, name, value);
    }
    let metrics = serde_json::to_value(runtime.metrics()).expect("metrics always serialise");
    flat(&mut text, "weir", &metrics);
    text
}

fn figure(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let kind = if GAUGES.contains(&name) { "gauge" } else { "counter" };
    writeln!(text, "# TYPE {name} {kind}").expect("a string grows");
    line(text, name, value);
}

/// The host's own figures under their own names: `sets.published` is `weir_sets_published`.
fn flat(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(fields) if name == "weir_failures" => {
            about(text, name, "counter", "Policies that gave no verdict, by kind.");
            for (kind, count) in fields {
                line(text, &format!("weir_failures{{kind=\"{kind}\"}}"), count);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flat(text, &format!("{name}_{key}"), value)),
        Value::Bool(flag) => figure(text, name, u8::from(*flag)),
        Value::Number(number) => figure(text, name, number),
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
