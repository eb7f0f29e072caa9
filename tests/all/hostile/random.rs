//! Rows 29 and 30: modules nobody wrote.

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use weir::{FailureKind, Recorder, Runtime, Source};

use super::{Row, story};
use crate::harness::{Random, asked, constant, one_policy, with_manifest};

pub(super) fn rows() -> Vec<Row> {
    vec![
        story(29, "random valid modules", random_modules),
        story(30, "random bytes", random_bytes),
        story(30, "good modules cut off", cut_off),
        story(30, "good modules with some bytes changed", mutated),
    ]
}

/// The exports of a policy and the imports it may have, random inside.
pub(crate) fn config(seed: u64) -> Config {
    const SHAPE: &str = r#"(module
        (memory (export "memory") 1 4)
        (func (export "weir_abi_1"))
        (func (export "weir_alloc") (param i32) (result i32) unreachable)
        (func (export "weir_evaluate") (param i32 i32) (result i64) unreachable))"#;
    const HOST: &str = r#"(module (import "weir" "log" (func (param i32 i32 i32))))"#;
    let parsed = |text| wat::parse_str(text).expect("the test's own WAT parses");
    Config {
        exports: Some(parsed(SHAPE)),
        available_imports: Some(parsed(HOST)),
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        // Half of them stay without references: most of the others have an `externref` somewhere and are refused.
        reference_types_enabled: seed.is_multiple_of(2),
        max_memories: 0,
        max_tables: 4,
        max_table_elements: 10_000,
        ..Config::default()
    }
}

/// Whatever it does, it ends in a verdict or a failure of a known kind, and in the same one again.
fn random_modules(label: &str) {
    const MODULES: u64 = 300;
    let lines = "grants = [\"log\"]\nlimits = { fuel = 200_000, memory = \"1 MiB\" }";
    let mut judged = 0;
    for seed in 0..MODULES {
        let bytes = Random(seed).bytes(4096);
        let module = Module::new(config(seed), &mut Unstructured::new(&bytes));
        let wasm = module.unwrap_or_else(|error| panic!("{label}: seed {seed}: {error}")).to_bytes();
        let Some(host) = opened(&wasm, lines, label) else { continue };
        judged += 1;
        let [first, second] = [(); 2].map(|()| {
            let decision =
                host.evaluate_blocking(asked(r#"{"id":"r","checkpoint":"c","time":"2026-01-01T00:00:00Z"}"#));
            decision.policies()[0].clone()
        });
        assert!(first.memory_bytes <= 1 << 20 && first.fuel <= 200_000, "{label}: seed {seed}: {first:?}");
        if let Err(failure) = &first.outcome {
            let known = failure.kind != FailureKind::Unavailable && failure.kind != FailureKind::Deadline;
            assert!(known, "{label}: seed {seed}: {failure}");
        }
        let same = first.outcome == second.outcome && first.fuel == second.fuel;
        assert!(
            same && first.memory_bytes == second.memory_bytes,
            "{label}: seed {seed}: {first:?}, then {second:?}"
        );
    }
    assert!(judged > MODULES / 3, "{label}: only {judged} of {MODULES} were let in");
}

/// A host over a module, or nothing if it is refused in bounded, harmless words.
pub(super) fn opened(wasm: &[u8], lines: &str, label: &str) -> Option<Runtime> {
    let source = Source::memory(one_policy(lines), [("p.wasm", wasm)]);
    match pollster::block_on(Runtime::builder().recorder(Recorder::discard()).open(source)) {
        Ok(host) => Some(host),
        Err(error) => {
            let report = error.to_string();
            assert!(report.len() < 100_000, "{label}: a report of {} bytes", report.len());
            assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{label}: {report:?}");
            None
        }
    }
}

fn good() -> Vec<u8> {
    let manifest =
        r#"{"name":"good","abi":"core-1","checkpoints":["a.b"],"reads":["/content"],"samples":[{"checkpoint":"a"}]}"#;
    with_manifest(&constant(r#"{"effect":"allow","scores":{"s":0.5}}"#), manifest)
}

fn random_bytes(label: &str) {
    let mut random = Random(30);
    for _ in 0..2_000 {
        let length = random.below(400);
        let mut bytes = random.bytes(length);
        assert!(weir::inspect(&bytes).is_err(), "{label}: {bytes:x?}");
        bytes.splice(..0, *b"\0asm\x01\0\0\0");
        // A header and noise: nearly always refused, and never more than that.
        let _ = weir::inspect(&bytes);
    }
}

fn cut_off(label: &str) {
    let good = good();
    for length in 0..good.len() {
        // Cut between two sections, a module may still be valid, but it is no policy any more, or lost its manifest.
        if let Ok(inspection) = weir::inspect(&good[..length]) {
            assert!(!inspection.problems.is_empty() || inspection.manifest.is_none(), "{label}: {length} bytes");
        }
    }
}

fn mutated(label: &str) {
    let (good, mut random) = (good(), Random(31));
    let mut let_in = 0;
    for round in 0..5_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        // Compiling takes longest: only what passes the static checks gets there.
        if weir::inspect(&bytes).is_ok_and(|inspection| inspection.problems.is_empty()) && let_in < 100 {
            let Some(host) = opened(&bytes, "", label) else { continue };
            let_in += 1;
            let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"a.b"}"#));
            assert_eq!(decision.policies().len(), 1, "{label}: round {round}");
        }
    }
    assert_eq!(let_in, 100, "{label}: some changes do no harm");
}
