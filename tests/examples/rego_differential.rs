//! The policies of `tests/rego` under generated inputs: what a host makes of them against `opa eval`, in both isolations, twice.
//!
//! ```sh
//! cargo run -p weir-tests --example rego_differential -- [--opa opa] [--inputs N] [--seed N] [--only POLICY]
//! ```

#![expect(clippy::print_stdout, reason = "the table is the output")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Map, Value, json};
use weir::{Compiler, Decision, Recorder, Request, Runtime, Source};

struct Arguments {
    opa: PathBuf,
    inputs: usize,
    seed: u64,
    only: Option<String>,
}

fn main() -> ExitCode {
    let arguments = arguments();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rego");
    let inputs = Random(arguments.seed).inputs(arguments.inputs);
    let mut policies: Vec<PathBuf> = std::fs::read_dir(&folder).expect("the policies are there").map(path).collect();
    policies.retain(|path| path.extension().is_some_and(|extension| extension == "rego"));
    policies.retain(|path| {
        arguments.only.as_ref().is_none_or(|only| path.file_stem().is_some_and(|name| name == only.as_str()))
    });
    policies.sort();
    let (mut differences, mut denials) = (0, 0);
    for policy in &policies {
        let name = policy.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (bundle, expected) = asked_of_opa(&arguments.opa, policy, &folder.join("data.json"), &name, &inputs);
        let hosts = ["restore", "fresh"].map(|isolation| host(&bundle, isolation));
        for (number, input) in inputs.iter().enumerate() {
            let decisions: Vec<Decision> =
                hosts.iter().chain(&hosts).map(|host| host.evaluate_blocking(request(input))).collect();
            let fuel: Vec<u64> = decisions.iter().map(|decision| decision.policies()[0].fuel).collect();
            let expected = meaning(expected[number].as_ref());
            denials += usize::from(expected.0 == "deny");
            let found: Vec<(String, Vec<String>)> = decisions.iter().map(found).collect();
            if found.iter().any(|found| *found != expected) || fuel.iter().any(|one| *one != fuel[0]) {
                differences += 1;
                println!("{name}, input {number}: {input}\n  opa  {expected:?}\n  weir {found:?}\n  fuel {fuel:?}");
            }
        }
    }
    let (count, answers) = (policies.len(), policies.len() * inputs.len());
    println!(
        "{count} policies, {answers} inputs ({denials} denied by OPA), 4 evaluations each: {differences} differ"
    );
    if differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn path(entry: std::io::Result<std::fs::DirEntry>) -> PathBuf {
    entry.expect("a file of the folder").path()
}

fn arguments() -> Arguments {
    let mut found = Arguments { opa: "opa".into(), inputs: 500, seed: 1, only: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("`{word}` wants a value"));
        match word.as_str() {
            "--opa" => found.opa = value.into(),
            "--inputs" => found.inputs = value.parse().expect("a number after `--inputs`"),
            "--only" => found.only = Some(value),
            "--seed" => found.seed = value.parse().expect("a number after `--seed`"),
            _ => panic!("`{word}` is no argument"),
        }
    }
    found
}

/// The policy as OPA compiles it, and what OPA's own engine answers to each input.
fn asked_of_opa(
    opa: &Path,
    policy: &Path,
    data: &Path,
    name: &str,
    inputs: &[Value],
) -> (Vec<u8>, Vec<Option<Value>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (bundle, file) = (folder.path().join("bundle.tar.gz"), folder.path().join("inputs.json"));
    let built = Command::new(opa).args(["build", "-t", "wasm", "-o"]).arg(&bundle).arg(policy).arg(data).output();
    let built = built.expect("opa starts");
    assert!(built.status.success(), "{name}: {}", String::from_utf8_lossy(&built.stderr));
    std::fs::write(&file, json!({ "weir_inputs": inputs }).to_string()).expect("inputs are written");
    let query =
        format!("[[i, r] | some i, given in data.weir_inputs; r := data.cases.{name}.main with input as given]");
    let mut eval = Command::new(opa);
    eval.args(["eval", "-f", "json", "--data"])
        .arg(policy)
        .arg("--data")
        .arg(data)
        .arg("--data")
        .arg(&file)
        .arg(query);
    let said = eval.output().expect("opa starts").stdout;
    let said: Value = serde_json::from_slice(&said).expect("opa answers in JSON");
    let mut answers = vec![None; inputs.len()];
    let list = said.pointer("/result/0/expressions/0/value").and_then(Value::as_array);
    for pair in list.unwrap_or_else(|| panic!("{name}: {said}")) {
        answers[pair[0].as_u64().expect("its number") as usize] = Some(pair[1].clone());
    }
    (std::fs::read(&bundle).expect("the bundle is read"), answers)
}

fn host(bundle: &[u8], isolation: &str) -> Runtime {
    let set = format!(
        "set = \"differential\"\n[policies.p]\nmodule = \"p.tar.gz\"\ncheckpoints = [\"case\"]\ninput = \"/payload\"\n\
         isolation = \"{isolation}\"\nlimits = {{ fuel = 100_000_000, deadline = \"10 s\" }}\n"
    );
    let builder = Runtime::builder().compiler(Compiler::in_process()).recorder(Recorder::discard());
    pollster::block_on(builder.open(Source::memory(set, [("p.tar.gz", bundle)])))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn request(input: &Value) -> Request {
    let request = json!({ "id": "r", "time": "2026-01-01T00:00:00Z", "checkpoint": "case", "payload": input });
    Request::parse(request.to_string().as_bytes()).expect("a request")
}

/// Effect and findings of a decision.
fn found(decision: &Decision) -> (String, Vec<String>) {
    if let Err(failure) = &decision.policies()[0].outcome {
        return (failure.to_string(), Vec::new());
    }
    let mut findings: Vec<String> = decision
        .findings()
        .iter()
        .map(|finding| {
            let finding = serde_json::to_value(&finding.finding).expect("a finding serialises");
            let measured = match &finding["measured"] {
                Value::String(text) => serde_json::from_str(text).unwrap_or(Value::from(text.as_str())),
                other => other.clone(),
            };
            line(&finding["code"], &finding["message"], &measured)
        })
        .collect();
    findings.sort();
    (decision.effect().to_string(), findings)
}

/// What a document of OPA's means.
fn meaning(document: Option<&Value>) -> (String, Vec<String>) {
    let Some(document) = document else {
        let message = "the policy says nothing about this request";
        return ("deny".to_owned(), vec![line(&"rego.undefined".into(), &message.into(), &Value::Null)]);
    };
    let list = |rule: &str| document[rule].as_array().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    for rule in ["deny", "warn"] {
        for member in list(rule) {
            let code = member.get("code").cloned().unwrap_or_else(|| format!("rego.{rule}").into());
            let message = member.get("msg").cloned().unwrap_or_else(|| member.clone());
            findings.push(line(&code, &message, &member["details"]));
        }
    }
    findings.sort();
    let denies = document["allow"] == false || !list("deny").is_empty();
    (if denies { "deny" } else { "allow" }.to_owned(), findings)
}

fn line(code: &Value, message: &Value, details: &Value) -> String {
    format!("{} {} {}", code, message, canonical(details))
}

/// Numbers by their value; texts as a finding tells them, on one line.
fn canonical(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace('\t', " ").into(),
        Value::Number(number) => number.as_f64().map_or(Value::Null, |number| json!(number)),
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            sorted.into_iter().map(|(name, member)| (name.clone(), canonical(member))).collect()
        }
        other => other.clone(),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn one_of(&mut self, values: &Value) -> Value {
        let values = values.as_array().expect("a list of choices");
        values[self.below(values.len())].clone()
    }

    fn some_of(&mut self, values: &Value) -> Value {
        (0..self.below(4)).map(|_| self.one_of(values)).collect()
    }

    /// Objects in which any member may be missing, or be of another kind than the policies expect.
    fn object(&mut self, members: Vec<(&str, Value)>) -> Value {
        let mut object = Map::new();
        for (name, value) in members {
            match self.below(20) {
                0 => {}
                1 => {
                    _ = object
                        .insert(name.to_owned(), self.one_of(&json!([null, true, 7, "", "x", [], {}, [1], {"a": 1}])))
                }
                _ => _ = object.insert(name.to_owned(), value),
            }
        }
        Value::Object(object)
    }

    fn inputs(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.input()).collect()
    }

    fn items(&mut self) -> Value {
        (0..self.below(4))
            .map(|_| {
                let item = vec![
                    ("price", self.one_of(&json!([0, 1, 2.5, 100, 1e3, 0.1, -3]))),
                    ("count", self.one_of(&json!([0, 1, 3, 1000]))),
                ];
                self.object(item)
            })
            .collect()
    }

    fn input(&mut self) -> Value {
        let people = json!(["ann", "bob", "eve", "dan", "nobody", "ünï"]);
        let subject = vec![
            ("id", self.one_of(&people)),
            ("roles", self.some_of(&json!(["reader", "writer", "admin", "guest", "ghost"]))),
            ("suspended", self.one_of(&json!([false, false, false, true]))),
        ];
        let resource = vec![
            ("id", self.one_of(&json!(["docs/a", "docs/a/b", "x/public/y", ".hidden", "a", "docs/", "é/public/ü"]))),
            ("type", self.one_of(&json!(["tool", "dataset", "model"]))),
            ("owner", self.one_of(&people)),
            ("tags", self.some_of(&json!(["secret", "personal", "open", "1"]))),
            ("size", self.one_of(&json!(["3Ki", "64Mi", "65Mi", "1.5G", "12", "12 KB", "lots", "-1M", "0.5Ti"]))),
        ];
        let context = vec![
            ("region", self.one_of(&json!(["eu", "us", "cn"]))),
            ("ip", self.one_of(&json!(["10.1.2.3", "192.168.1.7", "192.168.2.7", "2001:db8::1", "::1", "nonsense"]))),
            ("version", self.one_of(&json!(["1.4.0", "1.3.9", "2.0.0-rc.1", "1.4.0+x", "v1", "1.4"]))),
            (
                "time",
                self.one_of(&json!([
                    "2026-01-01T07:59:59Z",
                    "2026-03-29T01:30:00+01:00",
                    "2026-07-04T12:00:00.5Z",
                    "soon"
                ])),
            ),
            ("settings", self.one_of(&json!([{"level": 1}, {"level": 4, "nested": {"b": 3}}, {"mode": "lax"}]))),
        ];
        let (subject, resource, context) = (self.object(subject), self.object(resource), self.object(context));
        let text = self.one_of(&json!([
            "",
            " ",
            "a secret 12",
            "ann@acme.example and bob@x.example",
            "AB12345678",
            "Über den Wolken",
            "a&b=c d/é",
            "ATTACK\tnow",
            "\u{1F600} 7",
            "bomb bomb secret",
        ]));
        let input = vec![
            ("subject", subject),
            ("action", self.one_of(&json!(["read", "write", "delete"]))),
            ("resource", resource),
            ("context", context),
            ("amount", self.one_of(&json!([0, 1, 49.5, 50, 100, 100.01, 1e15, 0.1, 2.5, -2.5]))),
            ("text", text),
            ("items", self.items()),
        ];
        self.object(input)
    }
}
