//! Whether a request pays for policies that do not apply to it.

use std::fmt::Write;
use std::time::Instant;

use weir::{Recorder, Runtime};

use crate::hosts::{evaluate, open, request};
use crate::measure::{Effort, compare, process_time, timed};
use crate::report::Figure;

/// Five policies that apply to [`REQUEST`], each for another reason.
const APPLYING: [&str; 5] = [
    r#"checkpoints = ["bench.c0"], systems = ["s0"], when = { region = ["r0"] }"#,
    r#"checkpoints = ["bench.c0"], systems = ["*"]"#,
    r#"checkpoints = ["bench.*"], systems = ["s0"]"#,
    r#"checkpoints = ["*"], when = { region = ["r0", "r1"] }"#,
    r#"checkpoints = ["bench.c0"], systems = ["s*"], when = { absent = ["x"] }"#,
];
const REQUEST: &str = r#"{"id":"r","checkpoint":"bench.c0","tenant":"t","system":"s0","time":"2026-11-23T09:00:00Z","context":{"region":"r0"},"content":[{"text":"hello"}]}"#;

/// One request in a set with ten thousand policies against one with ten; the same five apply.
///
/// The guest answers a constant and records are forgotten, so that there is little for selection to hide behind.
pub(crate) fn ten_thousand(effort: Effort) -> Vec<Figure> {
    let (started, cpu) = (Instant::now(), process_time());
    let many = host(10_000);
    let (wall, cpu) = (started.elapsed(), process_time() - cpu);
    let few = host(10);
    let judge = |runtime: &Runtime, count| timed(vec![request(REQUEST); count], |request| evaluate(runtime, request));
    let ratio = compare(effort, |count| judge(&many, count), |count| judge(&few, count));
    vec![
        Figure::ratio("selection_10k", &ratio, "a set of 10 policies; the same 5 apply").goal("<= 2"),
        Figure::new("load_10000_ms", wall.as_secs_f64() * 1e3, "ms", "nothing: wall clock, one shared module")
            .beside("cpu_ms", cpu.as_secs_f64() * 1e3),
    ]
}

fn host(policies: usize) -> Runtime {
    let runtime = open(&set(policies), &[("constant.wasm", &constant())], Recorder::discard());
    let decision = runtime.evaluate_blocking(request(REQUEST));
    let names: Vec<&str> = decision.policies().iter().map(|report| &*report.name).collect();
    assert_eq!(names, ["a0", "a1", "a2", "a3", "a4"]);
    assert!(decision.effect() == weir::Effect::Allow, "{decision:?}");
    runtime
}

/// A set of so many policies, spread over 20 checkpoints, 25 systems and 20 regions. One in a hundred has patterns
/// instead of names, which no index can look up.
fn set(policies: usize) -> String {
    let mut set = "set = \"bench\"\n".to_owned();
    let mut policy = |name: &str, scope: &str| {
        let scope = scope.replace("], ", "]\n");
        write!(set, "[policies.{name}]\nmodule = \"constant.wasm\"\n{scope}\n").expect("a string takes every write");
    };
    for (place, scope) in APPLYING.iter().enumerate() {
        policy(&format!("a{place}"), scope);
    }
    for number in APPLYING.len()..policies {
        let (checkpoint, system, region) = (number % 20, number / 20 % 25, number / 500 % 20);
        let glob = if number % 100 == 50 { "?*" } else { "" };
        // The combination that the request has is shifted to one that it does not have.
        let region = if (checkpoint, system, region) == (0, 0, 0) { 1 } else { region };
        let scope = format!(
            r#"checkpoints = ["bench.c{checkpoint}{glob}"], systems = ["s{system}"], when = {{ region = ["r{region}"] }}"#
        );
        policy(&format!("b{number}"), &scope);
    }
    for system in 0..25 {
        write!(set, "[systems.s{system}]\nuse_case = \"u{system}\"\n").expect("a string takes every write");
    }
    set
}

/// A module that allows everything.
fn constant() -> Vec<u8> {
    let answer = r#"{\"effect\":\"allow\"}"#;
    let text = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "{answer}")
             (func (export "weir_abi_1"))
             (func (export "weir_alloc") (param i32) (result i32) (i32.const 4096))
             (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 18)))"#
    );
    wat::parse_str(text).expect("the bench's own WAT")
}
