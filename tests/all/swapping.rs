//! Generations in a running host: one is published whole or not at all, evaluations end on the one they began with, and
//! what two have in common is not done twice.

use std::collections::BTreeSet;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use weir::{
    Change, Compiler, Decision, Digest, Effect, GenerationEvent, GenerationNumber, Recorder, Report, RollbackError,
    Runtime, Source,
};

use crate::harness::{
    FOREVER, Random, allows_after, burn, constant, guest, host, one_policy, patient, pause, records, request,
    with_manifest,
};

/// A policy that says which build it is.
pub(crate) fn build(number: u64) -> Vec<u8> {
    constant(&format!(
        r#"{{"effect":"allow","findings":[{{"code":"build.{number}","severity":"info","message":"this build"}}]}}"#
    ))
}

/// The builds of all policies that judged.
pub(crate) fn builds(decision: &Decision) -> BTreeSet<u64> {
    let failures: Vec<_> = decision.policies().iter().filter_map(|report| report.outcome.as_ref().err()).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let number = |code: &str| code.strip_prefix("build.").and_then(|number| number.parse().ok()).unwrap();
    decision.findings().iter().map(|found| number(&found.finding.code)).collect()
}

fn source(wasm: Vec<u8>, lines: &str) -> Source {
    Source::memory(one_policy(lines), [("p.wasm", wasm)])
}

fn publish(host: &Runtime, source: Source) -> Result<u64, Report> {
    pollster::block_on(host.publish(source)).map(GenerationNumber::get)
}

fn rollback(host: &Runtime, to: u64) -> Result<u64, RollbackError> {
    pollster::block_on(host.rollback(GenerationNumber::new(to))).map(GenerationNumber::get)
}

fn builds_now(host: &Runtime) -> (u64, Vec<u64>) {
    let decision = host.evaluate_blocking(request());
    (decision.generation().number.get(), builds(&decision).into_iter().collect())
}

#[test]
fn a_published_set_judges_whatever_begins_after_it() {
    let host = host(&one_policy(""), &[("p.wasm", build(1))]).unwrap();
    assert_eq!(builds_now(&host), (1, vec![1]));
    assert_eq!(publish(&host, source(build(2), "")), Ok(2));
    assert_eq!(builds_now(&host), (2, vec![2]));
    let (first, second) = (&records(&host)[0], &records(&host)[1]);
    let generation = |record: &serde_json::Value| record["decision"]["generation"].clone();
    assert_eq!((&generation(first)["number"], &generation(second)["number"]), (&1.into(), &2.into()));
    assert_ne!(generation(first)["digest"], generation(second)["digest"]);
}

#[test]
fn an_evaluation_ends_on_the_generation_it_began_with() {
    let limits = "limits = { fuel = 10_000_000_000, deadline = \"60 s\" }";
    let set = one_policy(limits);
    let slow = allows_after("", &burn(3_000_000));
    let host = host(&set, &[("p.wasm", slow)]).unwrap();
    let mut evaluation = pin!(host.evaluate(request()));
    assert!(evaluation.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "it has begun");
    publish(&host, source(constant(r#"{"effect":"deny"}"#), "")).unwrap();
    assert_eq!(host.evaluate_blocking(request()).effect(), Effect::Deny);
    let decision = pollster::block_on(evaluation);
    assert_eq!((decision.effect(), decision.generation().number.get()), (Effect::Allow, 1));
}

#[test]
fn a_refused_set_changes_nothing_and_says_everything() {
    let host = host(&one_policy(""), &[("p.wasm", build(1))]).unwrap();
    let mut events = pin!(host.events());
    let set = "set = \"s\"\n[policies.a]\nmodule = \"a.wasm\"\n[policies.b]\nmodule = \"b.wasm\"\n[policies.c]\nmodule = \"c.wasm\"\n";
    let modules = [("a.wasm", b"not wasm".to_vec()), ("b.wasm", guest("", FOREVER))];
    let report = publish(&host, Source::memory(set, modules)).unwrap_err();
    let refused: Vec<&str> = report.load.iter().map(|error| error.policy.as_str()).collect();
    assert_eq!(refused, ["a", "c"], "{report}");
    assert_eq!(pollster::block_on(events.next()), Some(GenerationEvent::Refused(report.into())));
    assert_eq!((builds_now(&host), host.metrics().sets.refused), ((1, vec![1]), 1));
}

#[test]
fn a_set_that_fails_its_own_samples_or_takes_ten_times_the_fuel_is_refused() {
    // Row 43 of the fault list.
    let manifest = r#"{"samples":[{"checkpoint":"test"}]}"#;
    let sampled = |wasm: Vec<u8>| with_manifest(&wasm, manifest);
    let lines = "limits = { fuel = 1_000_000, deadline = \"60 s\" }";
    let good = sampled(allows_after("", &burn(200_000)));
    let host = host(&one_policy(lines), &[("p.wasm", good)]).unwrap();
    for (wasm, why) in [
        (guest("", "unreachable"), "sample 0 of its manifest: trap"),
        (allows_after("", &burn(2_000_000)), "sample 0 of its manifest: fuel: limit 1000000"),
        (constant("nonsense"), "sample 0 of its manifest: bad_output"),
    ] {
        let report = publish(&host, source(sampled(wasm), lines)).unwrap_err().to_string();
        assert!(report.contains(why), "{report}");
    }
    let near = sampled(allows_after("", &burn(700_000)));
    assert_eq!(publish(&host, source(near, lines)), Ok(2));
    let warnings = host.generation().plan().warnings.join("\n");
    assert!(warnings.contains("a sample took") && warnings.contains("which leaves little"), "{warnings}");
}

#[test]
fn what_two_generations_have_in_common_is_compiled_once() {
    let policy = |name: &str, module: &str, lines: &str| {
        format!("[policies.{name}]\nmodule = \"{module}\"\ncheckpoints = [\"*\"]\n{lines}\n")
    };
    let set = |a: &str| {
        let policies = [policy("a", "1.wasm", a), policy("b", "1.wasm", ""), policy("c", "2.wasm", "mode = \"off\"")];
        format!("set = \"s\"\n{}", policies.concat())
    };
    let modules = |second: u64| [("1.wasm", build(1)), ("2.wasm", build(second))];
    let host = host(&set(""), &modules(2)).unwrap();
    let compiled = || host.metrics().sets.compilations;
    // Each module as it is, and as its snapshot.
    assert_eq!(compiled(), 4);
    let steps = [
        ("the same text and bytes", set(""), 2, 1, 4),
        ("another limit", set("limits = { fuel = 1_000_000, deadline = \"60 s\" }"), 2, 2, 4),
        ("another module, though it is off", set(""), 3, 3, 6),
        ("one that is still loaded", set("limits = { fuel = 1_000_000, deadline = \"60 s\" }"), 2, 4, 6),
    ];
    for (case, set, second, number, compilations) in steps {
        assert_eq!(publish(&host, Source::memory(patient(&set), modules(second))), Ok(number), "{case}");
        assert_eq!(compiled(), compilations, "{case}");
    }
}

#[test]
fn a_rollback_is_a_new_and_higher_generation() {
    let host = host(&one_policy(""), &[("p.wasm", build(1))]).unwrap();
    let mut events = pin!(host.events());
    publish(&host, source(build(2), "")).unwrap();
    assert_eq!(rollback(&host, 1), Ok(3));
    assert_eq!(builds_now(&host), (3, vec![1]));
    assert_eq!(rollback(&host, 3), Err(RollbackError::InForce(GenerationNumber::new(3))));
    assert_eq!(rollback(&host, 1), Err(RollbackError::InForce(GenerationNumber::new(3))), "the same policies");
    assert_eq!(rollback(&host, 2), Ok(4));
    assert_eq!(builds_now(&host), (4, vec![2]));
    let kept = [2, 3].map(GenerationNumber::new).to_vec();
    let wanted = GenerationNumber::new(1);
    assert_eq!(rollback(&host, 1), Err(RollbackError::NotKept { wanted, kept }), "the last three stay");
    let told = [
        pollster::block_on(events.next()).unwrap(),
        pollster::block_on(events.next()).unwrap(),
        pollster::block_on(events.next()).unwrap(),
    ];
    let to = host.generation().id();
    assert!(matches!(&told[0], GenerationEvent::Published(id) if id.number.get() == 2), "{told:?}");
    assert_eq!(told[2], GenerationEvent::RolledBack { to, restores: GenerationNumber::new(2) });
    assert_eq!(host.generation().restores(), Some(GenerationNumber::new(2)));
    let metrics = host.metrics().sets;
    assert_eq!((metrics.generation, metrics.published, metrics.rolled_back, metrics.compilations), (4, 2, 2, 4));
}

#[test]
fn two_generations_are_told_apart_by_what_changed() {
    let host = host(&one_policy("config = { a = 1, b = 2 }"), &[("p.wasm", build(1))]).unwrap();
    let lines = "config = { a = 1, b = 3 }\nlimits = { fuel = 4_000_000, deadline = \"60 s\" }";
    publish(&host, source(build(2), lines)).unwrap();
    let [before, after] = &host.generations()[..] else { panic!() };
    let changes: Vec<Change> = after.plan().changes_from(before.plan());
    let told: Vec<&str> = changes.iter().map(|change| change.what.as_str()).collect();
    assert_eq!(told, ["config.b", "digest", "limits.fuel"]);
    assert_eq!((changes[0].before.clone(), changes[0].after.clone()), (Some(2.into()), Some(3.into())));
}

#[test]
fn publishers_at_once_come_one_after_the_other() {
    let host = host(&one_policy(""), &[("p.wasm", build(1))]).unwrap();
    std::thread::scope(|scope| {
        for number in 2..10 {
            let host = &host;
            scope.spawn(move || publish(host, source(build(number), "")).unwrap());
        }
    });
    assert_eq!(host.generation().id().number.get(), 9);
    let kept: Vec<u64> = host.generations().iter().map(|generation| generation.id().number.get()).collect();
    assert_eq!(kept, [7, 8, 9]);
}

#[test]
fn a_dropped_publish_goes_on() {
    let host = host(&one_policy(""), &[("p.wasm", build(1))]).unwrap();
    {
        let mut publishing = pin!(host.publish(source(build(2), "")));
        // Begun, and then nobody waits.
        assert!(publishing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    publish(&host, source(build(3), "")).unwrap();
    while host.metrics().sets.published < 3 {
        std::thread::yield_now();
    }
    assert_eq!(host.generation().id().number.get(), 3);
}

#[test]
fn the_cases_of_a_set_are_judged_before_it_comes_into_force() {
    let set = |cases: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("cases = [\"cases.jsonl\"]\n{}", one_policy(""));
        std::fs::write(folder.path().join("weir.toml"), text).unwrap();
        std::fs::write(folder.path().join("p.wasm"), build(1)).unwrap();
        std::fs::write(folder.path().join("cases.jsonl"), cases).unwrap();
        folder
    };
    let check = |cases: &str| {
        let folder = set(cases);
        weir::check(&Source::dir(folder.path()), Compiler::in_process()).map_err(|error| error.to_string())
    };
    let good = "{\"request\":{\"checkpoint\":\"a\"},\"effect\":\"allow\",\"decided_by\":[\"p\"],\"findings\":[\"build.1\"]}\n\n";
    assert_eq!(check(&good.repeat(3)).unwrap().cases, 3);
    for (case, line, says) in [
        (
            r#"{"name":"n","request":{"checkpoint":"a"},"effect":"deny"}"#,
            1,
            "test case `n`: the answer is allow by `p`, expected deny",
        ),
        (r#"{"request":{"checkpoint":"a"},"effect":"allow","findings":["x"]}"#, 1, "no finding `x`"),
        (
            r#"{"request":{"checkpoint":"a"},"effect":"allow","decided_by":["q"]}"#,
            1,
            "decided by [\"p\"], expected [\"q\"]",
        ),
        ("\n{\"request\":{\"check\":\"a\"},\"effect\":\"allow\"}", 2, "`request` is no request"),
        (r#"{"request":{"checkpoint":"a"},"effect":"maybe"}"#, 1, "`effect` is `maybe`"),
        (r#"{"request":{"checkpoint":"a"}}"#, 1, "missing field `effect`"),
        ("nonsense", 1, "no test case"),
    ] {
        let error = check(case).unwrap_err();
        assert!(error.contains(&format!("cases.jsonl:{line}:1: ")) && error.contains(says), "{error}");
    }
}

/// Kilobytes of memory that are this process's own, and files that it has open.
fn used() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kib, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

/// A module whose digest has a name in the store is not walked over again, unless the code behind the name is none of ours.
#[test]
fn a_name_in_the_store_vouches_for_nothing() {
    let store = tempfile::tempdir().unwrap();
    let store = store.path().join("code");
    let open = |wasm: &[u8]| {
        let builder = Runtime::builder().recorder(Recorder::memory(10)).store(&store).ready_instances(16);
        let opened = pollster::block_on(builder.open(Source::memory(one_policy(""), [("p.wasm", wasm)])));
        opened.map(drop).map_err(|error| error.to_string())
    };
    let locals = "(local i32)".repeat(2_001);
    let module = guest(&format!("(func {locals})"), "(i64.const 18)");
    let refused = open(&module).unwrap_err();
    assert!(refused.contains("2001 locals"), "{refused}");
    open(&constant(r#"{"effect":"allow"}"#)).unwrap();
    let entries = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let engine = entries.filter_map(|name| Some(name.split_once('-')?.1.to_owned())).next().unwrap();
    let digest = Digest::of(&module).to_string().replace("sha256:", "");
    std::fs::write(store.join(format!("{digest}-{engine}")), "whatever").unwrap();
    assert_eq!(open(&module).unwrap_err(), refused);
}

/// Runs a test in a process of its own, where nothing else uses memory.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "WEIR_TEST_ALONE";
    if std::env::var_os(ALONE).is_some_and(|wanted| wanted == name) {
        return test();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([name, "--exact", "--nocapture"]).env(ALONE, name).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// Row 44 of the fault list, and the second half of row 45.
#[test]
fn a_thousand_swaps_under_load_lose_and_mix_nothing() {
    alone("swapping::a_thousand_swaps_under_load_lose_and_mix_nothing", || {
        const SWAPS: u64 = 1_000;
        let store = tempfile::tempdir().unwrap();
        let set = "set = \"s\"\n[policies.a]\nmodule = \"a.wasm\"\n[policies.b]\nmodule = \"b.wasm\"\n";
        let set = set.replace(".wasm\"\n", ".wasm\"\nlimits = { deadline = \"60 s\" }\n");
        // Two modules of one build: a mixed generation would show two builds.
        let of = |number: u64| {
            Source::memory(set.clone(), [("a.wasm", build(number)), ("b.wasm", with_manifest(&build(number), "{}"))])
        };
        let builder = Runtime::builder().recorder(Recorder::memory(10)).store(store.path().join("code"));
        let host = pollster::block_on(builder.open(of(1))).unwrap();
        let (done, decided, newest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(1));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        let begun = newest.load(Relaxed);
                        let decision = host.evaluate_blocking(request());
                        let number = decision.generation().number.get();
                        assert_eq!((decision.effect(), builds(&decision)), (Effect::Allow, BTreeSet::from([number])));
                        assert!(
                            number >= begun,
                            "it began after generation {begun} was in force, and ran on {number}"
                        );
                        decided.fetch_add(1, Relaxed);
                    }
                });
            }
            let mut random = Random(7);
            let mut before = (0, 0);
            for number in 2..=SWAPS + 1 {
                assert_eq!(publish(&host, of(number)), Ok(number));
                newest.store(number, Relaxed);
                if number == 200 {
                    before = used();
                }
                pause(Duration::from_micros(random.below(2_000) as u64));
            }
            let after = used();
            done.store(true, Relaxed);
            assert!(after.0 < before.0 + 24 * 1024, "memory grew from {} to {} KiB", before.0, after.0);
            assert!(after.1 <= before.1 + 4, "open files grew from {} to {}", before.1, after.1);
        });
        let metrics = host.metrics();
        assert_eq!((metrics.sets.published, metrics.denied, metrics.failures.len()), (SWAPS + 1, 0, 0));
        assert_eq!(metrics.allowed, decided.load(Relaxed));
        assert_eq!(metrics.records.written, metrics.allowed, "each has its record");
        assert!(metrics.allowed > SWAPS, "the load was too low to show anything: {}", metrics.allowed);
    });
}
