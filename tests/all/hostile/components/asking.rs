//! Rows 16, 17 and 20: components that ask for what they are not granted, ask too much of the host, or ask wrongly.

use weir::Effect;
use weir::FailureKind::{Fuel, RefusedHostCall};

use super::{Row, allows, fails, refused, story};
use crate::harness::{OK, REALLOC, component, component_of, host_of, judge, records, request};

const LOG: &str = r#"(import "weir:policy/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
const GRANT_LOG: &str = "grants = [\"log\"]";
const STATE: &str = r#"(import "weir:policy/state@1.0.0" "take"
    (func $take (param i32 i32 i64 i64 i64 i32 i32)))"#;
const GRANT_STATE: &str = "grants = [\"state\"]";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = grants();
    rows.extend(logs());
    rows.extend(states());
    rows.extend(strangers());
    rows
}

fn grants() -> Vec<Row> {
    const STRANGERS: &str = "package weir:test;
        world guest {
          include weir:policy/policy@1.0.0;
          import f: func(); import a:b/c@1.0.0; import wasi:http/handler@0.2.3;
        }
        package a:b@1.0.0 { interface c { f: func(); } }
        package wasi:http@0.2.3 { interface handler { f: func(); } }";
    let imports = ["$root", "a:b/c@1.0.0", "wasi:http/handler@0.2.3"];
    let imports = imports.map(|from| format!("(import \"{from}\" \"f\" (func))")).concat();
    let strangers = component_of(STRANGERS, &judge(&imports, REALLOC, OK, OK));
    let named = ["unknown import `f`", "unknown import `a:b/c@1.0.0`", "unknown import `wasi:http/handler@0.2.3`"];
    let log = ["import `weir:policy/log@1.0.0` is not granted", "grants = [\"log\"]"];
    let state = ["import `weir:policy/state@1.0.0` is not granted", "grants = [\"state\"]"];
    vec![
        refused(17, "log without the grant", component(LOG, OK), "", &log),
        refused(17, "state without the grant", component(STATE, OK), GRANT_LOG, &state),
        allows(17, "a grant nobody wants", component("", OK), GRANT_LOG),
        refused(16, "every unknown import is named at once", strangers, "", &named),
    ]
}

/// A component that logs `length` bytes from `pointer` at a level so many times, then allows. Its second page is all zeros.
fn logging(level: u32, pointer: i64, length: i64, times: u64) -> Vec<u8> {
    let parts = format!("{LOG} (data (i32.const 128) \"a line\") (data (i32.const 256) \"\\ff\\fe\")");
    let body = format!(
        r#"(local $i i64)
           (drop (memory.grow (i32.const 1)))
           (loop $next
             (call $log (i32.const {level}) (i32.const {pointer}) (i32.const {length}))
             (br_if $next (i64.ne (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const {times}))))
           {OK}"#
    );
    component(&parts, &body)
}

fn logs() -> Vec<Row> {
    const FOREVER: u64 = u64::MAX;
    const FIBER: &str = "grants = [\"log\"]\nlimits = { fuel = 20_000_000 }";
    const OFTEN: &str = "grants = [\"log\"]\nlimits = { host_calls = 1_000_000 }";
    let row = |name, wasm, says| fails(20, name, wasm, GRANT_LOG, RefusedHostCall, says);
    let once = |pointer, length| logging(1, pointer, length, 1);
    let (short, long) = (logging(1, 128, 6, FOREVER), logging(1, 65_536, 60_000, FOREVER));
    let large =
        "(drop (memory.grow (i32.const 100))) (call $log (i32.const 1) (i32.const 65536) (i32.const 6291456))";
    let large = component(LOG, &format!("{large} {OK}"));
    let at_start = "(func (export \"_initialize\") (call $log (i32.const 1) (i32.const -1) (i32.const 9)))";
    let at_start = component(&format!("{LOG} {at_start}"), OK);
    let says = &["cannot be started: refused_host_call", "out of bounds"];
    vec![
        row("lines without end", short.clone(), "more than 1000 host calls (limit `host_calls`)"),
        fails(20, "the same in a fiber", short, FIBER, RefusedHostCall, "more than 1000 host calls"),
        fails(20, "long lines without end", long, OFTEN, Fuel, "limit 5000000"),
        row("a line of four gigabytes", once(128, -1), "out of bounds"),
        row("a line outside the memory", once(131_071, 2), "out of bounds"),
        row("a line whose end overflows", once(-1, 100), "out of bounds"),
        row("a line that is not UTF-8", once(256, 2), "utf-8"),
        row("a line of 6 MiB", large, "more than the host takes in one call"),
        story(20, "what is kept of many lines", many_lines),
        refused(4, "a line from nowhere at its start", at_start, GRANT_LOG, says),
    ]
}

fn many_lines(label: &str) {
    for (level, named) in [(0, "error"), (3, "debug"), (255, "debug")] {
        let host = host_of(logging(level, 128, 6, 1_000), GRANT_LOG);
        assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow, "{label}");
        let policy = &records(&host)[0]["policies"][0];
        assert_eq!((policy["log"].as_array().unwrap().len(), &policy["log_dropped"]), (64, &936.into()), "{label}");
        assert_eq!(policy["log"][0], serde_json::json!({"level": named, "text": "a line"}), "{label}");
    }
}

fn states() -> Vec<Row> {
    // Key and its length, amount, limit, window, its kind, and where the answer goes.
    let takes = |arguments: [i64; 7]| {
        let [key, length, amount, limit, window, kind, to] = arguments;
        let call = format!(
            r#"(call $take (i32.const {key}) (i32.const {length}) (i64.const {amount}) (i64.const {limit})
                 (i64.const {window}) (i32.const {kind}) (i32.const {to})) {OK}"#
        );
        component(
            &format!("{STATE} (data (i32.const 128) \"key\")"),
            &format!("(drop (memory.grow (i32.const 1))) {call}"),
        )
    };
    let row = |name, arguments, says| fails(17, name, takes(arguments), GRANT_STATE, RefusedHostCall, says);
    const GOOD: [i64; 7] = [128, 3, 1, 10, 60_000, 0, 256];
    let with = |place: usize, value: i64| {
        let mut arguments = GOOD;
        arguments[place] = value;
        arguments
    };
    vec![
        allows(17, "a look at a counter", takes(GOOD), GRANT_STATE),
        row("a key of four gigabytes", with(1, -1), "out of bounds"),
        row("a key of 60 kB", [65_536, 60_000, 1, 10, 60_000, 0, 256], "text of up to"),
        row("an amount that is too large", with(2, -1), "amount"),
        row("a limit that is too large", with(3, -1), "limit"),
        row("a window of nothing", with(4, 0), "window"),
        row("a window of 500 million years", with(4, -1), "window"),
        row("window 9", with(5, 9), "discriminant"),
        row("an answer at an odd address", with(6, 257), "not aligned"),
        row("an answer outside the memory", with(6, 131_072), "out of bounds"),
        row("the last address", with(6, -8), "out of bounds"),
    ]
}

/// A function of WASI with a type of one's own.
fn strangers() -> Vec<Row> {
    let random = |ty: &str, core: &str, call: &str| {
        let wit = format!(
            "package weir:test; world guest {{ include weir:policy/policy@1.0.0; import wasi:random/random@0.2.3; }}
             package wasi:random@0.2.3 {{ interface random {{ {ty}; }} }}"
        );
        let import = format!("(import \"wasi:random/random@0.2.3\" \"get-random-u64\" (func $f {core}))");
        component_of(&wit, &judge(&import, REALLOC, OK, &format!("{call} {OK}")))
    };
    let row = |name, wasm| fails(17, name, wasm, "", RefusedHostCall, "expected");
    let (to, drops) = ("(call $f (i32.const 1024))", "(drop (call $f))");
    let text = random("get-random-u64: func() -> string", "(param i32)", to);
    let list = random("get-random-u64: func() -> list<u64>", "(param i32)", to);
    let small = random("get-random-u64: func() -> u8", "(result i32)", drops);
    let nothing = random("get-random-u64: func()", "", "(call $f)");
    let megabytes = "(drop (memory.grow (i32.const 17)))
        (loop $again (drop (call $f (i32.const 65536) (i32.const 1048576))) (br $again))";
    let takes_text = random("get-random-u64: func(text: string) -> u64", "(param i32 i32) (result i64)", megabytes);
    let flags: Vec<String> = (0..32).map(|i| format!("a{i}")).collect();
    let flags = format!("flags many {{ {} }} get-random-u64: func(all: list<many>)", flags.join(", "));
    let flags = random(&flags, "(param i32 i32)", "(call $f (i32.const 0) (i32.const 1))");
    let says = &["`wasi:random/random.get-random-u64` takes lists of flags"];
    vec![
        row("a number that should be text", text),
        row("a number that should be a list", list),
        row("a number that should be smaller", small),
        allows(17, "a number that is not wanted", nothing, ""),
        fails(20, "megabytes for a number", takes_text, "", Fuel, "limit 5000000"),
        refused(20, "what is hundreds of times as large in the host", flags, "", says),
    ]
}
