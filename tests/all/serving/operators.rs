//! What operators ask, where callers cannot reach it.

use std::io::{BufRead, BufReader, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use weir::Source;
use weir_server::Settings;

use super::{CALL, Serving, ask, connect, get, post};
use crate::harness::{allows_after, constant, host_of, one_policy, records};

#[test]
fn operators_see_what_is_in_force_and_go_back() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let operator = |request: &str| ask(serving.admin, request);
    assert_eq!(operator(&get("/livez")).status, 200);
    assert_eq!(operator(&get("/readyz")).body, "generation 1\n");
    assert_eq!(serving.post("/v1/evaluate", "", CALL).json()["effect"], "allow");
    let deny = constant(r#"{"effect":"deny"}"#);
    let second = Source::memory(one_policy(""), [("p.wasm", deny)]);
    pollster::block_on(serving.host.publish(second)).unwrap();
    assert_eq!(serving.post("/v1/evaluate", "", CALL).json()["effect"], "deny");
    let loaded = operator(&get("/v1/generations")).json();
    assert_eq!((loaded[0]["number"].as_u64(), loaded[1]["in_force"].as_bool()), (Some(1), Some(true)), "{loaded}");
    assert_eq!(operator(&post("/v1/rollback/9", "", "")).status, 404);
    assert_eq!(operator(&post("/v1/rollback/2", "", "")).status, 409);
    let from_a_page = post("/v1/rollback/1", "", "").replace("application/json", "text/plain");
    assert_eq!(operator(&from_a_page).status, 415);
    assert_eq!(operator(&post("/v1/rollback/1", "", "")).json()["number"], 3);
    assert_eq!(serving.post("/v1/evaluate", "", CALL).json()["effect"], "allow");
    // None of it is where callers ask.
    for path in ["/livez", "/metrics", "/v1/generations", "/v1/status"] {
        assert_eq!(serving.ask(&get(path)).status, 404, "{path}");
    }
    assert_eq!(serving.post("/v1/rollback/1", "", "").status, 404);
}

#[test]
fn operators_try_and_publish_sets_and_every_act_is_recorded() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let operator = |request: &str| ask(serving.admin, request);
    let sent = |set: &str, module: &[u8]| {
        json!({"set": set, "modules": {"p.wasm": BASE64_STANDARD.encode(module)}}).to_string()
    };
    let deny = sent(&one_policy(""), &constant(r#"{"effect":"deny"}"#));
    let plan = operator(&post("/v1/check", "", &deny)).json();
    assert_eq!(plan["policies"][0]["name"], "p", "{plan}");
    assert_eq!(serving.host.generation().id().number.get(), 1, "it was only looked at");
    assert_eq!(operator(&post("/v1/publish", "", &deny)).json()["number"], 2);
    assert_eq!(serving.post("/v1/evaluate", "", CALL).json()["effect"], "deny");
    let broken = operator(&post("/v1/publish", "", &sent("set = \"s\"\nwhat = 1\n", b"no module")));
    assert_eq!((broken.status, broken.json()["code"].as_str()), (422, Some("set_refused")));
    assert_eq!(broken.json()["report"]["set"][0]["line"], 2, "{broken:?}");
    let refused = operator(&post("/v1/check", "", &sent(&one_policy(""), b"no module")));
    assert_eq!(refused.json()["report"]["load"][0]["policy"], "p", "{refused:?}");
    for body in ["{}", "[]", "{\"set\":1}", "{\"set\":\"\",\"modules\":{\"p.wasm\":\"?\"}}", "{\"set\":\"\",\"x\":1}"]
    {
        assert_eq!(operator(&post("/v1/publish", "", body)).json()["code"], "bad_set", "{body}");
    }
    assert_eq!(operator(&post("/v1/rollback/1", "", "")).json()["number"], 3);
    let acts: Vec<_> = records(&serving.host).into_iter().filter(|record| record["kind"] == "operator").collect();
    let told: Vec<_> =
        acts.iter().map(|act| (act["act"].as_str().unwrap(), act["done"].as_bool().unwrap())).collect();
    assert_eq!(told, [("publish", true), ("publish", false), ("rollback", true)], "{acts:?}");
    assert_eq!((&acts[2]["in_force"]["number"], &acts[2]["from"]), (&json!(3), &json!("127.0.0.1")));
}

#[test]
fn only_a_small_set_is_taken_whole() {
    let settings = Settings { set_bytes: 1_000, ..Settings::default() };
    let serving = Serving::start(host_of(allows_after("", ""), ""), settings);
    let large = json!({"set": "#".repeat(1_000)}).to_string();
    let refused = ask(serving.admin, &post("/v1/publish", "", &large));
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("`set_bytes`"), "{refused:?}");
}

#[test]
fn a_page_of_somebody_else_cannot_ask_where_nobody_needs_a_key() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let foreign = |request: String| request.replace("Host: localhost", "Host: evil.example");
    for request in [get("/v1/status"), get("/"), post("/v1/rollback/1", "", "")] {
        assert_eq!(ask(serving.admin, &foreign(request.clone())).json()["code"], "foreign_host", "{request}");
    }
    assert_eq!(ask(serving.admin, &foreign(get("/readyz"))).status, 200, "whoever watches it may call it anything");
    assert_eq!(serving.ask(&foreign(post("/v1/evaluate", "", CALL))).status, 200);
}

#[test]
fn what_happens_is_told_while_it_happens_and_ends_with_the_server() {
    let mut serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let mut stream = connect(serving.admin);
    stream.write_all(get("/v1/events").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    let mut next = |name: &str| -> Value {
        let event = format!("event: {name}");
        lines.find(|line| *line == event).unwrap_or_else(|| panic!("{event} never comes"));
        serde_json::from_str(lines.next().unwrap().strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(next("figures")["sets"]["generation"], 1);
    let deny = Source::memory(one_policy(""), [("p.wasm", constant(r#"{"effect":"deny"}"#))]);
    pollster::block_on(serving.host.publish(deny)).unwrap();
    assert_eq!(next("published")["number"], 2);
    let broken = Source::memory("what = 1", [("p.wasm", Vec::new())]);
    pollster::block_on(serving.host.publish(broken)).unwrap_err();
    assert_eq!(next("refused")["set"][0]["line"], 1);
    let first = serving.host.generations()[0].id().number;
    pollster::block_on(serving.host.rollback(first)).unwrap();
    let back = next("rolled_back");
    assert_eq!((&back["number"], &back["restores"]), (&json!(3), &json!(1)));
    assert_eq!(next("figures")["sets"]["generation"], 3);
    serving.join();
    assert!(lines.any(|line| line == "0"), "the answer ends whole");
}

#[test]
fn a_page_shows_it_and_loads_nothing_from_elsewhere() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    for (path, kind, part) in [
        ("/", "text/html", "<title>Weir</title>"),
        ("/page.js", "text/javascript", "v1/events"),
        ("/page.css", "text/css", "body"),
    ] {
        let answer = ask(serving.admin, &get(path));
        assert!(answer.status == 200 && answer.body.contains(part), "{path}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
        let body = answer.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!body.contains("http://") && !body.contains("https://"), "{path}");
    }
}

#[test]
fn metrics_are_what_prometheus_reads_and_name_no_tenant() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    (0..3).for_each(|_| assert_eq!(serving.post("/v1/evaluate", "", CALL).status, 200));
    assert_eq!(serving.post("/v1/evaluate", "", "{").status, 400);
    let metrics = ask(serving.admin, &get("/metrics"));
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for told in [
        "weir_http_answers_total{route=\"evaluate\",status=\"200\"} 3\n",
        "weir_http_answers_total{route=\"evaluate\",status=\"400\"} 1\n",
        "weir_http_evaluate_seconds_count 3\n",
        "# TYPE weir_allowed counter\nweir_allowed 3\n",
        "# TYPE weir_schedule_waiting gauge\n",
        "weir_http_keys_stale 0\n",
        "weir_http_connections_refused_total 0\n",
        "weir_sets_generation 1\n",
        "weir_schedule_waiting 0\n",
    ] {
        assert!(metrics.body.contains(told), "{told}: {}", metrics.body);
    }
    let typed = |name: &str| metrics.body.contains(&format!("# TYPE {name} "));
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("weir_") && value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        assert!(typed(name) || family.is_some_and(typed), "{name} has no type");
    }
    assert!(!metrics.body.contains("default"));
}

#[test]
fn probes_may_ask_as_they_do_and_wrong_methods_are_told_the_right_ones() {
    let serving = Serving::start(host_of(allows_after("", ""), ""), Settings::default());
    let operator = |request: &str| ask(serving.admin, request);
    assert_eq!(operator("GET /livez HTTP/1.0\r\n\r\n").status, 200);
    let mut stream = connect(serving.admin);
    stream.write_all(b"HEAD /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let lines: Vec<String> = BufReader::new(stream).lines().map(|line| line.unwrap()).collect();
    assert!(lines[0].starts_with("HTTP/1.1 200") && lines.last().unwrap().is_empty(), "{lines:?}");
    for (request, allowed) in [
        (post("/livez", "", ""), "GET, HEAD"),
        (get("/v1/publish"), "POST"),
        (get("/v1/rollback/1"), "POST"),
        (post("/v1/status", "", ""), "GET, HEAD"),
    ] {
        let answer = operator(&request);
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{request}");
    }
    assert_eq!(operator(&post("/v1/evaluate", "", CALL)).status, 404);
}
