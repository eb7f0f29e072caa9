//! Rows 1 to 4, 8 and 21: guests that do not end, or end badly.

use weir::FailureKind::{Deadline, Fuel, Trap};

use super::{Row, fails, refused};
use crate::harness::{FOREVER, guest, slow_loop};

/// More fuel than the host runs on the calling task: the guest gets a stack of its own.
const FIBER: &str = "limits = { fuel = 20_000_000 }";

pub(super) fn rows() -> Vec<Row> {
    let start = |body: &str| guest(&format!("(func $begin {body}) (start $begin)"), "(i64.const 0)");
    vec![
        fails(1, "endless loop", guest("", FOREVER), "", Fuel, "limit 5000000"),
        fails(1, "endless loop in a fiber", guest("", FOREVER), FIBER, Fuel, "limit 20000000"),
        fails(
            2,
            "endless loop with fuel for minutes",
            guest("", FOREVER),
            "limits = { fuel = 10_000_000_000, deadline = \"20 ms\" }",
            Deadline,
            "limit 20 ms",
        ),
        // Square roots take long and cost one unit each: little fuel, run inline, and yet past its deadline.
        fails(
            2,
            "slow instructions",
            guest("", &slow_loop()),
            "limits = { fuel = 15_000_000, deadline = \"1 ms\" }",
            Deadline,
            "limit 1 ms",
        ),
        refused(3, "endless loop in start", start("(loop $again (br $again))"), "", &["cannot be started: fuel"]),
        refused(3, "the same in a fiber", start("(loop $again (br $again))"), FIBER, &["cannot be started: fuel"]),
        refused(4, "trap in start", start("unreachable"), "", &["cannot be started: trap", "unreachable"]),
        refused(
            4,
            "data outside the memory",
            guest("(data (i32.const 65535) \"12\")", "(i64.const 0)"),
            "",
            &["cannot be started: trap", "out of bounds"],
        ),
        fails(8, "deep recursion", small_frames(), "", Trap, "call stack exhausted"),
        fails(8, "deep recursion in a fiber", small_frames(), FIBER, Trap, "call stack exhausted"),
        fails(8, "large frames", large_frames(), "", Trap, "call stack exhausted"),
        fails(8, "large frames in a fiber", large_frames(), FIBER, Trap, "call stack exhausted"),
        fails(21, "trap after changing everything", traps_changed(), "", Trap, "unreachable"),
        fails(21, "the same in a fiber", traps_changed(), FIBER, Trap, "unreachable"),
        fails(
            21,
            "division by zero",
            guest("", "(i64.div_s (i64.const 1) (i64.const 0))"),
            "",
            Trap,
            "divide by zero",
        ),
    ]
}

fn small_frames() -> Vec<u8> {
    guest(
        "(func $down (param i64) (result i64) (i64.add (call $down (local.get 0)) (i64.const 1)))",
        "(call $down (i64.const 0))",
    )
}

/// 1,900 values that must live across the call: about 15 KiB of stack each time.
fn large_frames() -> Vec<u8> {
    const LOCALS: usize = 1_900;
    let locals = " i64".repeat(LOCALS);
    let load: String = (0..LOCALS).map(|i| format!("(local.set {i} (i64.load offset={i} (i32.const 0)))")).collect();
    let sum: String = (0..LOCALS).map(|i| format!("(local.get {i}) i64.add ")).collect();
    guest(&format!("(func $down (result i64) (local{locals}) {load} (call $down) {sum})"), "(call $down)")
}

/// Allows if it finds anything changed; otherwise changes everything it can and traps.
fn traps_changed() -> Vec<u8> {
    guest(
        r#"(table $table 1 funcref) (elem declare func $any) (func $any)
           (global $calls (mut i32) (i32.const 0))
           (data (i32.const 64) "{\22effect\22:\22allow\22}")"#,
        r#"(if (result i64)
             (i32.or (i32.or (global.get $calls) (i32.load8_u (i32.const 60000)))
                     (i32.or (i32.ne (memory.size) (i32.const 1))
                             (i32.eqz (ref.is_null (table.get $table (i32.const 0))))))
             (then (i64.const 0x40_0000_0012))
             (else
               (global.set $calls (i32.const 1))
               (i32.store8 (i32.const 60000) (i32.const 1))
               (table.set $table (i32.const 0) (ref.func $any))
               (drop (memory.grow (i32.const 1)))
               unreachable))"#,
    )
}
