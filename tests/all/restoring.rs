//! A kept instance is as good as a fresh one: whatever a guest tries to leave behind, the next evaluation finds nothing of
//! it, and answers, fuel and memory are those of a fresh instance.
//!
//! In debug builds, which tests are, the host itself compares the whole memory after each reset.

mod bulk;
mod pools;
mod random;
mod snapshots;

use std::sync::atomic::{AtomicUsize, Ordering};

use weir::{Called, Source, Trial, TrialOptions};

use crate::harness::{ALLOW, Random, guest_in, one_policy};

/// Bytes of the guest's memory: four of Wasm's pages.
const MEMORY: usize = 4 << 16;

/// Denies if it finds anything of an evaluation before, in any place there is; then it does what its input says: a letter
/// that names the deed, and six digits that name the address.
fn thief() -> Vec<u8> {
    let globals = [("i32", "7"), ("i64", "-7"), ("f32", "0.5"), ("f64", "-0.5"), ("v128", "i64x2 1 2")];
    let declared: String =
        globals.iter().map(|(ty, value)| format!("(global $g{ty} (mut {ty}) ({ty}.const {value}))\n")).collect();
    let parts = format!(
        r#"(import "weir" "log" (func $log (param i32 i32 i32)))
           {ALLOW} (data (i32.const 18) "{{\22effect\22:\22deny\22}}") (data $passive "passive passive passive passive")
           (table 8 funcref) {declared}
           ;; All words from $at to $end, one over the other.
           (func $all (param $at i32) (param $end i32) (result i64) (local $all i64)
             (loop $next
               (local.set $all (i64.or (local.get $all) (i64.load (local.get $at))))
               (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
             (local.get $all))
           (func $digits (param $at i32) (result i32) (local $end i32) (local $number i32)
             (local.set $end (i32.add (local.get $at) (i32.const 6)))
             (loop $next
               (local.set $number (i32.add (i32.mul (local.get $number) (i32.const 10))
                 (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
               (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
             (local.get $number))"#
    );
    let body = format!(
        r#"(local $dirty i64) (local $deed i32) (local $at i32)
        (local.set $dirty (i64.extend_i32_u (i32.or (i32.or
          (i32.ne (memory.size) (i32.const 4)) (i32.ne (local.get $ptr) (i32.const 4096)))
          (i32.or (i32.or (i32.ne (global.get $gi32) (i32.const 7)) (i64.ne (global.get $gi64) (i64.const -7)))
          (i32.or (i32.or (f32.ne (global.get $gf32) (f32.const 0.5)) (f64.ne (global.get $gf64) (f64.const -0.5)))
            (v128.any_true (v128.xor (global.get $gv128) (v128.const i64x2 1 2))))))))
        (local.set $dirty (i64.or (local.get $dirty) (call $all (i32.const 40) (i32.const 4096))))
        (local.set $dirty (i64.or (local.get $dirty) (call $all (i32.const 4104) (i32.const {MEMORY}))))
        (local.set $deed (i32.load8_u (local.get $ptr)))
        (local.set $at (call $digits (i32.add (local.get $ptr) (i32.const 1))))
        {}
        (select (i64.const 18) (i64.const 0x12_0000_0011) (i64.eqz (local.get $dirty)))"#,
        DEEDS.iter().map(|(name, deed)| deed_if(*name, deed)).collect::<String>()
    );
    guest_in("4 8", &parts, &body)
}

fn deed_if(name: char, deed: &str) -> String {
    format!("(if (i32.eq (local.get $deed) (i32.const {})) (then {deed}))\n", u32::from(name))
}

/// What the thief can do; `$at` is the address of its input.
const DEEDS: &[(char, &str)] = &[
    ('a', "(i32.store8 (local.get $at) (i32.const 0xA5))"),
    ('b', "(i64.store align=1 (local.get $at) (i64.const 0x5A5A5A5A5A5A5A5A))"),
    ('c', "(v128.store align=1 (local.get $at) (v128.const i64x2 -1 -1))"),
    (
        'd',
        "(v128.store8_lane 3 (local.get $at) (v128.const i64x2 -1 -1)) (f32.store align=1 (local.get $at) (f32.const nan))",
    ),
    ('e', "(memory.fill (local.get $at) (i32.const 0xA5) (i32.const 16))"),
    ('f', "(memory.fill (local.get $at) (i32.const 0xA5) (i32.const 4096))"),
    ('g', "(memory.fill (local.get $at) (i32.const 0xA5) (i32.const 20000))"),
    ('h', "(memory.copy (local.get $at) (i32.const 0) (i32.const 18))"),
    ('i', "(memory.copy (local.get $at) (i32.const 0) (i32.const 9000))"),
    ('j', "(memory.init $passive (local.get $at) (i32.const 0) (i32.const 31))"),
    ('k', "(memory.fill (local.get $at) (i32.const 0xA5) (i32.const 0))"),
    ('l', "(memory.fill (i32.const 8192) (i32.const 0xA5) (i32.const 200000))"),
    (
        'm',
        "(global.set $gi32 (local.get $at)) (global.set $gi64 (i64.const 1)) (global.set $gf32 (f32.const nan))
         (global.set $gf64 (f64.const inf)) (global.set $gv128 (v128.const i64x2 3 4))",
    ),
    ('n', "(drop (memory.grow (i32.const 1))) (i32.store8 (i32.const 262144) (i32.const 1))"),
    ('o', "(i32.store8 (local.get $at) (i32.const 1)) (unreachable)"),
    ('p', "(i32.store8 (local.get $at) (i32.const 1)) (loop $again (br $again))"),
    ('q', "(call $log (i32.const 1) (i32.const 0) (i32.const 18)) (i32.store8 (local.get $at) (i32.const 1))"),
    ('r', "(i32.store8 (local.get $at) (i32.const 1)) (i32.store8 (i32.const -1) (i32.const 1))"),
    ('s', "(global.set $gi32 (i32.const 1)) (drop (i32.div_u (i32.const 1) (i32.const 0)))"),
    ('t', "(drop (memory.grow (i32.const 100))) (i32.store8 (local.get $at) (i32.const 1))"),
    ('u', "(i32.store8 (i32.const 0) (i32.const 0x20)) (return (i64.const 0x7fff_ffff_ffff))"),
    ('v', "(i32.store8 (local.get $at) (i32.const 1)) (call_indirect (i32.const 3))"),
];

/// What the thief is given. It reads no JSON: a trial hands it any bytes.
fn input(deed: char, at: usize) -> Vec<u8> {
    format!("{deed}{at:06} ").into_bytes()
}

/// Inside a page, at its ends, across its end, in the last bytes of the memory and beyond.
fn addresses() -> Vec<usize> {
    let pages = [2, 3, 9, 30, 31, 63];
    let inside = pages.iter().flat_map(|page| [0, 1, 100, 4080, 4085, 4089, 4095].map(|byte| page * 4096 + byte));
    inside.chain([40, 4000, MEMORY - 16, MEMORY - 8, MEMORY - 1, MEMORY, MEMORY + 5, 900_000]).collect()
}

fn trial(wasm: &[u8], lines: &str) -> Trial {
    let limits = "limits = { fuel = 2_000_000, memory = \"512 KiB\", deadline = \"60 s\" }\ngrants = [\"log\"]";
    let source = Source::memory(one_policy(&format!("{limits}\n{lines}")), [("p.wasm", wasm)]);
    Trial::open(&source, TrialOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nothing_is_left_behind_anywhere() {
    let (kept, fresh) = (trial(&thief(), ""), trial(&thief(), "isolation = \"fresh\""));
    assert_eq!(kept.plan().policies[0].isolation.as_str(), "restore");
    let nothing = fresh.call(0, &input(' ', 0));
    assert!(nothing.answer.as_ref().is_ok_and(|answer| answer == br#"{"effect":"allow"}"#), "{nothing:?}");
    for round in 0..2 {
        for at in addresses() {
            for (deed, _) in DEEDS {
                let input_of_deed = input(*deed, at);
                assert_eq!(
                    kept.call(0, &input_of_deed),
                    fresh.call(0, &input_of_deed),
                    "round {round}: {deed} at {at}"
                );
                // So many, that keeping instances stays worth it.
                for _ in 0..9 {
                    assert_eq!(kept.call(0, &input(' ', 0)), nothing, "round {round}: after {deed} at {at}");
                }
            }
        }
    }
    let instances = kept.instances();
    assert!(instances.repeated > 50 && instances.dropped > 200, "{instances:?}");
    assert_eq!(fresh.instances().ready, 0);
}

#[test]
fn nothing_is_left_behind_by_many_at_once() {
    const THREADS: usize = 8;
    let (kept, fresh) = (trial(&thief(), ""), trial(&thief(), "isolation = \"fresh\""));
    // What grows or never ends is slow; the others are enough.
    let deeds: Vec<char> = DEEDS.iter().map(|(deed, _)| *deed).filter(|deed| !"npt".contains(*deed)).collect();
    let inputs: Vec<Vec<u8>> =
        addresses().iter().step_by(3).flat_map(|at| deeds.iter().map(|deed| input(*deed, *at))).collect();
    let expected: Vec<Called> = inputs.iter().map(|input| fresh.call(0, input)).collect();
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (kept, inputs, expected, calls) = (&kept, &inputs, &expected, &calls);
            scope.spawn(move || {
                let mut random = Random(thread as u64);
                for _ in 0..1_500 {
                    let which = random.below(inputs.len());
                    assert_eq!(kept.call(0, &inputs[which]), expected[which], "{:?}", inputs[which]);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(calls.into_inner(), THREADS * 1_500);
    assert!(kept.instances().ready > 0, "{:?}", kept.instances());
}
