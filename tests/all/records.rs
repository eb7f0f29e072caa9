//! No decision without a record: what stands in one, and what happens when it cannot be written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::task::{Context, Waker};

use serde_json::Value;
use weir::{Digest, Effect, Recorder, Runtime, Source};

use crate::harness::{asked, constant, guest, host_of, one_policy, request, with_manifest};

const ALLOW: &str = r#"{"effect":"allow"}"#;

/// A host that records in a folder.
fn recording(folder: &Path, set: &str, wasm: Vec<u8>) -> Runtime {
    let recorder = Recorder::jsonl_as("host-1", folder).unwrap();
    pollster::block_on(Runtime::builder().recorder(recorder).open(Source::memory(set, [("p.wasm", wasm)]))).unwrap()
}

/// All lines of the one segment in a folder.
fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(segment(folder)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn segment(folder: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments[0].clone()
}

#[test]
fn a_record_says_who_was_asked_what_and_what_came_of_it() {
    let wasm = with_manifest(&constant(r#"{"effect":"allow","scores":{"risk":0.25}}"#), r#"{"reads":["/content"]}"#);
    let host = host_of(wasm.clone(), "config = { a = 1 }");
    let decision = host.evaluate_blocking(request());
    let record: Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    assert_eq!(record["v"], 1);
    assert_eq!(record["kind"], "decision");
    assert_eq!(record["record"].as_str(), decision.record());
    assert_eq!(record["time"], "2026-01-01T00:00:00Z");
    let seen = r#"{"id":"r","checkpoint":"test","tenant":"default","time":"2026-01-01T00:00:00Z","content":[{"text":"hello world"}]}"#;
    assert_eq!(record["request_digest"], Digest::of(seen.as_bytes()).to_string());
    let policy = &record["policies"][0];
    assert_eq!(policy["given"], Digest::of(br#"{"content":[{"text":"hello world"}]}"#).to_string());
    assert_eq!(policy["verdict"], serde_json::json!({"effect": "allow", "scores": {"risk": 0.25}}));
    let made = &record["decision"];
    assert_eq!(made["generation"]["digest"], host.generation().id().digest.to_string());
    assert_eq!(made["policies"][0]["module"], Digest::of(&wasm).to_string());
    assert_eq!(made["policies"][0]["config"], Digest::of(br#"{"a":1}"#).to_string());
    assert_eq!(decision.to_json(), serde_json::to_vec(&decision).unwrap());
    // What is recorded is what the caller got, but for the record's own name, which is given when it is written.
    let mut got = serde_json::to_value(&decision).unwrap();
    got.as_object_mut().unwrap().remove("record");
    assert_eq!(*made, got);
}

#[test]
fn a_failure_has_a_record_like_any_decision() {
    let host = host_of(guest("", "unreachable"), "");
    host.evaluate_blocking(request());
    let record: Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    let policy = &record["decision"]["policies"][0];
    assert_eq!((&policy["failure"]["kind"], &policy["counted_as"]), (&"trap".into(), &"deny".into()));
}

#[test]
fn a_looser_failure_ends_with_its_day_and_is_counted() {
    let effect = |until: &str, time: &str| {
        let lines = format!("on_failure = {{ effect = \"allow\", until = {until}, approved_by = [\"j.doe\"] }}");
        let host = host_of(guest("", "unreachable"), &lines);
        let decision = host.evaluate_blocking(asked(&format!(r#"{{"checkpoint":"x","time":"{time}"}}"#)));
        (decision.effect(), host.metrics().loosened_failures)
    };
    assert_eq!(effect("2999-01-31", "2026-01-01T00:00:00Z"), (Effect::Allow, 1));
    assert_eq!(effect("2999-01-31", "2999-01-31T23:59:59.999Z"), (Effect::Allow, 1));
    assert_eq!(effect("2999-01-31", "2999-02-01T00:00:00Z"), (Effect::Deny, 0));
    // A request that dates itself back does not bring back what has expired.
    assert_eq!(effect("2020-01-31", "2020-01-01T00:00:00Z"), (Effect::Deny, 0));
}

#[test]
fn a_shadow_is_recorded_and_changes_nothing() {
    let set = format!("{}mode = \"shadow\"\n[policies.q]\nmodule = \"q.wasm\"\n", one_policy(""));
    let modules = [("p.wasm", constant(r#"{"effect":"deny","scores":{"x":1}}"#)), ("q.wasm", constant(ALLOW))];
    let host = crate::harness::host(&set, &modules).unwrap();
    let decision = host.evaluate_blocking(request());
    assert_eq!((decision.effect(), decision.decided_by()), (Effect::Allow, &["q".to_owned()][..]));
    assert!(decision.scores().is_empty());
    let record: Value = serde_json::from_str(&host.recorder().lines()[0]).unwrap();
    assert_eq!(record["decision"]["shadow"][0]["verdict"]["effect"], "deny");
}

#[test]
fn a_torn_last_line_is_repaired_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let set = one_policy("");
    let host = recording(folder.path(), &set, constant(ALLOW));
    let names: Vec<String> = (0..3).map(|_| host.evaluate_blocking(request()).record().unwrap().to_owned()).collect();
    assert_eq!(names, ["host-1/1", "host-1/2", "host-1/3"]);
    drop(host);
    let path = segment(folder.path());
    let whole = fs::metadata(&path).unwrap().len();
    let last = fs::read_to_string(&path).unwrap().lines().last().unwrap().len() as u64 + 1;
    fs::File::options().write(true).open(&path).unwrap().set_len(whole - 10).unwrap();

    let host = recording(folder.path(), &set, constant(ALLOW));
    assert_eq!(host.metrics().records.repaired_bytes, last - 10);
    // Number 3 was torn, so its number names the line that accounts for it.
    assert_eq!(host.evaluate_blocking(request()).record(), Some("host-1/4"));
    drop(host);
    let kinds: Vec<String> =
        lines(folder.path()).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["decision", "decision", "repair", "decision"]);
}

#[test]
fn one_process_records_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Recorder::jsonl(folder.path()).unwrap();
    let second = Recorder::jsonl(folder.path()).unwrap_err();
    assert!(second.to_string().contains(&folder.path().display().to_string()), "{second}");
}

#[test]
fn strict_records_are_on_the_disk_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let set = format!("{}[checkpoints.test]\ndurability = \"strict\"\n", one_policy(""));
    let host = recording(folder.path(), &set, constant(ALLOW));
    for synced in 1..=3 {
        assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Allow);
        assert!(host.metrics().records.syncs >= synced);
    }
}

#[test]
fn a_caller_who_leaves_after_the_record_is_written_is_counted() {
    let host = host_of(constant(ALLOW), "");
    let mut asked = Box::pin(host.evaluate(request()));
    // Others have their turn before the answer.
    assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(asked);
    assert_eq!((host.recorder().lines().len(), host.metrics().allowed), (1, 1));
}

#[test]
fn the_json_of_a_decision_is_what_its_fields_say() {
    let host = host_of(constant(ALLOW), "");
    let odd = asked(r#"{"checkpoint":"test","id":"a\"\\ü","system":"\"s","content":[{"text":"x"}]}"#);
    for request in [odd.clone(), odd.with_tenant("te\"nant")] {
        let decision = host.evaluate_blocking(request);
        assert_eq!(decision.to_json(), serde_json::to_vec(&decision).unwrap());
    }
}

/// Set in the child process of [`a_full_disk_is_answered_by_the_set`].
const CHILD: &str = "WEIR_TEST_FULL_DISK";

/// Plays a disk with room for one block: run with a limit on the size of files, whose signal the shell has switched off.
fn on_a_full_disk(when_record_fails: &str) -> Vec<(Effect, Option<String>, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let set = format!("{}[checkpoints.test]\nwhen_record_fails = \"{when_record_fails}\"\n", one_policy(""));
    let host = recording(folder.path(), &set, constant(ALLOW));
    let decide = |_| {
        let decision = host.evaluate_blocking(request());
        assert_eq!(decision.to_json(), serde_json::to_vec(&decision).unwrap(), "recorded or not");
        (decision.effect(), decision.record().map(str::to_owned), decision.decided_by().to_vec())
    };
    let decisions: Vec<_> = (0..20).map(decide).collect();
    let written = decisions.iter().filter(|(_, record, _)| record.is_some()).count();
    assert_eq!(lines(folder.path()).len(), written, "whole lines only, and each of them was answered");
    let metrics = host.metrics();
    assert_eq!(metrics.record_failures as usize, decisions.len() - written);
    assert_eq!(metrics.unrecorded, if when_record_fails == "deny" { 0 } else { metrics.record_failures });
    decisions
}

#[test]
fn a_full_disk_is_answered_by_the_set() {
    if std::env::var_os(CHILD).is_some() {
        let denied = on_a_full_disk("deny");
        assert_eq!(denied[0], (Effect::Allow, Some("host-1/1".to_owned()), vec!["p".to_owned()]));
        assert_eq!(denied[19], (Effect::Deny, None, vec!["record".to_owned()]));
        let counted = on_a_full_disk("allow_and_count");
        assert_eq!(counted[19], (Effect::Allow, None, vec!["p".to_owned()]));
        return;
    }
    // The unit of `ulimit -f` is 512 bytes or 1 KiB, by shell: room for a few records either way.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact records::a_full_disk_is_answered_by_the_set";
    let child =
        Command::new("sh").args(["-c", script]).arg(std::env::current_exe().unwrap()).env(CHILD, "1").output();
    let output = child.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
