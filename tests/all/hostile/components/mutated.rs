//! Rows 29 and 30: components nobody wrote.

use weir::FailureKind;

use super::{Row, story};
use crate::harness::{Random, asked, component, with_manifest};
use crate::hostile::random::opened;

pub(super) fn rows() -> Vec<Row> {
    vec![
        story(30, "good components cut off", cut_off),
        story(30, "noise behind the header of a component", noise),
        story(30, "good components with some bytes changed", mutated),
        story(30, "good components with some bits changed", flipped),
    ]
}

fn good() -> Vec<u8> {
    let manifest = r#"{"name":"good","abi":"component-1","reads":["/content"],"samples":[{"checkpoint":"a"}]}"#;
    let work = r#"(i32.store8 (i32.const 68) (i32.load8_u (i32.const 512))) (i32.const 64)"#;
    let log = r#"(import "weir:policy/log@1.0.0" "write" (func $log (param i32 i32 i32)))
        (import "weir:policy/state@1.0.0" "take" (func $take (param i32 i32 i64 i64 i64 i32 i32)))"#;
    let call = "(call $log (i32.const 1) (i32.const 512) (i32.const 2))
        (call $take (i32.const 512) (i32.const 2) (i64.const 1) (i64.const 9) (i64.const 60000) (i32.const 0) (i32.const 1024))";
    with_manifest(&component(&format!("{log} (data (i32.const 512) \"\\00m\")"), &format!("{call} {work}")), manifest)
}

fn cut_off(label: &str) {
    let good = good();
    for length in 0..good.len() {
        // Cut between two sections, a component may still be valid, but it is no policy any more, or lost its manifest.
        if let Ok(inspection) = weir::inspect(&good[..length]) {
            assert!(!inspection.problems.is_empty() || inspection.manifest.is_none(), "{label}: {length} bytes");
        }
    }
}

fn noise(label: &str) {
    let mut random = Random(32);
    for _ in 0..2_000 {
        let length = random.below(400);
        let mut bytes = random.bytes(length);
        bytes.splice(..0, *b"\0asm\x0d\0\x01\0");
        if let Ok(inspection) = weir::inspect(&bytes) {
            assert!(!inspection.problems.is_empty(), "{label}: {bytes:x?}");
        }
    }
}

fn mutated(label: &str) {
    let mut random = Random(33);
    change(label, 60, |bytes| {
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
    });
}

fn flipped(label: &str) {
    let mut random = Random(34);
    change(label, 60, |bytes| {
        for _ in 0..=random.below(2) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    });
}

/// Whatever becomes of a good component, it is refused in harmless words, or judges twice alike and ends in a failure of the
/// guest's at worst.
fn change(label: &str, wanted: usize, mut change: impl FnMut(&mut [u8])) {
    let good = good();
    let mut let_in = 0;
    for round in 0..20_000 {
        let mut bytes = good.clone();
        change(&mut bytes);
        // Compiling takes longest: only what passes the static checks gets there.
        if !weir::inspect(&bytes).is_ok_and(|inspection| inspection.problems.is_empty()) {
            continue;
        }
        let lines = "grants = [\"log\", \"state\"]\nlimits = { fuel = 200_000, memory = \"1 MiB\" }";
        let Some(host) = opened(&bytes, lines, label) else { continue };
        let_in += 1;
        let [first, second] = [(); 2].map(|()| {
            let asked = asked(r#"{"id":"r","checkpoint":"a.b","time":"2026-01-01T00:00:00Z"}"#);
            host.evaluate_blocking(asked).policies()[0].clone()
        });
        if let Err(failure) = &first.outcome {
            let known = !matches!(failure.kind, FailureKind::Unavailable | FailureKind::Deadline);
            assert!(known, "{label}: round {round}: {failure}");
        }
        let same =
            (&first.outcome, first.fuel, first.memory_bytes) == (&second.outcome, second.fuel, second.memory_bytes);
        assert!(same, "{label}: round {round}: {first:?}, then {second:?}");
        if let_in == wanted {
            return;
        }
    }
    panic!("{label}: only {let_in} changes did no harm");
}
