//! What a set has to pass before it is in force, and how its mistakes are told.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use futures_util::{StreamExt, stream};
use weir::{Compiler, Effect, OpenError, Source};

use crate::harness::{asked, constant, guest, host, host_of, module, one_policy, refused, with_manifest};

const ALLOW: &str = r#"{"effect":"allow"}"#;

#[test]
fn everything_wrong_with_a_module_is_told_at_once() {
    let wasm = module(
        r#"(import "wasi_snapshot_preview1" "path_open" (func (param i32 i32 i32 i32) (result i32)))
           (import "weir" "log" (func (param i32 i32)))
           (import "weir" "state_take" (func (param i32 i32) (result i64)))
           (memory (export "memory") 1)
           (func (export "weir_alloc") (param i64) (result i32) (i32.const 0))
           (global (export "weir_evaluate") i32 (i32.const 0))"#,
    );
    let report = refused(wasm, "");
    for line in [
        "export `weir_abi_1` is missing, expected func ()",
        "export `weir_alloc` is func (i64) -> i32, expected func (i32) -> i32",
        "export `weir_evaluate` is global, expected func (i32, i32) -> i64",
        "import `wasi_snapshot_preview1.path_open` is not to be had",
        "import `weir.log` is func (i32, i32), expected func (i32, i32, i32)",
        "import `weir.state_take` is func (i32, i32) -> i64, expected func (i32, i32, i64, i64, i64, i32) -> i64",
    ] {
        assert!(report.contains(line), "`{line}` is not in:\n{report}");
    }
}

#[test]
fn a_capability_has_to_be_granted() {
    let wasm = guest(
        r#"(import "weir" "log" (func (param i32 i32 i32)))"#,
        "(call 0 (i32.const 2) (local.get $ptr) (i32.const 5)) (unreachable)",
    );
    let report = refused(wasm.clone(), "");
    assert!(report.contains("import `weir.log` is not granted") && report.contains("grants = [\"log\"]"), "{report}");
    let host = host_of(wasm, "grants = [\"log\"]");
    host.evaluate_blocking(asked(r#"{"checkpoint":"x","id":"r"}"#));
    let record: serde_json::Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    assert_eq!(record["policies"][0]["log"], serde_json::json!([{"level": "info", "text": "{\"id\""}]));
}

#[test]
fn bounds_hold_before_anything_is_compiled() {
    let functions = format!("{} (memory (export \"memory\") 1)", "(func)".repeat(20_001));
    let locals = format!("(func (local {}))", "i64 ".repeat(2_001));
    let body = format!("(func {})", "nop ".repeat(600_000));
    for (fields, expected) in [
        (functions.as_str(), "the module has 20001 functions, the most is 20000"),
        (&locals, "function body 0 has 2001 locals, the most is 2000"),
        (&body, "bytes, the most is 524288"),
    ] {
        let report = refused(module(fields), "");
        assert!(report.contains(expected), "{report}");
    }
    let padded = with_manifest(&constant(ALLOW), &format!("{{\"description\":\"{}\"}}", "x".repeat(8 << 20)));
    assert!(refused(padded, "").contains("the most is 8388608"));
}

#[test]
fn a_configuration_is_checked_where_it_is_written() {
    let manifest = r#"{"config":{"type":"object","additionalProperties":false,
        "properties":{"words":{"type":"array","items":{"type":"string"}}}}}"#;
    let report = refused(with_manifest(&constant(ALLOW), manifest), "config = { words = [\"a\",\n 7], more = 1 }");
    assert!(report.contains("weir.toml:6:2: configuration of policy `p` at `/words/1`"), "{report}");
    assert!(report.contains("weir.toml:5:10: configuration of policy `p`"), "{report}");
}

#[test]
fn a_manifest_is_read_without_running_the_module() {
    for (manifest, expected) in [
        ("{", "manifest: the text ends inside an object"),
        (r#"{"reads":["/content/0"]}"#, "into an array"),
        (r#"{"abi":"core-9"}"#, "the ABI `core-9`, but it is `core-1`"),
        (r#"{"samples":[{"checkpoint":7}]}"#, "sample 0 of its manifest is no request"),
        (r#"{"grants":["state"]}"#, "the capability `state`, which is not granted"),
        (r#"{"config":{"type":"no-such-type"}}"#, "the schema in its manifest is not valid"),
    ] {
        let report = refused(with_manifest(&constant(ALLOW), manifest), "");
        assert!(report.contains(expected), "{manifest}: {report}");
    }
    let traps = with_manifest(&guest("", "unreachable"), r#"{"samples":[{"checkpoint":"a"}]}"#);
    assert!(refused(traps, "").contains("sample 0 of its manifest: trap: "));
}

/// What opening the folder says.
fn opened(folder: &Path) -> String {
    match weir::check(&Source::dir(folder), Compiler::in_process()) {
        Err(OpenError::Set(report)) => report.to_string(),
        Err(other) => panic!("{other}"),
        Ok(plan) => panic!("{plan:?} was not refused"),
    }
}

#[test]
fn a_folder_is_read_with_care() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(opened(path).contains("there is no `weir.toml` in this folder"));
    fs::write(path.join("a.wasm"), constant(ALLOW)).unwrap();
    let starter = opened(path);
    let text: String = starter
        .lines()
        .skip_while(|line| !line.contains("set = "))
        .map(|l| format!("{}\n", l.trim_start()))
        .collect();
    fs::write(path.join("weir.toml"), text).unwrap();
    assert_eq!(weir::check(&Source::dir(path), Compiler::in_process()).unwrap().policies[0].name, "a");

    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("b.wasm"), constant(ALLOW)).unwrap();
    fs::write(path.join("weir.toml"), one_policy("")).unwrap();
    let module = path.join("p.wasm");
    assert!(opened(path).contains("cannot read"));
    symlink(outside.path().join("b.wasm"), &module).unwrap();
    assert!(opened(path).contains("leads out of the folder"));
    fs::remove_file(&module).unwrap();
    symlink("a.wasm", &module).unwrap();
    assert!(weir::check(&Source::dir(path), Compiler::in_process()).is_ok(), "a link inside the folder is good");
    fs::remove_file(&module).unwrap();
    assert!(Command::new("mkfifo").arg(&module).status().unwrap().success());
    assert!(opened(path).contains("not a regular file"));
    fs::remove_file(&module).unwrap();
    fs::create_dir(&module).unwrap();
    assert!(opened(path).contains("not a regular file"));
    fs::remove_dir(&module).unwrap();
    fs::File::create(&module).unwrap().set_len(10 << 30).unwrap();
    assert!(opened(path).contains("larger than 33554432 bytes"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_answers_come_in_order() {
    let host = host_of(constant(ALLOW), "");
    let requests = (0..2_000).map(|i| asked(&format!(r#"{{"checkpoint":"x","id":"{i}"}}"#)));
    let decisions: Vec<String> =
        host.evaluate_all(stream::iter(requests)).map(|decision| decision.request().id().to_owned()).collect().await;
    assert_eq!(decisions, (0..2_000).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_permit_carries_the_edited_request_and_a_denial_its_decision() {
    let edit = r#"{"effect":"allow","edits":[{"at":"/payload/to","start":0,"end":2,"replacement":"<X>"}]}"#;
    let request = || asked(r#"{"checkpoint":"x","payload":{"to":"me","n":1.0}}"#);
    let permit = host_of(constant(edit), "").evaluate_blocking(request()).permit().unwrap();
    assert_eq!(permit.body(), r#"{"checkpoint":"x","payload":{"to":"<X>","n":1.0}}"#);

    let denied = host_of(constant(r#"{"effect":"review"}"#), "").evaluate_blocking(request()).permit().unwrap_err();
    assert_eq!(denied.to_string(), "held for review by `p`");
    assert_eq!(denied.decision().effect(), Effect::Review);
}

#[test]
fn two_policies_that_overlap_redact() {
    let edits = |end, text| {
        constant(&format!(
            r#"{{"effect":"allow","edits":[{{"at":"/content/0/text","start":0,"end":{end},"replacement":"{text}"}}]}}"#
        ))
    };
    let set = "set = 't'\n[policies.a]\nmodule = 'a.wasm'\n[policies.b]\nmodule = 'b.wasm'\n";
    let host = host(set, &[("a.wasm", edits(4, "A")), ("b.wasm", edits(6, "B"))]).unwrap();
    let decision = host.evaluate_blocking(asked(r#"{"checkpoint":"x","content":[{"text":"0123456789"}]}"#));
    let permit = decision.permit().unwrap();
    assert_eq!(permit.content()[0].text, "[REDACTED]6789");
}
