//! Mixed load on a server whose set is swapped every second and which is killed once: seconds here, half an hour in `.ci/full`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::pause;
use crate::serving::{Server, http};
use crate::{Place, constant, request};

/// Modules that take turns; the later ones come from the store of machine code.
const BUILDS: u64 = 8;
const SETTINGS: &str = "--config server.toml";
const CLIENTS: usize = 6;
const BATCH: usize = 20;
/// Memory that a server may have gained in its last third beyond its second.
const GROWTH: u64 = 48 << 20;

/// A server that is replaced once; clients wait for it.
struct Running {
    server: RwLock<Server>,
    /// Odd from the moment before the kill until the next server answers.
    epoch: AtomicU64,
}

/// What clients and the watcher have seen.
#[derive(Default)]
struct Seen {
    /// Number of each record, with the effect and the build of its decision.
    records: HashMap<u64, u64>,
    /// The module of each generation, and the build of each module.
    modules: HashMap<u64, String>,
    builds: HashMap<String, u64>,
    refused: u64,
    failed: u64,
}

fn build(number: u64) -> Vec<u8> {
    constant(&format!(r#"{{"effect":"allow","scores":{{"build":0.{number}}}}}"#))
}

fn swap(place: &Place, number: u64) {
    place.replace("set/allow.wasm", build(number));
}

/// The build whose verdict a decision holds.
fn judged_by(decision: &Value) -> u64 {
    (decision["scores"]["build"].as_f64().unwrap_or_else(|| panic!("{decision}")) * 10.0).round() as u64
}

impl Seen {
    fn decision(&mut self, decision: &Value) {
        let build = judged_by(decision);
        let name = decision["record"].as_str().expect("every decision is recorded");
        let record = name.rsplit('/').next().unwrap().parse().unwrap();
        assert!(self.records.insert(record, build).is_none(), "{name} comes twice");
        let generation = decision["generation"]["number"].as_u64().unwrap();
        let module = decision["policies"][0]["module"].as_str().unwrap().to_owned();
        let known = self.modules.entry(generation).or_insert_with(|| module.clone());
        assert_eq!(*known, module, "generation {generation} has one module");
        assert_eq!(*self.builds.entry(module).or_insert(build), build, "a module gives one verdict");
    }

    fn answer(&mut self, status: u16, answer: &Value) {
        match (status, answer["code"].as_str(), answer["answers"].as_array()) {
            (200, _, None) => self.decision(answer),
            (200, _, Some(answers)) => {
                for one in answers {
                    match one.get("decision") {
                        Some(decision) => self.decision(decision),
                        None => self.answer(503, &one["problem"]),
                    }
                }
            }
            (503, Some("overload" | "late"), _) => self.refused += 1,
            _ => panic!("{status} {answer}"),
        }
    }
}

fn client(number: usize, running: &Running, seen: &Mutex<Seen>, until: Instant) {
    for round in 0.. {
        if Instant::now() >= until {
            return;
        }
        let epoch = running.epoch.load(Ordering::SeqCst);
        let one = request(number * 100_000_000 + round, "allow");
        let (path, body) = match number % 3 {
            0 => ("batch", format!("{{\"requests\":[{}]}}", vec![one.as_str(); BATCH].join(","))),
            _ => ("one", one),
        };
        let path = if path == "batch" { "POST /v1/evaluate/batch" } else { "POST /v1/evaluate" };
        let address = running.server.read().unwrap().address.clone();
        match http(&address, path, "", &body) {
            Some((status, answer)) => seen.lock().unwrap().answer(status, &answer),
            None => {
                let (before, now) = (epoch, running.epoch.load(Ordering::SeqCst));
                assert!(before % 2 == 1 || now != before, "only a kill leaves a request without an answer");
                seen.lock().unwrap().failed += 1;
            }
        }
        pause();
    }
}

/// Resident memory of a process, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn files(process: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() as u64
}

/// Swaps once a second until then, and says what memory and how many files the server had.
fn swap_until(place: &Place, server: u32, swaps: &mut u64, until: Instant) -> Vec<(u64, u64)> {
    let mut had = Vec::new();
    while Instant::now() < until {
        *swaps += 1;
        swap(place, 1 + *swaps % BUILDS);
        let next = Instant::now() + Duration::from_secs(1);
        while Instant::now() < next {
            pause();
        }
        had.push((resident(server), files(server)));
    }
    had
}

fn assert_flat(had: &[(u64, u64)]) {
    let third = had.len() / 3;
    let most = |part: &[(u64, u64)]| {
        (part.iter().map(|had| had.0).max().unwrap_or(0), part.iter().map(|had| had.1).max().unwrap_or(0))
    };
    let (earlier, later) = (most(&had[third..had.len() - third]), most(&had[had.len() - third..]));
    assert!(later.0 <= earlier.0 + GROWTH, "memory grows: {earlier:?} {later:?}");
    assert!(later.1 <= earlier.1 + 16, "open files grow: {earlier:?} {later:?}");
}

#[test]
fn a_server_under_mixed_load_that_is_swapped_and_killed_explains_every_answer() {
    let seconds = std::env::var("WEIR_SOAK_SECONDS").map_or(8, |seconds| seconds.parse().unwrap());
    let place = Place::new();
    swap(&place, 1);
    // Callers are patient, so that a busy machine is no reason to refuse them.
    place.write("server.toml", "timeout = \"5 s\"\n");
    let running = Running { server: RwLock::new(Server::start(&place, SETTINGS)), epoch: AtomicU64::new(0) };
    let seen = Mutex::new(Seen::default());
    let began = Instant::now();
    let (half, end) = (began + Duration::from_secs(seconds) / 2, began + Duration::from_secs(seconds));
    let mut swaps = 0;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (running, seen) = (&running, &seen);
            scope.spawn(move || client(number, running, seen, end));
        }
        let process = |running: &Running| running.server.read().unwrap().child.id();
        assert_flat(&swap_until(&place, process(&running), &mut swaps, half));
        running.epoch.fetch_add(1, Ordering::SeqCst);
        {
            let mut server = running.server.write().unwrap();
            server.signal("-KILL");
            assert_eq!(server.ended(), None);
            *server = Server::start(&place, SETTINGS);
        }
        running.epoch.fetch_add(1, Ordering::SeqCst);
        assert_flat(&swap_until(&place, process(&running), &mut swaps, end));
    });
    let mut server = running.server.into_inner().unwrap();
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let Seen { records, modules, builds, refused, failed } = seen.into_inner().unwrap();
    assert!(builds.len() as u64 == BUILDS.min(swaps + 1) || modules.len() > 2, "{swaps} swaps, {builds:?}");
    assert!(refused * 20 <= records.len() as u64, "{refused} refused of {}", records.len());
    let found = on_disk(&place, &records);
    assert_eq!(found, records.len(), "every answered decision is on the disk");
    eprintln!("{} decisions, {refused} refused, {failed} cut by the kill, {swaps} swaps", records.len());
}

/// Counts the answered decisions that are on the disk as they were answered, line by line.
fn on_disk(place: &Place, answered: &HashMap<u64, u64>) -> usize {
    let entries = std::fs::read_dir(place.path("audit")).unwrap().map(|entry| entry.unwrap().path());
    let mut found = 0;
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")) {
        for line in BufReader::new(File::open(path).unwrap()).lines() {
            // What the kill has torn was no answer.
            let Ok(record) = serde_json::from_str::<Value>(&line.unwrap()) else { continue };
            let name = record["record"].as_str().unwrap_or_default().rsplit('/').next().unwrap();
            if let Some(build) = name.parse().ok().and_then(|number: u64| answered.get(&number)) {
                assert_eq!(judged_by(&record["decision"]), *build, "{record}");
                found += 1;
            }
        }
    }
    found
}
