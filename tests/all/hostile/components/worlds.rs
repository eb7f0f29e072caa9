//! Rows 4, 7, 16, 20 and 31: components that have a world of their toolchain's, WASI 0.2, and what they can do with it.

use weir::Effect;
use weir::FailureKind::{Fuel, GuestError, Memory, RefusedHostCall, Trap};

use super::{Row, allows, fails, refused, story, words};
use crate::harness::{OK, REALLOC, asked, component_of, host_of, judge, records, request};

const GRANT_LOG: &str = "grants = [\"log\"]";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = worlds();
    rows.extend(printing());
    rows.extend(resources());
    rows
}

/// As much of WASI as is asked for here.
const WASI: &str = r#"
    package wasi:io@0.2.3 {
      interface poll {
        resource pollable { block: func(); ready: func() -> bool; }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
      }
      interface streams {
        use poll.{pollable};
        variant stream-error { last-operation-failed(u32), closed }
        resource output-stream { write: func(contents: list<u8>) -> result<_, stream-error>; subscribe: func() -> pollable; }
      }
    }
    package wasi:cli@0.2.3 {
      interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }
      interface stderr { use wasi:io/streams@0.2.3.{output-stream}; get-stderr: func() -> output-stream; }
      interface exit { exit: func(status: result); }
    }
    package wasi:clocks@0.2.3 {
      interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
      interface monotonic-clock { now: func() -> u64; subscribe-duration: func(when: u64) -> u32; }
    }
    package wasi:random@0.2.3 {
      interface random { get-random-u64: func() -> u64; get-random-bytes: func(len: u64) -> list<u8>; }
    }
    package wasi:filesystem@0.2.3 {
      interface types { resource descriptor { sync: func(); } read-all: func(path: string) -> string; }
    }
    package wasi:sockets@0.2.3 { interface network { resource network; connect: func() -> network; } }"#;

/// The functions of it, as a module imports them.
const IMPORTS: [(&str, &str, &str); 16] = [
    ("wasi:cli/stdout", "get-stdout", "$stdout (result i32)"),
    ("wasi:cli/stderr", "get-stderr", "$stderr (result i32)"),
    ("wasi:cli/exit", "exit", "$exit (param i32)"),
    ("wasi:io/streams", "[method]output-stream.write", "$write (param i32 i32 i32 i32)"),
    ("wasi:io/streams", "[method]output-stream.subscribe", "$subscribe (param i32) (result i32)"),
    ("wasi:io/streams", "[resource-drop]output-stream", "$drop-stream (param i32)"),
    ("wasi:io/poll", "[resource-drop]pollable", "$drop-pollable (param i32)"),
    ("wasi:io/poll", "[method]pollable.block", "$block (param i32)"),
    ("wasi:io/poll", "poll", "$poll (param i32 i32 i32)"),
    ("wasi:clocks/wall-clock", "now", "$wall (param i32)"),
    ("wasi:clocks/monotonic-clock", "now", "$monotonic (result i64)"),
    ("wasi:random/random", "get-random-u64", "$random (result i64)"),
    ("wasi:random/random", "get-random-bytes", "$bytes (param i64 i32)"),
    ("wasi:filesystem/types", "read-all", "$read (param i32 i32 i32)"),
    ("wasi:filesystem/types", "[method]descriptor.sync", "$sync (param i32)"),
    ("wasi:sockets/network", "connect", "$connect (result i32)"),
];

/// A component that does this with WASI.
fn with_wasi(parts: &str, configure: &str, evaluate: &str) -> Vec<u8> {
    let called = |(_, _, function): &&(&str, &str, &str)| {
        let name = function.split(' ').next().unwrap();
        [configure, evaluate]
            .iter()
            .any(|body| body.contains(&format!("{name})")) || body.contains(&format!("{name} ")))
    };
    let (mut imports, mut interfaces) = (String::new(), String::new());
    for (interface, function, ty) in IMPORTS.iter().filter(called) {
        let (name, types) = ty.split_once(' ').unwrap();
        imports += &format!("(import \"{interface}@0.2.3\" \"{function}\" (func {name} {types}))\n");
        if !interfaces.contains(interface) {
            interfaces += &format!("import {interface}@0.2.3;\n");
        }
    }
    let world = format!("package weir:test; world guest {{ include weir:policy/policy@1.0.0; {interfaces} }} {WASI}");
    component_of(&world, &judge(&format!("{imports} {LOG_PARTS} {parts}"), REALLOC, configure, evaluate))
}

const LOG_PARTS: &str = r#"(data (i32.const 128) "a line\n") (data (i32.const 256) "cannot\1b[31m judge\n")"#;

fn does(evaluate: &str) -> Vec<u8> {
    with_wasi("", OK, &format!("{evaluate} {OK}"))
}

/// Does this for ever.
fn again(body: &str) -> Vec<u8> {
    does(&format!("(loop $again {body} (br $again))"))
}

/// Limits that end who asks again and again, and soon.
const OFTEN: &str = "limits = { host_calls = 1_000_000, fuel = 1_000_000 }";

/// What follows from the request, and what there is not.
fn worlds() -> Vec<Row> {
    let time = r#"(call $wall (i32.const 256))
        (if (i64.ne (i64.load (i32.const 256)) (i64.const 1767225600)) (then unreachable))
        (if (i32.ne (i32.load (i32.const 264)) (i32.const 1000)) (then unreachable))
        (if (i64.ne (call $monotonic) (i64.const 1767225600000002000)) (then unreachable))"#;
    let chance = |bytes: u64| format!("(call $bytes (i64.const {bytes}) (i32.const 1024))");
    let exit = |status: u32| format!("(call $exit (i32.const {status}))");
    let word = format!("(call $write (call $stderr) (i32.const 256) (i32.const 18) (i32.const 1024)) {}", exit(1));
    let (file, sync) = ("(call $read (i32.const 128) (i32.const 6) (i32.const 1024))", "(call $sync (i32.const 1))");
    let socket = "(drop (call $connect))";
    let never = format!("(if (i32.load (i32.const 0)) (then {sync} {socket}))");
    let while_configured = with_wasi("", &format!("{sync} {OK}"), OK);
    let row = |number, name, body: &str, kind, says| fails(number, name, does(body), "", kind, says);
    let no_files = "`wasi:filesystem/types.read-all`: a policy has no files, no sockets and no network";
    vec![
        allows(31, "the clock is the request's", does(time), ""),
        story(31, "chance comes from the request's id", same_chance),
        row(31, "a gigabyte of chance", &chance(1 << 30), RefusedHostCall, "random bytes at once"),
        fails(31, "chance without end", again(&chance(65_536)), OFTEN, Fuel, "limit 1000000"),
        row(4, "exit", &exit(1), Trap, "unreachable"),
        row(4, "success is no verdict", &exit(0), Trap, "unreachable"),
        row(4, "exit with a word", &word, GuestError, "cannot [31m judge"),
        row(16, "a file", file, RefusedHostCall, no_files),
        row(16, "a socket", socket, RefusedHostCall, "`wasi:sockets/network.connect`: a policy has no files"),
        row(16, "a file that nobody opened", sync, RefusedHostCall, "unknown handle index 1"),
        allows(16, "files that are not asked for", does(&never), ""),
        refused(16, "a file while it is configured", while_configured, "", &["cannot be started: refused_host_call"]),
    ]
}

fn printing() -> Vec<Row> {
    let write = |from: u32, length: u32| {
        format!("(call $write (call $stdout) (i32.const {from}) (i32.const {length}) (i32.const 1024))")
    };
    let large = format!("(drop (memory.grow (i32.const 100))) {}", write(65_536, 6_000_000));
    let many = "(local $h i32) (local $i i32) (local.set $h (call $stdout))
        (loop $next
          (call $write (local.get $h) (i32.const 128) (i32.const 7) (i32.const 1024))
          (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1001))))";
    let row = |name, wasm, says| fails(20, name, wasm, "", RefusedHostCall, says);
    vec![
        allows(20, "prints a line", does(&write(128, 7)), ""),
        allows(20, "prints 1,001 lines that nobody keeps", does(many), ""),
        allows(20, "prints 1,001 lines of which 64 are kept", does(many), GRANT_LOG),
        row("prints without end", again(&write(128, 7)), "more than 1000 host calls"),
        fails(20, "prints pages without end", again(&write(0, 4_096)), OFTEN, Fuel, "limit 1000000"),
        row(
            "prints 64 KiB and one more at once",
            does(&format!("(drop (memory.grow (i32.const 100))) {}", write(65_536, 65_537))),
            "65537 bytes printed at once, the most is 65536",
        ),
        row("prints six megabytes at once", does(&large), "more than the host takes in one call"),
        story(20, "what is kept of what is printed", printed),
    ]
}

/// A component whose finding is a message of 16 random letters.
fn chance() -> Vec<u8> {
    let finding = words(512, &[&[1024, 1, 0, 1025, 16][..], &[0; 15]].concat());
    let letters = r#"(local $i i32) (local $bits i64)
        (local.set $bits (call $random))
        (loop $next
          (i32.store8 (i32.add (i32.const 1025) (local.get $i))
            (i32.add (i32.const 97) (i32.and (i32.wrap_i64 (local.get $bits)) (i32.const 15))))
          (local.set $bits (i64.shr_u (local.get $bits) (i64.const 4)))
          (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16))))
        (i32.const 448)"#;
    with_wasi(&format!("{} {finding} (data (i32.const 1024) \"c\")", words(448, &[0, 0, 512, 1])), OK, letters)
}

fn same_chance(label: &str) {
    let host = host_of(chance(), "");
    let say = |id: &str| {
        let json = format!(r#"{{"id":"{id}","checkpoint":"test","time":"2026-01-01T00:00:00Z"}}"#);
        host.evaluate_blocking(asked(&json)).findings()[0].finding.message.clone()
    };
    assert_eq!(say("one"), say("one"), "{label}");
    assert_ne!(say("one"), say("two"), "{label}");
}

fn printed(label: &str) {
    let lines = "(call $write (call $stdout) (i32.const 128) (i32.const 7) (i32.const 1024))".repeat(100);
    for (grants, kept) in [("", None), (GRANT_LOG, Some((64, 36)))] {
        let host = host_of(does(&lines), grants);
        assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow, "{label}");
        let policy = &records(&host)[0]["policies"][0];
        let found = policy["log"].as_array().map(|log| (log.len(), policy["log_dropped"].as_u64().unwrap()));
        assert_eq!(found, kept, "{label}: {policy}");
    }
}

/// Handles of resources, which live in a table of the host.
fn resources() -> Vec<Row> {
    const MANY: &str = "limits = { host_calls = 1_000_000, fuel = 1_000_000_000 }";
    let row = |name, body: &str, says| fails(7, name, does(body), "", RefusedHostCall, says);
    let one = |body: &str| format!("(local $h i32) (local.set $h (call $stdout)) {body}");
    let write = |handle: &str| format!("(call $write {handle} (i32.const 128) (i32.const 7) (i32.const 1024))");
    let drop = "(call $drop-stream (local.get $h))";
    let (make, poll) =
        ("(drop (call $stdout))", |many| format!("(call $poll (i32.const 128) {many} (i32.const 1024))"));
    let late = one(&format!("{drop} {}", write("(local.get $h)")));
    // Its table is in no snapshot.
    let held = with_wasi(
        "(global $held (mut i32) (i32.const 0))",
        &format!("(global.set $held (call $stdout)) {OK}"),
        &format!("{} {OK}", write("(global.get $held)")),
    );
    vec![
        fails(7, "handles without end", again(make), MANY, Memory, "limit 10000 resources"),
        fails(7, "handles up to its host calls", again(make), "", RefusedHostCall, "more than 1000 host calls"),
        allows(7, "a handle that is kept", does(&one("")), ""),
        allows(7, "a handle that is dropped", does(&one(drop)), ""),
        allows(7, "a handle from its configuration", held, ""),
        row("dropped twice", &one(&drop.repeat(2)), "unknown handle index"),
        row("used after it was dropped", &late, "unknown handle index"),
        row("a handle nobody gave it", &write("(i32.const 77)"), "unknown handle index 77"),
        row("handle 0", "(call $drop-stream (i32.const 0))", "unknown handle index 0"),
        row("handle -1", "(call $drop-stream (i32.const -1))", "unknown handle index"),
        row("a handle of another kind", "(call $block (call $stdout))", "wrong type"),
        row("dropped as another kind", "(call $drop-pollable (call $stdout))", "wrong type"),
        allows(7, "waits for what is there", does(POLLS), ""),
        row("waits for what is not", &poll("(i32.const 1)"), "unknown handle index"),
        row("waits for four billion", &poll("(i32.const -1)"), "out of bounds"),
    ]
}

const POLLS: &str = r#"
    (i32.store (i32.const 2048) (call $subscribe (call $stdout)))
    (i32.store (i32.const 2052) (call $subscribe (call $stdout)))
    (call $poll (i32.const 2048) (i32.const 2) (i32.const 1024))
    (if (i32.ne (i32.load (i32.const 1028)) (i32.const 2)) (then unreachable))"#;
