//! OPA's own test cases, each compiled by OPA and judged by a host as any other policy.
//!
//! ```sh
//! cargo run -p weir-tests --example rego_conformance -- --cases DIR [--opa opa] [--every N] [--table FILE] [--at-least PERCENT]
//! ```
//!
//! `DIR` is `v1/test/cases/testdata` of the Go module `github.com/open-policy-agent/opa`. A case is a query; here it becomes the body
//! of a comprehension in a policy that allows, and what it finds is what the policy measured. A host cuts that after 1,024 bytes,
//! and so does the comparison.

#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use weir::{Compiler, Recorder, Request, Runtime, Source};

const SET: &str = r#"
set = "conformance"
[policies.case]
module      = "case.tar.gz"
checkpoints = ["case"]
input       = "/payload"
grants      = ["log", "rand", "uuid"]
limits      = { fuel = 5_000_000_000, memory = "256 MiB", deadline = "60 s", output = "16 MiB", host_calls = 1_000_000 }
"#;
const PACKAGE: &str = "weir_conformance";
/// As many bytes as a host keeps of what was measured, without the last, which may be cut within a letter.
const COMPARED: usize = 1_000;

/// Cases that OPA's own runner of Wasm leaves out, for numbers beyond 64 bits and keys that are numbers: `exceptions.yaml` beside it.
const LEFT_OUT: [&str; 9] = [
    "data/toplevel integer",
    "data/nested integer",
    "strings/format_int: bignum exact (>64-bit integer, all bases + negative)",
    "arithmetic/bignum exact (>64-bit integers through plus, minus, multiply)",
    "aggregates/bignum exact (>64-bit integers through sum and product)",
    "arithmetic/bignum modulo (divisor a nonzero multiple of 2^64)",
    "aggregates/sum integer fast-path overflow (elements fit int64, sum does not)",
    "jsonbuiltins/unmarshal number beyond the supported exponent is undefined",
    "jsonbuiltins/unmarshal number with too big an exponent is undefined",
];

/// What became of a case.
enum Outcome {
    Passed,
    /// What it needs and is not there: mostly a function that this host does not have, by its name and why.
    Missing(String),
    Differs(String),
}

struct Case {
    folder: String,
    file: PathBuf,
    is_v0: bool,
    fields: Value,
}

struct Arguments {
    cases: PathBuf,
    opa: PathBuf,
    every: usize,
    only: Option<String>,
    table: Option<PathBuf>,
    at_least: f64,
}

fn main() -> ExitCode {
    let arguments = arguments();
    let cases = cases(&arguments);
    eprintln!("{} cases", cases.len());
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = excepted(case, outcome(case, &arguments.opa));
                    outcomes.lock().expect("nobody panics with it").push((case, outcome));
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("nobody panics with it");
    let (table, passed) = table(&outcomes);
    println!("{table}");
    if let Some(file) = &arguments.table {
        std::fs::write(file, &table).expect("the table can be written");
    }
    let percent = 100.0 * passed as f64 / outcomes.len().max(1) as f64;
    if percent < arguments.at_least {
        eprintln!("{percent:.1} % pass, expected at least {} %", arguments.at_least);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn arguments() -> Arguments {
    let mut found =
        Arguments { cases: PathBuf::new(), opa: "opa".into(), every: 1, only: None, table: None, at_least: 0.0 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("`{word}` wants a value"));
        match word.as_str() {
            "--cases" => found.cases = value.into(),
            "--opa" => found.opa = value.into(),
            "--every" => found.every = value.parse().expect("a number after `--every`"),
            "--only" => found.only = Some(value),
            "--table" => found.table = Some(value.into()),
            "--at-least" => found.at_least = value.parse().expect("a number after `--at-least`"),
            _ => panic!("`{word}` is no argument"),
        }
    }
    assert!(found.cases.is_dir(), "`--cases` names a folder");
    found
}

/// The cases of all files, or of the first and then every n-th file of each folder; a sample leaves `v0` out, where the same cases
/// stand in the syntax of before. OPA itself reads them: they are YAML.
fn cases(arguments: &Arguments) -> Vec<Case> {
    let mut cases = Vec::new();
    let versions = if arguments.every > 1 { &["v1"][..] } else { &["v0", "v1"] };
    for version in versions {
        for folder in sorted(&arguments.cases.join(version)) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if arguments.only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            for file in sorted(&folder).into_iter().step_by(arguments.every) {
                let read = Command::new(&arguments.opa)
                    .args(["eval", "-f", "json", "data.cases", "--data"])
                    .arg(&file)
                    .output()
                    .expect("opa starts");
                let read: Value = serde_json::from_slice(&read.stdout)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                let list = read.pointer("/result/0/expressions/0/value").and_then(Value::as_array).cloned();
                cases.extend(list.unwrap_or_default().into_iter().map(|fields| Case {
                    folder: format!("{version}/{name}"),
                    file: file.clone(),
                    is_v0: *version == "v0",
                    fields,
                }));
            }
        }
    }
    cases
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
}

fn outcome(case: &Case, opa: &Path) -> Outcome {
    let wants_error = case.fields.get("want_error_code").or_else(|| case.fields.get("want_error")).is_some();
    let is_strict = case.fields["strict_error"] == true;
    let bundle = match bundle(case, opa) {
        Ok(bundle) => bundle,
        Err(_) if wants_error => return Outcome::Passed,
        Err(why) if why.contains("data.weir_conformance.main is recursive") => {
            return Outcome::Missing(
                "asks for all of `data`, of which the question itself is a part here".to_owned(),
            );
        }
        Err(why) if why.contains("undefined function test.sleep") => {
            return Outcome::Missing("`test.sleep` (of OPA's own tests)".to_owned());
        }
        Err(why) => return Outcome::Differs(format!("opa build refuses it: {why}")),
    };
    let source = Source::memory(SET, [("case.tar.gz", bundle)]);
    let opened = Runtime::builder().compiler(Compiler::in_process()).recorder(Recorder::discard()).open(source);
    let host = match pollster::block_on(opened) {
        Ok(host) => host,
        Err(report) => {
            let why = report.to_string();
            let missing = why.split("not to be had: ").nth(1).and_then(|names| names.lines().next());
            return match missing {
                Some(names) => Outcome::Missing(names.to_owned()),
                None => Outcome::Differs(format!("refused: {why}")),
            };
        }
    };
    let input = match input(case, opa) {
        Ok(input) => input,
        Err(why) => return Outcome::Missing(why),
    };
    let mut request = json!({ "checkpoint": "case" });
    if let Some(input) = input {
        request["payload"] = input;
    }
    let request = Request::parse(request.to_string().as_bytes()).expect("a request");
    let decision = host.evaluate_blocking(request);
    let found = match &decision.policies()[0].outcome {
        Ok(_) => decision.findings().first().map(|finding| {
            let found = serde_json::to_value(&finding.finding).expect("a finding serialises");
            found["measured"].as_str().unwrap_or_default().to_owned()
        }),
        Err(_) if wants_error && !is_strict => return Outcome::Passed,
        Err(failure) => return Outcome::Differs(format!("{failure}")),
    };
    compared(case, found.as_deref().unwrap_or("[]"), wants_error, is_strict)
}

/// The same, where OPA's own runner of Wasm does not leave the case out.
fn excepted(case: &Case, outcome: Outcome) -> Outcome {
    let note = case.fields["note"].as_str().unwrap_or_default();
    match outcome {
        Outcome::Differs(_) if LEFT_OUT.contains(&note) => {
            Outcome::Missing("left out by OPA's own runner of Wasm, too".to_owned())
        }
        outcome => outcome,
    }
}

fn compared(case: &Case, found: &str, wants_error: bool, is_strict: bool) -> Outcome {
    let differs =
        |what: &str| Outcome::Differs(format!("{what}, found {}", &found[..found.floor_char_boundary(200)]));
    match (wants_error, &case.fields["want_result"], case.fields.get("want_defined")) {
        // Where a case has a result and a strict error, OPA's own runner of Wasm looks for the result, too.
        (_, Value::Array(wanted), _) => {
            let sorts = case.fields["sort_bindings"] == true || wanted.len() > 1;
            let wanted = canonical(&Value::Array(wanted.clone()), sorts);
            let text = wanted.to_string();
            let is_same = match serde_json::from_str::<Value>(found) {
                Ok(found) => canonical(&found, sorts) == wanted,
                // Cut: what is sorted cannot be compared any more.
                Err(_) => sorts || text.get(..COMPARED) == found.get(..COMPARED),
            };
            if is_same { Outcome::Passed } else { differs(&format!("expected {text}")) }
        }
        // In Wasm a built-in function that fails is undefined; a strict error is one that this is not enough for.
        (true, ..) if is_strict && found == "[]" => Outcome::Passed,
        (true, ..) if is_strict => differs("an undefined result expected"),
        (true, ..) => differs("an error expected"),
        (_, _, Some(defined)) if (found != "[]") == (*defined == true) => Outcome::Passed,
        (_, _, Some(_)) => differs("another definedness expected"),
        _ => Outcome::Passed,
    }
}

/// Numbers as doubles where they are equal so; the members of lists in order, where the case does not care.
fn canonical(value: &Value, sorts: bool) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| json!(number)),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| canonical(item, sorts)).collect();
            if sorts {
                items.sort_by_key(Value::to_string);
            }
            Value::Array(items)
        }
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), canonical(member, sorts))).collect()
        }
        other => other.clone(),
    }
}

/// The case as OPA compiles it.
fn bundle(case: &Case, opa: &Path) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).map_err(|error| error.to_string());
    for (number, module) in case.fields["modules"].as_array().into_iter().flatten().enumerate() {
        write(&format!("m{number}.rego"), module.as_str().unwrap_or_default())?;
    }
    if let Some(data) = case.fields.get("data").filter(|data| data.is_object()) {
        write("data.json", &data.to_string())?;
    }
    let variables = case.fields.pointer("/want_result/0").and_then(Value::as_object);
    let bindings: Vec<String> =
        variables.into_iter().flatten().map(|(name, _)| format!("{}: {name}", json!(name))).collect();
    let query = case.fields["query"].as_str().unwrap_or_default();
    write(
        "weir_conformance.rego",
        &format!(
            "package {PACKAGE}\nimport rego.v1\n\
             main := {{\"allow\": true, \"warn\": [{{\"msg\": \"found\", \"details\": results}}]}}\n\
             results := [{{{}}} |\n{query}\n]\n",
            bindings.join(", ")
        ),
    )?;
    let output = folder.path().join("case.tar.gz");
    let mut build = Command::new(opa);
    build.args(["build", "-t", "wasm", "-e", &format!("{PACKAGE}/main"), "-o"]).arg(&output);
    if case.is_v0 {
        build.arg("--v0-compatible");
    }
    let built = build.arg(folder.path()).output().map_err(|error| error.to_string())?;
    if !built.status.success() {
        let said = [built.stderr, built.stdout].concat();
        let why = String::from_utf8_lossy(&said).replace(&*folder.path().to_string_lossy(), "");
        return Err(why.lines().take(3).collect::<Vec<_>>().join(" "));
    }
    std::fs::read(&output).map_err(|error| error.to_string())
}

/// The input of a case; a term of Rego is evaluated by OPA.
fn input(case: &Case, opa: &Path) -> Result<Option<Value>, String> {
    let Some(term) = case.fields["input_term"].as_str() else { return Ok(case.fields.get("input").cloned()) };
    // As JSON a set is a list, which it is not to the policy.
    let query = format!("x := {term}; count([member | walk(x, [_, member]); is_set(member)], 0)");
    let read = Command::new(opa).args(["eval", "-f", "json", &query]).output().map_err(|error| error.to_string())?;
    let read: Value = serde_json::from_slice(&read.stdout).map_err(|error| error.to_string())?;
    let value = read.pointer("/result/0/bindings/x").cloned();
    value.map(Some).ok_or_else(|| "an input that is no JSON".to_owned())
}

/// What became of all cases, by folder and by reason.
fn table(outcomes: &[(&Case, Outcome)]) -> (String, usize) {
    use std::fmt::Write as _;
    let mut folders: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let (mut missing, mut differs) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for (case, outcome) in outcomes {
        let place = match outcome {
            Outcome::Passed => 0,
            Outcome::Missing(names) => {
                *missing.entry(names).or_default() += 1;
                1
            }
            Outcome::Differs(why) => {
                let file = case.file.file_name().unwrap_or_default().to_string_lossy();
                let note = case.fields["note"].as_str().unwrap_or_default();
                differs.push(format!("- {}/{file}, {note}: {}", case.folder, why.replace('\n', " ")));
                2
            }
        };
        folders.entry(&case.folder).or_default()[place] += 1;
    }
    let [passed, absent, other] =
        folders.values().fold([0; 3], |sum, row| [0, 1, 2].map(|place| sum[place] + row[place]));
    let mut text = format!(
        "# OPA's cases\n\n{passed} of {} pass, {absent} need what is not there, {other} differ.\n",
        outcomes.len()
    );
    text.push_str("\n| folder | pass | not there | differ |\n|---|---|---|---|\n");
    for (folder, [passed, absent, other]) in &folders {
        _ = writeln!(text, "| {folder} | {passed} | {absent} | {other} |");
    }
    text.push_str("\n| not there | cases |\n|---|---|\n");
    for (names, count) in &missing {
        _ = writeln!(text, "| {names} | {count} |");
    }
    differs.sort();
    _ = write!(text, "\n{}\n", differs.join("\n"));
    (text, passed)
}
