//! What is answered to whom.

use std::io::Write;

use serde_json::json;
use weir::Effect;
use weir_server::{KeyFile, Role, Settings};

use super::{CALL, Serving, connect, get, post, read};
use crate::harness::{allows_after, asked, constant, host_of, records};

fn plain() -> Serving {
    Serving::start(host_of(allows_after("", ""), ""), Settings::default())
}

#[test]
fn a_decision_is_always_200_and_is_recorded() {
    let deny = constant(r#"{"effect":"deny","findings":[{"code":"no","severity":"high","message":"no"}]}"#);
    for (wasm, effect) in [(allows_after("", ""), "allow"), (deny, "deny"), (constant("{"), "deny")] {
        let serving = Serving::start(host_of(wasm, ""), Settings::default());
        let answer = serving.post("/v1/evaluate", "", CALL);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let decision = answer.json();
        assert_eq!((&decision["effect"], &decision["tenant"]), (&effect.into(), &"default".into()));
        let record = &records(&serving.host)[0];
        assert_eq!(record["record"], decision["record"]);
        assert_eq!(record["decision"]["effect"], effect);
    }
}

#[test]
fn time_is_the_hosts_and_the_tenant_is_the_credentials() {
    let serving = plain();
    let body = r#"{"checkpoint":"test","time":"1999-01-01T00:00:00Z"}"#;
    assert_eq!(serving.post("/v1/evaluate", "", body).status, 200);
    assert!(!records(&serving.host)[0]["time"].as_str().unwrap().starts_with("1999"));
    let answer = serving.post("/v1/evaluate", "", r#"{"checkpoint":"test","tenant":"acme"}"#);
    assert_eq!((answer.status, answer.json()["pointer"].as_str()), (403, Some("/tenant")));
}

#[test]
fn what_cannot_be_judged_is_a_problem_with_a_way_out() {
    let serving = Serving::start(
        host_of(allows_after("", ""), ""),
        Settings { body_bytes: 2_000, batch_bytes: 4_000, batch_requests: 3, ..Settings::default() },
    );
    let long = format!(r#"{{"checkpoint":"test","payload":"{}"}}"#, "x".repeat(3_000));
    let many = format!(r#"{{"requests":[{}]}}"#, [CALL; 4].join(","));
    let chunked = "POST /v1/evaluate HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let cases: [(String, u16, &str); 23] = [
        (post("/v1/evaluate", "", "{"), 400, "bad_request"),
        (post("/v1/evaluate", "", r#"{"checkpoint":7}"#), 400, "bad_request"),
        (post("/v1/evaluate", "", r#"{"checkpoint":"test","checkpoint":"test"}"#), 400, "bad_request"),
        (post("/v1/evaluate", "", &"[".repeat(1_900)), 400, "bad_request"),
        (post("/v1/evaluate", "", &long), 413, "too_large"),
        (post("/v1/evaluate/batch", "", &"x".repeat(4_001)), 413, "too_large"),
        (post("/v1/evaluate/batch", "", &many), 413, "too_large"),
        (post("/v1/evaluate/batch", "", r#"{"request":[]}"#), 400, "bad_batch"),
        (post("/v1/evaluate/batch", "", r#"[[{"checkpoint":"test"}]]"#), 400, "bad_batch"),
        (post("/v1/evaluate", "Weir-Timeout-Ms: soon\r\n", CALL), 400, "bad_header"),
        (post("/v1/evaluate", "Weir-Timeout-Ms: 0\r\n", CALL), 400, "bad_header"),
        (post("/v1/evaluate", "Content-Encoding: gzip\r\n", CALL), 415, "encoded"),
        (post("/v1/evaluate/batch", "", "[1"), 400, "bad_batch"),
        (post("/v1/evaluate", "Weir-Class: first\r\n", CALL), 400, "bad_header"),
        (post("/v1/evaluate", "", CALL).replace("application/json", "text/plain"), 415, "no_json"),
        (post("/v1/evaluat", "", CALL), 404, "no_such_path"),
        (post("//v1/evaluate", "", CALL), 404, "no_such_path"),
        (post("/V1/evaluate", "", CALL), 404, "no_such_path"),
        (get("/v1/evaluate"), 405, "wrong_method"),
        (post("/v1/generation", "", ""), 405, "wrong_method"),
        (post("/v1/evaluate", "Host: other\r\n", CALL), 400, "ambiguous_host"),
        (post("/v1/evaluate", "", CALL).replace("Host: localhost\r\n", ""), 400, "ambiguous_host"),
        (chunked.to_owned(), 411, "no_length"),
    ];
    for (request, status, code) in cases {
        let answer = serving.ask(&request);
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{request}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(serving.ask(&get("/v1/evaluate")).header("allow"), Some("POST"));
    assert_eq!(serving.ask(&post("/openapi.json", "", "")).header("allow"), Some("GET, HEAD"));
    let waits = serving.post("/v1/evaluate", "Weir-Timeout-Ms: 99999999\r\n", "{}");
    assert_eq!(waits.json()["code"], "bad_request", "nobody waits longer than the server lets them, and may say so");
    assert_eq!(records(&serving.host).len(), 0, "nothing was judged");
    assert_eq!(serving.post("/v1/evaluate", "", CALL).status, 200, "and others are served");
}

#[test]
fn heads_that_cannot_be_read_have_a_problem_for_an_answer_too() {
    let serving = plain();
    let headers: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(60_000));
    for headers in [headers, large] {
        let answer = serving.post("/v1/evaluate", &headers, CALL);
        assert_eq!((answer.status, &answer.json()["code"]), (431, &"large_head".into()), "{answer:?}");
    }
    for garbage in [
        "GET /v1/generation HTTP/1.1\nHost: localhost\n\n",
        "GET /v1/generation HTTP/1.1\r\nHost: localhost\r\nA: b\nC: d\r\n\r\n",
        "\x16\x03\x01\x02",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /v1/evaluate HTTP/1.1\r\nHost : w\r\n\r\n",
    ] {
        let mut stream = connect(serving.address);
        stream.write_all(garbage.as_bytes()).unwrap();
        let answer = read(&mut stream).unwrap_or_else(|| panic!("no answer to {garbage:?}"));
        assert_eq!((answer.status, &answer.json()["code"]), (400, &"bad_head".into()), "{garbage:?}");
    }
    // What was asked before it on the same connection has its own answer first.
    let mut stream = connect(serving.address);
    stream.write_all(format!("{}GET / HTTP/9.9\r\n\r\n", get("/v1/generation")).as_bytes()).unwrap();
    let mut both = String::new();
    std::io::Read::read_to_string(&mut stream, &mut both).unwrap();
    assert!(both.starts_with("HTTP/1.1 200") && both.contains("HTTP/1.1 400") && both.contains("bad_head"), "{both}");
    assert_eq!(serving.post("/v1/evaluate", "", CALL).status, 200, "and others are served");
}

#[test]
fn a_batch_is_answered_in_its_order_and_what_is_bad_in_it_fails_alone() {
    let serving = plain();
    let ids: Vec<String> = (0..200).map(|number| format!(r#"{{"id":"r{number}","checkpoint":"test"}}"#)).collect();
    let mut requests = ids.clone();
    requests[7] = r#"{"checkpoint":"Test"}"#.to_owned();
    let answer = serving.post("/v1/evaluate/batch", "", &format!(r#"{{"requests":[{}]}}"#, requests.join(",")));
    assert_eq!(answer.status, 200);
    let answers = answer.json()["answers"].as_array().unwrap().clone();
    assert_eq!(answers.len(), 200);
    for (number, answer) in answers.iter().enumerate() {
        match number {
            7 => assert_eq!(answer["problem"]["pointer"], "/checkpoint"),
            _ => assert_eq!(answer["decision"]["request"], format!("r{number}")),
        }
    }
    assert_eq!(records(&serving.host).len(), 199);
    assert_eq!(
        serving.post("/v1/evaluate/batch", "", r#"{"requests":[]}"#).json()["answers"].as_array().unwrap().len(),
        0
    );
}

#[test]
fn what_a_batch_does_not_come_to_in_time_is_neither_judged_nor_recorded() {
    let serving = plain();
    let batch = format!(r#"{{"requests":[{}]}}"#, [CALL; 1_000].join(","));
    // A thousand take longer than a millisecond on any machine.
    let answer = serving.post("/v1/evaluate/batch", "Weir-Timeout-Ms: 1\r\n", &batch);
    let answers = answer.json()["answers"].as_array().unwrap().clone();
    let (decided, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer["decision"].is_object());
    assert_eq!((answer.status, answers.len()), (200, 1_000));
    assert!(late.iter().all(|answer| answer["problem"]["code"] == "late") && !late.is_empty(), "{late:?}");
    assert_eq!(records(&serving.host).len(), decided.len());
}

#[test]
fn one_connection_serves_many_and_pipelined_requests_are_answered_in_order() {
    let serving = plain();
    let mut stream = connect(serving.address);
    let request = |number: usize| post("/v1/evaluate", "", &format!(r#"{{"id":"p{number}","checkpoint":"test"}}"#));
    stream.write_all((0..50).map(request).collect::<String>().as_bytes()).unwrap();
    let mut text = String::new();
    while text.matches("\"request\":\"p").count() < 50 {
        let mut buffer = [0; 4096];
        let read = std::io::Read::read(&mut stream, &mut buffer).unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    let places: Vec<usize> = (0..50).map(|number| text.find(&format!("\"p{number}\"")).unwrap()).collect();
    assert!(places.is_sorted());
}

#[test]
fn the_generation_and_the_document_can_be_asked_for() {
    let serving = plain();
    assert_eq!(serving.ask(&get("/v1/generation")).json()["number"], 1);
    let document = serving.ask(&get("/openapi.json")).json();
    let decision = serving.host.evaluate_blocking(asked(CALL));
    assert_eq!(decision.effect(), Effect::Allow);
    // What the document promises of a decision is there.
    let answer = serving.post("/v1/evaluate", "", CALL).json();
    for key in document["components"]["schemas"]["Decision"]["required"].as_array().unwrap() {
        assert!(answer.get(key.as_str().unwrap()).is_some(), "{key}");
    }
    let known = document["components"]["schemas"]["Decision"]["properties"].as_object().unwrap();
    assert!(answer.as_object().unwrap().keys().all(|key| known.contains_key(key)), "{answer}");
}

#[test]
fn keys_say_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    let (mut file, now) = (KeyFile::default(), jiff::Timestamp::now());
    let mut add = |tenant: &str, role, expires| file.add(tenant, role, now, expires).unwrap().secret;
    let (own, gateway) = (add("acme", Role::Evaluator, None), add("*", Role::Evaluator, None));
    let (auditor, expired) = (add("acme", Role::Auditor, None), add("acme", Role::Admin, Some(now)));
    std::fs::write(&path, file.text()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = Settings { keys: Some(path), ..Settings::default() };
    let serving = Serving::start(host_of(allows_after("", ""), ""), settings);
    let with =
        |key: &str, body: &str| serving.post("/v1/evaluate", &format!("Authorization: Bearer {key}\r\n"), body);
    let named = r#"{"checkpoint":"test","tenant":"globex"}"#;
    assert_eq!(with(&own, CALL).json()["tenant"], "acme");
    assert_eq!(with(&own, named).status, 403);
    assert_eq!(with(&gateway, named).json()["tenant"], "globex");
    assert_eq!(with(&auditor, CALL).status, 403);
    let refused = serving.post("/v1/evaluate", "", CALL);
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    for wrong in [&expired, "weir_x_y", "", &own[..own.len() - 1], &format!("{own}\r\nAuthorization: Bearer {own}")] {
        assert_eq!(with(wrong, CALL).status, 401, "{wrong}");
    }
    let statuses: Vec<u16> = (0..30).map(|_| with("weir_00_00", CALL).status).collect();
    assert!(statuses.starts_with(&[401]) && statuses.ends_with(&[429]), "{statuses:?}");
    assert_eq!(with(&own, CALL).status, 200, "others may ask from the same address");
    let refused: Vec<_> =
        records(&serving.host).into_iter().filter(|record| record["kind"] == "credential").collect();
    assert_eq!(refused.len(), 1 + 1 + 5 + statuses.iter().filter(|status| **status == 401).count(), "{refused:?}");
    assert_eq!((&refused[0]["from"], &refused[0]["refused"]), (&json!("127.0.0.1"), &json!(1)));
    assert!(auditor.contains(refused[0]["key"].as_str().unwrap()) && refused[1].get("key").is_none());
    let told = serde_json::to_string(&refused).unwrap();
    assert!([own, gateway, auditor].iter().all(|secret| !told.contains(secret.as_str())), "{told}");
}
