//! Many instances at once: what they take, and what calling them in turn costs.

use weir::{Source, Trial, TrialOptions};

use crate::floor::{Floor, Warm};
use crate::hosts::{CALL, GUEST, request};
use crate::instances::trial;
use crate::measure::{Effort, compare, timed};
use crate::report::Figure;

/// Reads its configuration, and each request eight times over: about as much work as the small policy does, in so little
/// code that a thousand configurations are compiled in seconds.
const READER: &str = r#"(module (memory (export "memory") 2) (global $next (mut i32) (i32.const 4096))
    (data (i32.const 0) "{\22effect\22:\22allow\22}")
    (func (export "weir_abi_1"))
    (func (export "weir_alloc") (param $length i32) (result i32)
      (global.get $next) (global.set $next (i32.add (global.get $next) (local.get $length))))
    (func $sum (param $at i32) (param $end i32) (result i32) (local $sum i32)
      (loop $byte
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load8_u (local.get $at))))
        (br_if $byte (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
      (local.get $sum))
    (func (export "weir_configure") (param $at i32) (param $length i32) (result i64)
      (i32.store (i32.const 65536) (call $sum (local.get $at) (i32.add (local.get $at) (local.get $length))))
      (i64.const 0))
    (func (export "weir_evaluate") (param $at i32) (param $length i32) (result i64) (local $round i32)
      (loop $again
        (i32.store (i32.const 65540) (i32.add (i32.load (i32.const 65540))
          (call $sum (local.get $at) (i32.add (local.get $at) (local.get $length)))))
        (br_if $again (i32.lt_u (local.tee $round (i32.add (local.get $round) (i32.const 1))) (i32.const 8))))
      (global.set $next (i32.const 4096))
      (i64.const 18)))"#;

/// A thousand policies, each under a configuration of its own, each called in turn.
pub(crate) fn policies_in_turn(effort: Effort) -> Vec<Figure> {
    let policies = if effort.rounds > 1 { 1_000 } else { 20 };
    let wasm = wat::parse_str(READER).expect("the bench's own text parses");
    let policy = |number: usize| {
        format!(
            "[policies.p{number}]\nmodule = \"guest.wasm\"\ncheckpoints = [\"tool.call\"]\n\
             config = {{ number = {number} }}\nlimits = {{ deadline = \"60 s\" }}\n"
        )
    };
    let set = format!("set = \"bench\"\n{}", (0..policies).map(policy).collect::<String>());
    let trial = Trial::open(&Source::memory(set, [("guest.wasm", &wasm[..])]), TrialOptions::default());
    let trial = trial.unwrap_or_else(|error| panic!("{error}"));
    let given = trial.given(0, &request(CALL));
    let floor = Floor::new(&wasm);
    let mut warm: Vec<Warm> =
        (0..policies).map(|number| floor.warm(format!("{{\"number\":{number}}}").as_bytes())).collect();
    let rounds = |count: usize| count.div_ceil(100);
    let ours = |count| {
        let turns = (0..rounds(count)).flat_map(|_| 0..policies).collect();
        timed(turns, |policy| trial.call(policy, &given).answer.expect("the guest answers"))
    };
    let theirs = |count| {
        let turns = (0..rounds(count)).flat_map(|_| 0..policies).collect();
        timed(turns, |policy: usize| warm[policy].call(&given))
    };
    let effort = Effort { rounds: effort.rounds.div_ceil(4), ..effort };
    let ratio = compare(effort, ours, theirs);
    let calls = (rounds(effort.batch) * policies) as f64 / effort.batch as f64;
    let kib = trial.plan().policies[0].put_back_bytes as f64 / 1024.0;
    vec![
        Figure::new(
            "policies_1000_per_call",
            ratio.value,
            "ratio",
            "bare wasmtime 48: as many warm instances in turn",
        )
        .goal("<= 1.2")
        .beside("p10", ratio.spread.0)
        .beside("p90", ratio.spread.1)
        .beside("micros", ratio.micros.0 / calls)
        .beside("micros_against", ratio.micros.1 / calls)
        .beside("policies", policies as f64)
        .beside("put_back_kib", kib),
    ]
}

/// Private memory of instances of the small policy that are ready and have been called: of one, and of ten thousand. A call
/// makes its pages private, which before are those of the image; instances are called from the top of a stack, so these pages
/// are added as what is put back. The kernel grants a process only so
/// many mappings: where that is too few for ten thousand, the figure is that of one times ten thousand.
pub(crate) fn ready_memory(effort: Effort) -> Vec<Figure> {
    let wanted = if effort.rounds > 1 { 10_000 } else { 20 };
    let options = TrialOptions { ready_instances: wanted, ..TrialOptions::default() };
    let trial = trial(GUEST, "restore", "{}", options);
    let (made, each, now) = ready_kib(&trial, wanted);
    let mappings = trial.instances().mappings as f64 / now as f64;
    let figure = |name, value, unit, goal| {
        Figure::new(name, value, unit, "nothing: RssAnon of this process, before and after they are made")
            .goal(goal)
            .beside("before_its_first_call_kib", made)
            .beside("instances", now as f64)
            .beside("mappings_each", mappings)
    };
    vec![
        figure("ready_instance_kib", each, "KiB", "<= 26"),
        figure("ready_10000_mib", each * 10_000.0 / 1024.0, "MiB", "<= 260"),
    ]
}

/// KiB that an instance has before its first call, and after it; how many there are then.
pub(crate) fn ready_kib(trial: &Trial, wanted: usize) -> (f64, f64, usize) {
    let given = trial.given(0, &request(CALL));
    assert!(trial.call(0, &given).answer.is_ok());
    let (ready, before) = (trial.instances().ready as usize, private_kib());
    let now = trial.make_ready(0, wanted);
    let made = (private_kib() - before) / (now - ready) as f64;
    (made, made + trial.plan().policies[0].put_back_bytes as f64 / 1024.0, now)
}

/// Memory that this process shares with nobody.
pub(crate) fn private_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number of KiB")
}
