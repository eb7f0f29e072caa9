//! What policies pay for remembering, and what judging a call of a tool costs.

use std::time::Duration;

use serde_json::{Value, json};
use weir::{Recorder, Request, Runtime, Source, Trial, TrialOptions};

use crate::crowd::private_kib;
use crate::evaluation::folder;
use crate::hosts::{evaluate, open, request};
use crate::measure::{Effort, compare, timed};
use crate::report::Figure;

/// Takes in one evaluation.
const TAKES: usize = 10;

/// A guest that takes so many times, from a key whose end is the end of the request, and allows.
fn taker(takes: usize) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "weir" "state_take" (func $take (param i32 i32 i64 i64 i64 i32) (result i64)))
            (memory (export "memory") 2)
            (data (i32.const 0) "{{\22effect\22:\22allow\22}}")
            (func (export "weir_abi_1"))
            (func (export "weir_alloc") (param i32) (result i32) (i32.const 65536))
            (func (export "weir_evaluate") (param $at i32) (param $length i32) (result i64) (local $left i32)
              (local.set $left (i32.const {}))
              (loop $again
                (if (i32.gt_s (local.tee $left (i32.sub (local.get $left) (i32.const 1))) (i32.const 0))
                  (then
                    (drop (call $take
                      (i32.sub (i32.add (local.get $at) (local.get $length)) (i32.const 24)) (i32.const 24)
                      (i64.const 1) (i64.const 4611686018427387904) (i64.const 60000) (i32.const 0)))
                    (br $again))))
              (i64.const 18)))"#,
        takes + 1
    ))
    .expect("the bench's own text parses")
}

const SET: &str = "set = \"bench\"\n[policies.taker]\nmodule = \"taker.wasm\"\ncheckpoints = [\"tool.call\"]\n\
                   grants = [\"state\"]\nlimits = { deadline = \"60 s\" }\n";

fn host(takes: usize) -> Runtime {
    open(SET, &[("taker.wasm", &taker(takes))], Recorder::discard())
}

/// A request whose last bytes are a number.
fn numbered(tenant: &str, number: usize) -> Request {
    request(&format!(
        r#"{{"checkpoint":"tool.call","tenant":"{tenant}","time":"2026-01-01T00:00:00Z","payload":{{"key":"{number:022}"}}}}"#
    ))
}

/// What one take adds to an evaluation: reserved, put into the record's transcript, confirmed. Alone; by two threads on one
/// key; with the log that a host with a folder for its state writes.
pub(crate) fn takes(effort: Effort) -> Vec<Figure> {
    let (taking, idle) = (host(TAKES), host(0));
    let run = |host: &Runtime, count: usize| timed(vec![numbered("t", 7); count], |request| evaluate(host, request));
    let alone = compare(effort, |count| run(&taking, count), |count| run(&idle, count));
    let both = |host: &Runtime, tenants: [&'static str; 2], count: usize| -> Duration {
        std::thread::scope(|scope| {
            let each = tenants.map(|tenant| {
                scope.spawn(move || timed(vec![numbered(tenant, 7); count], |request| evaluate(host, request)))
            });
            each.into_iter().map(|thread| thread.join().expect("the thread measures")).sum::<Duration>() / 2
        })
    };
    let fewer = Effort { rounds: effort.rounds.div_ceil(4), ..effort };
    let contended = compare(fewer, |count| both(&taking, ["t", "t"], count), |count| both(&idle, ["t", "t"], count));
    let apart = compare(fewer, |count| both(&taking, ["t", "u"], count), |count| both(&idle, ["t", "u"], count));
    let kept = folder();
    let builder = Runtime::builder().recorder(Recorder::discard()).state(kept.path());
    let logged = pollster::block_on(builder.open(Source::memory(SET, [("taker.wasm", taker(1))])));
    let logged = logged.unwrap_or_else(|error| panic!("{error}"));
    let one = host(1);
    let durable = compare(effort, |count| run(&logged, count), |count| run(&one, count));
    let each = |(ours, other): (f64, f64)| (ours - other) * 1e3 / TAKES as f64;
    let against = "the same evaluation without takes: CPU nanoseconds of one take beyond it";
    vec![
        Figure::new("take_ns", each(alone.micros), "ns", against).beside("evaluation_us", alone.micros.1),
        Figure::new("take_contended_ns", each(contended.micros), "ns", "the same, two threads on one key")
            .beside("two_threads_two_keys_ns", each(apart.micros)),
        Figure::new(
            "take_logged_us",
            durable.micros.0 - durable.micros.1,
            "us",
            "the same evaluation with one take in a host without a folder for its state",
        ),
    ]
}

/// Memory of a hundred thousand counters, each of a sliding window.
pub(crate) fn memory(effort: Effort) -> Vec<Figure> {
    let keys = if effort.rounds > 1 { 100_000 } else { 100 };
    let host = host(1);
    evaluate(&host, numbered("t0", keys));
    let before = private_kib();
    // As many tenants as it takes: one may have 65,536.
    for number in 0..keys {
        evaluate(&host, numbered(["t0", "t1", "t2", "t3"][number % 4], number));
    }
    let kib = private_kib() - before;
    assert_eq!(host.metrics().state.keys as usize, keys + 1);
    let against = "nothing: RssAnon of this process, before and after as many keys are asked for";
    vec![
        Figure::new("state_100k_keys_mib", kib / 1024.0, "MiB", against)
            .beside("keys", keys as f64)
            .beside("bytes_each", kib * 1024.0 / keys as f64),
    ]
}

/// Twenty tools of an office, each with a schema as vendors write them.
fn tools() -> Vec<Value> {
    let text =
        |description: &str| json!({"type": "string", "description": description, "minLength": 1, "maxLength": 500});
    let address = json!({"type": "string", "pattern": "^[^@ ]+@[^@ ]+$", "maxLength": 254});
    let tool = |name: &str, kind: &str, properties: Value, required: Value| {
        json!({"name": name, "kinds": [kind], "schema": {
            "type": "object", "additionalProperties": false, "properties": properties, "required": required}})
    };
    let money = json!({"type": "object", "required": ["value", "currency"], "additionalProperties": false, "properties": {
        "value": {"type": "number", "exclusiveMinimum": 0, "maximum": 100_000, "multipleOf": 0.01},
        "currency": {"enum": ["EUR", "USD", "GBP", "CHF", "SEK"]}}});
    let mut tools = Vec::new();
    for area in ["claims", "orders", "tickets", "contracts", "people"] {
        let page = json!({"type": "integer", "minimum": 1, "maximum": 1000});
        let states = json!({"type": "array", "uniqueItems": true, "items": {"enum": ["open", "waiting", "closed"]}});
        tools.push(tool(
            &format!("{area}.search"),
            "read",
            json!({"query": text("what is looked for"), "states": states, "page": page, "per_page": page}),
            json!(["query"]),
        ));
        tools.push(tool(
            &format!("{area}.update"),
            "write",
            json!({"id": {"type": "string", "pattern": "^[A-Z]-[0-9]{5}$"}, "note": text("what has changed"), "amount": money}),
            json!(["id"]),
        ));
        tools.push(tool(
            &format!("{area}.mail"),
            "egress",
            json!({"to": {"type": "array", "items": address, "minItems": 1, "maxItems": 10}, "subject": text("subject"),
                   "body": {"type": "string", "maxLength": 20_000}}),
            json!(["to", "subject", "body"]),
        ));
        tools.push(tool(
            &format!("{area}.pay"),
            "spend",
            json!({"to": text("account"), "amount": money, "reference": text("what it is for")}),
            json!(["to", "amount"]),
        ));
    }
    tools
}

/// One call, isolated, of twenty tools with schemas: parsed, looked up, checked, its recipients traced to the user's words
/// through two documents, counted in its session. Nothing is selected, combined or recorded.
pub(crate) fn tool_guard(effort: Effort) -> Vec<Figure> {
    let module = weir_plugins::modules().iter().find(|module| module.name == "tool_guard.wasm");
    let module = module.expect("it ships");
    let config =
        json!({"tools": tools(), "known": ["*@acme.example"], "calls": {"most": 1_000_000_000u64, "window": "1h"}});
    let set = format!(
        "set = \"bench\"\n[policies.tools]\nmodule = \"tool_guard.wasm\"\ncheckpoints = [\"tool.call\"]\n\
         grants = [\"state\"]\nlimits = {{ fuel = 15_000_000, deadline = \"60 s\" }}\nconfig = {}\n",
        inline(&config)
    );
    let trial = Trial::open(&Source::memory(set, [(module.name, module.wasm)]), TrialOptions::default());
    let trial = trial.unwrap_or_else(|error| panic!("{error}"));
    let call = json!({
        "checkpoint": "tool.call", "tenant": "acme", "time": "2026-01-01T00:00:00Z", "context": {"session": "s"},
        "subject": {"type": "agent", "id": "assistant"},
        "content": [
            {"role": "user", "origin": "user", "text": "Send the summary of claim C-12345 to ann@partner.test and bob@acme.example, please."},
            {"role": "tool", "origin": "tool", "text": "C-12345: burst pipe in a rented flat, estimate 1,250.00 EUR, waiting for documents since the second of May."},
            {"role": "tool", "origin": "retrieved", "text": "Handbook 7.1: whoever waits for more than 30 days gets a letter with the reason. Letters go by mail."},
        ],
        "payload": {"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "people.mail", "arguments":
            "{\"to\":[\"ann@partner.test\",\"bob@acme.example\"],\"subject\":\"Claim C-12345\",\"body\":\"Dear Ann, the claim is waiting for documents.\"}"}}]},
    });
    let given = trial.given(0, &request(&call.to_string()));
    let answer = trial.call(0, &given).answer.expect("the policy answers");
    assert_eq!(answer, br#"{"effect":"allow"}"#, "{}", String::from_utf8_lossy(&answer));
    let config: tool_guard::Config = serde_json::from_value(config).expect("the bench's own configuration");
    let native = |()| {
        weir_sdk::state::forget();
        let request =
            weir_sdk::Request::from_json(str::from_utf8(&given).expect("JSON")).expect("the bench's own request");
        serde_json::to_vec(&tool_guard::evaluate(&config, &request).expect("it never fails"))
            .expect("verdicts are JSON")
    };
    let isolated = |count| timed(vec![(); count], |()| trial.call(0, &given).answer.expect("the policy answers"));
    let ratio = compare(effort, isolated, |count| timed(vec![(); count], native));
    vec![
        Figure::new("tool_guard_us", ratio.micros.0, "us", "the policy's own source in plain Rust, beside")
            .goal("<= 40")
            .beside("plain_rust_us", ratio.micros.1)
            .beside("fuel", trial.call(0, &given).fuel as f64),
    ]
}

/// JSON as an inline value of TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
