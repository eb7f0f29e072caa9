//! Clients that take their time, or go away: each is cut, and nobody else notices.

use std::io::{Read, Write};
use std::time::Duration;

use weir_server::Settings;

use super::{CALL, Serving, ask, connect, get, is_closed, post, read};
use crate::harness::{FOREVER, allows_after, constant, guest, host, host_of, pause, records};

/// The longest a caller may wait.
const LONG: Duration = Duration::from_secs(5);

fn impatient() -> Settings {
    let short = Duration::from_millis(300);
    Settings { header_timeout: short, body_timeout: short, write_timeout: short, ..Settings::default() }
}

#[test]
fn whoever_sends_nothing_or_half_a_head_or_half_a_body_is_cut() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), impatient());
    let whole = post("/v1/evaluate", "", CALL);
    let (head, half) = (whole.find("Content-Type").unwrap(), whole.len() - 10);
    let mut silent: Vec<_> = ["", "P", "PRI * HTTP/2.0\r\n", &whole[..head]]
        .into_iter()
        .map(|part| {
            let mut stream = connect(serving.address);
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .collect();
    let mut slow_body = connect(serving.address);
    slow_body.write_all(&whole.as_bytes()[..half]).unwrap();
    // Meanwhile all others are served.
    assert_eq!(serving.ask(&whole).status, 200);
    for stream in &mut silent {
        assert!(read(stream).is_none_or(|answer| answer.status == 408));
    }
    assert_eq!(read(&mut slow_body).unwrap().status, 408);
    assert!(is_closed(&mut slow_body));
    let mut idle = connect(serving.address);
    idle.write_all(whole.as_bytes()).unwrap();
    assert_eq!(read(&mut idle).unwrap().status, 200);
    assert!(is_closed(&mut idle), "a connection without a next request ends");
}

#[test]
fn whoever_takes_no_answers_is_cut_and_costs_no_memory() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), impatient());
    let mut deaf = connect(serving.address);
    let request = post("/v1/evaluate", "", &CALL.replace("hello", &"x".repeat(100)));
    // Its answers fill the buffers of both sides; then its requests do; then it is cut.
    let ended = (0..200_000).find(|_| deaf.write_all(request.as_bytes()).is_err());
    assert!(ended.is_some(), "it could go on for ever");
    assert_eq!(serving.ask(&request).status, 200);
}

#[test]
fn a_client_that_goes_away_leaves_a_record_and_frees_its_core() {
    let set = "set = \"s\"\n[policies.slow]\nmodule = \"slow.wasm\"\ncheckpoints = [\"slow\"]\n\
               limits = { fuel = 10_000_000_000, deadline = \"60 s\" }\n\
               [policies.quick]\nmodule = \"quick.wasm\"\ncheckpoints = [\"test\"]\n";
    let modules = [("slow.wasm", guest("", FOREVER)), ("quick.wasm", allows_after("", ""))];
    let serving = Serving::start(host(set, &modules).unwrap(), Settings { timeout: LONG, ..Settings::default() });
    let cancelled = |record: &serde_json::Value| record["decision"]["policies"][0]["failure"]["kind"] == "cancelled";
    // However late it is begun, some client has gone while it was.
    let left = (0..200).any(|_| {
        let mut stream = connect(serving.address);
        stream.write_all(post("/v1/evaluate", "", r#"{"checkpoint":"slow"}"#).as_bytes()).unwrap();
        pause(Duration::from_millis(50));
        drop(stream);
        records(&serving.host).iter().any(cancelled)
    });
    assert!(left, "{:?}", records(&serving.host));
    assert_eq!(serving.post("/v1/evaluate", "", CALL).status, 200);
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let settings = Settings { connections_per_address: 8, ..Settings::default() };
    let serving = Serving::start(host_of(allows_after("", ""), ""), settings);
    let mut held: Vec<_> = (0..8).map(|_| connect(serving.address)).collect();
    for stream in &mut held {
        stream.write_all(post("/v1/evaluate", "", CALL).as_bytes()).unwrap();
        assert_eq!(read(stream).unwrap().status, 200);
    }
    let mut more = connect(serving.address);
    assert!(matches!(more.read(&mut [0]), Ok(0) | Err(_)));
    let metrics = ask(serving.admin, &get("/metrics")).body;
    assert!(metrics.contains("\nweir_http_connections 8\n"), "{metrics}");
    assert!(metrics.contains("\nweir_http_connections_refused_total 1\n"), "{metrics}");
    drop(held.pop());
    let answered = (0..100).any(|_| {
        pause(Duration::from_millis(20));
        let mut next = connect(serving.address);
        next.write_all(post("/v1/evaluate", "", CALL).as_bytes()).is_ok() && read(&mut next).is_some()
    });
    assert!(answered, "its place is free again");
}

#[test]
fn whoever_is_refused_with_a_body_half_sent_reads_the_answer() {
    let settings = Settings { body_bytes: 100_000, ..Settings::default() };
    let serving = Serving::start(host_of(allows_after("", ""), ""), settings);
    let long = "x".repeat(900_000);
    for (path, status) in [("/v1/nothing", 404), ("/v1/generation", 405), ("/v1/evaluate", 413)] {
        assert_eq!(serving.post(path, "", &long).status, status, "{path}");
    }
    // Whoever waits for a word before the body is refused without it, and has nothing to send.
    let head = post("/v1/nothing", "Expect: 100-continue\r\n", &long);
    let mut stream = connect(serving.address);
    stream.write_all(&head.as_bytes()[..head.len() - long.len()]).unwrap();
    assert_eq!(read(&mut stream).unwrap().status, 404);
}

#[test]
fn a_batch_of_long_answers_keeps_nobody_waiting() {
    let finding = r#"{"code":"c","message":"MESSAGE","severity":"low"}"#.replace("MESSAGE", &"m".repeat(500));
    let verdict = format!(r#"{{"effect":"allow","findings":[{}]}}"#, vec![finding; 60].join(","));
    let set = "set = \"s\"\n[policies.long]\nmodule = \"long.wasm\"\ncheckpoints = [\"long\"]\n\
               [policies.quick]\nmodule = \"quick.wasm\"\ncheckpoints = [\"test\"]\n";
    let modules = [("long.wasm", constant(&verdict)), ("quick.wasm", allows_after("", ""))];
    let settings = Settings { longest_timeout: Duration::from_secs(60), ..Settings::default() };
    let serving = Serving::start(host(set, &modules).unwrap(), settings);
    let batch = format!(r#"{{"requests":[{}]}}"#, [r#"{"checkpoint":"long"}"#; 1_000].join(","));
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| serving.post("/v1/evaluate/batch", "", &batch));
        let mut answered = 0;
        while !asked.is_finished() {
            assert_eq!(serving.post("/v1/evaluate", "Weir-Timeout-Ms: 2000\r\n", CALL).status, 200);
            answered += 1;
        }
        let answer = asked.join().unwrap();
        assert!(answer.status == 200 && answer.body.len() > 20_000_000, "{} bytes", answer.body.len());
        assert_eq!(answer.json()["answers"].as_array().unwrap().len(), 1_000);
        assert!(answered > 0, "others were answered meanwhile");
    });
}
