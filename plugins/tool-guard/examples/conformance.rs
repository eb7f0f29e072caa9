//! The policy against data from outside: JSON Schema's own test suite, and calls of tools with their schemas.
//!
//! `cargo run -p tool-guard --example conformance -- [--suite FOLDER] [--calls FILE]`: `FOLDER` is `tests/draft2020-12` of the
//! suite; `FILE` has a line of JSON for each task: `functions` with `parameters`, and `ground_truth` with accepted arguments.

#![expect(clippy::print_stdout, reason = "an example shows its figures")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use tool_guard::Config;
use tool_guard::schema::Schema;
use weir_sdk::{Effect, Request, Verdict};

/// Files of the suite that are about what is claimed: all but those about `$anchor`, `$dynamicRef`, other documents,
/// vocabularies and `unevaluated*`.
const NOT_CLAIMED: [&str; 6] = [
    "anchor.json",
    "dynamicRef.json",
    "refRemote.json",
    "unevaluatedItems.json",
    "unevaluatedProperties.json",
    "vocabulary.json",
];
/// Why a schema of the suite may be refused: it uses what is not claimed.
const REFUSALS: [&str; 2] = ["is no keyword that is checked here", "can be referred to"];
/// Tasks whose accepted arguments are not what their own schema allows: a missing argument that is required, a value outside of
/// its own list, an argument the function does not have.
const CONTRADICTORY: [&str; 8] = [
    "live_simple_71-35-0",
    "live_simple_106-63-0",
    "live_simple_112-68-0",
    "live_multiple_750-169-5",
    "live_multiple_756-169-11",
    "live_multiple_862-181-3",
    "live_multiple_947-197-0",
    "live_multiple_964-207-0",
];
/// Most schemas that may be.
const MOST_REFUSED: usize = 40;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut bad = false;
    for pair in arguments.chunks(2) {
        bad |= match pair {
            [option, folder] if option == "--suite" => !suite(Path::new(folder)),
            [option, file] if option == "--calls" => !calls(Path::new(file)),
            _ => {
                eprintln!("usage: conformance [--suite FOLDER] [--calls FILE]");
                return ExitCode::from(2);
            }
        };
    }
    ExitCode::from(u8::from(bad))
}

/// Whether every schema of the suite judges every value as it should.
fn suite(folder: &Path) -> bool {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the suite can be read").map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.retain(|path| !NOT_CLAIMED.iter().any(|name| path.ends_with(name)));
    files.sort();
    let (mut judged, mut wrong, mut refused) = (0, Vec::new(), Vec::new());
    for file in &files {
        let groups: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(file).expect("a file of the suite")).expect("JSON");
        for group in groups {
            let name = format!("{}: {}", file.file_stem().unwrap_or_default().display(), group["description"]);
            let schema = match Schema::compile(&group["schema"]) {
                Ok(schema) => schema,
                Err(why) => {
                    refused.push((name, why));
                    continue;
                }
            };
            for test in group["tests"].as_array().into_iter().flatten() {
                judged += 1;
                if Value::Bool(schema.is_valid(&test["data"])) != test["valid"] {
                    wrong.push(format!("{name}: {}", test["description"]));
                }
            }
        }
    }
    let odd: Vec<_> = refused.iter().filter(|(_, why)| !REFUSALS.iter().any(|known| why.contains(known))).collect();
    println!(
        "suite: {judged} values, {} wrong; {} schemas refused for what is not claimed",
        wrong.len(),
        refused.len()
    );
    wrong.iter().for_each(|wrong| println!("  wrong: {wrong}"));
    odd.iter().for_each(|(name, why)| println!("  refused: {name}: {why}"));
    wrong.is_empty() && odd.is_empty() && refused.len() <= MOST_REFUSED && judged > 800
}

/// Whether every call passes with its own schema, and every seeded mistake in it is named at its place.
fn calls(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).expect("the calls can be read");
    let (mut tasks, mut count, mut contradictory, mut wrong) = (0, 0, 0, Vec::new());
    let mut caught: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in text.lines() {
        let task: Value = serde_json::from_str(line).expect("a line of JSON");
        tasks += 1;
        for call in task["ground_truth"].as_array().into_iter().flatten().filter_map(Value::as_object) {
            for (name, accepted) in call {
                let function =
                    task["functions"].as_array().into_iter().flatten().find(|f| f["name"] == name.as_str());
                let Some(function) = function else { continue };
                count += 1;
                let schema = standard(&function["parameters"], true);
                let arguments = accepted_arguments(accepted, &schema);
                let verdict = judge(&schema, &arguments);
                let contradicts = CONTRADICTORY.iter().any(|id| task["id"] == *id);
                if contradicts && verdict.effect == Effect::Deny {
                    contradictory += 1;
                    continue;
                }
                if verdict.effect != Effect::Allow {
                    wrong.push(format!("{}: {name}: {:?} {arguments}", task["id"], verdict.findings));
                    continue;
                }
                for (kind, mistaken, at) in mistakes(&schema, &arguments) {
                    let verdict = judge(&schema, &mistaken);
                    let place = format!("/payload/params/arguments{at}");
                    let named = verdict.findings.iter().any(|finding| finding.at.as_deref() == Some(&place));
                    let good = verdict.effect == Effect::Deny && named;
                    let counts = caught.entry(kind).or_default();
                    *counts = (counts.0 + usize::from(good), counts.1 + 1);
                    if !good {
                        wrong.push(format!("{}: {name}: {kind} at `{at}`: {:?}", task["id"], verdict.findings));
                    }
                }
            }
        }
    }
    let passing = count - contradictory - wrong.len();
    println!(
        "calls: {tasks} tasks, {count} calls, {passing} pass with their own schemas, {contradictory} contradict them"
    );
    caught.iter().for_each(|(kind, (good, all))| println!("  {kind}: {good} of {all} named at their place"));
    wrong.iter().take(20).for_each(|wrong| println!("  wrong: {wrong}"));
    println!("calls: {} wrong", wrong.len());
    wrong.is_empty() && count > 2_000
}

fn judge(schema: &Value, arguments: &Value) -> Verdict {
    let config = json!({"tools": [{"name": "*", "kinds": ["read"], "schema": schema}]});
    let config: Config = serde_json::from_value(config).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let request = json!({"checkpoint": "tool.call", "payload": {"method": "tools/call", "params": {"name": "f", "arguments": arguments}}});
    tool_guard::evaluate(&config, &Request::from_json(&request.to_string()).expect("a request"))
        .expect("it never fails")
}

/// The schema in the standard's words; of objects with properties nothing else is allowed.
fn standard(schema: &Value, top: bool) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut out = Map::new();
    for (key, value) in fields {
        let value = match key.as_str() {
            "type" => match value.as_str() {
                Some("dict") => json!("object"),
                Some("tuple") => json!("array"),
                Some("float") => json!("number"),
                Some("any") => continue,
                _ => value.clone(),
            },
            "properties" => Value::Object(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, schema)| (name.clone(), standard(schema, false)))
                    .collect(),
            ),
            "items" | "additionalProperties" => standard(value, false),
            "enum" | "required" | "description" | "default" | "minimum" | "maximum" | "format" | "title"
            | "pattern" => value.clone(),
            // What no standard knows says nothing.
            _ => continue,
        };
        out.insert(key.clone(), value);
    }
    if top || out.contains_key("properties") {
        out.entry("additionalProperties").or_insert(json!(false));
    }
    Value::Object(out)
}

/// An accepted value of each argument, one that its own schema allows where there is one; an empty text among them means that
/// it may be left out, as it is where the task accepts nothing that the schema does.
fn accepted_arguments(accepted: &Value, schema: &Value) -> Value {
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
    let members = accepted.as_object().into_iter().flatten().filter_map(|(name, values)| {
        let schema = &schema["properties"][name];
        let allowed = Schema::compile(schema).ok();
        let values: Vec<Value> = values.as_array()?.iter().map(|value| first_of(value, schema)).collect();
        let fits = |value: &&Value| allowed.as_ref().is_none_or(|schema| schema.is_valid(value));
        let value = values.iter().filter(|value| **value != "").find(fits);
        let value = value.or_else(|| values.iter().find(fits).or(values.first()).filter(|_| required(name)))?;
        Some((name.clone(), value.clone()))
    });
    Value::Object(members.collect())
}

/// Within an argument, too, each member has a list of accepted values.
fn first_of(value: &Value, schema: &Value) -> Value {
    match (value, schema["type"].as_str()) {
        (Value::Object(_), Some("object")) => {
            let members = value.as_object().into_iter().flatten().filter_map(|(name, values)| {
                let schema = &schema["properties"][name];
                let Some(values) = values.as_array() else { return Some((name.clone(), values.clone())) };
                let value = values.iter().find(|value| **value != "").or(values.first())?;
                Some((name.clone(), first_of(value, schema)))
            });
            Value::Object(members.collect())
        }
        (Value::Array(items), Some("array")) => items.iter().map(|item| first_of(item, &schema["items"])).collect(),
        _ => value.clone(),
    }
}

/// One mistake of each kind that the call can have: its kind, the arguments, and where it has to be named.
fn mistakes(schema: &Value, arguments: &Value) -> Vec<(&'static str, Value, String)> {
    let mut all = Vec::new();
    let members = arguments.as_object().cloned().unwrap_or_default();
    let with = |name: &str, value: Value| {
        let mut members = members.clone();
        members.insert(name.to_owned(), value);
        Value::Object(members)
    };
    let segment = tool_calls::segment;
    let typed = |name: &&String| schema["properties"][name.as_str()]["type"].is_string();
    if let Some(name) = members.keys().find(typed) {
        let wrong = match schema["properties"][name]["type"].as_str() {
            Some("object" | "array") => json!("a text"),
            Some("string") => json!(17),
            _ => json!({"value": 1}),
        };
        all.push(("wrong type", with(name, wrong), format!("/{}", segment(name))));
        all.push((
            "wrong nesting",
            with(name, json!([[{"nested": true}]])),
            nested_at(&schema["properties"][name], name),
        ));
    }
    if let Some(name) = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|n| members.contains_key(*n))
    {
        let mut fewer = members.clone();
        fewer.remove(name);
        all.push(("missing", Value::Object(fewer), String::new()));
    }
    all.push(("extra", with("no such argument", json!(1)), "/no such argument".to_owned()));
    let listed =
        |name: &&String| schema["properties"][name.as_str()]["enum"].is_array() && !members[name.as_str()].is_array();
    if let Some(name) = members.keys().find(listed) {
        all.push(("out of enum", with(name, json!("no such value")), format!("/{}", segment(name))));
    }
    all
}

/// Where an array of arrays of objects is wrong first.
fn nested_at(schema: &Value, name: &str) -> String {
    let at = format!("/{}", tool_calls::segment(name));
    match (schema["type"].as_str(), schema["items"]["type"].as_str(), schema["items"]["items"]["type"].as_str()) {
        (Some("array"), Some("array"), Some(kind)) if kind != "object" => format!("{at}/0/0"),
        (Some("array"), Some(kind), _) if kind != "array" => format!("{at}/0"),
        _ => at,
    }
}
