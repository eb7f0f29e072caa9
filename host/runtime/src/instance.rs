//! One evaluation in one fresh instance: made from the pool, bounded four ways, and dropped afterwards whatever happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{InstancePre, Linker, Module, Store, Trap, WasmBacktrace};

use crate::abi::core::{Exports, Guest};
use crate::engine::{Engine, Running};
use crate::hostcalls::{self, HostSide, Log};
use crate::set::{Grant, Limits};
use crate::verdict::{Failure, FailureKind};

/// A compiled module with its configuration and bounds: all that a fresh instance is made from.
pub(crate) struct Template {
    engine: Arc<Engine>,
    pre: InstancePre<HostSide>,
    exports: Exports,
    limits: Limits,
    running: Running,
    config: Box<[u8]>,
}

/// Whether somebody waits for the answer. The deadline is a promise to them; where nobody does, a busy machine is no
/// reason to fail, fuel bounds the work, and the clock only ends what has gone wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Caller,
    Nobody,
}

impl Waiting {
    /// Longest wall-clock time of an evaluation that nobody waits for.
    const PATIENCE: Duration = Duration::from_secs(1);

    fn deadline(self, limits: &Limits) -> Duration {
        match self {
            Waiting::Caller => limits.deadline,
            Waiting::Nobody => limits.deadline.max(Waiting::PATIENCE),
        }
    }
}

/// What an evaluation came to and what it used.
#[derive(Debug)]
pub(crate) struct Run {
    /// The guest's answer, not yet decoded.
    pub(crate) answer: Result<Vec<u8>, Failure>,
    /// Fuel spent on the request; configuring is not the request's work.
    pub(crate) fuel: u64,
    /// Linear memory at the end, in bytes.
    pub(crate) memory_bytes: u64,
    /// Waiting and working, in wall-clock time.
    pub(crate) took: Duration,
    pub(crate) log: Log,
}

impl Template {
    pub(crate) fn new(
        engine: Arc<Engine>,
        module: &Module,
        grants: &BTreeSet<Grant>,
        limits: Limits,
        config: &str,
    ) -> wasmtime::Result<Template> {
        let mut linker = Linker::new(engine.wasmtime());
        hostcalls::link(&mut linker, grants)?;
        let pre = linker.instantiate_pre(module)?;
        let (exports, running) = (Exports::of(module), Running::for_limits(&limits));
        Ok(Template { engine, pre, exports, limits, running, config: config.as_bytes().into() })
    }

    /// The compiled module.
    pub(crate) fn module(&self) -> &Module {
        self.pre.module()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Judges one request in an instance of its own. Dropping the future ends the guest.
    pub(crate) async fn run(&self, request: &[u8], waiting: Waiting) -> Run {
        let started = Instant::now();
        let _slot = self.engine.slot().await;
        let deadline = waiting.deadline(&self.limits);
        let Some(left) = deadline.checked_sub(started.elapsed()) else {
            return late(deadline, started);
        };
        let store = self.store(deadline, left);
        let mut guest = match Guest::start(store, self.running, &self.pre, &self.exports).await {
            Ok(guest) => guest,
            Err((mut store, error)) => {
                let answer = Err(self.failure(&error, store.data()));
                let log = std::mem::take(&mut store.data_mut().log);
                return Run { answer, fuel: self.spent(&store), memory_bytes: 0, took: started.elapsed(), log };
            }
        };
        let answer = self.ask(&mut guest, request).await;
        let answer = answer.map_err(|error| self.failure(&error, guest.store.data()));
        // What is left after an exhausted budget is whatever the last basic block could not pay.
        let exhausted = matches!(&answer, Err(failure) if failure.kind == FailureKind::Fuel);
        let fuel = if exhausted { self.limits.fuel } else { self.spent(&guest.store) };
        let log = std::mem::take(&mut guest.store.data_mut().log);
        Run { answer, fuel, memory_bytes: guest.memory_bytes(), took: started.elapsed(), log }
    }

    /// Starts and configures one instance and throws it away: what fails here would fail for every request.
    pub(crate) async fn rehearse(&self) -> Result<(), Failure> {
        let _slot = self.engine.slot().await;
        let deadline = Waiting::Nobody.deadline(&self.limits);
        let store = self.store(deadline, deadline);
        let mut guest = match Guest::start(store, self.running, &self.pre, &self.exports).await {
            Ok(guest) => guest,
            Err((store, error)) => return Err(self.failure(&error, store.data())),
        };
        let configured = guest.configure(&self.exports, &self.config).await;
        configured.map_err(|error| self.failure(&error, guest.store.data()))
    }

    async fn ask(&self, guest: &mut Guest, request: &[u8]) -> wasmtime::Result<Vec<u8>> {
        guest.configure(&self.exports, &self.config).await?;
        guest.store.set_fuel(self.limits.fuel)?;
        guest.evaluate(&self.exports, request, self.limits.output_bytes).await
    }

    fn store(&self, deadline: Duration, left: Duration) -> Store<HostSide> {
        let mut store = Store::new(self.engine.wasmtime(), HostSide::new(&self.limits, deadline));
        store.limiter(|host| host);
        store.set_fuel(self.limits.fuel).expect("the engine meters fuel");
        store.set_epoch_deadline(Engine::ticks(left));
        if self.running == Running::Fiber {
            store.fuel_async_yield_interval(Some(Running::YIELD_FUEL)).expect("the engine meters fuel");
        }
        store
    }

    fn spent(&self, store: &Store<HostSide>) -> u64 {
        self.limits.fuel.saturating_sub(store.get_fuel().expect("the engine meters fuel"))
    }

    /// The typed reason behind an error of wasmtime or of ours.
    fn failure(&self, error: &wasmtime::Error, host: &HostSide) -> Failure {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.clone();
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Failure::new(FailureKind::Fuel, format!("limit {}", self.limits.fuel)),
            Some(Trap::Interrupt) => missed(host.deadline),
            Some(trap) if let Some(limit) = &host.growth_refused => {
                Failure::new(FailureKind::Memory, format!("{limit}, then {}", trapped(*trap, error)))
            }
            Some(trap) => Failure::new(FailureKind::Trap, trapped(*trap, error)),
            None => Failure::new(FailureKind::Unavailable, format!("{error:#}")),
        }
    }
}

fn missed(deadline: Duration) -> Failure {
    Failure::new(FailureKind::Deadline, format!("limit {} ms", deadline.as_millis()))
}

fn late(deadline: Duration, started: Instant) -> Run {
    Run { answer: Err(missed(deadline)), fuel: 0, memory_bytes: 0, took: started.elapsed(), log: Log::default() }
}

/// The trap and the guest's functions on the way to it, innermost first.
fn trapped(trap: Trap, error: &wasmtime::Error) -> String {
    /// Functions worth naming.
    const FRAMES: usize = 5;
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let name = |frame: &wasmtime::FrameInfo| {
        let index = || format!("function {}", frame.func_index());
        frame.func_name().map_or_else(index, |name| rustc_demangle::demangle(name).to_string())
    };
    // A panic passes through its language's own machinery first; the author looks for the policy's function.
    let machinery =
        |name: &String| ["std::", "core::", "alloc::", "__rust", "rust_", "_RN"].iter().any(|p| name.starts_with(p));
    let names: Vec<String> = frames.iter().map(name).collect();
    let own = names.iter().position(|name| !machinery(name)).unwrap_or(0);
    let path = &names[own..names.len().min(own + FRAMES)];
    if path.is_empty() { trap.to_string() } else { format!("{trap} in {}", path.join(" < ")) }
}
