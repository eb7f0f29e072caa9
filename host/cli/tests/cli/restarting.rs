//! A host that is killed at any point comes back as it went: no number names two generations, and what it had compiled it
//! has still.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::host::{Host, pause, until};
use crate::{Place, constant, guest, whole_lines};

/// A policy that allows, as build `number`.
fn build(number: usize) -> Vec<u8> {
    constant(&format!(
        r#"{{"effect":"allow","findings":[{{"code":"build.{number}","severity":"info","message":"x"}}]}}"#
    ))
}

fn digest(decision: &Value) -> (u64, String) {
    let generation = &decision["generation"];
    (generation["number"].as_u64().unwrap(), generation["digest"].as_str().unwrap().to_owned())
}

/// The digest of what the files say.
fn said(place: &Place) -> String {
    place.json("check set", 0)["plan"]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_host_killed_at_any_point_comes_back_with_the_generation_the_files_say() {
    let place = Place::new();
    let rounds = std::env::var("WEIR_KILL_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    let mut seen: BTreeMap<u64, String> = BTreeMap::new();
    let mut note = |decision: &Value| {
        let (number, digest) = digest(decision);
        let known = seen.entry(number).or_insert_with(|| digest.clone());
        assert_eq!(*known, digest, "generation {number} names two sets");
    };
    for round in 0..rounds {
        let mut host = Host::start(&place, "eval set --follow");
        place.replace("set/allow.wasm", build(round));
        // Sooner or later on the way of the new build into force.
        for _ in 0..round * 5 % 13 {
            note(&host.ask("allow"));
            pause();
        }
        host.signal("-9");
        host.ended();
        let mut host = Host::start(&place, "eval set --follow");
        let decision = host.ask("allow");
        note(&decision);
        assert_eq!(digest(&decision).1, said(&place), "round {round}");
        assert_eq!(decision["findings"][0]["code"], format!("build.{round}"));
        host.signal("-9");
        host.ended();
        // Whatever it was doing: now everything is compiled, and nothing has changed since.
        let mut host = Host::start(&place, "eval set --follow");
        let again = host.ask("allow");
        assert_eq!(digest(&again), digest(&decision), "round {round}");
        let status = place.json("status set", 0);
        assert_eq!(status["metrics"]["sets"]["compilations"], 0, "round {round}: {status}");
        drop(host);
    }
    // What the records say of numbers is what the callers saw.
    for record in place.records("audit") {
        note(&record["decision"]);
    }
}

#[test]
fn a_rollback_and_a_broken_folder_survive_a_kill() {
    let place = Place::new();
    let mut host = Host::start(&place, "eval set --follow");
    let first = digest(&host.ask("allow"));
    place.replace("set/allow.wasm", build(2));
    host.judged_by(2);
    assert_eq!(place.weir("rollback set").code, Some(0));
    host.signal("-9");
    host.ended();

    let mut host = Host::start(&place, "eval set --follow");
    assert_eq!(digest(&host.ask("allow")), (3, first.1), "the policies of generation 1");
    let status = place.weir("status set").stdout;
    assert!(status.contains("the files are another set than the one in force"), "{status}");
    let half = guest("", "(i64.const 0)");
    place.replace("set/allow.wasm", &half[..half.len() / 2]);
    host.says("the set is refused, generation 3 stays in force");
    host.signal("-9");
    host.ended();

    let mut host = Host::start(&place, "eval set --follow");
    host.says("the set is refused; generation 3, the last good one, is in force again");
    assert_eq!(host.ask("allow")["generation"]["number"], 3);
    place.replace("set/allow.wasm", build(3));
    assert_eq!(host.judged_by(4)["findings"][0]["code"], "build.3");
    assert_eq!(host.end().code, Some(0));
}

/// A compiler that dies with its host, and code that was half written, cost a compilation and nothing else.
#[test]
fn what_a_killed_host_leaves_in_its_store_is_whole_or_nothing() {
    let place = Place::new();
    for round in 0..4 {
        let mut host = Host::start(&place, "eval set --follow");
        // Large enough to be compiled for a while.
        let body = "(drop (i32.mul (i32.const 7) (i32.const 9)))".repeat(10_000 + round);
        place.replace("set/allow.wasm", guest("", &format!("{body} (i64.const 0)")));
        (0..3 + round * 2).for_each(|_| pause());
        host.signal("-9");
        host.ended();
    }
    place.replace("set/allow.wasm", build(9));
    let mut host = Host::start(&place, "eval set --follow");
    until("build 9", || (host.ask("allow")["findings"][0]["code"] == "build.9").then_some(()));
    let status = place.json("status set", 0);
    assert_eq!(status["metrics"]["sets"]["store_faults"], 0, "{status}");
    drop(host);
    let left = fs::read_dir(place.path("set/.weir/code")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name == "key" || name.ends_with(".code") || name.ends_with(".new")), "{left:?}");
    let audit = fs::read_dir(place.path("audit")).unwrap().map(|entry| entry.unwrap().path());
    audit.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).for_each(|path| drop(whole_lines(&path)));
}
