//! A day's requests against the shipped budget: totals are what anybody can add up, whatever happens meanwhile.
//!
//! `WEIR_TRACE` names files of rows such as `time,context tokens,generated tokens`; without them rows are made here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::json;
use weir::{Decision, Effect, Recorder, Runtime, Source};

use crate::harness::{Random, asked, patient};

const TENANTS: usize = 20;
const LIMIT: u64 = 40_000;
const WINDOW_MS: u64 = 60_000;

/// Time in milliseconds since the start, tokens of the question, tokens of the answer.
fn rows() -> Vec<(u64, u64, u64)> {
    let files = std::env::var("WEIR_TRACE").unwrap_or_default();
    if files.is_empty() {
        let (mut random, mut now) = (Random(11), 0);
        return (0..2_500)
            .map(|_| {
                now += random.below(200) as u64;
                (now, 200 + random.below(4_000) as u64, 1 + random.below(900) as u64)
            })
            .collect();
    }
    let mut rows: Vec<(u64, u64, u64)> = files.split(':').flat_map(trace).collect();
    rows.sort();
    rows
}

fn trace(path: &str) -> Vec<(u64, u64, u64)> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut fields = line.split(',');
        let time = fields.next().unwrap();
        // `2023-11-16 18:15:46.6805900`: seconds of the day are enough, since a trace is an hour long.
        let clock: Vec<f64> = time.split(' ').nth(1).unwrap().split(':').map(|part| part.parse().unwrap()).collect();
        let millis = ((clock[0] * 60.0 + clock[1]) * 60.0 + clock[2]) * 1e3;
        (millis as u64, fields.next().unwrap().parse().unwrap(), fields.next().unwrap().trim().parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

fn set(build: usize) -> String {
    patient(&format!(
        "set = \"trace-{build}\"\n[policies.budget]\nmodule = \"token_budget.wasm\"\ngrants = [\"state\"]\n\
         config = {{ limits = [{{ name = \"minute\", limit = {LIMIT}, window = \"1m\", calendar = true }}] }}\n"
    ))
}

fn source(build: usize) -> Source {
    let module = weir_plugins::modules().iter().find(|module| module.name == "token_budget.wasm").unwrap();
    Source::memory(set(build), [(module.name, module.wasm)])
}

fn open(folder: &std::path::Path, build: usize) -> Runtime {
    let builder = Runtime::builder().recorder(Recorder::discard()).state(folder).store(folder.join("code"));
    pollster::block_on(builder.open(source(build))).unwrap_or_else(|error| panic!("{error}"))
}

fn time(millis: u64) -> String {
    let (hour, minute, second, milli) =
        (millis / 3_600_000 % 24, millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000);
    format!("2026-01-01T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn ask(host: &Runtime, checkpoint: &str, id: usize, at: u64, payload: serde_json::Value) -> Decision {
    let request = json!({"id": format!("r-{id}"), "checkpoint": checkpoint, "tenant": format!("t{}", id % TENANTS),
                         "time": time(at), "payload": payload});
    host.evaluate_blocking(asked(&request.to_string()))
}

/// What a window of a tenant counts after all that is known to have happened: allowed estimates, settled or not.
fn used(host: &Runtime, tenant: usize, at: u64) -> u64 {
    let decision = ask(host, "inference.input", tenant, at, json!({"input_tokens": 0, "max_tokens": 0}));
    decision.findings()[0].finding.measured.as_ref().map_or(0, |used| match used {
        weir::Quantity::Number(used) => *used as u64,
        weir::Quantity::Text(text) => panic!("{text}"),
    })
}

#[test]
fn totals_are_what_an_independent_computation_says() {
    for threads in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let rows = rows();
        let mut host = open(folder.path(), 0);
        // By tenant and minute: what an answer came to, of questions that were allowed.
        let mut totals: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        let (mut denied, mut minutes) = (0, 0);
        let by_minute = rows.chunk_by(|one, other| one.0 / WINDOW_MS == other.0 / WINDOW_MS);
        let mut first = 0;
        for (build, minute) in by_minute.enumerate() {
            let window = minute[0].0 / WINDOW_MS;
            let spent = play(&host, threads, first, minute);
            for (tenant, tokens) in spent.allowed {
                *totals.entry((tenant, window)).or_default() += tokens;
            }
            denied += spent.denied;
            for tenant in 0..TENANTS {
                let expected = totals.get(&(tenant, window)).copied().unwrap_or(0);
                assert_eq!(
                    used(&host, tenant, minute[0].0),
                    expected,
                    "tenant {tenant}, minute {window}, {threads} threads"
                );
                assert!(expected <= LIMIT);
            }
            match build % 3 {
                // Another set under the same policy's name.
                0 => drop(pollster::block_on(host.publish(source(build + 1))).unwrap()),
                // The host ends without a word, and another one goes on.
                1 => host = reopened(host, folder.path(), build + 1),
                _ => {}
            }
            first += minute.len();
            minutes += 1;
        }
        assert!(minutes >= 3 && denied > 0, "{minutes} minutes, {denied} denied: the limit was never met");
    }
}

fn reopened(host: Runtime, folder: &std::path::Path, build: usize) -> Runtime {
    drop(host);
    open(folder, build)
}

#[derive(Default)]
struct Spent {
    /// Tenant, and tokens that an answer came to.
    allowed: Vec<(usize, u64)>,
    denied: usize,
}

/// Questions and answers of a minute, on so many threads.
fn play(host: &Runtime, threads: usize, first: usize, minute: &[(u64, u64, u64)]) -> Spent {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut spent = Spent::default();
        loop {
            let place = next.fetch_add(1, Relaxed);
            let Some((at, context, generated)) = minute.get(place).copied() else { return spent };
            let id = first + place;
            let question = json!({"input_tokens": context, "max_tokens": 1_000});
            let decision = ask(host, "inference.input", id, at, question);
            if decision.effect() != Effect::Allow {
                spent.denied += 1;
                continue;
            }
            // Every seventh answer does not say what it took, so the estimate stands.
            let usage = match id % 7 {
                0 => json!(null),
                _ => json!({"prompt_tokens": context, "completion_tokens": generated}),
            };
            assert_eq!(ask(host, "inference.output", id, at, json!({"usage": usage})).effect(), Effect::Allow);
            spent
                .allowed
                .push((id % TENANTS, if id.is_multiple_of(7) { context + 1_000 } else { context + generated }));
        }
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).fold(Spent::default(), |mut sum, spent| {
            sum.allowed.extend(spent.allowed);
            sum.denied += spent.denied;
            sum
        })
    })
}
