//! Compiling in a child: what a hostile module costs its host, and what becomes of a child that dies.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir::{CompileLimits, Compiler, Effect, Recorder, Report, Request, Runtime, Source};

use crate::host::pause;
use crate::{bomb, constant};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

const SET: &str =
    "set = \"s\"\n[policies.p]\nmodule = \"p.wasm\"\ncheckpoints = [\"*\"]\nlimits = { deadline = \"60 s\" }\n";

/// Bounds that no module of these tests needs, except where it is about them.
const WIDE: CompileLimits =
    CompileLimits { cpu: Duration::from_secs(300), memory_bytes: 4 << 30, wall: Duration::from_secs(300) };

fn source(wasm: Vec<u8>) -> Source {
    Source::memory(SET, [("p.wasm", wasm)])
}

/// The children of this process are counted and killed, so one test has them at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host(compiler: Compiler) -> Runtime {
    let builder = Runtime::builder().recorder(Recorder::memory(10)).compiler(compiler);
    pollster::block_on(builder.open(source(constant(r#"{"effect":"allow"}"#)))).unwrap()
}

fn publish(host: &Runtime, wasm: Vec<u8>) -> Result<u64, Report> {
    pollster::block_on(host.publish(source(wasm))).map(weir::GenerationNumber::get)
}

fn effect(host: &Runtime) -> Effect {
    host.evaluate_blocking(Request::parse(br#"{"checkpoint":"a"}"#).unwrap()).effect()
}

/// A policy with one more function of this body.
fn with_function(locals: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1)
             (func (export "weir_abi_1"))
             (func (export "weir_alloc") (param i32) (result i32) (i32.const 4096))
             (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 0))
             (func {locals} {body}))"#
    );
    wat::parse_str(text).unwrap()
}

/// Kilobytes of memory that are this process's own.
fn own_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The children of this process that compile, by their number.
fn compilers() -> Vec<i32> {
    compilers_of(std::process::id())
}

/// The same of another process.
pub(crate) fn compilers_of(host: u32) -> Vec<i32> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let ours = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent == Some(host) && command.contains("compile-worker")
    };
    processes.filter(ours).collect()
}

/// Whether this process is for one test alone; if not, another one is started for it, and has to pass. Other tests take memory,
/// too, and a process knows only how much all of them have.
fn has_a_process_of_its_own(test: &str) -> bool {
    const ALONE: &str = "WEIR_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let done = again.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    false
}

#[test]
fn row_23_a_compile_bomb_costs_its_host_nothing_but_a_child() {
    if !has_a_process_of_its_own("compiling::row_23_a_compile_bomb_costs_its_host_nothing_but_a_child") {
        return;
    }
    let megabytes = |limit: u64| CompileLimits { memory_bytes: limit << 20, ..WIDE };
    let seconds = |limit| CompileLimits { cpu: Duration::from_secs(limit), ..WIDE };
    for (limits, depth, says) in [
        (megabytes(256), 2_000, "it takes more than 256 MiB of memory"),
        (seconds(1), 4_000, "it takes more than 1s of processor time"),
    ] {
        let host = host(Compiler::child(WEIR).limits(limits));
        let (done, before) = (AtomicBool::new(false), own_memory());
        let most = std::thread::scope(|scope| {
            let judges = scope.spawn(|| {
                let mut most = before;
                while !done.load(Relaxed) {
                    assert_eq!(effect(&host), Effect::Allow);
                    most = most.max(own_memory());
                }
                most
            });
            let report = publish(&host, bomb::wasm(depth)).unwrap_err().to_string();
            done.store(true, Relaxed);
            assert!(report.contains("policy `p`: cannot be compiled: ") && report.contains(says), "{report}");
            judges.join().unwrap()
        });
        assert!(most < before + 100 * 1024, "this process grew from {before} to {most} KiB");
        let sets = host.metrics().sets;
        assert_eq!((sets.generation, sets.refused, sets.compile_failures), (1, 1, 1));
        assert!(host.metrics().failures.is_empty(), "nobody who asked meanwhile noticed");
    }
}

#[test]
fn row_24_other_bombs_are_refused_before_or_bounded() {
    let _alone = alone();
    let host = host(Compiler::child(WEIR).limits(CompileLimits { cpu: Duration::from_secs(60), ..WIDE }));
    let functions = format!(r#"(module (memory (export "memory") 1) {})"#, "(func)".repeat(100_000));
    let cases = [
        (wat::parse_str(functions).unwrap(), "100000 functions"),
        (with_function(&format!("(local {})", "i64 ".repeat(50_000)), ""), "50000 locals"),
        (
            with_function("", &format!("{} {}", "block ".repeat(200_000), "end ".repeat(200_000))),
            "bytes, the most is",
        ),
    ];
    let compiled = host.metrics().sets.compilations;
    for (wasm, says) in cases {
        let report = publish(&host, wasm).unwrap_err().to_string();
        assert!(report.contains(says), "{report}");
    }
    assert_eq!(host.metrics().sets.compilations, compiled, "nothing of that met a compiler");
    // What is allowed is compiled, or refused as a whole; the child ends either way.
    let nested = with_function("", &format!("{} {}", "block ".repeat(100_000), "end ".repeat(100_000)));
    let table = "block block i32.const 0 br_table 0 1 0 1 0 1 0 1 0 end end ".repeat(20_000);
    for wasm in [nested, with_function("", &table)] {
        let _either = publish(&host, wasm);
        assert!(compilers().is_empty() && matches!(effect(&host), Effect::Allow | Effect::Deny));
    }
}

#[test]
fn a_child_is_bounded_and_knows_nothing() {
    let _alone = alone();
    let host = host(Compiler::child(WEIR).limits(CompileLimits { memory_bytes: 1 << 30, ..WIDE }));
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&host, bomb::wasm(3_000)));
        let mut seen = None;
        while seen.is_none() && !publishing.is_finished() {
            seen = compilers().into_iter().find_map(|pid| {
                let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
                let limits = read("limits")?;
                let line = |name: &str| limits.lines().find(|line| line.starts_with(name)).map(str::to_owned);
                let data = line("Max data size").filter(|line| line.contains("1073741824"))?;
                Some((
                    pid,
                    data,
                    line("Max core file size")?,
                    line("Max file size")?,
                    line("Max cpu time")?,
                    read("environ")?,
                    read("stat")?,
                ))
            });
        }
        let (pid, data, core, file, cpu, environ, stat) = seen.expect("the child sets its limits before it compiles");
        let numbers = |line: &str| line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
        assert_eq!((numbers(&data), numbers(&cpu)), (vec![1 << 30, 1 << 30], vec![300, 301]));
        assert_eq!((numbers(&core), numbers(&file)), (vec![0, 0], vec![0, 0]));
        assert_eq!(environ, "", "it has no environment");
        let nice = stat.rsplit(')').next().unwrap().split_whitespace().nth(16);
        assert_eq!(nice, Some("19"), "it runs where nobody else wants to");
        kill(pid);
        let report = publishing.join().unwrap().unwrap_err().to_string();
        assert!(report.contains("could not be compiled now: the compiler was killed"), "{report}");
    });
}

fn kill(pid: i32) {
    Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn a_child_that_is_killed_at_any_point_is_no_more_than_a_refusal() {
    let _alone = alone();
    let host = host(Compiler::child(WEIR).limits(WIDE));
    let rounds = std::env::var("WEIR_KILL_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let (mut killed, mut number) = (0, 1);
    for round in 0..rounds {
        // Another module in each round, large enough to take a moment.
        let wasm =
            with_function("(local i32)", &"local.get 0 i32.const 7 i32.add local.set 0 ".repeat(2_000 + round));
        let published = std::thread::scope(|scope| {
            let publishing = scope.spawn(|| publish(&host, wasm.clone()));
            // Sooner or later in its life.
            (0..round % 4).for_each(|_| pause());
            while !publishing.is_finished() {
                compilers().into_iter().for_each(kill);
            }
            publishing.join().unwrap()
        });
        match published {
            Ok(published) => number = published,
            Err(report) => {
                assert!(report.to_string().contains("the compiler was killed"), "{report}");
                assert_eq!(host.generation().id().number.get(), number);
                killed += 1;
                number = publish(&host, wasm).unwrap();
            }
        }
    }
    assert!(killed > 0, "no child was caught in {rounds} rounds");
}

#[test]
fn what_is_no_compiler_is_said_so() {
    let _alone = alone();
    for (program, says) in [
        ("/nonexistent/weir", "cannot run the compiler `/nonexistent/weir`: No such file"),
        ("/bin/true", "the answer broke off"),
        ("/bin/false", "the program is no compiler of weir"),
    ] {
        let opened = Runtime::builder().recorder(Recorder::memory(1)).compiler(Compiler::child(program));
        let error = pollster::block_on(opened.open(source(constant("{}")))).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{program}: {error}");
    }
    let limits = CompileLimits { wall: Duration::from_millis(1), ..WIDE };
    let opened = Runtime::builder().recorder(Recorder::memory(1)).compiler(Compiler::child(WEIR).limits(limits));
    let error = pollster::block_on(opened.open(source(bomb::wasm(2_000)))).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("could not be compiled now: it took longer than 1ms"), "{error}");
    assert!(compilers().is_empty());
}

#[test]
fn the_command_is_for_hosts_and_says_so() {
    let output = Command::new(WEIR).arg("compile-worker").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4));
    assert!(said.contains("this command is for the host"), "{said}");
}
