//! `check`, `inspect`, `run`, `demo`, `completions`, and the command line itself.

use serde_json::Value;

use crate::{Place, constant, guest, request};

#[test]
fn the_command_explains_itself() {
    let place = Place::new();
    let help = place.weir("--help");
    assert_eq!(help.code, Some(0), "{help:?}");
    for part in ["Runs AI governance policies", "weir demo", "weir eval policies/", "Exit codes"] {
        assert!(help.stdout.contains(part), "{part}: {help:?}");
    }
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 100), "{}", help.stdout);
    assert!(place.weir("--version").stdout.starts_with("weir 0."));
    assert_eq!(place.weir("").code, Some(2));
    let typo = place.weir("evla");
    assert!(typo.code == Some(2) && typo.stderr.contains("eval"), "{typo:?}");
}

#[test]
fn check_tells_good_from_refused() {
    let place = Place::shipped();
    let good = place.weir("check set");
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("weir-default") && good.stdout.contains("pii-strict   shadow"), "{good:?}");
    assert_eq!(place.weir("check set/weir.toml").stdout, good.stdout);
    let plan: Value = serde_json::from_str(&place.weir("check set --json").stdout).unwrap();
    assert_eq!(plan["plan"]["policies"][2]["name"], "fairness");

    place.write("set/weir.toml", weir_plugins::SET.replace("min_ratio = 0.8", "min_ratoi = 0.8"));
    let refused = place.weir("check set");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.is_empty() && refused.stderr.contains("weir: the set is refused: 1 error"), "{refused:?}");
    assert!(refused.stderr.starts_with("set/weir.toml:"), "{refused:?}");
    let refused = place.weir("check set --json");
    let report: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert!(refused.code == Some(1) && report["report"]["set"][0]["line"].is_u64(), "{report}");
}

#[test]
fn a_set_that_is_not_there_is_an_input_error() {
    let place = Place::new();
    let missing = place.weir("check nowhere");
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(
        missing.stderr.contains("`nowhere`") && missing.stderr.contains("help: a set is a folder"),
        "{missing:?}"
    );
    assert_eq!(place.weir("check set/allow.wasm").code, Some(2));
    std::fs::remove_file(place.path("set/weir.toml")).unwrap();
    let empty = place.weir("check set");
    assert!(empty.code == Some(1) && empty.stderr.contains("[policies.\"allow\"]"), "{empty:?}");
}

#[test]
fn inspect_shows_facts_and_problems() {
    let place = Place::shipped();
    let shown = place.weir("inspect set/fairness_gate.wasm");
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in ["fairness-gate", "weir_evaluate", "/measures", "min_ratio"] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    let json: Value = serde_json::from_str(&place.weir("inspect set/fairness_gate.wasm --json").stdout).unwrap();
    assert_eq!(json["manifest"]["name"], "fairness-gate");
    place.write("text.wasm", "hello");
    let text = place.weir("inspect text.wasm");
    assert!(text.code == Some(1) && text.stderr.contains("`text.wasm` cannot be a policy"), "{text:?}");
    place.write("other.wasm", wat::parse_str("(module (memory (export \"memory\") 1))").unwrap());
    let other = place.weir("inspect other.wasm");
    assert!(other.code == Some(1) && other.stderr.contains("`weir_evaluate` is missing"), "{other:?}");
    assert_eq!(place.weir("inspect nowhere.wasm").code, Some(2));
    assert_eq!(place.weir("inspect set").code, Some(2));
}

#[test]
fn run_ends_as_the_policy_says() {
    let place = Place::new();
    place.write("request.json", request(1, "run"));
    for (effect, code) in [("allow", 0), ("review", 3), ("deny", 1)] {
        let ran = place.weir(&format!("run set/{effect}.wasm request.json --deadline 30s"));
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stdout.starts_with(&format!("{effect}  by {effect}, at says.run")), "{ran:?}");
    }
    let json = place.weir_with("run set/review.wasm - --json --deadline 30s", &request(2, "run"));
    let decision: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &decision["effect"], &decision["request"]), (Some(3), &"review".into(), &"r-2".into()));
}

#[test]
fn run_shows_what_was_found_and_what_is_left() {
    let place = Place::shipped();
    let body =
        r#"{"checkpoint":"inference.input","content":[{"role":"user","text":"Write to ada@mail.example now"}]}"#;
    let ran = place.weir_with("run set/pii_secrets.wasm - --deadline 30s", body);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["pii.email", "\"ada@mail.example\" -> <EMAIL_1>", "user: Write to <EMAIL_1> now", "fuel"] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    place.write("config.json", r#"{"action":"review"}"#);
    let review = place.weir_with("run set/pii_secrets.wasm - --config config.json --deadline 30s", body);
    assert_eq!(review.code, Some(3), "{review:?}");
    place.write("config.json", r#"{"action":"shout"}"#);
    let wrong = place.weir_with("run set/pii_secrets.wasm - --config config.json", body);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("`/action`"), "{wrong:?}");
}

#[test]
fn run_names_the_functions_of_a_trap_and_the_lines_of_a_log() {
    let place = Place::new();
    let log = r#"(import "weir" "log" (func $log (param i32 i32 i32))) (data (i32.const 0) "about to fail")"#;
    let body = "(call $log (i32.const 1) (i32.const 0) (i32.const 13)) (call $bad_idea) (i64.const 0)";
    place.write("trap.wasm", guest(&format!("{log} (func $bad_idea unreachable)"), body));
    let ran = place.weir_with("run trap.wasm - --deadline 30s", &request(1, "run"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("bad_idea < weir_evaluate"), "{ran:?}");
    assert!(ran.stdout.contains("warn   about to fail"), "{ran:?}");
    assert!(ran.stderr.contains("granted `log`"), "{ran:?}");
    let json = place.weir_with("run trap.wasm - --json --deadline 30s", &request(1, "run"));
    assert!(json.stderr.contains("about to fail") && json.stdout.lines().count() == 1, "{json:?}");
    place.write("loop.wasm", weir_plugins::endless_loop());
    let endless = place.weir_with("run loop.wasm - --fuel 1000 --deadline 30s", &request(1, "run"));
    assert!(endless.code == Some(1) && endless.stdout.contains("fuel  limit 1000"), "{endless:?}");
}

#[test]
fn run_tells_input_errors() {
    let place = Place::new();
    for (arguments, stdin, told) in [
        ("run set/allow.wasm -", r#"{"checkpoint":"a","content":[{"txt":"x"}]}"#, "`/content/0/txt`"),
        ("run set/allow.wasm -", "", "request"),
        ("run set/allow.wasm -", "{\"checkpoint\":\"a\"}\n{\"checkpoint\":\"a\"}\n", "`weir eval` takes a file"),
        ("run set/allow.wasm nowhere.json", "", "cannot read `nowhere.json`"),
        ("run nowhere.wasm -", "", "cannot read `nowhere.wasm`"),
        ("run set/allow.wasm - --memory 64", r#"{"checkpoint":"a"}"#, "memory"),
        ("run set/allow.wasm - --config set/weir.toml", r#"{"checkpoint":"a"}"#, "is no configuration"),
    ] {
        let ran = place.weir_with(arguments, stdin);
        assert_eq!(ran.code, Some(2), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains(told) && ran.stdout.is_empty(), "{arguments}: {ran:?}");
    }
    place.write("bad.wasm", constant("allow"));
    let bad = place.weir_with("run bad.wasm - --deadline 30s", r#"{"checkpoint":"a"}"#);
    assert!(bad.code == Some(1) && bad.stdout.contains("bad_output"), "{bad:?}");
}

#[test]
fn the_demo_plays_and_counts_its_records() {
    let place = Place::new();
    let demo = place.weir("demo --requests 150 --audit kept");
    assert_eq!(demo.code, Some(0), "{demo:?}");
    for part in ["allowed", "masked", "failure fuel", "failure deadline", "that were answered is recorded"] {
        assert!(demo.stdout.contains(part), "{part}: {}", demo.stdout);
    }
    for part in ["none lost", "none late", "none mixed", "none went back", "with the policies of generation"] {
        assert!(demo.stdout.contains(part), "{part}: {}", demo.stdout);
    }
    // How many the callers of the last act ask is up to the machine.
    let first = place.records("kept").len();
    assert!(first > 350, "{first}");
    let again = place.weir("demo --requests 10 --audit kept --quiet");
    assert!(
        again.code == Some(0) && again.stdout.contains("by 3 generations: none lost, late or mixed"),
        "{again:?}"
    );
    assert!(place.records("kept").len() > first + 210);
}

#[test]
fn completions_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let printed = place.weir(&format!("completions {shell}"));
        assert!(printed.code == Some(0) && printed.stdout.contains("inspect"), "{printed:?}");
    }
    assert_eq!(place.weir("completions dos").code, Some(2));
}
