//! Rules of the house, held by a test: who may import whom, how large a file and a function may be, where `unsafe` may
//! stand, and that nothing names the machine it was written on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each stage of `host/runtime` may import, itself aside. `runtime` knows everything and is left out.
const IMPORTS: &[(&str, &str)] = &[
    ("trial", "compiler engine generation instance loader plan pool preflight request runtime verdict"),
    ("follow", "digest loader poison publisher report watcher"),
    ("publisher", "digest generation history loader metrics poison pool preflight registry report watcher"),
    ("history", "digest generation loader"),
    ("registry", "cores digest generation plan poison set"),
    (
        "preflight",
        "abi combine compile_worker compiled digest engine generation inspect instance judging loader manifest plan pool rego report request restore rewrite schema select set snapshot state system text variant verdict wasi",
    ),
    ("compiled", "compile_worker compiler digest engine"),
    ("compiler", "compile_worker engine"),
    ("compile_worker", "engine inspect text"),
    ("evaluation", "decision digest generation instance judging metrics record request schedule set state verdict"),
    ("schedule", "cores poison set"),
    ("judging", "combine decision digest generation hostcalls instance pool reads request set state verdict"),
    ("generation", "digest plan pool reads request select set shape system variant"),
    ("variant", "compiled digest pool rego"),
    ("pool", "abi cores engine instance poison restore set"),
    ("restore", "abi"),
    ("snapshot", "abi hostcalls inspect"),
    ("plan", "digest set"),
    ("loader", "digest inspect lock rego report set"),
    ("lock", "digest report text"),
    ("record", "combine decision digest generation hostcalls journal metrics set state verdict"),
    ("metrics", "decision pool schedule state verdict"),
    ("permit", "combine decision json verdict"),
    ("decision", "combine digest generation request verdict"),
    ("instance", "abi engine hostcalls reads rego set state system verdict wasi"),
    ("abi", "engine hostcalls inspect json reads rego request set system text verdict wasi"),
    ("hostcalls", "engine rego set state text verdict wasi"),
    ("engine", "inspect set"),
    ("inspect", "digest manifest rego text wasi"),
    ("manifest", "json reads text"),
    ("reads", "json request shape system"),
    ("system", "json request select set"),
    ("select", "set"),
    ("combine", "verdict"),
    ("set", "report request shape text verdict"),
    ("journal", "poison set"),
    ("request", "json text"),
    ("verdict", "json text"),
    ("json", "text"),
    ("report", "text"),
    ("schema", "text"),
    ("cores", ""),
    ("digest", ""),
    ("poison", ""),
    ("thread", "poison"),
    ("rego", "replace set text"),
    ("replace", ""),
    ("rewrite", ""),
    ("shape", "json request"),
    ("wasi", "replace"),
    ("state", "poison"),
    ("text", ""),
    ("watcher", ""),
];

/// Stages that may name wasmtime.
const WASMTIME: &[&str] = &["engine", "compiled", "snapshot", "instance", "abi", "preflight", "hostcalls"];

/// Files that may contain `unsafe`: where our own machine code is loaded, where pages are protected, and the SDK's glue,
/// which declares an import and names exports.
const UNSAFE: &[&str] = &[
    "host/runtime/src/compiled.rs",
    "host/runtime/src/restore.rs",
    "plugin-sdk/rust/src/log.rs",
    "plugin-sdk/rust/src/policy.rs",
    "plugin-sdk/rust/src/state.rs",
];

const MOST_LINES_OF_FILE: usize = 400;
const MOST_LINES_OF_FUNCTION: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

/// All source files of the project, by their path from its root.
fn sources() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in ["host", "plugin-sdk", "plugins", "tests", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// A file without its `#[cfg(test)]` module, which is the last thing in it, and without comments and blank lines.
fn code_lines(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).collect()
}

/// The stage a file of the runtime belongs to: its name, or that of its folder.
fn stage(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("host/runtime/src/")?;
    inside.split('/').next()?.split('.').next()
}

/// Names after `crate::` in a file's code, in lists too.
fn imported(text: &str) -> BTreeSet<String> {
    let code = code_lines(text).join("\n");
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                names.extend(list.split('}').next().unwrap_or_default().split(',').map(|item| name(item.trim())))
            }
            None => {
                names.insert(name(rest));
            }
        }
    }
    names
}

#[test]
fn imports_run_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(stage, names)| (*stage, names.split_whitespace().collect())).collect();
    for (path, text) in sources() {
        let Some(stage) = stage(&path).filter(|stage| !["lib", "runtime"].contains(stage)) else { continue };
        if path.contains("/tests") {
            continue;
        }
        let allowed =
            allowed.get(stage).unwrap_or_else(|| panic!("{path}: `{stage}` is not in the table of imports"));
        for name in imported(&text).iter().filter(|name| **name != stage) {
            assert!(allowed.contains(name.as_str()), "{path}: `{stage}` may not import `{name}`");
        }
    }
}

#[test]
fn the_table_of_imports_has_no_circle() {
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        IMPORTS.iter().map(|(stage, names)| (*stage, names.split_whitespace().collect())).collect();
    while !left.is_empty() {
        let ground = |names: &BTreeSet<&str>| names.iter().all(|name| !left.contains_key(name));
        let next = left.iter().find(|(_, names)| ground(names)).map(|(stage, _)| *stage);
        let next = next.unwrap_or_else(|| panic!("a circle among {:?}", left.keys()));
        left.remove(next);
    }
}

#[test]
fn wasmtime_stays_behind_its_stages() {
    for (path, text) in sources() {
        let named = code_lines(&text).iter().any(|line| line.contains("wasmtime::") || line.contains("use wasmtime"));
        let Some(stage) = stage(&path).filter(|_| named) else { continue };
        assert!(WASMTIME.contains(&stage), "{path} names wasmtime");
    }
}

#[test]
fn files_and_functions_stay_readable() {
    for (path, text) in sources() {
        let lines = code_lines(&text);
        assert!(lines.len() <= MOST_LINES_OF_FILE, "{path} has {} lines of code", lines.len());
        for (name, length) in functions(&lines) {
            assert!(length <= MOST_LINES_OF_FUNCTION, "{path}: `{name}` has {length} lines");
        }
    }
}

/// Functions with the number of their lines: from `fn` to the closing brace of the same indentation, as rustfmt writes it.
fn functions<'a>(lines: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let is_function = body.split_whitespace().take(4).any(|word| word == "fn") && !body.starts_with('"');
        let indentation = &line[..line.len() - body.len()];
        if !is_function || body.ends_with(';') || body.ends_with('}') {
            continue;
        }
        let close = format!("{indentation}}}");
        if let Some(length) = lines[start..].iter().position(|line| *line == close) {
            found.push((body, length + 1));
        }
    }
    found
}

#[test]
fn unsafe_code_stands_where_it_is_expected() {
    let word = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    for (path, text) in sources() {
        let has = code_lines(&text)
            .iter()
            .any(|line| word(line.split("//").next().unwrap_or_default()) && !line.contains('"'));
        assert!(!has || UNSAFE.contains(&path.as_str()), "{path} contains `unsafe`");
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let home = std::env::var("HOME").unwrap_or_default();
    let here = root().to_str().unwrap().to_owned();
    for (path, text) in sources() {
        for folder in [&here, &home].into_iter().filter(|folder| folder.len() > 1) {
            assert!(!text.contains(&format!("{folder}/")), "{path} names a folder under `{folder}`");
        }
    }
}

#[test]
fn the_wit_parses_and_has_its_worlds() {
    let text = fs::read_to_string(root().join("plugin-sdk/wit/policy.wit")).unwrap();
    let mut resolve = wit_parser::Resolve::new();
    let package = resolve.push_str("policy.wit", &text).unwrap();
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "weir:policy@1.0.0");
    assert_eq!(
        package.worlds.keys().collect::<Vec<_>>(),
        ["policy", "policy-plain", "policy-log", "policy-state", "monitor"]
    );
    assert_eq!(package.interfaces.keys().collect::<Vec<_>>(), ["types", "log", "state", "judge", "observer"]);
}
