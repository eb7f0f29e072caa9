//! A day's requests of many tenants, as fast as they go: everybody gets the share that the set gives them.
//!
//! Rows are numbers of tokens, one request each, whose work grows with them. `WEIR_TRACE` names files of rows such as
//! `time,context tokens,generated tokens`; without them rows are made here, with a tail like theirs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};

use crate::serving::{Client, Server, http};
use crate::{Place, guest};

/// Tenants, and what each of them may have in relation to the others.
const WEIGHTS: [u64; 20] = [4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1];
/// Requests of one tenant that wait at once.
const AT_ONCE: usize = 4;
const BYTES_OF_A_TOKEN: usize = 4;
/// Longer prompts than this are cut.
const MOST_TOKENS: usize = 8_000;

/// Tokens of each request.
fn rows() -> Vec<usize> {
    let files = std::env::var("WEIR_TRACE").unwrap_or_default();
    if files.is_empty() {
        let mut random = 7_u64;
        return (0..3_000)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // A few are fifty times as long as most.
                (100 + (random >> 33) as usize % 1_000) * if random >> 59 == 0 { 7 } else { 1 }
            })
            .collect();
    }
    let texts = files.split(':').map(|path| std::fs::read_to_string(path).unwrap());
    let tokens = |line: &str| line.split(',').nth(1).unwrap().parse::<usize>().unwrap();
    texts.flat_map(|text| text.lines().skip(1).map(tokens).collect::<Vec<_>>()).collect()
}

/// Works a hundred steps for each byte it is given, and allows.
fn reader() -> Vec<u8> {
    let body = r#"(local $left i32)
        (local.set $left (i32.mul (local.get 1) (i32.const 100)))
        (loop $next (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (i64.const 18)"#;
    guest(r#"(data (i32.const 0) "{\22effect\22:\22allow\22}")"#, body)
}

/// What a tenant's requests have cost while all tenants still had some.
#[derive(Default)]
struct Served {
    fuel: HashMap<usize, u64>,
    records: Vec<u64>,
}

fn ask_all(
    tenant: usize,
    rows: &Mutex<Vec<usize>>,
    client: &mut Client,
    key: &str,
    all: &AtomicBool,
    served: &Mutex<Served>,
) {
    let headers = format!("Authorization: Bearer {key}\r\nWeir-Class: bulk\r\nWeir-Timeout-Ms: 3000000\r\n");
    loop {
        let Some(tokens) = rows.lock().unwrap().pop() else {
            all.store(false, Ordering::SeqCst);
            return;
        };
        let text = "x".repeat(tokens.clamp(1, MOST_TOKENS) * BYTES_OF_A_TOKEN);
        let body = format!(r#"{{"checkpoint":"test","tenant":"t{tenant}","content":[{{"text":"{text}"}}]}}"#);
        let (status, decision) = client.ask(&headers, &body);
        assert_eq!((status, decision["effect"].as_str()), (200, Some("allow")), "{decision}");
        let mut served = served.lock().unwrap();
        let record = decision["record"].as_str().unwrap().rsplit('/').next().unwrap();
        served.records.push(record.parse().unwrap());
        if all.load(Ordering::SeqCst) {
            *served.fuel.entry(tenant).or_default() += decision["policies"][0]["fuel"].as_u64().unwrap();
        }
    }
}

#[test]
fn tenants_share_a_server_by_their_weights_and_every_decision_is_on_the_disk() {
    let place = Place::new();
    let weights: String = WEIGHTS
        .iter()
        .enumerate()
        .map(|(tenant, weight)| format!("\"t{tenant}\" = {{ weight = {weight} }}\n"))
        .collect();
    place.write("set/reader.wasm", reader());
    let policy = "module = \"reader.wasm\"\nlimits = { fuel = 400_000_000, deadline = \"60 s\" }";
    place.write("set/weir.toml", format!("set = \"replay\"\n[tenants]\n{weights}[policies.reader]\n{policy}\n"));
    place.write("server.toml", "keys = \"keys.toml\"\nlongest_timeout = \"1h\"\n");
    let key = place.weir("key new *").stdout.trim().to_owned();
    let auditor = place.weir("key new ops --role auditor").stdout.trim().to_owned();
    let server = Server::start(&place, "--config server.toml --threads 2");
    let mut of: Vec<Vec<usize>> = vec![Vec::new(); WEIGHTS.len()];
    let rows = rows();
    // As many requests as its share, so that all tenants have some for as long as possible.
    let turns = WEIGHTS.iter().enumerate().flat_map(|(tenant, weight)| vec![tenant; *weight as usize]);
    for (row, tenant) in rows.iter().zip(turns.cycle()) {
        of[tenant].push(*row);
    }
    let of: Vec<Mutex<Vec<usize>>> = of.into_iter().map(Mutex::new).collect();
    let (all, served, start) =
        (AtomicBool::new(true), Mutex::new(Served::default()), Barrier::new(WEIGHTS.len() * AT_ONCE));
    std::thread::scope(|scope| {
        for tenant in 0..WEIGHTS.len() {
            for _ in 0..AT_ONCE {
                let (key, of, all, served, start, address) = (&key, &of, &all, &served, &start, &server.address);
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    start.wait();
                    ask_all(tenant, &of[tenant], &mut client, key, all, served);
                });
            }
        }
    });
    let Served { fuel, records } = served.into_inner().unwrap();
    assert_eq!(records.len(), rows.len(), "nothing is refused");
    let whole: u64 = fuel.values().sum();
    let shares: Vec<f64> = WEIGHTS
        .iter()
        .enumerate()
        .map(|(tenant, weight)| {
            let fair = whole as f64 * *weight as f64 / WEIGHTS.iter().sum::<u64>() as f64;
            fuel.get(&tenant).copied().unwrap_or(0) as f64 / fair
        })
        .collect();
    // Long requests make shares uneven over a short time.
    let bounds = if rows.len() > 10_000 { 0.85..=1.15 } else { 0.4..=2.0 };
    assert!(shares.iter().all(|share| bounds.contains(share)), "{shares:.2?}");
    let status = http(&server.admin, "GET /v1/status", &format!("Authorization: Bearer {auditor}\r\n"), "");
    let most_waiting = status.unwrap().1["schedule"]["most_waiting"].as_u64().unwrap();
    assert!(most_waiting > WEIGHTS.len() as u64, "they had to wait: {most_waiting}");
    drop(server);
    let on_disk: HashSet<u64> = place
        .records("audit")
        .iter()
        .map(|record| record["record"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap())
        .collect();
    assert!(records.iter().all(|record| on_disk.contains(record)), "every answered decision is on the disk");
    eprintln!("{} requests, shares of what is fair from {:.2} to {:.2}", rows.len(), least(&shares), most(&shares));
}

fn least(shares: &[f64]) -> f64 {
    shares.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(shares: &[f64]) -> f64 {
    shares.iter().copied().fold(0.0, f64::max)
}
