//! Rows 16 to 18, 22 and 28: components that want what there is not, or are not what they say.

use wit_component::StringEncoding::UTF8;

use super::{Row, allows, beside, by_hand, refused, story};
use crate::harness::{OK, component, component_for, constant, with_manifest};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = imports();
    rows.extend(types());
    rows.extend(exports());
    rows.extend(manifests());
    rows.extend(proposals());
    rows
}

/// A component of these fields alone.
fn alone(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {fields})")).expect("the test's own WAT parses")
}

fn imports() -> Vec<Row> {
    let row = |name, fields: &str, says: &[&'static str]| refused(16, name, by_hand(fields, "", "", OK), "", says);
    let instance = |name: &str| format!("(import \"{name}\" (instance))");
    let flood: String = (0..10_000).map(|i| format!("(import \"x{}-a{i}\" (func))", "y".repeat(500))).collect();
    let one_more = format!("{flood} (import \"z\" (func))");
    let versions = instance("wasi:cli/stdin@0.2.0") + &instance("wasi:cli/stdin@0.2.9");
    // Their names are those of interfaces.
    let odd = |name, import: &str| {
        let wasm = by_hand(&format!("(import \"{import}\" (func))"), "", "", OK);
        refused(17, name, wasm, "grants = [\"log\"]", &["cannot be linked"])
    };
    let no_function = "(import \"wasi:random/random@0.2.0\" (instance (export \"nothing\" (func))))";
    let of_types = "(import \"weir:policy/types@1.0.0\" (instance (export \"f\" (func))))";
    vec![
        row("a module", "(import \"m\" (core module))", &["unknown import `m`"]),
        row("a component", "(import \"c\" (component))", &["unknown import `c`"]),
        row("a type", "(import \"t\" (type (sub resource)))", &["unknown import `t`"]),
        row("an interface of one's own", &instance("a:b/c@1.0.0"), &["unknown import `a:b/c@1.0.0`"]),
        row("a newer log", &instance("weir:policy/log@1.0.1"), &["unknown import `weir:policy/log@1.0.1`"]),
        row("a newer WASI", &instance("wasi:cli/stdout@0.3.0"), &["unknown import `wasi:cli/stdout@0.3.0`"]),
        row(
            "nothing of WASI",
            &instance("wasi:random/nothing@0.2.0"),
            &["unknown import `wasi:random/nothing@0.2.0`"],
        ),
        row("no function of WASI", no_function, &["`wasi:random/random.nothing` is not of WASI 0.2"]),
        row("itself", &instance("weir:policy/judge@1.0.0"), &["unknown import `weir:policy/judge@1.0.0`"]),
        row("ten thousand unknown imports", &flood, &["unknown import `xyyy"]),
        row("10,001 imports", &one_more, &["10001 imports, the most is 10000"]),
        odd("log as a function", "weir:policy/log@1.0.0"),
        odd("a clock as a function", "wasi:clocks/wall-clock@0.2.0"),
        odd("types as a function", "weir:policy/types@1.0.0"),
        refused(17, "a function among the types", by_hand(of_types, "", "", OK), "", &["cannot be linked"]),
        allows(16, "two versions of one interface", by_hand(&versions, "", "", OK), ""),
    ]
}

/// Functions of another type than they have.
fn types() -> Vec<Row> {
    let long = format!("(export \"{}\" (func))", "n".repeat(90_000));
    let log =
        |functions: &str| by_hand(&format!("(import \"weir:policy/log@1.0.0\" (instance {functions}))"), "", "", OK);
    let row =
        |name, wasm| refused(17, name, wasm, "grants = [\"log\"]", &["cannot be linked", "weir:policy/log@1.0.0"]);
    vec![
        row(
            "log with a larger level",
            log("(export \"write\" (func (param \"level\" u32) (param \"text\" string)))"),
        ),
        row(
            "log with an answer",
            log("(export \"write\" (func (param \"level\" u8) (param \"text\" string) (result u8)))"),
        ),
        row("log with another function", log("(export \"shout\" (func))")),
        row("log with a resource", log("(export \"line\" (type (sub resource)))")),
        row("log as a module", log("(export \"write\" (core module))")),
        row("log with a function whose name has 90 kB", log(&long)),
        story(22, "names of 90 kB are not repeated", short_reports),
        allows(17, "nothing of log", log(""), "grants = [\"log\"]"),
    ]
}

/// Whatever has a long name, the report says so in a few lines.
fn short_reports(label: &str) {
    let name = "n".repeat(90_000);
    let cases = [
        format!("(import \"weir:policy/log@1.0.0\" (instance (export \"{name}\" (func))))"),
        format!(
            "(import \"wasi:random/{name}@0.2.0\" (instance (export \"f\" (func (param \"f\" (list (flags \"a\")))))))"
        ),
        format!(
            "(import \"wasi:random/random@0.2.0\" (instance (export \"{name}\" (func (param \"f\" (list (flags \"a\")))))))"
        ),
        format!("(import \"{name}\" (func))"),
        format!("(import \"{name}\" (func)) (import \"{name}\" (func))"),
        format!("(component $c (import \"{name}\" (func))) (instance (instantiate $c))"),
        format!("(core module $long (import \"{name}\" \"{name}\" (func))) (core instance (instantiate $long))"),
    ];
    for case in cases {
        let report = crate::harness::refused(by_hand(&case, "", "", OK), "grants = [\"log\"]");
        assert!(report.len() < 5_000, "{label}: {} bytes: {:.300}", report.len(), report);
    }
}

/// A component that exports a `judge` of another package, version or type.
fn judging(wit: &str, fields: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::new();
    let package = resolve.push_str("other.wit", wit).unwrap_or_else(|error| panic!("{error:?}"));
    component_for(&resolve, package, UTF8, fields)
}

/// A component that exports an interface of `weir:policy` with the functions that this text of it names.
fn exporting(version: &str, interface: &str, functions: &str) -> Vec<u8> {
    let wit = format!(
        "package weir:policy@{version};
         interface {interface} {{ {functions} }} world guest {{ export {interface}; }}"
    );
    let names = ["configure", "evaluate"].into_iter().filter(|name| functions.contains(&format!("{name}:")));
    let fields: String = names
        .map(|name| format!("(func (export \"weir:policy/{interface}@{version}#{name}\") (param i32 i32) (result i32) unreachable)"))
        .collect();
    let realloc = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable)";
    judging(&wit, &format!("(memory (export \"memory\") 1) {realloc} {fields}"))
}

fn exports() -> Vec<Row> {
    const MISSING: &str = "export `weir:policy/judge@1.0.0` is missing";
    const NO_CONFIGURE: &str = "`weir:policy/judge@1.0.0` has no function `configure`";
    const NO_EVALUATE: &str = "`weir:policy/judge@1.0.0` has no function `evaluate`";
    const OTHER_TYPE: &str = "bad_output: `evaluate` of `weir:policy/judge@1.0.0` is not of its type";
    let configure = "configure: func(config: string) -> result<_, string>;";
    let evaluate = "evaluate: func(request: string) -> result<string, string>;";
    let both = format!("{configure}{evaluate}");
    let judge = |version, functions: &str| exporting(version, "judge", functions);
    let observer = exporting("1.0.0", "observer", configure);
    let row = |name, wasm, says: &[&'static str]| refused(18, name, wasm, "", says);
    let exported =
        |what: &str, sort: &str| alone(&format!("{what} (export \"weir:policy/judge@1.0.0\" ({sort} $it))"));
    let of_the_host = judge_of_the_host();
    vec![
        row("nothing", alone(""), &[MISSING]),
        row("a newer judge", judge("1.1.0", &both), &[MISSING]),
        row("a corrected judge", judge("1.0.1", &both), &[MISSING]),
        row("another judge", judge("2.0.0", &both), &[MISSING]),
        row("an observer", observer, &[MISSING, "windows of requests are not judged by this version"]),
        row("no evaluate", judge("1.0.0", configure), &[NO_EVALUATE]),
        row("no configure", judge("1.0.0", evaluate), &[NO_CONFIGURE]),
        row("text for a request", judge("1.0.0", &both), &["cannot be started", OTHER_TYPE]),
        row("an empty judge", exported("(instance $it)", "instance"), &[NO_CONFIGURE]),
        row("a judge that is a component", exported("(component $it)", "component"), &["exporting a component"]),
        row("a judge that is a type", exported("(type $it u8)", "type"), &[NO_CONFIGURE]),
        row("a judge that is a function", judge_is_a_function(), &[NO_CONFIGURE]),
        refused(18, "a judge of what the host has", of_the_host, "grants = [\"log\"]", &["cannot be compiled"]),
    ]
}

fn judge_is_a_function() -> Vec<u8> {
    alone(
        r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i "f"))) (export "weir:policy/judge@1.0.0" (func $f))"#,
    )
}

fn judge_of_the_host() -> Vec<u8> {
    alone(
        r#"(import "weir:policy/log@1.0.0" (instance $l (export "write" (func (param "level" u8) (param "text" string)))))
           (instance $judge (export "configure" (func $l "write")) (export "evaluate" (func $l "write")))
           (export "weir:policy/judge@1.0.0" (instance $judge))"#,
    )
}

fn manifests() -> Vec<Row> {
    let manifest = |json: &str| with_manifest(&component("", OK), json);
    let row = |name, wasm, says: &[&'static str]| refused(18, name, wasm, "", says);
    // The manifest of a module inside is nobody's.
    let inside = beside("(core module (@custom \"weir:manifest\" \"{\\\"abi\\\":\\\"core-1\\\"}\"))");
    vec![
        allows(18, "a manifest", manifest(r#"{"name":"p","abi":"component-1","samples":[{"checkpoint":"a"}]}"#), ""),
        row(
            "the manifest of a module",
            manifest(r#"{"abi":"core-1"}"#),
            &["the manifest names the ABI `core-1`, but it is `component-1`"],
        ),
        row(
            "the manifest of a component",
            with_manifest(&constant("{}"), r#"{"abi":"component-1"}"#),
            &["the manifest names the ABI `component-1`, but it is `core-1`"],
        ),
        row("two manifests", with_manifest(&manifest("{}"), "{}"), &["more than one section `weir:manifest`"]),
        row("a manifest that is none", manifest("]"), &["manifest"]),
        row(
            "a capability nobody granted",
            manifest(r#"{"grants":["log"]}"#),
            &["the capability `log`, which is not granted"],
        ),
        allows(18, "the manifest of a module inside", inside, ""),
        row(
            "a sample it fails",
            with_manifest(&component("", "unreachable"), r#"{"samples":[{"checkpoint":"a"}]}"#),
            &["sample 0 of its manifest"],
        ),
    ]
}

/// What is off, in a component and in the modules inside it.
fn proposals() -> Vec<Row> {
    let row = |name, fields: &str, says: &[&'static str]| refused(28, name, beside(fields), "", says);
    let module = |name, parts: &str, says: &[&'static str]| {
        refused(28, name, beside(&format!("(core module {parts})")), "", says)
    };
    vec![
        module("shared memory", "(memory 1 1 shared)", &["threads"]),
        module("64-bit memory", "(memory i64 1)", &["memory64"]),
        module("two memories", "(memory 1) (memory 1)", &["multiple memories"]),
        module("tail calls", "(func $f (return_call $f))", &["tail calls"]),
        module("structs", "(type (struct (field i32)))", &["gc"]),
        module("exceptions", "(tag)", &["exceptions"]),
        row("a stream", "(type (stream u8))", &["async"]),
        row("a function that waits", "(type (func async))", &["async"]),
        row("a task that returns", "(core func (canon task.return))", &["async"]),
        row("a thread", "(core func (canon thread.available_parallelism))", &["shared-everything-threads"]),
        row("a context of errors", "(type error-context)", &["error-context"]),
        row("a list of fixed length", "(type (list u8 4))", &["fixed"]),
        row("a value", "(import \"v\" (value u8))", &["value"]),
    ]
}
