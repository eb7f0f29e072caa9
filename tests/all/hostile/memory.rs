//! Rows 5 to 7, 13, 14 and 27: memories and tables that are too large, move, or are not one's own.

use weir::{Effect, FailureKind};

use super::{Expected, Row, allows, fails, judged, refused, story};
use crate::harness::{ALLOW, allows_after, asked, guest, guest_in, host, module};

const SMALL: &str = "limits = { memory = \"2 MiB\" }";
const SMALL_FIBER: &str = "limits = { memory = \"2 MiB\", fuel = 20_000_000 }";

/// Grows page by page until the host says no.
const GROW_ALL: &str = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = growth();
    rows.extend(tables());
    rows.extend(allocators());
    rows.push(story(27, "what one policy leaves behind another never sees", nothing_is_left_behind));
    rows
}

fn growth() -> Vec<Row> {
    let grows_and = |end: &str| guest("", &format!("{GROW_ALL} {end}"));
    let at_once =
        guest("", "(if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable)) (i64.const 0)");
    vec![
        judged(5, "grows to its limit", allows_after("", GROW_ALL), SMALL, Expected::Memory(2 << 20)),
        judged(5, "the same in a fiber", allows_after("", GROW_ALL), SMALL_FIBER, Expected::Memory(2 << 20)),
        judged(5, "the default limit", allows_after("", GROW_ALL), "", Expected::Memory(16 << 20)),
        fails(5, "gives up", grows_and("unreachable"), SMALL, FailureKind::Memory, "limit 2097152 bytes"),
        fails(5, "four gigabytes at once", at_once, SMALL, FailureKind::Memory, "limit 2097152 bytes"),
        fails(
            5,
            "never stops asking",
            guest("", "(loop $more (drop (memory.grow (i32.const 1))) (br $more)) (i64.const 0)"),
            "limits = { fuel = 100_000 }",
            FailureKind::Fuel,
            "limit 100000",
        ),
        refused(
            6,
            "one page over the limit",
            guest_in("257", "", "(i64.const 0)"),
            "",
            &["its memory starts with 16842752 bytes, the limit is 16777216 (limit `memory`)"],
        ),
        refused(6, "four gigabytes", guest_in("65536", "", "(i64.const 0)"), "", &["starts with 4294967296 bytes"]),
    ]
}

fn tables() -> Vec<Row> {
    // Traps unless the table ends at 10,000 elements.
    let grow_table = r#"
        (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
        (if (i32.ne (table.size $t) (i32.const 10000)) (then unreachable))"#;
    let gives_up = "(drop (table.grow $t (ref.null func) (i32.const 10001))) unreachable";
    vec![
        allows(7, "table grow bomb", allows_after("(table $t 0 funcref)", grow_table), ""),
        fails(7, "gives up", guest("(table $t 0 funcref)", gives_up), "", FailureKind::Memory, "unreachable"),
        refused(
            7,
            "big table",
            guest("(table 10001 funcref)", "(i64.const 0)"),
            "",
            &["cannot be compiled", "10001", "10000"],
        ),
        refused(
            7,
            "many tables",
            guest(&"(table 1 funcref)".repeat(5), "(i64.const 0)"),
            "",
            &["the module has 5 tables, the most is 4"],
        ),
    ]
}

/// A guest with an allocator of its own, which allows with an answer at 32768.
fn allocating(alloc: &str, parts: &str) -> Vec<u8> {
    module(&format!(
        r#"(memory (export "memory") 1)
           (func (export "weir_abi_1"))
           (func (export "weir_alloc") (param $len i32) (result i32) {alloc})
           (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 0x8000_0000_0012))
           (data (i32.const 32768) "{{\22effect\22:\22allow\22}}") {parts}"#
    ))
}

fn allocators() -> Vec<Row> {
    use FailureKind::{BadOutput, Fuel, Trap};
    let at = |address: &str| allocating(&format!("(i32.const {address})"), "");
    let twice = r#"(func (export "weir_configure") (param i32 i32) (result i64) (i64.const 0))"#;
    let grows = "(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))";
    // The answer lies in a page that did not exist when the call began.
    let answers_from_new_page = r#"
        (local $page i32)
        (local.set $page (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
        (memory.copy (local.get $page) (i32.const 0) (i32.const 18))
        (i64.or (i64.shl (i64.extend_i32_u (local.get $page)) (i64.const 32)) (i64.const 18))"#;
    vec![
        allows(13, "alloc answers 0", at("0"), ""),
        allows(13, "the same address twice", allocating("(i32.const 64)", twice), ""),
        fails(13, "alloc answers -1", at("-1"), "", BadOutput, "answered 4294967295, which does not fit into 65536"),
        fails(13, "alloc answers the last byte", at("65535"), "", BadOutput, "answered 65535"),
        fails(13, "alloc answers the end", at("65536"), "", BadOutput, "answered 65536"),
        // The request lands on the answer: the guest harms itself only.
        fails(13, "alloc answers an address inside data", at("32760"), "", BadOutput, ""),
        fails(13, "alloc traps", allocating("unreachable", ""), "", Trap, "unreachable"),
        fails(14, "alloc loops", allocating("(loop $l (br $l)) (i32.const 0)", ""), "", Fuel, "limit 5000000"),
        judged(14, "alloc grows the memory", allocating(grows, ""), "", Expected::Memory(2 * 65536)),
        judged(14, "evaluate grows the memory", guest(ALLOW, answers_from_new_page), "", Expected::Memory(2 * 65536)),
    ]
}

/// `dirty` fills all the memory and tables it can get; `scan` denies if it finds anything but zeros.
fn nothing_is_left_behind(label: &str) {
    let dirty = allows_after(
        "(table $t 100 funcref) (elem declare func $any) (func $any)",
        &format!(
            r#"{GROW_ALL}
               (table.fill $t (i32.const 0) (ref.func $any) (i32.const 100))
               (memory.fill (i32.const 64) (i32.const 0xA5)
                 (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 64)))"#
        ),
    );
    // Traps on the first word that is not zero, from behind its own answer and the request to the end of 32 pages.
    let scan = guest(
        &format!("{ALLOW} (table $t 100 funcref)"),
        r#"(local $at i32) (local $all i64)
           (drop (memory.grow (i32.const 31)))
           (local.set $at (i32.and (i32.add (i32.add (local.get $ptr) (local.get $len)) (i32.const 7)) (i32.const -8)))
           (loop $next
             (local.set $all (i64.or (local.get $all) (i64.load (local.get $at))))
             (local.set $at (i32.add (local.get $at) (i32.const 8)))
             (br_if $next (i32.lt_u (local.get $at) (i32.const 2097152))))
           (if (i64.ne (local.get $all) (i64.const 0)) (then unreachable))
           (if (i32.eqz (ref.is_null (table.get $t (i32.const 99)))) (then unreachable))
           (i64.const 18)"#,
    );
    let limits = "limits = { memory = \"4 MiB\", fuel = 15_000_000 }";
    let policy = |name: &str, at: &str| {
        format!("[policies.{name}]\nmodule = \"{name}.wasm\"\ncheckpoints = [\"{at}\"]\n{limits}\n")
    };
    let set = format!("set = \"s\"\n{}{}", policy("dirty", "a"), policy("scan", "b"));
    let host = host(&set, &[("dirty.wasm", dirty), ("scan.wasm", scan)]).unwrap_or_else(|r| panic!("{label}: {r}"));
    for round in 0..100 {
        for (checkpoint, tenant) in [("a", "one"), ("b", "other")] {
            let json = format!(r#"{{"checkpoint":"{checkpoint}","tenant":"{tenant}"}}"#);
            let decision = host.evaluate_blocking(asked(&json));
            assert_eq!(decision.effect(), Effect::Allow, "{label}: round {round}, {tenant}: {decision:?}");
        }
    }
}
