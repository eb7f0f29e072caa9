//! `weir eval`: order, bad lines, gate and summary.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Place, ended, json_lines, request};

fn requests(effects: &[&str]) -> String {
    effects.iter().enumerate().map(|(id, effect)| request(id, effect) + "\n").collect()
}

#[test]
fn decisions_come_in_the_order_of_the_requests() {
    let place = Place::new();
    let effects = ["allow", "deny", "review"];
    let lines: String = (0..2_000).map(|id| request(id, effects[id % 3]) + "\n").collect();
    place.write("requests.jsonl", &lines);
    for judged in [place.weir("eval set requests.jsonl"), place.weir_with("eval set --threads 7", &lines)] {
        assert_eq!(judged.code, Some(0), "{}", judged.stderr);
        let decisions = json_lines(&judged.stdout);
        assert_eq!(decisions.len(), 2_000);
        for (id, decision) in decisions.iter().enumerate() {
            assert_eq!(decision["request"], format!("r-{id}"));
            assert_eq!(decision["effect"], effects[id % 3]);
        }
        assert!(judged.stderr.contains("667 allow, 666 review, 667 deny"), "{}", judged.stderr);
    }
    assert_eq!(place.records("audit").len(), 4_000);
}

#[test]
fn nothing_is_written_over_what_is_read() {
    let place = Place::new();
    place.write("requests.jsonl", request(1, "allow"));
    for line in ["--out ./requests.jsonl", "--summary requests.jsonl", "--out x --summary x"] {
        let judged = place.weir(&format!("eval set requests.jsonl {line}"));
        assert_eq!((judged.code, judged.stdout.as_str()), (Some(2), ""), "{line}: {}", judged.stderr);
        assert_eq!(place.read("requests.jsonl"), request(1, "allow"), "{line}");
    }
}

#[test]
fn several_files_are_one_input() {
    let place = Place::new();
    place.write("a.jsonl", request(1, "allow"));
    place.write("b.jsonl", format!("\u{feff}{}\r\n\n  \n{}", request(2, "allow"), request(3, "allow")));
    let judged = place.weir_with("eval set a.jsonl - b.jsonl --out decisions.jsonl --quiet", &request(4, "allow"));
    assert_eq!((judged.code, judged.stdout.as_str(), judged.stderr.as_str()), (Some(0), "", ""));
    let ids: Vec<Value> = json_lines(&place.read("decisions.jsonl")).iter().map(|d| d["request"].clone()).collect();
    assert_eq!(ids, ["r-1", "r-4", "r-2", "r-3"]);
}

#[test]
fn a_gate_ends_by_the_strictest_decision() {
    let place = Place::new();
    for (effects, code) in
        [(&["allow", "allow"][..], 0), (&["allow", "review"], 3), (&["review", "deny", "allow"], 1), (&[], 2)]
    {
        let judged = place.weir_with("eval set --gate", &requests(effects));
        assert_eq!(judged.code, Some(code), "{effects:?}: {judged:?}");
        let without = place.weir_with("eval set", &requests(effects));
        assert_eq!(without.code, Some(0), "{effects:?}: {without:?}");
    }
}

#[test]
fn bad_lines_are_named_and_the_rest_goes_on() {
    let place = Place::new();
    let bad = r#"{"checkpoint":"a","content":[{"text":"x"},{"role":"user"}]}"#;
    let long = format!(r#"{{"checkpoint":"a","payload":"{}"}}"#, "x".repeat(2 << 20));
    let lines = [&request(1, "allow"), bad, "", "not json", &long, &request(2, "allow")].join("\n");
    place.write("in.jsonl", &lines);
    let judged = place.weir("eval set in.jsonl");
    assert_eq!(judged.code, Some(2), "{judged:?}");
    assert_eq!(json_lines(&judged.stdout).len(), 2);
    for place in
        ["in.jsonl:2: request at `/content/1`: key `text` is missing", "in.jsonl:4: ", "in.jsonl:5: request: longer"]
    {
        assert!(judged.stderr.contains(place), "{place}: {judged:?}");
    }
    assert!(judged.stderr.contains("3 bad lines"), "{judged:?}");
    let strict = place.weir_with("eval set --strict", &lines);
    assert_eq!((strict.code, json_lines(&strict.stdout).len()), (Some(2), 1), "{strict:?}");
    assert!(strict.stderr.contains("<stdin>:2: "), "{strict:?}");
    let gate = place.weir("eval set in.jsonl --gate");
    assert_eq!(gate.code, Some(2), "{gate:?}");
}

#[test]
fn the_summary_is_json() {
    let place = Place::new();
    let lines = requests(&["allow", "deny", "deny", "review"]) + "oops\n";
    let judged = place.weir_with("eval set --summary summary.json --audit kept", &lines);
    assert_eq!(judged.code, Some(2), "{judged:?}");
    let summary: Value = serde_json::from_str(&place.read("summary.json")).unwrap();
    for (key, value) in [("requests", 4), ("bad_lines", 1), ("allow", 1), ("review", 1), ("deny", 2), ("v", 1)] {
        assert_eq!(summary[key], value, "{key}: {summary}");
    }
    assert_eq!(
        (&summary["set"], &summary["audit"], &summary["complete"]),
        (&"test".into(), &"kept".into(), &true.into())
    );
    let policies = summary["policies"].as_array().unwrap();
    let calls: Vec<_> =
        policies.iter().map(|p| (p["name"].as_str().unwrap(), p["calls"].as_u64().unwrap())).collect();
    assert_eq!(calls, [("allow", 4), ("review", 1), ("deny", 2)]);
    assert!(policies[0]["micros"]["p99"].as_f64().unwrap() > 0.0 && policies[0]["fuel"]["max"].is_u64());
}

#[test]
fn what_is_missing_is_said_before_anything_is_judged() {
    let place = Place::new();
    place.write("in.jsonl", request(1, "allow"));
    for (arguments, code, told) in [
        ("eval nowhere in.jsonl", 2, "`nowhere`"),
        ("eval set in.jsonl nowhere.jsonl", 2, "cannot read `nowhere.jsonl`"),
        ("eval set set", 2, "is a folder"),
        ("eval set in.jsonl --out no/such/folder", 4, "cannot write `no/such/folder`"),
        ("eval set in.jsonl --summary no/such/folder", 4, "cannot write `no/such/folder`"),
        ("eval set in.jsonl --audit in.jsonl", 4, "in.jsonl"),
        ("eval set in.jsonl --threads 0", 2, "--threads"),
    ] {
        let judged = place.weir(arguments);
        assert_eq!((judged.code, judged.stdout.as_str()), (Some(code), ""), "{arguments}: {judged:?}");
        assert!(judged.stderr.contains(told), "{arguments}: {judged:?}");
    }
    place.write("set/weir.toml", "set = 1");
    let refused = place.weir("eval set in.jsonl");
    assert!(refused.code == Some(1) && refused.stderr.contains("set/weir.toml:1:7"), "{refused:?}");
}

#[test]
fn two_cannot_record_in_one_folder() {
    let place = Place::new();
    let mut first = place.command("eval set").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = first.stdin.take().unwrap();
    writeln!(stdin, "{}", request(1, "allow")).unwrap();
    let mut stdout = std::io::BufReader::new(first.stdout.take().unwrap());
    // An answer shows that the first one has the folder, and that a lone request does not wait for others.
    std::io::BufRead::read_line(&mut stdout, &mut String::new()).unwrap();
    let second = place.weir_with("eval set", &request(2, "allow"));
    assert!(second.code == Some(4) && second.stderr.contains("another process"), "{second:?}");
    assert!(second.stderr.contains("help: `--audit DIR`"), "{second:?}");
    drop(stdin);
    assert_eq!(ended(first).code, Some(0));
}

#[test]
fn a_host_of_little_address_space_keeps_less_ready() {
    let place = Place::new();
    place.write("requests.jsonl", requests(&["allow", "deny"]));
    let with_tib = |tib: u64| {
        let mut command = Command::new("sh");
        let line = format!("ulimit -v {}; exec \"$@\"", tib << 30);
        let weir = place.command("eval set requests.jsonl");
        command.args(["-c", &line, "sh"]).arg(weir.get_program()).args(weir.get_args());
        command.current_dir(place.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(command.spawn().unwrap())
    };
    let judged = with_tib(6);
    assert_eq!((judged.code, json_lines(&judged.stdout).len()), (Some(0), 2), "{judged:?}");
    let refused = with_tib(1);
    assert!(refused.code == Some(4) && refused.stderr.contains("cannot start on this machine"), "{refused:?}");
}
