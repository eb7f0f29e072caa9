//! Rows 16 to 19, 28 and 31: modules that want more than there is.

use super::{Row, refused, story};
use crate::harness::{echo, guest, guest_in, host_of, module, request, with_manifest};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = imports();
    rows.extend(exports());
    rows.extend(manifests());
    rows.extend(proposals());
    rows.push(story(31, "time and chance come from the request alone", nothing_but_the_request));
    rows
}

const NOTHING: &str = "(i64.const 0)";

fn importing(imports: &str) -> Vec<u8> {
    guest(imports, NOTHING)
}

fn imports() -> Vec<Row> {
    let strangers = r#"
        (import "wasi_snapshot_preview1" "path_open" (func (param i32 i32 i32 i32) (result i32)))
        (import "env" "memory" (memory 1))
        (import "env" "stack" (global i32))
        (import "weir" "evaluate" (func (param i32 i32) (result i64)))"#;
    // The memory comes from outside, and there is no export at all.
    let all_wrong = module(strangers);
    let flood: String = (0..10_000).map(|i| format!("(import \"x{}\" \"{i}\" (func))", "y".repeat(500))).collect();
    vec![
        refused(
            16,
            "every unknown import is named at once",
            all_wrong,
            "",
            &[
                "import `wasi_snapshot_preview1.path_open` is not to be had: a policy has no files and no sockets",
                "unknown import `env.memory` (memory)",
                "unknown import `env.stack` (global)",
                "unknown import `weir.evaluate`",
                "export `memory` is missing",
                "export `weir_evaluate` is missing",
            ],
        ),
        refused(16, "ten thousand unknown imports", importing(&flood), "", &["unknown import `x"]),
        refused(16, "an empty component", b"\0asm\x0d\0\x01\0".to_vec(), "", &["judge@1.0.0` is missing"]),
        refused(
            17,
            "log with two numbers",
            importing(r#"(import "weir" "log" (func (param i32 i32)))"#),
            "grants = [\"log\"]",
            &["import `weir.log` is func (i32, i32), expected func (i32, i32, i32)"],
        ),
        refused(
            17,
            "log as a global",
            importing(r#"(import "weir" "log" (global i32))"#),
            "grants = [\"log\"]",
            &["import `weir.log` is global"],
        ),
        refused(
            17,
            "log without the grant",
            importing(r#"(import "weir" "log" (func (param i32 i32 i32)))"#),
            "",
            &["import `weir.log` is not granted", "grants = [\"log\"]"],
        ),
        // Nothing a guest may import calls a guest: the whole list is one function, which writes a line.
        refused(
            19,
            "no host function calls back",
            importing(r#"(import "weir" "call" (func))"#),
            "",
            &["unknown import `weir.call` (func ()), a policy may import `weir.log`"],
        ),
    ]
}

/// A manifest is read without running anything, and can be wrong a great many times.
/// A manifest of a kilobyte whose schema has two to the power of `depth` parts.
fn doubling(depth: usize) -> String {
    let next = |i| format!(r##"{{"$ref":"#/$defs/a{}"}}"##, i + 1);
    let definition = |i| format!(r#""a{i}":{{"allOf":[{},{}]}}"#, next(i), next(i));
    let definitions: Vec<String> = (0..depth).map(definition).collect();
    let definitions = definitions.join(",");
    format!(r##"{{"config":{{"$defs":{{{definitions},"a{depth}":{{"type":"array"}}}},"$ref":"#/$defs/a0"}}}}"##)
}

fn manifests() -> Vec<Row> {
    let row = |name, manifest: &str, says: &[&'static str]| {
        refused(18, name, with_manifest(&guest("", NOTHING), manifest), "", says)
    };
    let demands: Vec<String> = (0..2_000).map(|i| format!(r#"{{"required":["k{i}"]}}"#)).collect();
    let many = |one: &dyn Fn(usize) -> String| (0..100_000).map(one).collect::<Vec<_>>().join(",");
    vec![
        row(
            "a schema of 100,000 demands",
            &format!(r#"{{"config":{{"allOf":[{}]}}}}"#, many(&|i| format!(r#"{{"required":["k{i}"]}}"#))),
            &["manifest at `/config`: a schema of more than 65536 bytes"],
        ),
        row(
            "a schema of 2,000 demands",
            &format!(r#"{{"config":{{"allOf":[{}]}}}}"#, demands.join(",")),
            &["configuration of policy `p`", "k19"],
        ),
        row("a schema that is itself", r##"{"config":{"$ref":"#"}}"##, &["`#` refers to itself"]),
        row("a schema that doubles 24 times", &doubling(24), &["with its references followed"]),
        row(
            "a schema elsewhere",
            r#"{"config":{"$ref":"file:///etc/hostname"}}"#,
            &["`file:///etc/hostname` leads outside the manifest"],
        ),
        row(
            "100,000 capabilities",
            &format!(r#"{{"grants":[{}]}}"#, many(&|i| format!(r#""g{i}""#))),
            &["the capability `g0`, which is not granted"],
        ),
        row(
            "100,000 checkpoints",
            &format!(r#"{{"checkpoints":[{}]}}"#, many(&|i| format!(r#""C {i}""#))),
            &["names the checkpoint `C 0`"],
        ),
        row(
            "an endless sample",
            r#"{"samples":[{"checkpoint":"a","payload":1e99999}]}"#,
            &["sample 0 of its manifest"],
        ),
        row(
            "100,000 samples",
            &format!(r#"{{"samples":[{}]}}"#, many(&|i| format!(r#"{{"checkpoint":"a{i}"}}"#))),
            &["manifest at `/samples`"],
        ),
        row("nested 10,000 deep", &format!("{{\"config\":{}", "[".repeat(10_000)), &["manifest"]),
        row("an unknown key", r#"{"reed":[]}"#, &["manifest at `/reed`: unknown key `reed`", "`reads`"]),
        row("reading nothing", r#"{"reads":[]}"#, &["manifest at `/reads`"]),
    ]
}

fn exports() -> Vec<Row> {
    let wrong = module(
        r#"(global (export "memory") i32 (i32.const 0))
           (func (export "weir_abi_1") (result i32) (i32.const 1))
           (func (export "weir_alloc") (param i64) (result i64) (local.get 0))
           (table (export "weir_evaluate") 1 funcref)
           (func (export "weir_configure"))"#,
    );
    vec![
        refused(
            18,
            "nothing exported",
            module("(memory 1)"),
            "",
            &[
                "export `memory` is missing, expected memory",
                "export `weir_abi_1` is missing, expected func ()",
                "export `weir_alloc` is missing, expected func (i32) -> i32",
                "export `weir_evaluate` is missing, expected func (i32, i32) -> i64",
            ],
        ),
        refused(
            18,
            "everything exported as something else",
            wrong,
            "",
            &[
                "export `memory` is global, expected memory",
                "export `weir_abi_1` is func () -> i32, expected func ()",
                "export `weir_alloc` is func (i64) -> i64, expected func (i32) -> i32",
                "export `weir_evaluate` is table, expected func (i32, i32) -> i64",
                "export `weir_configure` is func (), expected func (i32, i32) -> i64",
            ],
        ),
    ]
}

/// Each proposal that guests do not need is off, wherever it shows.
fn proposals() -> Vec<Row> {
    let off = |name, parts: &str, says| refused(28, name, guest(parts, NOTHING), "", &[says]);
    let memory = |name, ty: &str, says| refused(28, name, guest_in(ty, "", NOTHING), "", &[says]);
    vec![
        off("structs", "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))", "gc"),
        off("arrays", "(type $a (array i8)) (func (param (ref null $a)))", "gc"),
        off("small integers", "(func (drop (ref.i31 (i32.const 1))))", "gc"),
        off("references to the host's objects", "(func (param externref))", "gc types"),
        off("exceptions", "(tag $e) (func (throw $e))", "exceptions"),
        off("tail calls", "(func $f (return_call $f))", "tail calls"),
        off("atomics", "(func (drop (i32.atomic.load (i32.const 0))))", "threads"),
        memory("shared memory", "1 1 shared", "threads"),
        memory("64-bit memory", "i64 1", "memory64"),
        memory("bytes for pages", "1 1 (pagesize 1)", "custom page sizes"),
        off("64-bit table", "(table i64 1 funcref)", "memory64"),
        off("two memories", "(memory 1)", "multiple memories"),
        off(
            "typed function references",
            "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
            "function references",
        ),
        off("stack switching", "(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)))", "stack"),
        off(
            "relaxed vectors",
            "(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))",
            "relaxed SIMD",
        ),
        off(
            "wide arithmetic",
            "(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 1)))",
            "wide arithmetic",
        ),
        refused(
            31,
            "clocks and dice",
            importing(
                r#"(import "env" "clock" (func (result i64))) (import "env" "random" (func (result i64)))
                   (import "weir" "now" (func (result i64)))"#,
            ),
            "grants = [\"log\"]",
            &["env.clock", "env.random", "weir.now"],
        ),
    ]
}

/// What a policy is given twice at different times is the same to the last byte: it echoes its request.
fn nothing_but_the_request(label: &str) {
    let host = host_of(echo(), "");
    let asked = || host.evaluate_blocking(request()).findings()[0].finding.message.clone();
    let (first, second) = (asked(), asked());
    assert_eq!(first, second, "{label}");
    assert!(first.contains("2026-01-01T00:00:00Z"), "{label}: {first}");
}
