//! Opening, repairing and continuing logs on a real disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pollster::block_on;
use serde_json::Value;
use tempfile::TempDir;

use super::crowd::segments_on_disk;
use super::log;
use crate::journal::{Durability, Journal, JournalError, JournalOptions};

fn first_segment(dir: &Path) -> PathBuf {
    dir.join("records-00000000000000000001.jsonl")
}

/// A closed log with records 1, 2 and 3.
fn log_of_three() -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), "host").unwrap();
    for id in 1..=3 {
        assert_eq!(journal.append_now(log::body(id).as_bytes()).unwrap(), id as u64);
    }
    drop(journal);
    let bytes = fs::read(first_segment(dir.path())).unwrap();
    (dir, bytes)
}

/// Opens a log whose first segment has these bytes, appends one record, and answers all lines.
fn reopen(dir: &Path, bytes: &[u8]) -> Result<Vec<Value>, JournalError> {
    fs::write(first_segment(dir), bytes).unwrap();
    let journal = Journal::open(dir, "host")?;
    block_on(journal.append(log::body(9).as_bytes(), Durability::Strict)).unwrap();
    drop(journal);
    let segments = segments_on_disk(dir);
    log::read(&segments, "host");
    Ok(segments[0].1.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_torn_last_line_is_cut_and_accounted_for_wherever_it_is_torn() {
    let (dir, bytes) = log_of_three();
    let two_lines = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in two_lines..=bytes.len() {
        let lines = reopen(dir.path(), &bytes[..length]).unwrap();
        let torn = length - two_lines;
        if torn == 0 || length == bytes.len() {
            assert!(lines.iter().all(|line| line["kind"] == "test"), "nothing to repair at {length}");
            continue;
        }
        assert_eq!(lines.len(), 4, "at {length}");
        assert_eq!((&lines[2]["kind"], &lines[2]["cut_bytes"]), (&"repair".into(), &torn.into()));
        assert_eq!(lines[3]["id"], 9);
    }
}

#[test]
fn lost_pages_at_the_end_are_cut() {
    let (dir, bytes) = log_of_three();
    let tails: [&[u8]; 5] = [b"\0\0\0\0", b"\0\0\0\n", b"{\"v\":1\0\0}\n{\"v\":", b"{}\n", b"\xff\xfe\n\xff"];
    for tail in tails {
        let lines = reopen(dir.path(), &[&bytes, tail].concat()).unwrap();
        assert_eq!(lines[3]["cut_bytes"], tail.len(), "{tail:?}");
        assert_eq!(lines.len(), 5);
    }
    let lines = reopen(dir.path(), b"{\"v\":1,\"rec").unwrap();
    assert_eq!((lines.len(), &lines[0]["cut_bytes"]), (2, &11.into()), "no whole line at all");
}

#[test]
fn more_than_a_torn_tail_is_refused_and_left_alone() {
    let (dir, bytes) = log_of_three();
    let foreign = [&bytes, &b"{\"v\":1,\"record\":\"other/4\"}\n"[..]].concat();
    let newer = [&bytes, &b"{\"v\":2,\"record\":\"host/4\"}\n"[..]].concat();
    let spoiled = [&bytes, &b"x\ny\n"[..]].concat();
    let below = b"{\"v\":1,\"record\":\"host/0\"}\n".to_vec();
    let errors = [
        (&foreign, "ends with record `other/4`, which is not of host `host`"),
        (&newer, "version `2`"),
        (&spoiled, "is damaged at byte"),
        (&below, "is damaged at byte"),
    ];
    for (content, expected) in errors {
        let error = reopen(dir.path(), content).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("records-0"), "{error}");
        assert_eq!(&fs::read(first_segment(dir.path())).unwrap(), content);
    }
}

#[test]
fn a_second_open_is_refused_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), "host").unwrap();
    let error = Journal::open(dir.path(), "host").unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    drop(journal);
    Journal::open(dir.path(), "host").unwrap();
}

#[test]
fn a_reopened_log_continues_in_its_newest_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { segment_bytes: 500, ..JournalOptions::default() };
    for round in 0..5 {
        let journal = Journal::open_with(dir.path(), "host", options.clone()).unwrap();
        for number in 1..=10 {
            let id = round * 10 + number;
            let sequence = block_on(journal.append(log::body(id).as_bytes(), Durability::Strict)).unwrap();
            assert_eq!(sequence, id as u64);
        }
    }
    let segments = segments_on_disk(dir.path());
    assert!(segments.len() > 3);
    assert_eq!(log::read(&segments, "host").len(), 50);
}

#[test]
fn a_long_last_line_is_found() {
    let (dir, bytes) = log_of_three();
    let long = format!("{{\"v\":1,\"record\":\"host/4\",\"pad\":\"{}\"}}\n", "x".repeat(1 << 20));
    let lines = reopen(dir.path(), &[&bytes, long.as_bytes(), b"torn"].concat()).unwrap();
    assert_eq!((lines.len(), &lines[4]["cut_bytes"]), (6, &4.into()));
}

#[test]
fn files_are_private_and_odd_names_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    drop(Journal::open(&dir, "host").unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&first_segment(&dir)), mode(&dir.join("lock"))), (0o700, 0o600, 0o600));
    fs::write(dir.join("records-7.jsonl"), "").unwrap();
    let error = Journal::open(&dir, "host").unwrap_err();
    assert!(matches!(error, JournalError::Name { .. }), "{error}");
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Journal::open(&file, "host").unwrap_err();
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    for host in ["", "a/b", "a\"b", "a b"] {
        assert!(matches!(Journal::open(&dir, host), Err(JournalError::Host { .. })));
    }
}

#[test]
fn buffered_records_reach_the_file_when_the_journal_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path(), "host").unwrap();
    for id in 1..=100 {
        block_on(journal.append(log::body(id).as_bytes(), Durability::Async)).unwrap();
    }
    drop(journal);
    assert_eq!(log::read(&segments_on_disk(dir.path()), "host").len(), 100);
}
