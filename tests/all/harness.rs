//! The one place where tests touch the API: a guest from a few lines of WAT, a host from a few lines of TOML.

use weir::{Decision, Recorder, Report, Request, Runtime, Source};

/// A core-ABI guest around an `evaluate` body: `memory` of one page, a bump allocator from 4096, `(data)` at 0.
///
/// `body` sees `$ptr` and `$len` and leaves an `i64`; `parts` adds module fields.
pub(crate) fn guest(parts: &str, body: &str) -> Vec<u8> {
    module(&format!(
        r#"(memory (export "memory") 1)
           (global $next (mut i32) (i32.const 4096))
           (func (export "weir_abi_1"))
           (func (export "weir_alloc") (param $len i32) (result i32)
             (global.get $next)
             (global.set $next (i32.add (global.get $next) (local.get $len))))
           (func (export "weir_evaluate") (param $ptr i32) (param $len i32) (result i64) {body})
           {parts}"#
    ))
}

/// A module of these fields.
pub(crate) fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).expect("the test's own WAT parses")
}

/// A guest that always answers `answer`.
pub(crate) fn constant(answer: &str) -> Vec<u8> {
    let parts = format!("(data (i32.const 0) {})", wat_text(answer));
    guest(&parts, &format!("(i64.const {})", answer.len()))
}

/// A WAT string literal.
pub(crate) fn wat_text(text: &str) -> String {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

/// `wasm` with a `weir:manifest` section.
pub(crate) fn with_manifest(wasm: &[u8], manifest: &str) -> Vec<u8> {
    let name = "weir:manifest";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(manifest.as_bytes());
    let mut out = wasm.to_vec();
    out.push(0);
    let mut length = section.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(section);
    out
}

/// A set with one policy `p` of module `p.wasm` at every checkpoint; `lines` go into its table.
pub(crate) fn one_policy(lines: &str) -> String {
    format!("set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\n{lines}\n")
}

/// Opens a host over modules in memory, recording in memory.
pub(crate) fn host(set: &str, modules: &[(&str, Vec<u8>)]) -> Result<Runtime, Report> {
    let source = Source::memory(set, modules.iter().map(|(name, wasm)| (*name, wasm.clone())));
    let builder = Runtime::builder().recorder(Recorder::memory(10_000));
    pollster::block_on(builder.open(source)).map_err(|error| match error {
        weir::OpenError::Set(report) => report,
        other => panic!("{other}"),
    })
}

/// A host with the one policy `p`.
pub(crate) fn host_of(wasm: Vec<u8>, lines: &str) -> Runtime {
    host(&one_policy(lines), &[("p.wasm", wasm)]).unwrap_or_else(|report| panic!("{report}"))
}

/// Why a set with the one policy `p` is refused.
pub(crate) fn refused(wasm: Vec<u8>, lines: &str) -> String {
    match host(&one_policy(lines), &[("p.wasm", wasm)]) {
        Ok(_) => panic!("the set was not refused"),
        Err(report) => report.to_string(),
    }
}

/// A request at checkpoint `test`.
pub(crate) fn request() -> Request {
    asked(r#"{"id":"r","checkpoint":"test","time":"2026-01-01T00:00:00Z","content":[{"text":"hello world"}]}"#)
}

/// A request from JSON.
pub(crate) fn asked(json: &str) -> Request {
    Request::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Kind and detail of the failure of the decision's only policy.
pub(crate) fn failure(decision: &Decision) -> (String, String) {
    let failure = decision.policies()[0].outcome.as_ref().expect_err("the policy gave a verdict");
    (failure.kind.to_string(), failure.detail.clone())
}
