//! From template to green test in every language, by its real toolchain; and that all languages say the same.
//!
//! Where a toolchain is missing its language is left out, and that is said; with `WEIR_TOOLCHAINS=required`, as in CI, it is a
//! failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Place, json_lines};

const CASES: &str = include_str!("../../../../tests/languages/words.toml");
/// Languages, and a command that shows whether their toolchain is there.
const LANGUAGES: [(&str, &[&str]); 9] = [
    ("rust", &["cargo", "--version"]),
    (RUST_COMPONENT, &["cargo", "--version"]),
    ("c", &["python3", "-m", "ziglang", "version"]),
    ("zig", &["python3", "-m", "ziglang", "version"]),
    ("go", &["go", "version"]),
    ("assemblyscript", &["asc", "--version"]),
    ("javascript", &["componentize-qjs", "--help"]),
    ("typescript", &["esbuild", "--version"]),
    ("python", &["componentize-py", "--version"]),
];
/// Rust's template, built as a component.
const RUST_COMPONENT: &str = "rust-component";

/// What these tests compile takes minutes of processor time. They leave it to others, whose tests look at the clock: this thread,
/// and what it starts, runs where nobody else wants to.
fn gently() {
    rustix::process::nice(19).expect("a thread may become less urgent");
}

/// Whether the toolchain of a language is there.
fn has_toolchain(language: &str, tool: &[&str]) -> bool {
    let there = Command::new(tool[0]).args(&tool[1..]).output().is_ok_and(|tried| tried.status.success());
    let required = std::env::var("WEIR_TOOLCHAINS").is_ok_and(|value| value == "required");
    assert!(there || !required, "the toolchain of {language} is missing: `{}` does not run", tool.join(" "));
    if !there {
        eprintln!("skipped: {language}, since `{}` does not run", tool.join(" "));
    }
    there
}

/// The languages whose toolchains are there.
fn languages() -> Vec<&'static str> {
    let there = LANGUAGES.into_iter().filter(|(language, tool)| has_toolchain(language, tool));
    there.map(|(language, _)| language).collect()
}

/// Whether OPA is there, whose policies answer another question than those of the other languages.
fn has_opa() -> bool {
    has_toolchain("rego", &["opa", "version"])
}

#[test]
fn a_policy_in_rego_is_built_and_tried_with_an_input_of_its_own() {
    let place = Place::new();
    if !has_opa() {
        return;
    }
    let made = place.weir("new tools --lang rego");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let tested = place.weir("test tools");
    assert!(tested.stdout.contains("3 cases, all pass"), "{}{}", tested.stdout, tested.stderr);

    // As others write theirs: any name, tests beside it, two entry points, an input of its own.
    place.write(
        "roles/roles.rego",
        "package roles\n\n# METADATA\n# entrypoint: true\nallow if input.user == \"ann\"\n\n# METADATA\n# entrypoint: true\ndeny if not allow\n",
    );
    place.write(
        "roles/roles_test.rego",
        "package roles_test\n\ntest_a if data.roles.allow with input.user as \"ann\"\n",
    );
    let case = |name: &str, user: &str, effect: &str| {
        let request = format!("{{ checkpoint = \"a\", subject = {{ type = \"user\", id = \"{user}\" }} }}");
        format!("[[case]]\nname = \"{name}\"\nrequest = {request}\neffect = \"{effect}\"\n")
    };
    let cases = [case("one who may", "ann", "allow"), case("another", "bob", "deny")].concat();
    let bound = "entrypoint = \"roles/allow\"\ninput = { user = \"/subject/id\" }\n";
    place.write("roles/cases.toml", format!("{bound}{cases}"));
    let tested = place.weir("test roles");
    assert!(tested.stdout.contains("2 cases, all pass"), "{}{}", tested.stdout, tested.stderr);

    place.write("roles/cases.toml", cases);
    let tested = place.weir("test roles --entrypoint roles/allow --input /subject");
    assert_eq!(tested.code, Some(1), "the first case fails: {}{}", tested.stdout, tested.stderr);
    let tested = place.weir("test roles");
    assert!(tested.stderr.contains("`roles/allow`, `roles/deny`"), "{}", tested.stderr);
    place.write("request.json", r#"{"checkpoint":"a","payload":{"user":"ann"}}"#);
    let run = "run roles/build/bundle.tar.gz request.json --entrypoint roles/allow";
    assert_eq!(place.weir(&format!("{run} --input /payload")).code, Some(0));
    assert_eq!(place.weir(run).code, Some(1), "without an input of its own it is asked about the whole request");
    let wrong = place.weir(&format!("{run} --input /paylod"));
    assert!(
        wrong.stderr.contains("points to no part of a request") && wrong.stderr.contains("`payload`?"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn rego_that_does_not_compile_says_what_to_do() {
    let place = Place::new();
    if !has_opa() {
        return;
    }
    for (text, help) in [
        ("package a\n\nallow if input.b\n", "# entrypoint: true"),
        ("package a\n\nallow { input.b }\n", "--v0-compatible"),
    ] {
        place.write("policy/a.rego", text);
        let built = place.weir("build policy");
        assert!(built.code == Some(1) && built.stderr.contains(help), "{}", built.stderr);
    }
}

/// Makes the template of a language, as a newcomer does.
fn make(place: &Place, language: &str) {
    let lang = if language == RUST_COMPONENT { "rust" } else { language };
    let made = place.weir(&format!("new words-{language} --lang {lang}"));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    if language == RUST_COMPONENT {
        let manifest = format!("words-{language}/Cargo.toml");
        let (plain, component) = ("{ path = \"sdk\" }", "{ path = \"sdk\", features = [\"component\"] }");
        let text = place.read(&manifest);
        assert!(text.contains(plain), "{text}");
        place.write(&manifest, text.replace(plain, component));
    }
}

/// Every language's template, built and tried once for all tests, with the modules.
fn built() -> &'static (Place, BTreeMap<&'static str, Vec<u8>>) {
    gently();
    static BUILT: OnceLock<(Place, BTreeMap<&'static str, Vec<u8>>)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let place = Place::new();
        let mut modules = BTreeMap::new();
        for language in languages() {
            make(&place, language);
            let tested = place.weir(&format!("test words-{language} --deadline 60s --junit {language}.xml"));
            assert_eq!(tested.code, Some(0), "{language}: {}{}", tested.stdout, tested.stderr);
            assert!(tested.stdout.contains("5 cases, all pass"), "{language}: {}", tested.stdout);
            let module = place.path(&format!("words-{language}/build/policy.wasm"));
            modules.insert(language, std::fs::read(module).unwrap());
        }
        (place, modules)
    })
}

/// A policy of every language in both isolations.
fn policies() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let languages = built().1.keys();
    languages.flat_map(|language| {
        ["fresh", "restore"].map(|isolation| (*language, isolation, format!("{language}-{isolation}")))
    })
}

/// A request that is asked a thousand times.
const SAME: &str =
    r#"{"id":"r","checkpoint":"inference.input","time":"2026-01-01T00:00:00Z","content":[{"text":"ab ü \"🦓\""}]}"#;

/// Decisions of a set of all policies on a thousand invented requests, and on one a thousand times. Once for all tests: compiling it
/// takes minutes.
fn judged() -> (&'static [Value], &'static [Value]) {
    gently();
    static JUDGED: OnceLock<Vec<Value>> = OnceLock::new();
    let decisions = JUDGED.get_or_init(|| {
        let place = Place::new();
        let mut text = "set = \"languages\"\n".to_owned();
        for (language, isolation, name) in policies() {
            place.write(&format!("languages/{language}.wasm"), &built().1[language]);
            text.push_str(&format!(
                "[policies.{name}]\nmodule = \"{language}.wasm\"\nisolation = \"{isolation}\"\n\
                 config = {{ words = [\"ab\", \"ü\", \"\\\"\", \"🦓\"] }}\nlimits = {{ fuel = 12_000_000, deadline = \"60 s\" }}\n"
            ));
        }
        place.write("languages/weir.toml", text);
        let requests: Vec<String> = invented().into_iter().chain(vec![SAME.to_owned(); 1_000]).collect();
        place.write("requests.jsonl", requests.join("\n"));
        let judged = place.weir("eval languages requests.jsonl --audit audit");
        assert_eq!(judged.code, Some(0), "{}", judged.stderr);
        json_lines(&judged.stdout)
    });
    decisions.split_at(1_000)
}

/// A thousand requests of pieces that languages write differently.
fn invented() -> Vec<String> {
    let mut random = 5_u64;
    let mut below = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    let pieces = ["a", "b", "ab", "ü", "\"", "\\", "\n", "🦓", "日", " ", "\u{1}", "\u{0}", "/", "x"];
    let request = |_| {
        let parts = (0..below(4)).map(|_| {
            let text: String = (0..below(30)).map(|_| pieces[below(pieces.len())]).collect();
            serde_json::json!({ "role": "user", "text": text })
        });
        let content: Vec<Value> = parts.collect();
        serde_json::json!({ "checkpoint": "inference.input", "content": content }).to_string()
    };
    (0..1_000).map(request).collect()
}

#[test]
fn every_template_builds_passes_and_says_what_the_others_say() {
    let (place, modules) = built();
    place.write("words.toml", CASES);
    for language in modules.keys() {
        let module = format!("words-{language}/build/policy.wasm");
        let tested = place.weir(&format!("test --module {module} --cases words.toml --deadline 60s --fuel 12000000"));
        assert_eq!(tested.code, Some(0), "{language}: {}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains("43 cases, all pass"), "{}", tested.stdout);
        let junit = place.read(&format!("{language}.xml"));
        let counts = junit.contains("tests=\"6\" failures=\"0\" errors=\"0\"");
        assert!(counts && junit.matches("<testcase ").count() == 6, "{junit}");
        assert!(junit.contains("<testcase name=\"a case meets words.found\" time=\"0.000000\"/>"), "{junit}");
    }
}

#[test]
fn a_thousand_requests_get_the_same_verdicts_in_all_languages() {
    let names: Vec<String> = policies().map(|(.., name)| name).collect();
    let mut found = 0;
    for decision in judged().0 {
        assert_eq!(decision["effect"], "allow", "{decision}");
        let mut by_policy: BTreeMap<&str, Vec<String>> =
            names.iter().map(|name| (name.as_str(), Vec::new())).collect();
        for finding in decision["findings"].as_array().unwrap() {
            let place = format!("{} {} {}", finding["at"], finding["start"], finding["end"]);
            by_policy.get_mut(finding["policy"].as_str().unwrap()).unwrap().push(place);
        }
        let first = by_policy.values().next().unwrap();
        assert!(by_policy.values().all(|findings| findings == first), "{by_policy:?}");
        found += first.len();
        for edit in decision["edits"].as_array().unwrap() {
            assert_eq!(edit["policies"].as_array().unwrap().len(), names.len(), "{edit}");
        }
    }
    assert!(found > 1_000, "{found}");
}

#[test]
fn the_same_request_takes_the_same_fuel_a_thousand_times_in_both_isolations() {
    let mut fuel: BTreeMap<String, u64> = BTreeMap::new();
    for decision in judged().1 {
        for policy in decision["policies"].as_array().unwrap() {
            let took = policy["fuel"].as_u64().unwrap();
            assert_eq!(*fuel.entry(policy["name"].as_str().unwrap().to_owned()).or_insert(took), took);
        }
    }
    assert_eq!((judged().1.len(), fuel.len()), (1_000, policies().count()));
    for language in built().1.keys() {
        assert_eq!(fuel[&format!("{language}-fresh")], fuel[&format!("{language}-restore")], "{language}");
    }
}

#[test]
fn what_a_component_asks_of_wasi_follows_from_the_request() {
    const POLICY: &str = include_str!("../../../../tests/languages/world.py");
    if !languages().contains(&"python") {
        return;
    }
    gently();
    let place = Place::new();
    make(&place, "python");
    place.write("words-python/policy.py", POLICY);
    place.write("words-python/manifest.json", r#"{"name":"world","grants":["log"]}"#);
    let built = place.weir("build words-python");
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    std::fs::create_dir_all(place.path("world")).unwrap();
    std::fs::copy(place.path("words-python/build/policy.wasm"), place.path("world/p.wasm")).unwrap();
    place.write(
        "world/weir.toml",
        "set = \"world\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\ngrants = [\"log\"]\nlimits = { deadline = \"60 s\" }\n",
    );
    let request = |id: &str| format!(r#"{{"id":"{id}","checkpoint":"a.b","time":"2026-01-01T00:00:00Z"}}"#);
    let requests = ["r", "r", "other", "file", "socket"].map(request);
    place.write("requests.jsonl", requests.join("\n"));
    let judged = place.weir("eval world requests.jsonl --audit audit");
    let decisions = json_lines(&judged.stdout);
    let said = |place: usize| decisions[place]["findings"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(said(0).starts_with("1767225600.00") && said(0).contains(" True 0."), "{}", said(0));
    assert_eq!(said(0), said(1), "the same request, the same world");
    assert_ne!(said(0), said(2), "random numbers follow from the id");
    for (place, kind, text) in [(3, "guest_error", "FileNotFoundError"), (4, "refused_host_call", "`wasi:sockets/")] {
        let failure = &decisions[place]["policies"][0]["failure"];
        assert_eq!(failure["kind"], kind, "{failure}");
        assert!(failure["detail"].as_str().unwrap().contains(text), "{failure}");
    }
    let record = place.read("audit/records-00000000000000000001.jsonl");
    for line in [r#"{"level":"info","text":"printed"}"#, r#"{"level":"warn","text":"warned"}"#] {
        assert!(record.contains(line), "{line}: {record}");
    }
}

#[test]
fn a_case_that_fails_says_why() {
    let (place, modules) = built();
    let Some(language) = modules.keys().next() else { return };
    place.write(
        "wrong.toml",
        "codes = [\"words.found\", \"words.lost\"]\n[[case]]\nname = \"wrong\"\neffect = \"deny\"\nfindings = [\"other\"]\nfuel = 1\n\
         config = { words = [\"zebra\"] }\nrequest = { checkpoint = \"a.b\", content = [{ text = \"zebra\" }] }\n",
    );
    let tested =
        place.weir(&format!("test --module words-{language}/build/policy.wasm --cases wrong.toml --junit wrong.xml"));
    assert_eq!(tested.code, Some(1));
    let junit = place.read("wrong.xml");
    for told in [
        "tests=\"3\" failures=\"2\" errors=\"0\"",
        "<failure message=\"effect: expected deny, found allow; ",
        "<testcase name=\"a case meets words.found\" time=\"0.000000\"/>",
        "<failure message=\"no case meets `words.lost`\"/>",
    ] {
        assert!(junit.contains(told), "{told}: {junit}");
    }
    for told in [
        "FAILED  wrong",
        "effect: expected deny, found allow",
        "findings: expected [\"other\"], found [\"words.found\"]",
        "fuel: expected at most 1, found",
        "no case meets `words.lost`",
        "1 case, 2 failed",
    ] {
        assert!(tested.stdout.contains(told), "{told}: {}", tested.stdout);
    }
    for (cases, told) in [
        ("", "holds no cases"),
        ("[[case]]\nname = \"x\"\n", "needs an `effect`"),
        ("[[case]]\nnme = 1\n", "unknown field `nme`"),
    ] {
        place.write("bad.toml", cases);
        let tested =
            place.weir(&format!("test --module words-{language}/build/policy.wasm --cases bad.toml --junit bad.xml"));
        assert_eq!(tested.code, Some(2), "{cases}");
        assert!(tested.stderr.contains(told), "{told}: {}", tested.stderr);
        let junit = place.read("bad.xml");
        assert!(junit.contains("tests=\"1\" failures=\"0\" errors=\"1\"") && junit.contains(told), "{junit}");
    }
}

#[test]
fn a_policy_that_cannot_be_loaded_is_an_error_of_its_report() {
    let (place, modules) = built();
    let Some(language) = modules.keys().next() else { return };
    let test = |cases: &str| {
        place.write("loaded.toml", cases);
        let module = format!("words-{language}/build/policy.wasm");
        let tested = place.weir(&format!("test --module {module} --cases loaded.toml --junit loaded.xml"));
        (tested.code, place.read("loaded.xml"))
    };
    // A configuration that is refused, where no case expects that.
    let (code, junit) = test("config = { wrds = 1 }\n[[case]]\nname = \"x\"\neffect = \"allow\"\n");
    assert!(code != Some(0) && junit.contains("errors=\"1\"") && junit.contains("wrds"), "{code:?}: {junit}");
    let (code, junit) = test("[[case]]\nname = \"x\"\neffect = \"allow\"\nrequest = { checkpoint = \"a.b\" }\n");
    assert!(code == Some(0) && junit.contains("errors=\"0\""), "it is written anew: {junit}");
}

#[test]
fn a_policy_in_javascript_is_told_what_its_component_cannot_do() {
    if !languages().contains(&"javascript") {
        return;
    }
    gently();
    let place = Place::new();
    make(&place, "javascript");
    let built = place.weir("build words-javascript");
    let told =
        "its clock stands at 1970, since `reads` in its manifest lacks `/time`; its random numbers are the same";
    assert!(built.code == Some(0) && built.stderr.contains(told), "{}", built.stderr);
    place.write("request.json", r#"{"checkpoint":"inference.input"}"#);
    for compiles in [true, false] {
        let ran = place.weir("run words-javascript/build/policy.wasm request.json --deadline 60s");
        assert_eq!((ran.code, ran.stderr.contains("compiled in")), (Some(0), compiles), "{}", ran.stderr);
    }
    let cannot = |policy: &str, told: &str| {
        place.write("words-javascript/policy.js", policy);
        let built = place.weir("build words-javascript");
        assert_eq!(built.code, Some(1), "{}", built.stderr);
        assert!(built.stderr.contains(told), "{told}: {}", built.stderr);
    };
    cannot("export const other = 1;", "judge");
    cannot("export const judge = () => {};", "`judge` is not what `policy(…)` has made");
    let kept = "const Kept = Date;\nclass Later extends Date {}\nexport const judge = policy((_, request, verdict) => {\n\
                const dates = [Kept.now(), +new Kept(), +new Later(), +new (new Kept().constructor)()];\n\
                if (dates.some((date) => date !== request.timeMs)) verdict.deny();\n});";
    place.write("words-javascript/policy.js", format!("import {{ policy }} from \"./sdk/weir.js\";\n{kept}"));
    place.write("words-javascript/manifest.json", r#"{"name":"dates"}"#);
    let built = place.weir("build words-javascript");
    assert!(built.code == Some(0) && !built.stderr.contains("1970"), "{}", built.stderr);
    let ran = place.weir("run words-javascript/build/policy.wasm request.json --deadline 60s");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    place.write("words-javascript/manifest.json", r#"{"name":"dates","reads":[]}"#);
    assert_eq!(place.weir("build words-javascript").code, Some(2));
    assert!(!place.path("words-javascript/build/policy.wasm").exists(), "what is not fit is not left behind");
}

#[test]
fn what_cannot_be_made_or_built_says_what_to_do() {
    let place = Place::new();
    for (arguments, code, told) in [
        ("new Bad_Name", 2, "cannot name a policy"),
        ("new set", 2, "is there already"),
        (
            "build set",
            2,
            "holds no policy: there is none of `Cargo.toml` (Rust), `policy.c` (C), `policy.zig` (Zig), `go.mod` (Go), `policy.ts` (AssemblyScript), `policy.js` (JavaScript), `policy.mts` (TypeScript), `policy.py` (Python), `*.rego` (Rego)",
        ),
        ("test nowhere", 2, "holds no policy"),
    ] {
        let ended = place.weir(arguments);
        assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{arguments}: {}", ended.stderr);
    }
    assert_eq!(place.weir("new words --lang zig").code, Some(0));
    let mut command = place.command("build words");
    let ended = crate::ended(command.env("PATH", "/nowhere").spawn().unwrap());
    assert_eq!(ended.code, Some(4));
    assert!(
        ended.stderr.contains("`zig` is not installed") && ended.stderr.contains("pip install ziglang"),
        "{}",
        ended.stderr
    );
    if Path::new("/usr/bin/python3").exists() && languages().contains(&"zig") {
        place.write("words/policy.zig", "const broken = ;\n");
        let ended = place.weir("test words --junit words.xml");
        assert_eq!(ended.code, Some(1));
        let junit = place.read("words.xml");
        assert!(junit.contains("errors=\"1\"") && junit.contains("policy.zig:1:16: error"), "{junit}");
        assert!(
            ended.stderr.contains("policy.zig:1:16: error") && ended.stderr.contains("does not compile"),
            "{}",
            ended.stderr
        );
    }
}
