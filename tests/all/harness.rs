//! The one place where tests touch the API: a guest from a few lines of WAT, a host from a few lines of TOML.

use std::sync::atomic::{AtomicUsize, Ordering};

use weir::{Decision, Recorder, Report, Request, Runtime, Source};
use wit_component::StringEncoding;

/// A core-ABI guest around an `evaluate` body: `memory` of one page, a bump allocator from 4096, `(data)` at 0.
///
/// `body` sees `$ptr` and `$len` and leaves an `i64`; `parts` adds module fields, imports first.
pub(crate) fn guest(parts: &str, body: &str) -> Vec<u8> {
    guest_in("1", parts, body)
}

/// As [`guest`], with a memory of this type.
pub(crate) fn guest_in(memory: &str, parts: &str, body: &str) -> Vec<u8> {
    module(&format!(
        r#"{parts}
           (memory (export "memory") {memory})
           (global $next (mut i32) (i32.const 4096))
           (func (export "weir_abi_1"))
           (func (export "weir_alloc") (param $len i32) (result i32)
             (global.get $next)
             (global.set $next (i32.add (global.get $next) (local.get $len))))
           (func (export "weir_evaluate") (param $ptr i32) (param $len i32) (result i64) {body})"#
    ))
}

/// A module of these fields.
pub(crate) fn module(fields: &str) -> Vec<u8> {
    let wasm = wat::parse_str(format!("(module {fields})")).expect("the test's own WAT parses");
    seed("module", &wasm);
    wasm
}

/// A guest that always answers `answer`.
pub(crate) fn constant(answer: &str) -> Vec<u8> {
    seed("verdict", answer.as_bytes());
    // Behind the page in which the allocator works.
    const PAGE: usize = 65_536;
    let parts = format!("(data (i32.const {PAGE}) {})", wat_text(answer));
    let pages = 1 + answer.len().div_ceil(PAGE);
    guest_in(&pages.to_string(), &parts, &format!("(i64.const {})", PAGE << 32 | answer.len()))
}

/// A guest that does `work`, which leaves nothing on the stack, and then allows.
pub(crate) fn allows_after(parts: &str, work: &str) -> Vec<u8> {
    guest(&format!("{parts} {ALLOW}"), &format!("{work} (i64.const 18)"))
}

/// The answer of a guest that leaves `(i64.const 18)`.
pub(crate) const ALLOW: &str = r#"(data (i32.const 0) "{\22effect\22:\22allow\22}")"#;

/// A component around an `evaluate` body, as [`guest`] is a module around its own: memory, allocator, a configuration that
/// is taken. `body` sees `$request` and leaves the address of a `result<verdict, string>`: see [`OK`].
pub(crate) fn component(parts: &str, body: &str) -> Vec<u8> {
    component_of(POLICY, &judge(parts, REALLOC, OK, body))
}

/// A body that leaves the address of zeros, which are no error, or the verdict `allow`.
pub(crate) const OK: &str = "(i32.const 64)";

/// The fields of the module in [`component`], with these bodies of its functions.
pub(crate) fn judge(parts: &str, realloc: &str, configure: &str, evaluate: &str) -> String {
    format!(
        r#"{parts}
           (memory (export "memory") 1)
           (global $next (mut i32) (i32.const 4096))
           (func $realloc (export "cabi_realloc")
             (param $old i32) (param $held i32) (param $align i32) (param $size i32) (result i32)
             (local $at i32) {realloc})
           (func $configure (export "weir:policy/judge@1.0.0#configure")
             (param $config i32) (param $len i32) (result i32) {configure})
           (func $evaluate (export "weir:policy/judge@1.0.0#evaluate") (param $request i32) (result i32) {evaluate})"#
    )
}

/// A bump allocator that grows the memory where it has to.
pub(crate) const REALLOC: &str = r#"
    (local.set $at
      (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
               (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (loop $more
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br $more))))
    (local.get $at)"#;

/// The world of a policy; what a module does not import its component does not, either.
pub(crate) const POLICY: &str = "package weir:test; world guest { include weir:policy/policy@1.0.0; }";

/// A component of a module of these fields, in the world `guest` of a text that may name what `policy.wit` has.
pub(crate) fn component_of(wit: &str, fields: &str) -> Vec<u8> {
    component_in(StringEncoding::UTF8, wit, fields)
}

/// The same, of a language with another encoding of text.
pub(crate) fn component_in(encoding: StringEncoding, wit: &str, fields: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::new();
    resolve.push_str("policy.wit", include_str!("../../plugin-sdk/wit/policy.wit")).expect("our own WIT parses");
    let package = resolve.push_str("test.wit", wit).unwrap_or_else(|error| panic!("{error:?}"));
    component_for(&resolve, package, encoding, fields)
}

/// A component of a module of these fields, in the world `guest` of a package.
pub(crate) fn component_for(
    resolve: &wit_parser::Resolve,
    package: wit_parser::PackageId,
    encoding: StringEncoding,
    fields: &str,
) -> Vec<u8> {
    let (world, mut core) = (resolve.packages[package].worlds["guest"], module(fields));
    wit_component::embed_component_metadata(&mut core, resolve, world, encoding).expect("the types are sound");
    let encoder = wit_component::ComponentEncoder::default().module(&core);
    let wasm = encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error:?}"));
    seed("module", &wasm);
    wasm
}

/// A guest whose one finding is the request it was given, with `'` for `"` and `/` for `\`.
pub(crate) fn echo() -> Vec<u8> {
    const BEFORE: &str = r#"{"effect":"allow","findings":[{"code":"echo","severity":"info","message":""#;
    const AFTER: &str = r#""}]}"#;
    let (start, end) = (BEFORE.len(), AFTER.len());
    let copy = format!(
        r#"(local $i i32) (local $byte i32)
           (loop $next
             (local.set $byte (i32.load8_u (i32.add (local.get $ptr) (local.get $i))))
             (if (i32.eq (local.get $byte) (i32.const 34)) (then (local.set $byte (i32.const 39))))
             (if (i32.eq (local.get $byte) (i32.const 92)) (then (local.set $byte (i32.const 47))))
             (i32.store8 (i32.add (i32.const {start}) (local.get $i)) (local.get $byte))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $next (i32.lt_u (local.get $i) (local.get $len))))
           (memory.init $after (i32.add (i32.const {start}) (local.get $len)) (i32.const 0) (i32.const {end}))
           (i64.extend_i32_u (i32.add (local.get $len) (i32.const {})))"#,
        start + end
    );
    let data = format!("(data (i32.const 0) {}) (data $after {})", wat_text(BEFORE), wat_text(AFTER));
    guest(&data, &copy)
}

/// Keeps what tests use as a seed of a fuzz target, where `WEIR_FUZZ_SEEDS` names a folder for them.
fn seed(target: &str, bytes: &[u8]) {
    static KEPT: AtomicUsize = AtomicUsize::new(0);
    let Some(folder) = std::env::var_os("WEIR_FUZZ_SEEDS") else { return };
    // A hundred thousand requests that differ in their id are no better seeds than a few.
    if KEPT.fetch_add(1, Ordering::Relaxed) > 2_000 {
        return;
    }
    let name = weir::Digest::of(bytes).to_string().replace(':', "-");
    std::fs::write(std::path::Path::new(&folder).join(target).join(name), bytes)
        .expect("the folder of seeds takes them");
}

/// Pseudorandom numbers that are the same on every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Lets others work for a while.
pub(crate) fn pause(time: std::time::Duration) {
    let (_never, silent) = std::sync::mpsc::channel::<()>();
    let _ = silent.recv_timeout(time);
}

/// A body that never ends.
pub(crate) const FOREVER: &str = "(loop $again (br $again)) (i64.const 0)";

/// A body that never ends and takes a hundred times longer for its fuel: square roots cost one unit each.
pub(crate) fn slow_loop() -> String {
    let roots = "(f64.sqrt ".repeat(100) + "(local.get $x)" + &")".repeat(100);
    format!("(local $x f64) (loop $again (local.set $x {roots}) (br $again)) (i64.const 0)")
}

/// Work that burns about `fuel` units and leaves nothing on the stack.
pub(crate) fn burn(fuel: u64) -> String {
    format!(
        r#"(local $left i64) (local.set $left (i64.const {}))
           (loop $again
             (br_if $again (i64.ne (local.tee $left (i64.sub (local.get $left) (i64.const 1))) (i64.const 0))))"#,
        fuel / 7
    )
}

/// A WAT string literal.
pub(crate) fn wat_text(text: &str) -> String {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("\"{escaped}\"")
}

/// `wasm` with a `weir:manifest` section.
pub(crate) fn with_manifest(wasm: &[u8], manifest: &str) -> Vec<u8> {
    const CUSTOM: u8 = 0;
    let name = "weir:manifest";
    let body = [&[name.len() as u8], name.as_bytes(), manifest.as_bytes()].concat();
    [wasm, &section(CUSTOM, &body)].concat()
}

/// A section of a module or component: its number, its length, its bytes.
pub(crate) fn section(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut section, mut length) = (vec![number], bytes.len());
    while length > 0x7f {
        section.push(length as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend_from_slice(bytes);
    section
}

/// A set with one policy `p` of module `p.wasm` at every checkpoint; `lines` go into its table.
pub(crate) fn one_policy(lines: &str) -> String {
    patient(&format!("set = \"test\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\n{lines}\n"))
}

/// The set with a long deadline for every policy that does not name one: a busy machine must not fail a test.
pub(crate) fn patient(set: &str) -> String {
    let mut patient = String::new();
    for table in set.split("\n[") {
        let between = if patient.is_empty() { "" } else { "\n[" };
        let table = match table.contains("limits = {") {
            _ if !table.starts_with("policies.") || table.contains("deadline = ") => table.to_owned(),
            true => table.replace("limits = {", "limits = { deadline = \"60 s\","),
            false => format!("{table}\nlimits = {{ deadline = \"60 s\" }}\n"),
        };
        patient = format!("{patient}{between}{table}");
    }
    patient
}

/// Opens a host over modules in memory, recording in memory.
pub(crate) fn host(set: &str, modules: &[(&str, Vec<u8>)]) -> Result<Runtime, Report> {
    let source = Source::memory(patient(set), modules.iter().map(|(name, wasm)| (*name, wasm.clone())));
    // Many of these hosts are in one process, and each instance that may be ready takes 4 GiB of its address space.
    let builder = Runtime::builder().recorder(Recorder::memory(10_000)).ready_instances(512);
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
    seed("request", json.as_bytes());
    Request::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Kind and detail of the failure of the decision's only policy.
pub(crate) fn failure(decision: &Decision) -> (String, String) {
    let failure = decision.policies()[0].outcome.as_ref().expect_err("the policy gave a verdict");
    (failure.kind.to_string(), failure.detail.clone())
}

/// The records that a host keeps in memory.
pub(crate) fn records(host: &Runtime) -> Vec<serde_json::Value> {
    let lines = host.recorder().lines();
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
