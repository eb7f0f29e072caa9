//! Bulk instructions of memory are rewritten before a module is restored: short ones to plain stores. They do what they did.

use weir::{Called, FailureKind, Source, Trial, TrialOptions};

use super::trial;
use crate::harness::{ALLOW, guest_in, one_policy};

/// Bytes of the guest's memory.
const MEMORY: usize = 1 << 16;

/// Does one bulk instruction and answers with the memory it could reach. The input: its letter, then destination, source or
/// value, and length, each as a little-endian `i32`.
fn mover() -> Vec<u8> {
    let parts = format!(r#"{ALLOW} (data $passive "what a passive segment holds, {}")"#, "0123456789".repeat(12));
    let body = r#"(local $deed i32) (local $to i32) (local $from i32) (local $length i32) (local $at i32)
        (local.set $deed (i32.load8_u (local.get $ptr)))
        (local.set $to (i32.load offset=1 align=1 (local.get $ptr)))
        (local.set $from (i32.load offset=5 align=1 (local.get $ptr)))
        (local.set $length (i32.load offset=9 align=1 (local.get $ptr)))
        (local.set $at (i32.const 16384))
        (loop $next
          (i32.store8 (local.get $at) (i32.add (i32.mul (local.get $at) (i32.const 7)) (i32.const 13)))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 18432))))
        (if (i32.eq (local.get $deed) (i32.const 99))
          (then (memory.copy (local.get $to) (local.get $from) (local.get $length))))
        (if (i32.eq (local.get $deed) (i32.const 102))
          (then (memory.fill (local.get $to) (local.get $from) (local.get $length))))
        (if (i32.eq (local.get $deed) (i32.const 105))
          (then (memory.init $passive (local.get $to) (local.get $from) (local.get $length))))
        (i64.const 0x4000_0000_0800)"#;
    guest_in("1", &parts, body)
}

fn input(deed: u8, to: usize, from: usize, length: usize) -> Vec<u8> {
    let numbers = [to, from, length].map(|number| (number as u32).to_le_bytes());
    std::iter::once(deed).chain(numbers.concat()).collect()
}

/// The module as its author wrote it.
fn plain(wasm: &[u8]) -> Trial {
    let source = Source::memory(one_policy("limits = { fuel = 2_000_000 }"), [("p.wasm", wasm)]);
    let options = TrialOptions { snapshots: false, ..TrialOptions::default() };
    Trial::open(&source, options).unwrap_or_else(|error| panic!("{error}"))
}

/// All but the fuel, which rewriting changes.
fn said(called: Called) -> Result<Vec<u8>, FailureKind> {
    called.answer.map_err(|failure| failure.kind)
}

#[test]
fn every_length_and_overlap_does_what_the_instruction_does() {
    let (kept, plain) = (trial(&mover(), ""), plain(&mover()));
    assert_eq!(kept.plan().policies[0].isolation.as_str(), "restore");
    let mut moved = 0;
    for length in (0..=130).chain([1000, 1500]) {
        for (to, from) in
            [(16500, 16500), (16500, 16501), (16507, 16500), (16500, 16570), (16600, 16500), (16411, 17000)]
        {
            let copy = input(b'c', to, from, length);
            let answer = said(plain.call(0, &copy));
            assert!(answer.as_ref().is_ok_and(|memory| memory.len() == 2048), "{length} {to} {from}: {answer:?}");
            assert_eq!(said(kept.call(0, &copy)), answer, "copy of {length} from {from} to {to}");
            moved += 1;
        }
        for value in [0, 0xA5, 0x1FF] {
            let fill = input(b'f', 16500, value, length);
            assert_eq!(said(kept.call(0, &fill)), said(plain.call(0, &fill)), "fill of {length} with {value}");
        }
        let init = input(b'i', 16500, 3, length);
        assert_eq!(said(kept.call(0, &init)), said(plain.call(0, &init)), "init of {length}");
    }
    assert_eq!(moved, 133 * 6);
}

#[test]
fn what_leaves_the_memory_traps_at_every_length() {
    let (kept, plain) = (trial(&mover(), ""), plain(&mover()));
    for length in [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 33, 64, 65, 5000] {
        for place in [MEMORY - length.min(MEMORY), MEMORY - length / 2, MEMORY, MEMORY + 1, 0xFFFF_FFFF, 0xFFFF_FFF0]
        {
            for call in
                [input(b'c', place, 16500, length), input(b'c', 16500, place, length), input(b'f', place, 1, length)]
            {
                let expected = said(plain.call(0, &call));
                assert_eq!(said(kept.call(0, &call)), expected, "{length} bytes at {place}: {call:?}");
            }
        }
    }
}
