//! A policy's module with its bounds, and one evaluation in one instance of it; how an end becomes a typed failure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{Store, Trap, WasmBacktrace};

use crate::abi::{Guest, Input, Linked};
use crate::engine::{self, Code, Engine, Running};
use crate::hostcalls::{HostSide, Log, Moment};
use crate::reads::Reads;
use crate::rego::Known;
use crate::set::{Grant, Limits};
use crate::state::{Account, Taken};
use crate::system::Case;
use crate::verdict::{Failure, FailureKind};

/// Bytes of a configuration that the policy's own fuel has to do for.
const SMALL: usize = 1 << 10;
/// Fuel for each byte beyond those: OPA's modules take about a hundred to read their data, of which there may be megabytes although
/// an evaluation may take little.
const FUEL_PER_BYTE: u64 = 1_000;

/// A compiled module with its configuration and bounds: all that an instance is made from.
pub(crate) struct Template {
    engine: Arc<Engine>,
    linked: Linked,
    limits: Limits,
    /// Fuel for being started and configured.
    start_fuel: u64,
    running: Running,
    /// Slots of the engine's pool that an instance takes.
    slots: u32,
    /// Whether what a guest prints goes to the log.
    logs: bool,
    /// What is known of a module of OPA's.
    rego: Arc<Known>,
    /// What every instance is configured by; none where the code is that of a snapshot, which is configured.
    config: Option<Box<str>>,
}

/// Whether somebody waits for the answer. The deadline is a promise to them; where nobody does, a busy machine is no
/// reason to fail, fuel bounds the work, and the clock only ends what has gone wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Caller,
    Nobody,
}

/// When an evaluation began and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// Longest wall-clock time of an evaluation that nobody waits for.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Begins now.
    pub(crate) fn begin(limits: &Limits, waiting: Waiting) -> Deadline {
        Deadline::since(Instant::now(), limits, waiting)
    }

    /// Has begun when somebody last looked at the clock.
    pub(crate) fn since(started: Instant, limits: &Limits, waiting: Waiting) -> Deadline {
        let limit = match waiting {
            Waiting::Caller => limits.deadline,
            Waiting::Nobody => limits.deadline.max(Deadline::PATIENCE),
        };
        Deadline { started, limit }
    }

    /// The same, but over sooner.
    pub(crate) fn at_most(self, limit: Duration) -> Deadline {
        Deadline { limit: self.limit.min(limit), ..self }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    fn left(&self) -> Option<Duration> {
        self.limit.checked_sub(self.started.elapsed())
    }
}

/// What one policy is asked.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// What it is given of the request.
    pub(crate) given: &'a [u8],
    pub(crate) deadline: Deadline,
    /// Its counters; none where it has none, or is only tried.
    pub(crate) account: Option<&'a Account>,
    /// What its clock and its random numbers start from, where it has any.
    pub(crate) moment: Moment,
}

impl Question<'_> {
    /// A question of nobody's: what it takes of counters is taken from nobody.
    pub(crate) fn trial(given: &[u8], deadline: Deadline) -> Question<'_> {
        Question { given, deadline, account: None, moment: Moment::default() }
    }
}

/// What an evaluation came to and what it used.
pub(crate) struct Run {
    /// The guest's answer, not yet decoded.
    pub(crate) answer: Result<Vec<u8>, Failure>,
    /// Fuel spent on the request; configuring is not the request's work.
    pub(crate) fuel: u64,
    /// Linear memory at the end, in bytes.
    pub(crate) memory_bytes: u64,
    pub(crate) log: Log,
    /// What it took of counters, given back unless somebody confirms it.
    pub(crate) taken: Taken,
}

impl Run {
    /// A guest that could not even be started, or had no time left.
    fn without_guest(failure: Failure, fuel: u64, log: Log) -> Run {
        Run { answer: Err(failure), fuel, memory_bytes: 0, log, taken: Taken::default() }
    }

    /// Why an instance did not start, which is all that its run says.
    pub(crate) fn into_failure(self) -> Failure {
        self.answer.expect_err("a run without a guest has no answer")
    }
}

/// What came of asking an instance whose memory may be protected.
pub(crate) enum Asked {
    Answered(Run),
    Stopped(Box<Stop>),
}

/// An instance stored to a protected page, or outside of its memory: one cannot always be told from the other.
pub(crate) struct Stop {
    /// What it came to if it was outside; none where the host was about to write the input, so that nothing was asked.
    pub(crate) said: Option<Run>,
    /// The bytes of its memory that were to be written, as far as that is known.
    pub(crate) at: Option<Range<usize>>,
}

impl Template {
    /// A policy that is configured at each start.
    pub(crate) fn new(
        engine: Arc<Engine>,
        code: &Code,
        grants: &BTreeSet<Grant>,
        limits: Limits,
        config: Option<&str>,
    ) -> wasmtime::Result<Template> {
        let linked = Linked::new(engine.wasmtime(), code, grants)?;
        let slots = match code {
            Code::Module(_) => 1,
            Code::Component(component) => engine::slots_of(component),
        };
        let reading = FUEL_PER_BYTE * config.map_or(0, |config| config.len().saturating_sub(SMALL) as u64);
        let (running, logs) = (Running::for_fuel(limits.fuel.max(reading)), grants.contains(&Grant::Log));
        Ok(Template {
            engine,
            linked,
            limits,
            start_fuel: limits.fuel.saturating_add(reading),
            running,
            slots,
            logs,
            rego: Arc::default(),
            config: config.map(Box::from),
        })
    }

    /// The same policy, with what is known of a module of OPA's.
    pub(crate) fn calling(self, rego: Known) -> Template {
        Template { rego: Arc::new(rego), ..self }
    }

    /// The same policy from the code of a snapshot, which is configured.
    pub(crate) fn snapshotted(&self, code: &Code, grants: &BTreeSet<Grant>) -> wasmtime::Result<Template> {
        let linked = Linked::new(self.engine.wasmtime(), code, grants)?;
        let (engine, rego) = (Arc::clone(&self.engine), Arc::clone(&self.rego));
        let (start_fuel, running) = (self.limits.fuel, Running::for_fuel(self.limits.fuel));
        Ok(Template { engine, linked, rego, config: None, start_fuel, running, ..*self })
    }

    /// The compiled code.
    pub(crate) fn code(&self) -> Code {
        self.linked.code()
    }

    /// Whether it has a clock and random numbers.
    pub(crate) fn has_clock(&self) -> bool {
        self.linked.has_clock()
    }

    /// Whether what it is given is JSON, as records name it.
    pub(crate) fn takes_json(&self) -> bool {
        self.linked.takes_json()
    }

    /// What a policy with these reads is given of a request.
    pub(crate) fn given(&self, reads: &Reads, case: &Case<'_>) -> Vec<u8> {
        self.linked.given(reads, case)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether its calls run on a stack of their own.
    pub(crate) fn is_fiber(&self) -> bool {
        self.running == Running::Fiber
    }

    /// The right to start an instance that is not kept. Waits while too many are running.
    pub(crate) async fn slot(&self) -> impl Drop + '_ {
        self.engine.slots(self.slots).await
    }

    /// Judges one request in an instance of its own. Dropping the future ends the guest.
    pub(crate) async fn run(&self, question: Question<'_>) -> Run {
        self.run_and_look(question, |_| ()).await.0
    }

    /// As [`Template::run`], with a look at the guest when it has judged; none where it never started.
    pub(crate) async fn run_and_look<T>(
        &self,
        question: Question<'_>,
        look: impl FnOnce(&mut Guest) -> T,
    ) -> (Run, Option<T>) {
        let Question { given, deadline, account, moment } = question;
        let _slot = self.slot().await;
        let mut guest = match self.start(deadline).await {
            Ok(guest) => guest,
            Err(run) => return (run, None),
        };
        // The time that starting took counts, the fuel that configuring took does not.
        guest.store.data_mut().begin((deadline.started, deadline.limit), account, moment);
        give_fuel(&mut guest.store, self.limits.fuel);
        let longest = self.limits.output_bytes;
        let said = match self.running {
            Running::Inline => guest.judge(given, longest, |_| true),
            Running::Fiber => guest.judge_on_fiber(given, longest, |_| true).await,
        };
        let answer = said.map(|said| said.expect("a fresh instance takes every input"));
        let run = self.ended(answer, &mut guest);
        let looked = look(&mut guest);
        (run, Some(looked))
    }

    /// Judges one request in an instance that has started, on the calling stack; `takes` says where an input may be written.
    /// Whoever calls this has not waited since the deadline began, so all of its time is left.
    #[inline]
    pub(crate) fn ask_inline(
        &self,
        guest: &mut Guest,
        question: Question<'_>,
        takes: impl Fn(Input) -> bool,
    ) -> Asked {
        self.begin(guest, question);
        let said = guest.judge(question.given, self.limits.output_bytes, takes);
        self.asked(said, guest)
    }

    /// As [`Template::ask_inline`], on a stack of its own where the limits ask for one.
    pub(crate) async fn ask(
        &self,
        guest: &mut Guest,
        question: Question<'_>,
        takes: impl Fn(Input) -> bool,
    ) -> Asked {
        if self.running == Running::Inline {
            return self.ask_inline(guest, question, takes);
        }
        self.begin(guest, question);
        let said = guest.judge_on_fiber(question.given, self.limits.output_bytes, takes).await;
        self.asked(said, guest)
    }

    #[inline]
    fn begin(&self, guest: &mut Guest, Question { deadline, account, moment, .. }: Question<'_>) {
        guest.store.data_mut().begin((deadline.started, deadline.limit), account, moment);
        guest.store.set_epoch_deadline(Engine::ticks(deadline.limit));
        give_fuel(&mut guest.store, self.limits.fuel);
    }

    #[inline]
    fn asked(&self, said: wasmtime::Result<Result<Vec<u8>, Input>>, guest: &mut Guest) -> Asked {
        match said {
            Ok(Ok(answer)) => Asked::Answered(self.ended(Ok(answer), guest)),
            Ok(Err(input)) => Asked::Stopped(Box::new(Stop { said: None, at: Some(input.span()) })),
            Err(error) => self.failed(error, guest),
        }
    }

    #[cold]
    fn failed(&self, error: wasmtime::Error, guest: &mut Guest) -> Asked {
        let at = match error.downcast_ref() {
            Some(Trap::MemoryOutOfBounds) => fault_address(&error),
            _ => return Asked::Answered(self.ended(Err(error), guest)),
        };
        let outside = at.is_some_and(|at| at >= guest.memory_bytes());
        let run = self.ended(Err(error), guest);
        match outside {
            true => Asked::Answered(run),
            false => {
                Asked::Stopped(Box::new(Stop { said: Some(run), at: at.map(|at| at as usize..at as usize + 1) }))
            }
        }
    }

    /// A new instance, configured and ready for its first request. It takes a slot of the engine's pool, which the caller
    /// has to have.
    pub(crate) async fn start(&self, deadline: Deadline) -> Result<Guest, Run> {
        let Some(left) = deadline.left() else {
            return Err(Run::without_guest(missed(deadline.limit), 0, Log::default()));
        };
        let store = self.store(deadline.limit, left);
        let mut guest = match self.linked.start(store, self.running).await {
            Ok(guest) => guest,
            Err((mut store, error)) => {
                let log = std::mem::take(&mut store.data_mut().log);
                let failure = self.failure(&error, store.data());
                return Err(Run::without_guest(failure, spent(&store), log));
            }
        };
        if let Some(config) = &self.config
            && let Err(error) = self.linked.configure(&mut guest, self.running, config).await
        {
            return Err(self.ended(Err(error), &mut guest));
        }
        Ok(guest)
    }

    /// Starts an instance and throws it away: what fails here would fail for every request.
    pub(crate) async fn rehearse(&self) -> Result<(), Failure> {
        self.look_at_start(|_| ()).await
    }

    /// Names and numbers that a module of OPA's tells of itself, by an export of [`rego`](crate::rego).
    pub(crate) async fn told(&self, export: &str) -> Result<BTreeMap<String, i64>, String> {
        let _slot = self.slot().await;
        let started = self.start(Deadline::begin(&self.limits, Waiting::Nobody)).await;
        let mut guest = started.map_err(|run| run.into_failure().to_string())?;
        let told = guest.told(self.running, export).await;
        let told = told.map_err(|error| self.failure(&error, guest.store.data()).to_string())?;
        serde_json::from_slice(&told).map_err(|error| format!("`{export}` tells no names and numbers: {error}"))
    }

    /// The memory of an instance that has started: what every evaluation begins with.
    pub(crate) async fn image(&self) -> Result<Vec<u8>, Failure> {
        self.look_at_start(|guest| guest.memory().to_vec()).await
    }

    /// Looks at an instance that has started and judged nothing.
    pub(crate) async fn look_at_start<T>(&self, look: impl FnOnce(&Guest) -> T) -> Result<T, Failure> {
        let _slot = self.slot().await;
        let started = self.start(Deadline::begin(&self.limits, Waiting::Nobody)).await;
        started.map(|guest| look(&guest)).map_err(Run::into_failure)
    }

    #[inline]
    fn ended(&self, answer: wasmtime::Result<Vec<u8>>, guest: &mut Guest) -> Run {
        let answer = answer.map_err(|error| self.failure(&error, guest.store.data()));
        // What is left after an exhausted budget is whatever the last basic block could not pay.
        let exhausted = matches!(&answer, Err(failure) if failure.kind == FailureKind::Fuel);
        let fuel = if exhausted { guest.store.data().fuel } else { spent(&guest.store) };
        let host = guest.store.data_mut();
        let (log, taken) = (std::mem::take(&mut host.log), std::mem::take(&mut host.taken));
        Run { answer, fuel, memory_bytes: guest.memory_bytes(), log, taken }
    }

    fn store(&self, deadline: Duration, left: Duration) -> Store<HostSide> {
        let mut store = Store::new(
            self.engine.wasmtime(),
            HostSide::new(&self.limits, self.logs, Arc::clone(&self.rego), deadline),
        );
        store.limiter(|host| host);
        give_fuel(&mut store, self.start_fuel);
        store.set_epoch_deadline(Engine::ticks(left));
        if self.running == Running::Fiber {
            store.fuel_async_yield_interval(Some(Running::YIELD_FUEL)).expect("the engine meters fuel");
        }
        store
    }

    /// The typed reason behind an error of wasmtime or of ours.
    fn failure(&self, error: &wasmtime::Error, host: &HostSide) -> Failure {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.clone();
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Failure::new(FailureKind::Fuel, format!("limit {}", host.fuel)),
            Some(Trap::Interrupt) => missed(host.deadline),
            Some(trap) if let Some(limit) = &host.growth_refused => {
                Failure::new(FailureKind::Memory, format!("{limit}, then {}", trapped(*trap, error)))
            }
            // An uncaught exception, as its language tells it.
            Some(_) if let Some(said) = host.world.said() => Failure::new(FailureKind::GuestError, said),
            Some(trap) => Failure::new(FailureKind::Trap, trapped(*trap, error)),
            // One of a component's memories that is too large beside the others.
            None if let Some(limit) = &host.growth_refused => Failure::new(FailureKind::Memory, limit),
            None => Failure::new(FailureKind::Unavailable, format!("{error:#}")),
        }
    }
}

/// Fuel for what it does from now on.
#[inline]
fn give_fuel(store: &mut Store<HostSide>, fuel: u64) {
    store.data_mut().fuel = fuel;
    store.set_fuel(fuel).expect("the engine meters fuel");
}

/// What it has taken of that.
fn spent(store: &Store<HostSide>) -> u64 {
    store.data().fuel.saturating_sub(store.get_fuel().expect("the engine meters fuel"))
}

/// Where a store faulted, which only the text of the error says; none where it says nothing.
fn fault_address(error: &wasmtime::Error) -> Option<u64> {
    const BEFORE: &str = "memory fault at wasm address 0x";
    error.chain().find_map(|cause| {
        let text = cause.to_string();
        let digits = text.strip_prefix(BEFORE)?.split(' ').next()?;
        u64::from_str_radix(digits, 16).ok()
    })
}

fn missed(limit: Duration) -> Failure {
    Failure::new(FailureKind::Deadline, format!("limit {} ms", limit.as_millis()))
}

/// The trap and the guest's functions on the way to it, innermost first.
fn trapped(trap: Trap, error: &wasmtime::Error) -> String {
    /// Functions worth naming.
    const FRAMES: usize = 5;
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let name = |frame: &wasmtime::FrameInfo| {
        let index = || format!("function {}", frame.func_index());
        let function = frame.func_name().map_or_else(index, |name| format!("{:#}", rustc_demangle::demangle(name)));
        let line = frame.symbols().first().and_then(|symbol| Some((short(symbol.file()?), symbol.line()?)));
        line.map_or(function.clone(), |(file, line)| format!("{function} ({file}:{line})"))
    };
    // A panic passes through its language's own machinery first; the author looks for the policy's function.
    let machinery = |name: &String| {
        ["std::", "core::", "alloc::", "<core::", "<std::", "<alloc::", "__rust", "rust_", "_RN"]
            .iter()
            .any(|p| name.starts_with(p))
    };
    let names: Vec<String> = frames.iter().map(name).collect();
    let own = names.iter().position(|name| !machinery(name)).unwrap_or(0);
    let path = &names[own..names.len().min(own + FRAMES)];
    if path.is_empty() { trap.to_string() } else { format!("{trap} in {}", path.join(" < ")) }
}

/// The end of a path in somebody's source, where the rest tells of his machine.
fn short(path: &str) -> &str {
    let mut slashes = path.rmatch_indices(['/', '\\']).map(|(at, _)| at);
    slashes.nth(1).map_or(path, |at| &path[at + 1..])
}
