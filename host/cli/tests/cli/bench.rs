//! `weir bench`: every figure is there and means something, and what cannot be measured says why.

use serde_json::Value;

use crate::{Place, constant, guest, request};

/// A folder with a module, a table-writing one that no snapshot can hold, and some requests.
fn place() -> Place {
    let place = Place::new();
    place.write("allow.wasm", constant(r#"{"effect":"allow"}"#));
    let writes = guest(
        r#"(table $t 1 funcref) (func $f) (elem declare func $f) (data (i32.const 0) "{\22effect\22:\22allow\22}")"#,
        "(table.set $t (i32.const 0) (ref.func $f)) (i64.const 18)",
    );
    place.write("writes.wasm", writes);
    place.write("requests.jsonl", (0..3).map(|id| request(id, "allow") + "\n").collect::<String>());
    place
}

const FIGURES: [&str; 15] = [
    "isolated_median_us",
    "isolated_p99_us",
    "fresh_median_us",
    "warm_median_us",
    "plain_median_us",
    "isolated_over_warm",
    "snapshot_gain",
    "snapshot_gain_fresh",
    "fuel_median",
    "fuel_largest",
    "memory_kib",
    "put_back_kib",
    "ready_instance_kib",
    "answer_bytes",
    "load_ms",
];

fn json(place: &Place, arguments: &str) -> Value {
    let ended = place.weir(&format!("bench {arguments} --json --calls 100"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn every_figure_is_there() {
    let place = place();
    let told = json(&place, "allow.wasm requests.jsonl");
    assert_eq!((&told["requests"], &told["calls"], &told["against"]), (&3.into(), &100.into(), &Value::Null));
    for figure in FIGURES {
        assert!(told["module"][figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {told}");
    }
    assert_eq!((&told["module"]["isolation"], &told["module"]["answer_bytes"]), (&"restore".into(), &18.0.into()));
    assert!(told["module"]["snapshot"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{told}");

    let shown = place.weir_with("bench allow.wasm - --calls 100", &request(1, "allow"));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in ["allow, on 1 request", "as a host calls it, median", "snapshot that is not trained"] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
}

#[test]
fn two_modules_are_compared_in_one_run() {
    let place = place();
    let told = json(&place, "writes.wasm requests.jsonl --against allow.wasm");
    assert_eq!((&told["module"]["isolation"], &told["against"]["isolation"]), (&"fresh".into(), &"restore".into()));
    assert_eq!((&told["module"]["snapshot"], &told["module"]["put_back_kib"]), (&Value::Null, &0.0.into()));
    assert!(told["module"]["plain"].as_str().is_some_and(|why| why.contains("table.set")), "{told}");
    assert!(told["ratios"]["fuel_median"].as_f64().is_some_and(|ratio| ratio > 1.0), "{told}");
    let shown = place.weir("bench writes.wasm requests.jsonl --against allow.wasm --calls 100");
    assert!(shown.stdout.contains("writes against allow") && shown.stdout.contains("table.set"), "{shown:?}");
}

#[test]
fn what_cannot_be_measured_says_why() {
    let place = place();
    place.write("traps.wasm", guest("", "unreachable"));
    let ended = place.weir("bench traps.wasm requests.jsonl");
    assert!(
        ended.code == Some(1) && ended.stderr.contains("does not answer request 1 (id `r-0`): trap"),
        "{ended:?}"
    );
    place.write("bad.jsonl", format!("{}\n{{\"checkpoint\":7}}\n", request(1, "allow")));
    let ended = place.weir("bench allow.wasm bad.jsonl");
    assert!(ended.code == Some(2) && ended.stderr.contains("bad.jsonl:2: "), "{ended:?}");
    place.write("empty.jsonl", "\n");
    for (arguments, code, part) in [
        ("bench allow.wasm", 2, "REQUESTS"),
        ("bench allow.wasm missing.jsonl", 2, "missing.jsonl"),
        ("bench allow.wasm empty.jsonl", 2, "empty.jsonl"),
        ("bench set requests.jsonl", 2, "is a folder"),
        ("bench allow.wasm requests.jsonl --against-config x.json", 2, "--against"),
        ("bench allow.wasm requests.jsonl --calls 1", 2, "10..=10000000"),
    ] {
        let ended = place.weir(arguments);
        assert!(ended.code == Some(code) && ended.stderr.contains(part) && ended.stdout.is_empty(), "{ended:?}");
    }
}
