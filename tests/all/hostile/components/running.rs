//! Rows 1 to 8, 13, 14, 19 and 21: components that do not end, end badly, or take more memory than they may.

use weir::FailureKind::{BadOutput, Deadline, Fuel, Memory, Trap};

use super::{Expected, Row, allows, beside, fails, judged, refused, with_memory};
use crate::harness::{OK, POLICY, REALLOC, component, component_of, judge, slow_loop};

/// More fuel than the host runs on the calling task.
const FIBER: &str = "limits = { fuel = 20_000_000 }";
const SMALL: &str = "limits = { memory = \"2 MiB\" }";
const SMALL_FIBER: &str = "limits = { memory = \"2 MiB\", fuel = 20_000_000 }";

const LOOP: &str = "(loop $again (br $again)) (i32.const 64)";
const TRAP: &str = "unreachable";
const GROW_ALL: &str = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = loops();
    rows.extend(starts());
    rows.extend(traps());
    rows.extend(growth());
    rows.extend(together());
    rows.extend(allocators());
    rows.extend(leaving());
    rows
}

fn with(parts: &str, realloc: &str, configure: &str, evaluate: &str) -> Vec<u8> {
    component_of(POLICY, &judge(parts, realloc, configure, evaluate))
}

/// An allocator that does its work for the configuration, and this once that is taken.
fn realloc_later(then: &str) -> Vec<u8> {
    let parts = "(global $configured (mut i32) (i32.const 0))";
    let realloc = format!("(if (global.get $configured) (then (return {then}))) {REALLOC}");
    with(parts, &realloc, &format!("(global.set $configured (i32.const 1)) {OK}"), "(i32.const 32768)")
}

/// A component whose answer is followed by this.
fn post_return(of: &str, body: &str) -> Vec<u8> {
    let post = format!(r#"(func $post (export "cabi_post_weir:policy/judge@1.0.0#{of}") (param i32) {body})"#);
    component(&post, OK)
}

fn start(body: &str) -> Vec<u8> {
    component(&format!("(func $begin {body}) (start $begin)"), OK)
}

fn initialize(body: &str) -> Vec<u8> {
    component(&format!(r#"(func $init (export "_initialize") {body})"#), OK)
}

fn loops() -> Vec<Row> {
    // Square roots take long and cost one unit each: little fuel, run inline, and yet past its deadline.
    let slow = slow_loop().replace("(i64.const 0)", OK);
    vec![
        fails(1, "endless loop", component("", LOOP), "", Fuel, "limit 5000000"),
        fails(1, "endless loop in a fiber", component("", LOOP), FIBER, Fuel, "limit 20000000"),
        fails(1, "endless loop in cabi_realloc", realloc_later(LOOP), "", Fuel, "limit 5000000"),
        fails(1, "the same in a fiber", realloc_later(LOOP), FIBER, Fuel, "limit 20000000"),
        fails(
            1,
            "endless loop after the answer",
            post_return("evaluate", "(loop $l (br $l))"),
            "",
            Fuel,
            "limit 5000000",
        ),
        fails(1, "after it in a fiber", post_return("evaluate", "(loop $l (br $l))"), FIBER, Fuel, "limit 20000000"),
        fails(
            2,
            "endless loop with fuel for minutes",
            component("", LOOP),
            "limits = { fuel = 10_000_000_000, deadline = \"20 ms\" }",
            Deadline,
            "limit 20 ms",
        ),
        fails(2, "slow instructions", component("", &slow), SLOW, Deadline, "limit 1 ms"),
    ]
}

const SLOW: &str = "limits = { fuel = 15_000_000, deadline = \"1 ms\" }";

fn starts() -> Vec<Row> {
    let row = |number, name, wasm: Vec<u8>, says: &[&'static str]| refused(number, name, wasm, "", says);
    let (endless, trap) = ("(loop $l (br $l))", "unreachable");
    let fuel = &["cannot be started: fuel: limit 5000000"];
    let configure = |body| with("", REALLOC, body, OK);
    vec![
        row(3, "endless loop in start", start(endless), fuel),
        refused(3, "the same in a fiber", start(endless), FIBER, &["cannot be started: fuel: limit 20000000"]),
        row(3, "endless loop in _initialize", initialize(endless), fuel),
        row(3, "endless loop in configure", configure(LOOP), fuel),
        row(3, "endless loop in cabi_realloc of a start", with("", LOOP, OK, OK), fuel),
        row(3, "endless loop after configure", post_return("configure", endless), fuel),
        row(4, "trap in start", start(trap), &["cannot be started: trap", "unreachable", "in begin"]),
        row(4, "trap in _initialize", initialize(trap), &["cannot be started: trap", "in init"]),
        row(4, "trap in configure", configure(TRAP), &["cannot be started: trap", "in configure"]),
        row(4, "trap in cabi_realloc of a start", with("", TRAP, OK, OK), &["cannot be started: trap", "in realloc"]),
        row(4, "trap after configure", post_return("configure", trap), &["cannot be started: trap", "in post"]),
        row(
            4,
            "data outside the memory",
            component("(data (i32.const 65535) \"12\")", OK),
            &["cannot be started: trap", "out of bounds"],
        ),
    ]
}

fn traps() -> Vec<Row> {
    let small = "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
    let down = || component(small, "(call $down (i32.const 0))");
    vec![
        fails(8, "deep recursion", down(), "", Trap, "call stack exhausted"),
        fails(8, "deep recursion in a fiber", down(), FIBER, Trap, "call stack exhausted"),
        fails(8, "deep recursion in cabi_realloc", recursive_realloc(), "", Trap, "call stack exhausted"),
        fails(8, "the same in a fiber", recursive_realloc(), FIBER, Trap, "call stack exhausted"),
        fails(21, "trap in evaluate", component("", TRAP), "", Trap, "in evaluate"),
        fails(21, "trap in evaluate in a fiber", component("", TRAP), FIBER, Trap, "in evaluate"),
        fails(21, "trap in cabi_realloc", realloc_later(TRAP), "", Trap, "in realloc"),
        fails(21, "trap after the answer", post_return("evaluate", TRAP), "", Trap, "in post"),
        fails(21, "trap after the answer in a fiber", post_return("evaluate", TRAP), FIBER, Trap, "in post"),
        fails(21, "trap after changing everything", traps_changed(), "", Trap, "unreachable"),
        fails(21, "the same in a fiber", traps_changed(), FIBER, Trap, "unreachable"),
    ]
}

fn recursive_realloc() -> Vec<u8> {
    realloc_later("(i32.add (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1)) (i32.const 1))")
}

/// Allows if it finds anything changed; otherwise changes what it can and traps.
fn traps_changed() -> Vec<u8> {
    component(
        "(global $calls (mut i32) (i32.const 0))",
        r#"(if (i32.or (global.get $calls) (i32.or (i32.load8_u (i32.const 60000)) (i32.ne (memory.size) (i32.const 1))))
             (then (return (i32.const 64))))
           (global.set $calls (i32.const 1))
           (i32.store8 (i32.const 60000) (i32.const 1))
           (drop (memory.grow (i32.const 1)))
           unreachable"#,
    )
}

fn growth() -> Vec<Row> {
    let grows_and = |end: &str| component("", &format!("{GROW_ALL} {end}"));
    let at_once = "(if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable)) (i32.const 64)";
    let (grows, fails_to) = (format!("{GROW_ALL} (i32.const 4096)"), format!("{GROW_ALL} unreachable"));
    vec![
        judged(5, "grows to its limit", grows_and(OK), SMALL, Expected::Memory(2 << 20)),
        judged(5, "the same in a fiber", grows_and(OK), SMALL_FIBER, Expected::Memory(2 << 20)),
        fails(5, "gives up", grows_and(TRAP), SMALL, Memory, "limit 2097152 bytes"),
        fails(5, "four gigabytes at once", component("", at_once), SMALL, Memory, "limit 2097152 bytes"),
        judged(
            5,
            "cabi_realloc takes all",
            realloc_later(&format!("(block (result i32) {grows})")),
            SMALL,
            Expected::Memory(2 << 20),
        ),
        fails(
            5,
            "cabi_realloc gives up",
            realloc_later(&format!("(block (result i32) {fails_to})")),
            SMALL,
            Memory,
            "limit 2097152 bytes",
        ),
        judged(
            5,
            "asks for more than its memory may have",
            with_memory("1 2", &"(drop (memory.grow (i32.const 100)))".repeat(9)),
            "",
            Expected::Memory(1 << 16),
        ),
        fails(
            5,
            "gives up on its own limit",
            with_memory("1 2", "(drop (memory.grow (i32.const 100))) unreachable"),
            "",
            Trap,
            "in evaluate",
        ),
        // A memory that cannot grow cannot be read out either, but it runs.
        allows(5, "a memory of fixed size", fixed(1), ""),
        allows(5, "a memory as large as its limit", fixed(32), SMALL),
        refused(
            6,
            "one page over the limit",
            fixed(257),
            "",
            &["its memory starts with 16842752 bytes, the limit is 16777216 (limit `memory`)"],
        ),
        refused(6, "four gigabytes", fixed(65536), "", &["starts with 4294967296 bytes"]),
    ]
}

/// A component with a memory of so many pages, which cannot grow.
fn fixed(pages: u32) -> Vec<u8> {
    with_memory(&format!("{pages} {pages}"), "")
}

/// Memories and tables, each below its bound.
fn together() -> Vec<Row> {
    // The first module is the policy's own.
    let module = |inside: &str| format!("(core module {inside})");
    let made = |number: u32| format!("(core instance (instantiate {number}))");
    let each =
        |count: u32, inside: &str| -> String { (1..=count).map(|number| module(inside) + &made(number)).collect() };
    let again = |times: usize, inside: &str| module(inside) + &made(1).repeat(times);
    vec![
        judged(6, "memories up to the limit", beside(&each(3, "(memory 85)")), "", Expected::Memory(256 << 16)),
        refused(
            6,
            "memories that are too large together",
            beside(&each(3, "(memory 86)")),
            "",
            &["its memory starts with 16973824 bytes, the limit is 16777216 (limit `memory`)"],
        ),
        refused(
            6,
            "one memory made three times",
            beside(&again(3, "(memory 86)")),
            "",
            &["cannot be started: memory: limit 16777216 bytes"],
        ),
        refused(6, "nine memories", beside(&each(9, "(memory 1)")), "", &["memories"]),
        refused(6, "nine memories of one module", beside(&again(9, "(memory 1)")), "", &["memories"]),
        judged(7, "a module 100 times", beside(&again(100, "")), "", Expected::Memory(1 << 16)),
        refused(7, "a module 1,000 times", beside(&again(1_000, "")), "", &["instances"]),
        refused(7, "tables that are too many together", beside(&each(33, "(table 1 funcref)")), "", &["tables"]),
        refused(7, "one table that is too large", beside(&each(1, "(table 10001 funcref)")), "", &["10001"]),
        allows(7, "tables as large as they may be", beside(&each(8, "(table 10000 funcref)")), ""),
        allows(5, "a memory nobody sees", beside(&each(1, "(memory 1)")), ""),
        allows(5, "a number nobody sees", beside(&each(1, "(global (mut i32) (i32.const 0))")), ""),
    ]
}

fn allocators() -> Vec<Row> {
    let at = |address: &str| realloc_later(&format!("(i32.const {address})"));
    vec![
        allows(13, "cabi_realloc answers 0", at("0"), ""),
        allows(13, "the same address again and again", at("128"), ""),
        fails(13, "cabi_realloc answers -1", at("-1"), "", BadOutput, ""),
        fails(13, "cabi_realloc answers the last byte", at("65535"), "", BadOutput, ""),
        fails(13, "cabi_realloc answers the end", at("65536"), "", BadOutput, "beyond end of memory"),
        fails(13, "cabi_realloc answers an odd address", at("4097"), "", BadOutput, "not aligned"),
        fails(13, "the same in a fiber", at("4097"), FIBER, BadOutput, "not aligned"),
        refused(
            13,
            "cabi_realloc answers -1 at once",
            with("", "(i32.const -1)", OK, OK),
            "",
            &["cannot be started: bad_output"],
        ),
        judged(
            14,
            "cabi_realloc grows the memory",
            realloc_later("(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))"),
            "",
            Expected::Memory(20 << 16),
        ),
    ]
}

/// Row 19: while the host puts a request in or takes an answer out, a guest may not call it.
fn leaving() -> Vec<Row> {
    let log = r#"(import "weir:policy/log@1.0.0" "write" (func $log (param i32 i32 i32)))
                 (global $configured (mut i32) (i32.const 0))"#;
    let grant = "grants = [\"log\"]";
    let call = "(call $log (i32.const 1) (i32.const 0) (i32.const 1))";
    let set = format!("(global.set $configured (i32.const 1)) {OK}");
    let realloc = format!("(if (global.get $configured) (then {call})) {REALLOC}");
    let in_realloc = with(log, &realloc, &set, OK);
    let post =
        format!(r#"{log} (func $post (export "cabi_post_weir:policy/judge@1.0.0#evaluate") (param i32) {call})"#);
    vec![
        fails(19, "a host call from cabi_realloc", in_realloc.clone(), grant, Trap, "cannot leave"),
        fails(19, "a host call after the answer", with(&post, REALLOC, OK, OK), grant, Trap, "cannot leave"),
        fails(
            19,
            "the same in a fiber",
            in_realloc,
            "grants = [\"log\"]\nlimits = { fuel = 20_000_000 }",
            Trap,
            "cannot leave",
        ),
        refused(
            19,
            "a host call from cabi_realloc of a start",
            with(log, &format!("{call} {REALLOC}"), OK, OK),
            grant,
            &["cannot be started: trap", "cannot leave"],
        ),
    ]
}
