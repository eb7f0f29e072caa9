//! What a swap costs those who swap, and those who are judged meanwhile.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use weir::{CompileLimits, Compiler, GenerationNumber, Recorder, Request, Runtime, Source};

use crate::evaluation::folder;
use crate::hosts::{CALL, GUEST, ONE_POLICY, evaluate, request};
use crate::measure::{Effort, at, median, sorted};
use crate::report::Figure;

/// The compile bomb of `weir demo`.
#[path = "../../host/cli/src/demo/bomb.rs"]
#[expect(unused_imports, reason = "its tests are compiled here and run there")]
mod bomb;

/// Builds of the policy that follow each other: one more than stay loaded, so that each comes from the store.
const BUILDS: u32 = 4;

/// The small policy as build `number`: another digest, the same work.
fn small(number: u32) -> Vec<u8> {
    [GUEST, &mark(number)].concat()
}

/// A policy that allows whatever it is asked, among so much other code that its module has 100 KiB.
fn large(number: u32) -> Vec<u8> {
    const FUNCTIONS: usize = 460;
    let function = |i: usize| {
        let step = |j: usize| {
            let (shift, address) = ((i + j) % 31, (i * 8 + j * 4) % 60_000);
            format!(
                "(local.set 1 (i32.xor (i32.mul (local.get 0) (i32.const {})) (i32.rotl (local.get 1) (i32.const {shift}))))
                 (if (i32.gt_u (local.get 1) (local.get 0)) (then (i32.store (i32.const {address}) (local.get 1))))",
                i * 977 + j
            )
        };
        format!("(func (param i32 i32) (result i32) {} (local.get 1))", (0..7).map(step).collect::<String>())
    };
    let text = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "{{\22effect\22:\22allow\22}}")
             (func (export "weir_abi_1"))
             (func (export "weir_alloc") (param i32) (result i32) (i32.const 4096))
             (func (export "weir_evaluate") (param i32 i32) (result i64) (i64.const 18)) {})"#,
        (0..FUNCTIONS).map(function).collect::<String>()
    );
    [wat::parse_str(text).expect("the bench's own text parses"), mark(number)].concat()
}

/// A section that no one reads.
fn mark(number: u32) -> Vec<u8> {
    let section = [b"\x05build".as_slice(), &number.to_le_bytes()].concat();
    [&[0, section.len() as u8], section.as_slice()].concat()
}

/// A host over a folder with the first build, that knows all of them: compiled and stored once.
struct Place {
    folder: tempfile::TempDir,
    builds: Vec<Vec<u8>>,
    host: Runtime,
}

impl Place {
    fn new(build: fn(u32) -> Vec<u8>) -> Place {
        Place::compiled_by(build, Compiler::in_process())
    }

    fn compiled_by(build: fn(u32) -> Vec<u8>, compiler: Compiler) -> Place {
        let folder = folder();
        // A deadline that a busy machine keeps: late answers are measured here, not refused.
        let set = format!("{ONE_POLICY}limits = {{ deadline = \"60 s\" }}\n");
        std::fs::write(folder.path().join("weir.toml"), set).expect("a new folder takes files");
        let builds: Vec<Vec<u8>> = (0..BUILDS).map(build).collect();
        std::fs::write(folder.path().join("guest.wasm"), &builds[0]).expect("a new folder takes files");
        let builder = Runtime::builder().recorder(Recorder::discard()).compiler(compiler);
        let builder = builder.store(folder.path().join("code"));
        let host =
            pollster::block_on(builder.open(Source::dir(folder.path()))).unwrap_or_else(|error| panic!("{error}"));
        let place = Place { folder, builds, host };
        (1..BUILDS).chain([0]).for_each(|number| place.swap(number));
        assert_eq!(
            place.host.metrics().sets.compilations,
            u64::from(2 * BUILDS),
            "every build and its snapshot are stored now"
        );
        place
    }

    /// Puts another build into the folder, as it should be done: by renaming.
    fn replace(&self, number: u32) {
        let (new, old) = (self.folder.path().join("new"), self.folder.path().join("guest.wasm"));
        let written = std::fs::write(&new, &self.builds[number as usize]);
        written.and_then(|()| std::fs::rename(new, old)).expect("it is our folder");
    }

    /// Puts another build into the folder and loads it.
    fn swap(&self, number: u32) {
        self.replace(number);
        let published = pollster::block_on(self.host.publish(Source::dir(self.folder.path())));
        published.unwrap_or_else(|report| panic!("{report}"));
    }
}

/// From a generation that is loaded to the first answer from it.
pub(crate) fn publish_to_answer(effort: Effort) -> Vec<Figure> {
    let place = Place::new(small);
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let loaded = place.host.generations();
        let to: GenerationNumber = loaded[loaded.len() - 2].id().number;
        let (asked, again) = (request(CALL), request(CALL));
        let before = Instant::now();
        let number = pollster::block_on(place.host.rollback(to)).expect("it is still loaded");
        let decision = evaluate(&place.host, asked);
        first.push(micros(before));
        assert_eq!(decision.generation().number, number);
        let before = Instant::now();
        evaluate(&place.host, again);
        next.push(micros(before));
    }
    let against = "nothing: a loaded generation is brought into force, and answers once, on the clock";
    vec![
        Figure::new("publish_to_answer_us", median(first.into_iter()), "us", against)
            .goal("<= 20")
            .beside("the_next_answer_us", median(next.into_iter())),
    ]
}

/// From a file to the first answer from it, with the machine code in the store.
pub(crate) fn file_to_answer(effort: Effort) -> Vec<Figure> {
    let place = Place::new(large);
    let mut times = Vec::new();
    for number in (1..BUILDS).chain([0]).cycle().take(effort.rounds) {
        place.replace(number);
        let (asked, source) = (request(CALL), Source::dir(place.folder.path()));
        let before = Instant::now();
        let published = pollster::block_on(place.host.publish(source));
        let decision = evaluate(&place.host, asked);
        times.push(micros(before));
        assert!(published.is_ok_and(|number| number == decision.generation().number));
    }
    let sets = place.host.metrics().sets;
    assert_eq!(sets.compilations, u64::from(2 * BUILDS), "nothing was compiled meanwhile");
    assert!(sets.stored_code_used >= effort.rounds as u64, "each round takes its code from the store: {sets:?}");
    let against =
        "nothing: a replaced module is loaded, published and answers once, on the clock; its code is in the store";
    let times = sorted(times.into_iter());
    vec![
        Figure::new("file_to_answer_ms", at(&times, 0.5) / 1e3, "ms", against)
            .goal("<= 0.4")
            .beside("p90_ms", at(&times, 0.9) / 1e3)
            .beside("module_kib", place.builds[0].len() as f64 / 1024.0),
    ]
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// The slowest of a hundred evaluations, with and without something else going on in the host.
pub(crate) fn while_swapping(effort: Effort) -> Vec<Figure> {
    let place = Place::new(small);
    let swaps = |done: &AtomicBool| {
        let (_never, tenth) = mpsc::channel::<()>();
        for number in (1..BUILDS).chain([0]).cycle() {
            place.swap(number);
            if done.load(Relaxed) || tenth.recv_timeout(Duration::from_millis(100)) != Err(RecvTimeoutError::Timeout)
            {
                return;
            }
        }
    };
    let (ratio, with, without) = disturbed(effort, &place, swaps);
    let against = "the same without swaps, in turns of a third of a second, on the clock";
    vec![
        Figure::new("swap_p99", ratio, "ratio", against)
            .goal("<= 1.1")
            .beside("p99_us", with)
            .beside("p99_us_without", without),
    ]
}

/// The same beside a child that compiles a hostile module for the host.
pub(crate) fn while_compiling(effort: Effort) -> Vec<Figure> {
    /// Soon over, and enough for the policy that is judged by.
    const LIMITS: CompileLimits =
        CompileLimits { cpu: Duration::from_secs(2), memory_bytes: 1 << 30, wall: Duration::from_secs(120) };
    let place = Place::compiled_by(small, Compiler::child("/proc/self/exe").limits(LIMITS));
    let folder = folder();
    let builder = Runtime::builder().recorder(Recorder::discard()).compiler(Compiler::child("/proc/self/exe"));
    let shipped: Vec<(&str, &[u8])> =
        weir_plugins::modules().iter().map(|module| (module.name, module.wasm)).collect();
    let before = Instant::now();
    let opened = pollster::block_on(
        builder.store(folder.path().join("code")).open(Source::memory(weir_plugins::SET, shipped)),
    );
    let (wall, sets) = (before.elapsed(), opened.unwrap_or_else(|error| panic!("{error}")).metrics().sets);
    let compiler = |done: &AtomicBool| {
        while !done.load(Relaxed) {
            let refused = place.host.check(Source::memory(ONE_POLICY, [("guest.wasm", bomb::wasm(bomb::DEPTH))]));
            assert!(refused.is_err(), "the bomb is too large for its limits");
        }
    };
    let (ratio, with, without) = disturbed(effort, &place, compiler);
    let against = "the same without a compiler beside it, in turns of a third of a second, on the clock";
    let shipped = "nothing: the modules of the shipped set in children, processor time";
    vec![
        Figure::new("compile_bomb_p99", ratio, "ratio", against)
            .beside("p99_us", with)
            .beside("p99_us_without", without),
        Figure::new("compile_child_ms", sets.compile_cpu_micros as f64 / 1e3, "ms", shipped)
            .beside("modules", sets.compilations as f64)
            .beside("open_ms", wall.as_secs_f64() * 1e3)
            .beside("peak_mib", sets.compile_peak_bytes as f64 / f64::from(1 << 20)),
    ]
}

/// Says that it is over when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Ratio of the 99th percentiles, and both in microseconds: medians of rounds that take turns.
fn disturbed(effort: Effort, place: &Place, disturb: impl Fn(&AtomicBool) + Sync) -> (f64, f64, f64) {
    const ROUND: Duration = Duration::from_millis(333);
    let rounds = effort.rounds.div_ceil(10).max(2);
    let round = || {
        let (started, mut times) = (Instant::now(), Vec::new());
        while started.elapsed() < ROUND {
            let asked: Request = request(CALL);
            let before = Instant::now();
            let decision = evaluate(&place.host, asked);
            times.push(micros(before));
            assert!(decision.policies()[0].outcome.is_ok(), "{decision:?}");
        }
        at(&sorted(times.into_iter()), 0.99)
    };
    let disturbed = || {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| disturb(&done));
            // A round that fails must end the other side, too.
            let _end = Done(&done);
            round()
        })
    };
    round();
    let pairs: Vec<(f64, f64)> = (0..rounds)
        .map(|number| match number % 2 {
            0 => (disturbed(), round()),
            _ => {
                let plain = round();
                (disturbed(), plain)
            }
        })
        .collect();
    let ratio = median(pairs.iter().map(|(with, without)| with / without));
    (ratio, median(pairs.iter().map(|pair| pair.0)), median(pairs.iter().map(|pair| pair.1)))
}
