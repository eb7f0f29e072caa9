//! Rows 24 and 30: components that are more than a compiler takes, or end before they end.

use weir::FailureKind::Trap;

use super::{Row, allows, beside, by_hand, fails, refused, story, with_memory};
use crate::harness::{OK, component, host_of, section};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = modules();
    rows.extend(nesting());
    rows.extend(unfolding());
    rows.extend(state());
    rows
}

/// What is wrong is told by the number of the module: the policy's own is the first.
fn modules() -> Vec<Row> {
    let row = |name, fields: &str, says: &[&'static str]| refused(24, name, beside(fields), "", says);
    let module = |fields: &str| format!("(core module {fields})");
    let locals = module("") + &module(&format!("(func (local{}))", " i32".repeat(2_001)));
    let large = module(&format!("(func {})", "(drop (i64.const -9223372036854775808))".repeat(50_000)));
    let functions = |count: usize| module(&"(func)".repeat(count));
    let tables = module(&"(table 1 funcref)".repeat(5));
    let empty = |count: usize| module("").repeat(count);
    let instances: String = (1..=127).map(|number| format!("(core instance (instantiate {number}))")).collect();
    vec![
        row("too many locals", &locals, &["module 3: function body 0 has 2001 locals, the most is 2000"]),
        row("1,000 bad modules", &locals.repeat(1_000), &["module 3: function body 0 has 2001 locals"]),
        row("a large function", &large, &["module 2: function body 0 has", "the most is 524288"]),
        row("many functions", &functions(20_001), &["module 2: the module has 20001 functions"]),
        row("many functions together", &functions(15_000).repeat(5), &["functions, the most is 60000"]),
        row("many tables", &tables, &["module 2: the module has 5 tables, the most is 4"]),
        row("128 modules beside its own", &empty(128), &["the component has 129 modules, the most is 128"]),
        row("100,000 modules", &empty(100_000), &["the component has 100001 modules"]),
        allows(24, "127 modules beside its own", beside(&empty(127)), ""),
        allows(24, "127 instances beside its own", beside(&(empty(127) + &instances)), ""),
    ]
}

fn nesting() -> Vec<Row> {
    const CUSTOM: u8 = 0;
    let nested = |deep: usize| "(component ".repeat(deep) + &")".repeat(deep);
    let large = [component("", OK), section(CUSTOM, &vec![0; 33 << 20])].concat();
    // A section behind the harmless component that is longer than what there is of it.
    let cut_off = |section: u8, bytes: &[u8]| [&component("", OK)[..], &[section, 100], bytes].concat();
    let (module, inner) = (cut_off(1, b"\0asm\x01\0\0\0"), cut_off(4, b"\0asm\x0d\0\x01\0"));
    let row = |number, name, wasm, says| refused(number, name, wasm, "", &[says]);
    vec![
        allows(24, "components nested 8 deep", beside(&(nested(8) + &nested(7))), ""),
        row(24, "components nested 9 deep", beside(&nested(9)), "components are nested deeper than 8"),
        row(24, "components nested 2,000 deep", russian(2_000), "components are nested deeper than 8"),
        row(24, "a component of 33 MiB", large, "bytes, the most is 33554432"),
        row(30, "a module that is cut off", module, "unexpected end-of-file"),
        row(30, "a component that is cut off", inner, "a component in it is cut off"),
    ]
}

/// The harmless component with components behind it, each in another.
fn russian(deep: usize) -> Vec<u8> {
    const COMPONENT: u8 = 4;
    let empty = b"\0asm\x0d\0\x01\0";
    let innermost = section(COMPONENT, empty);
    let nested = (1..deep).fold(innermost, |inner, _| section(COMPONENT, &[&empty[..], &inner].concat()));
    [component("", OK), nested].concat()
}

/// A few kilobytes that the compiler would unfold.
fn unfolding() -> Vec<Row> {
    let hands_on = r#"(component $c (component $x) (export "x" (component $x)))
        (instance $i (instantiate $c)) (alias export $i "x" (component $y)) (instance (instantiate $y))"#;
    let asks_for = r#"(component $x) (component $c (import "x" (component $y)) (instance (instantiate $y)))
        (instance (instantiate $c (with "x" (component $x))))"#;
    let double = |i: usize| format!("(type $d{i} (tuple $d{} $d{}))", i - 1, i - 1);
    let types = format!("(type $d0 (tuple u8 u8)) {}", (1..=30).map(double).collect::<String>());
    let row = |name, fields: &str, says| refused(24, name, by_hand(fields, "", "", OK), "", &[says]);
    vec![
        allows(24, "components that make each other 500 times", by_hand(&each_other(9), "", "", OK), ""),
        row("components that make each other a million times", &each_other(20), "it takes 200000 steps and more"),
        row("components that make each other for ever", &each_other(1_000), "it takes 200000 steps and more"),
        row("a component from a component", hands_on, "hands components from one to another"),
        row("a component for a component", asks_for, "hands components from one to another"),
        row("types that double 30 times", &types, "type size exceeds the limit"),
    ]
}

/// So many components, each of which makes the one before twice.
fn each_other(times: usize) -> String {
    let level = |i: usize| {
        let below = i - 1;
        format!(
            r#"(component $c{i} (alias outer 1 $c{below} (component $x))
                 (instance (instantiate $x)) (instance (instantiate $x)))"#
        )
    };
    format!("(component $c0) {} (instance (instantiate $c{times}))", (1..=times).map(level).collect::<String>())
}

/// What cannot be read out for a snapshot, or would be too much to read: such components run as they are.
fn state() -> Vec<Row> {
    let globals = "(global (mut i32) (i32.const 0))".repeat(9_999);
    let row = |name, parts: &str| allows(24, name, component(parts, OK), "");
    let reader = beside("(instance $i) (export \"wasmtime:wizer/access\" (instance $i))");
    vec![
        row("ten thousand globals", &globals),
        fails(24, "ten thousand globals and a trap", component(&globals, "unreachable"), "", Trap, "in evaluate"),
        row("a vector that changes", "(global (mut v128) (v128.const i64x2 0 0))"),
        row("a reference that changes", "(global (mut funcref) (ref.null func))"),
        row("an export with the name of a reader", "(global (export \"__wizer_a\") i32 (i32.const 0))"),
        allows(24, "an interface with the name of a reader", reader, ""),
        story(24, "why there is no snapshot is told", reasons),
    ]
}

fn reasons(label: &str) {
    const LINES: &str = "limits = { memory = \"256 MiB\" }";
    let globals = component(&"(global (mut i32) (i32.const 0))".repeat(1_000), OK);
    let cases = [
        (component("", OK), None),
        // More than a component may carry to the host in one call.
        (with_memory("1600", ""), None),
        (with_memory("1 1", ""), Some("a memory cannot grow by the page that this takes")),
        (with_memory("4096", ""), Some("a memory cannot grow by the page that this takes")),
        (beside("(core module (memory 1)) (core instance (instantiate 1))"), Some("but no exports")),
        (globals, Some("1002 globals and memories, more than 1000")),
        (beside(&"(core module)".repeat(127)), Some("it has 128 modules")),
        (beside("(instance $i) (export \"wasmtime:wizer/a\" (instance $i))"), Some("begins with `wasmtime:wizer/`")),
    ];
    for (wasm, why) in cases {
        let host = host_of(wasm, LINES);
        let generation = host.generation();
        match (&generation.plan().policies[0].plain, why) {
            (None, None) => {}
            (Some(told), Some(why)) => assert!(told.contains(why), "{label}: {told}"),
            (told, why) => panic!("{label}: {told:?} for {why:?}"),
        }
    }
}
