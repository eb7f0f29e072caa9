//! A budget of a server that is killed again and again while everybody spends: it is never overspent, and nothing that was
//! answered is forgotten.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde_json::json;

use crate::Place;
use crate::host::pause;
use crate::serving::Server;

const CLIENTS: usize = 4;
/// Kills; `WEIR_KILL_ROUNDS` names another number.
const ROUNDS: usize = 5;
const AMOUNT: u64 = 100;
const LIMIT: u64 = 60_000;

const SET: &str = r#"
set = "budget"
[policies.budget]
module = "token_budget.wasm"
grants = ["state"]
limits = { deadline = "60 s" }
config = { limits = [{ name = "year", limit = 60_000, window = "365d" }] }
"#;

/// Asks for tokens; whether they were granted, and what counts then. None where nobody answers.
fn ask(server: &Server, tokens: u64) -> Option<(bool, u64)> {
    let body = json!({"checkpoint": "inference.input", "payload": {"input_tokens": tokens, "max_tokens": 0}});
    let (status, decision) = server.ask("Weir-Timeout-Ms: 5000\r\n", &body.to_string())?;
    assert_eq!(status, 200, "{decision}");
    let used = decision["findings"][0]["measured"].as_f64().unwrap_or_else(|| panic!("{decision}"));
    Some((decision["effect"] == "allow", used as u64))
}

#[test]
fn a_server_that_is_killed_never_overspends_and_forgets_nothing() {
    let place = Place::new();
    place.write("set/weir.toml", SET);
    let module = weir_plugins::modules().iter().find(|module| module.name == "token_budget.wasm").unwrap();
    place.write("set/token_budget.wasm", module.wasm);
    place.write("server.toml", "");
    let granted = AtomicU64::new(0);
    let mut spent = 0;
    let rounds = std::env::var("WEIR_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let server = Server::start(&place, "--config server.toml");
        let (_, used) = ask(&server, 0).unwrap();
        let answered = granted.load(SeqCst) * AMOUNT;
        // What was taken by requests that the kill cut off was taken, too.
        let most = answered + (round * CLIENTS) as u64 * AMOUNT;
        assert!((answered..=most).contains(&used), "round {round}: {used} of {answered} to {most}");
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while let Some((allowed, _)) = ask(&server, AMOUNT) {
                        granted.fetch_add(u64::from(allowed), SeqCst);
                    }
                });
            }
            // Longer each time, so that kills meet different moments.
            (0..=2 * (round % 5)).for_each(|_| pause());
            server.signal("-KILL");
        });
        spent = used;
    }
    let server = Server::start(&place, "--config server.toml");
    while ask(&server, AMOUNT).unwrap().0 {
        granted.fetch_add(1, SeqCst);
    }
    let (_, used) = ask(&server, 0).unwrap();
    let total = granted.load(SeqCst) * AMOUNT;
    assert!(spent > 0 && total <= LIMIT && used == LIMIT, "{total} were answered, {used} are used of {LIMIT}");
}
