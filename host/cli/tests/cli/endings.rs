//! Ends that nobody planned: closed pipes, signals, and kill -9.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::{Place, ended, request};

/// `weir` with requests that never end, until it takes no more.
fn endless(place: &Place, arguments: &str, first: usize) -> (Child, BufReader<ChildStdout>, JoinHandle<()>) {
    let mut child = place.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let feeder = std::thread::spawn(move || {
        for id in first.. {
            if writeln!(stdin, "{}", request(id, "allow")).is_err() {
                return;
            }
        }
    });
    (child, stdout, feeder)
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
}

/// Reads so many lines, which have to be there.
fn read_lines(stdout: &mut impl BufRead, count: usize) -> Vec<String> {
    let mut lines = stdout.lines();
    (0..count).map(|_| lines.next().unwrap().unwrap()).collect()
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = Place::new();
    for (arguments, code) in [("eval set", 0), ("eval set --gate", 4)] {
        let (child, mut stdout, feeder) = endless(&place, arguments, 0);
        read_lines(&mut stdout, 3);
        drop(stdout);
        let ended = ended(child);
        feeder.join().unwrap();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(!ended.stderr.contains("Broken pipe") && !ended.stderr.contains("panicked"), "{ended:?}");
    }
    for arguments in ["check set", "inspect set/allow.wasm", "completions bash", "--help"] {
        let mut child = place.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let ended = ended(child);
        assert!(ended.code == Some(0) && ended.stderr.is_empty(), "{arguments}: {ended:?}");
    }
}

#[test]
fn ctrl_c_finishes_what_has_begun() {
    let place = Place::new();
    for (name, code, folder) in [("-INT", 130, "int"), ("-TERM", 143, "term")] {
        let (child, mut stdout, feeder) = endless(&place, &format!("eval set --audit {folder}"), 0);
        let mut lines = read_lines(&mut stdout, 500);
        signal(&child, name);
        lines.extend(stdout.lines().map(Result::unwrap));
        let ended = ended(child);
        feeder.join().unwrap();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains("requests in") && ended.stderr.contains("weir: interrupted"), "{ended:?}");
        let records = place.records(folder);
        assert_eq!(records.len(), lines.len());
        let last: Value = serde_json::from_str(&lines[lines.len() - 1]).unwrap();
        assert_eq!(last["request"], format!("r-{}", lines.len() - 1));
    }
}

#[test]
fn ctrl_c_works_while_nothing_comes() {
    let place = Place::new();
    let mut child = place.command("eval set").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", request(1, "allow")).unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    read_lines(&mut stdout, 1);
    signal(&child, "-INT");
    let ended = ended(child);
    drop(stdin);
    assert_eq!(ended.code, Some(130), "{ended:?}");
}

#[test]
fn ctrl_c_ends_the_demo_and_cleans_up() {
    let place = Place::new();
    let mut child = place.command("demo --requests 10000000").spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = read_lines(&mut stdout, 14).join("\n");
    signal(&child, "-INT");
    stdout.read_to_string(&mut text).unwrap();
    let ended = ended(child);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(text.contains("that were answered is recorded") && text.contains("Interrupted"), "{text}");
    let left = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["set"]);
}

/// Whatever a client saw is in the records, however the process ends. `WEIR_KILL_ROUNDS` asks for more rounds.
#[test]
fn a_decision_that_was_seen_survives_kill_9() {
    let rounds = std::env::var("WEIR_KILL_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let place = Place::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for round in 0..rounds {
        let (mut child, mut stdout, feeder) = endless(&place, "eval set", round * 1_000_000);
        let mut lines = read_lines(&mut stdout, 1 + round * 97 % 400);
        child.kill().unwrap();
        // What was on its way when it was killed has been seen, too; a torn line has not.
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        let rest = String::from_utf8(rest).unwrap();
        lines.extend(rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned));
        child.wait().unwrap();
        feeder.join().unwrap();
        for line in lines {
            let decision: Value = serde_json::from_str(&line).unwrap();
            let text = |key: &str| decision[key].as_str().unwrap().to_owned();
            assert_eq!(seen.insert(text("record"), text("request")), None, "a record's name was used twice: {line}");
        }
    }
    let records = place.records("audit");
    let recorded: HashMap<&str, &str> = records
        .iter()
        .map(|record| (record["record"].as_str().unwrap(), record["decision"]["request"].as_str().unwrap()))
        .collect();
    assert_eq!(recorded.len(), records.len());
    for (record, request) in &seen {
        assert_eq!(recorded.get(record.as_str()), Some(&request.as_str()), "{record}");
    }
    assert!(seen.len() >= rounds);
}
