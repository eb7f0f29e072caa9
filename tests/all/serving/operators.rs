//! What operators ask, where callers cannot reach it.

use weir::Source;
use weir_server::Settings;

use super::{CALL, Serving, ask, get, post};
use crate::harness::{allows_after, constant, host_of, one_policy};

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
        "weir_allowed 3\n",
        "weir_sets_generation 1\n",
        "weir_schedule_waiting 0\n",
    ] {
        assert!(metrics.body.contains(told), "{told}: {}", metrics.body);
    }
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("weir_") && value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(!metrics.body.contains("default"));
}
