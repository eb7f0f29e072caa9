//! Rows 1, 7, 11, 13 and 21: what goes on inside of a component: between its parts, and with resources of its own.

use weir::FailureKind::{Deadline, Fuel, Memory, RefusedHostCall, Trap};
use weir::{Effect, Runtime};

use super::{Row, allows, by_hand, fails, refused, story, with_sibling};
use crate::harness::{OK, asked, burn, component, host_of, request};

const FIBER: &str = "limits = { fuel = 20_000_000 }";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = texts();
    rows.extend(resources());
    rows.extend(destructors());
    rows.push(story(1, "both ways to run cost the same", same_fuel));
    rows.push(story(7, "what a reused instance never drops", leaks));
    rows
}

/// A component that hands a text at 0, of zeros but for its first byte, from one memory to a helper in another.
struct Helper {
    first: &'static str,
    length: i64,
    pages: u32,
    realloc: &'static str,
    takes: &'static str,
    encoding: &'static str,
    evaluate: &'static str,
}

const HELPER: Helper = Helper {
    first: "a",
    length: 60_000,
    pages: 1,
    realloc: "(i32.const 0)",
    takes: "",
    encoding: "utf8",
    evaluate: "(call $hand)",
};

impl Helper {
    fn made(self) -> Vec<u8> {
        let Helper { first, length, pages, realloc, takes, encoding, evaluate } = self;
        let sibling = format!(
            r#"(core module $m
                 (memory (export "memory") {pages})
                 (func $helper-realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                 (func $helper-takes (export "take") (param i32 i32) {takes}))
               (core instance $i (instantiate $m))
               (func (export "f") (param "text" string)
                 (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc"))
                   string-encoding={encoding}))"#
        );
        let memory = format!(
            r#"(core module $lib (memory (export "memory") {pages}) (data (i32.const 0) "{first}"))
               (core instance $lib (instantiate $lib))
               (alias core export $lib "memory" (core memory $memory))"#
        );
        let parts = format!(
            r#"(import "beside" "f" (func $take (param i32 i32)))
               (func $hand (call $take (i32.const 0) (i32.const {length})))"#
        );
        with_sibling(&sibling, "(param \"text\" string)", &memory, &parts, &format!("{evaluate} {OK}"))
    }
}

fn texts() -> Vec<Row> {
    let row = |number, name, helper: Helper, kind, says| fails(number, name, helper.made(), "", kind, says);
    let endless = "(loop $again (br $again)) (i32.const 0)";
    const VAST: &str = "limits = { fuel = 10_000_000_000, memory = \"256 MiB\", deadline = \"20 ms\" }";
    let flood =
        Helper { length: 65_000_000, pages: 1_000, evaluate: "(loop $again (call $hand) (br $again))", ..HELPER };
    vec![
        allows(12, "a component by hand", by_hand("", "", "", OK), ""),
        allows(12, "a text for another part", HELPER.made(), ""),
        allows(12, "the same in UTF-16", Helper { length: 30_000, encoding: "utf16", ..HELPER }.made(), ""),
        allows(12, "the same in either", Helper { length: 30_000, encoding: "latin1+utf16", ..HELPER }.made(), ""),
        row(
            1,
            "a part that never ends",
            Helper { takes: "(loop $again (br $again))", ..HELPER },
            Fuel,
            "limit 5000000",
        ),
        row(1, "a part whose cabi_realloc never ends", Helper { realloc: endless, ..HELPER }, Fuel, "limit 5000000"),
        fails(1, "the same in a fiber", Helper { realloc: endless, ..HELPER }.made(), FIBER, Fuel, "limit 20000000"),
        row(21, "a part that traps", Helper { takes: "unreachable", ..HELPER }, Trap, "in helper-takes"),
        row(
            21,
            "a part whose cabi_realloc traps",
            Helper { realloc: "unreachable", ..HELPER },
            Trap,
            "in helper-realloc",
        ),
        row(13, "a part whose cabi_realloc answers -1", Helper { realloc: "(i32.const -1)", ..HELPER }, Trap, ""),
        row(
            13,
            "an odd address for UTF-16",
            Helper { realloc: "(i32.const 1)", encoding: "utf16", ..HELPER },
            Trap,
            "",
        ),
        row(11, "four gigabytes for another part", Helper { length: -1, ..HELPER }, Trap, ""),
        row(11, "a text from outside", Helper { length: 65_537, ..HELPER }, Trap, ""),
        row(10, "a text that is not UTF-8", Helper { first: "\\ff", ..HELPER }, RefusedHostCall, "invalid utf8"),
        row(
            10,
            "the same for UTF-16",
            Helper { first: "\\ff", length: 10, encoding: "utf16", ..HELPER },
            RefusedHostCall,
            "invalid utf8",
        ),
        // Copying is the engine's work, which the clock ends: no fuel pays for it.
        fails(2, "65 MB again and again", flood.made(), VAST, Deadline, "limit 20 ms"),
    ]
}

/// A component with a resource of its own.
fn with_resource(destructor: &str, parts: &str, evaluate: &str) -> Vec<u8> {
    let before = format!(
        r#"(core module $d (func $destroy (export "d") (param i32) {destructor}))
           (core instance $d (instantiate $d))
           (type $r (resource (rep i32) (dtor (func $d "d"))))
           (core func $new (canon resource.new $r))
           (core func $rep (canon resource.rep $r))
           (core func $drop (canon resource.drop $r))
           (core instance $host (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop)))"#
    );
    let imports = r#"(import "host" "new" (func $new (param i32) (result i32)))
        (import "host" "rep" (func $rep (param i32) (result i32)))
        (import "host" "drop" (func $drop (param i32)))"#;
    by_hand(&before, "(with \"host\" (instance $host))", &format!("{imports} {parts}"), &format!("{evaluate} {OK}"))
}

fn resources() -> Vec<Row> {
    let does = |evaluate: &str| with_resource("", "", &format!("(local $h i32) {evaluate}"));
    let begins = |body: &str| with_resource("", &format!("(func $begin {body}) (start $begin)"), "");
    let row = |name, evaluate: &str, kind, says| fails(7, name, does(evaluate), "", kind, says);
    let (new, rep, drop) =
        ("(call $new (i32.const 7))", "(drop (call $rep (local.get $h)))", "(call $drop (local.get $h))");
    let make = format!("(local.set $h {new})");
    let once = format!("{make} {rep} {drop}");
    let forever = |body: &str| format!("(loop $again {body} (br $again))");
    let many = forever(&format!("(drop {new})"));
    // Its table is the host's, which no snapshot has in it.
    let held =
        format!("(global $held (mut i32) (i32.const 0)) (func $begin (global.set $held {new})) (start $begin)");
    let uses = "(if (i32.ne (call $rep (global.get $held)) (i32.const 7)) (then unreachable))";
    let full = "cannot be started: memory: limit 10000 resources";
    let unknown = "cannot be started: refused_host_call: unknown handle index 5";
    vec![
        allows(7, "a resource of its own", does(&once), ""),
        row("resources without end", &many, Memory, "limit 10000 resources"),
        fails(7, "the same with less fuel", does(&many), "limits = { fuel = 20_000 }", Fuel, "limit 20000"),
        row("made and dropped without end", &forever(&format!("(call $drop {new})")), Fuel, "limit 5000000"),
        row("dropped twice", &format!("{make} {drop} {drop}"), RefusedHostCall, "unknown handle index"),
        row("looked at when it is dropped", &format!("{once} {rep}"), RefusedHostCall, "unknown handle index"),
        row("one nobody made", "(drop (call $rep (i32.const 268435455)))", RefusedHostCall, "unknown handle index"),
        allows(7, "one from its start", with_resource("", &held, uses), ""),
        refused(7, "one nobody made, at its start", begins("(call $drop (i32.const 5))"), "", &[unknown]),
        refused(7, "too many at its start", begins(&many), "", &[full]),
    ]
}

fn destructors() -> Vec<Row> {
    let drops = |destructor: &str| with_resource(destructor, "", "(call $drop (call $new (i32.const 1)))");
    vec![
        allows(7, "a destructor", drops(""), ""),
        fails(1, "a destructor that never ends", drops("(loop $again (br $again))"), "", Fuel, "limit 5000000"),
        fails(1, "the same in a fiber", drops("(loop $again (br $again))"), FIBER, Fuel, "limit 20000000"),
        fails(21, "a destructor that traps", drops("unreachable"), "", Trap, "in destroy"),
        fails(
            8,
            "a destructor that calls itself",
            drops("(call $destroy (local.get 0))"),
            "",
            Trap,
            "call stack exhausted",
        ),
    ]
}

fn used(host: &Runtime) -> (u64, u64) {
    let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"test","content":[{"text":"ä"},{"text":"b"}]}"#));
    assert_eq!(decision.effect(), Effect::Allow, "{decision:?}");
    (decision.policies()[0].fuel, decision.policies()[0].memory_bytes)
}

fn same_fuel(label: &str) {
    let log = r#"(import "weir:policy/log@1.0.0" "write" (func $log (param i32 i32 i32)))"#;
    let work = format!("{} (call $log (i32.const 1) (i32.const 0) (i32.const 9)) {OK}", burn(1_000_000));
    let guests =
        [component(log, &work), HELPER.made(), with_resource("", "", "(call $drop (call $new (i32.const 1)))")];
    for guest in guests {
        let [inline, fiber] = ["", "limits = { fuel = 10_000_000_000 }"]
            .map(|limits| host_of(guest.clone(), &format!("grants = [\"log\"]\n{limits}")));
        let first = used(&inline);
        for _ in 0..20 {
            assert_eq!((used(&inline), used(&fiber)), (first, first), "{label}");
        }
    }
}

/// What it leaves grows from evaluation to evaluation until there is no room, and then it begins anew.
fn leaks(label: &str) {
    const EACH: u32 = 900;
    let make = format!(
        r#"(local $i i32)
           (loop $again
             (drop (call $new (i32.const 1)))
             (br_if $again (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {EACH}))))"#
    );
    let host = host_of(with_resource("", "", &make), "isolation = \"reuse\"");
    let mut failed = 0;
    for round in 0..40 {
        let decision = host.evaluate_blocking(request());
        if let Err(failure) = &decision.policies()[0].outcome {
            assert!(failure.kind == Memory && failure.detail.contains("limit 10000 resources"), "{label}: {failure}");
            failed += 1;
        }
        assert!(failed <= 1 + round / 11, "{label}: {failed} of {round}");
    }
    assert!(failed > 0, "{label}");
}
