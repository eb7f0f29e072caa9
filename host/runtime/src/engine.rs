//! The one wasmtime engine: its settings, its pool and its clock, which must agree and are therefore set together.
//!
//! Fuel is the deterministic budget, the epoch the wall clock. The epoch is advanced once a millisecond by a thread
//! that this file owns; `deadline -> ticks` is converted here and nowhere else. See `DESIGN` in ARCHITECTURE.md for
//! what each setting costs.

mod ticker;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::component::Component;
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, Module, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

use crate::inspect::{self, MODULES};
use ticker::Ticker;

/// Instances that may exist at once beside those that are kept ready. Each reserves 4 GiB of address space, of the 128 TiB
/// there are.
const INSTANCES: usize = 512;
/// Stacks of fibers that instances may keep between evaluations; those that are not kept have one each beside.
pub(crate) const KEPT_STACKS: usize = 512;
/// Native stack a guest may use before it ends as `StackOverflow`.
const GUEST_STACK: usize = 512 << 10;
/// Stack of a fiber: the guest's own and what host calls need on top.
const FIBER_STACK: usize = 2 << 20;
/// Bytes of a slot's memory that are put back by copying instead of by the kernel.
const KEEP_RESIDENT: usize = 1 << 20;
/// Most table elements of an instance.
pub(crate) const TABLE_ELEMENTS: usize = 10_000;
/// Tables an instance may have.
const TABLES: u32 = 4;
/// Memories an instance of a component may have; languages that bring their own engine have up to four.
const MEMORIES: u32 = 8;
/// Largest memory a policy's limit may allow; [`Limits`] holds the same bound.
const LARGEST_MEMORY: usize = 256 << 20;

/// The engine all modules of a host are compiled for and run in.
pub(crate) struct Engine {
    engine: wasmtime::Engine,
    /// Counts the pool's slots that are for one evaluation, so that a full pool is a wait and never an error of wasmtime.
    /// The slots of ready instances are counted by their own budget.
    slots: Semaphore,
    /// Slots beside those, for instances that are kept ready.
    ready: usize,
    _ticker: Ticker,
}

/// Machine code that is loaded. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

/// An engine that could not be made on this machine.
#[derive(Debug)]
pub(crate) struct EngineError(wasmtime::Error);

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the Wasm engine cannot start on this machine: {:#}", self.0)
    }
}

impl std::error::Error for EngineError {}

impl Engine {
    /// An engine with room for so many ready instances, beside those for one evaluation; for fewer where this process has
    /// not the address space, as beside other hosts or under `ulimit -v`.
    pub(crate) fn new(mut ready: usize, traps: Traps) -> Result<Arc<Engine>, EngineError> {
        let mut config = config(traps);
        let engine = loop {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(INSTANCES.saturating_add(ready))));
            match wasmtime::Engine::new(&config) {
                Ok(engine) => break engine,
                Err(error) if ready == 0 => return Err(EngineError(error)),
                Err(_) => ready /= 2,
            }
        };
        let ticker = Ticker::start(engine.clone());
        Ok(Arc::new(Engine { engine, slots: Semaphore::new(INSTANCES), ready, _ticker: ticker }))
    }

    /// The ready instances it has room for.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    /// Name of this version of the engine with these settings: machine code of another name does not run here.
    pub(crate) fn name(&self) -> u64 {
        name(&self.engine)
    }

    /// Compiles what has passed the static checks, in this process.
    pub(crate) fn precompile(&self, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        precompile(&self.engine, wasm)
    }

    /// Waits for as many free slots of the pool as an instance takes.
    pub(crate) async fn slots(&self, count: u32) -> SemaphorePermit<'_> {
        self.slots.acquire_many(count).await.expect("the engine never closes its slots")
    }

    /// The epochs after which `left` has surely passed. The current tick is already running, hence one more.
    pub(crate) fn ticks(left: Duration) -> u64 {
        // INVARIANT: a tick is a millisecond. Dividing 128-bit nanoseconds would show in every call.
        let started = u64::from(left.subsec_nanos().div_ceil(1_000_000));
        left.as_secs().saturating_mul(1_000).saturating_add(started).saturating_add(1)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        debug_assert_eq!(self.slots.available_permits(), INSTANCES, "every slot comes home");
    }
}

/// An engine that only compiles, for the one of this name: the same code, without the pool, and on one thread, since its host
/// has better use for the others. None where this version has no such engine.
pub(crate) fn for_worker(wanted: u64) -> Result<Option<wasmtime::Engine>, EngineError> {
    for traps in [Traps::Functions, Traps::Lines] {
        let mut config = config(traps);
        config.parallel_compilation(false);
        let engine = wasmtime::Engine::new(&config).map_err(EngineError)?;
        if name(&engine) == wanted {
            return Ok(Some(engine));
        }
    }
    Ok(None)
}

/// The machine code of a module or a component.
pub(crate) fn precompile(engine: &wasmtime::Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
    match inspect::is_component(wasm) {
        true => engine.precompile_component(wasm),
        false => engine.precompile_module(wasm),
    }
}

/// The slots of the pool that an instance of a component takes: a slot has one memory and [`TABLES`] tables.
pub(crate) fn slots_of(component: &Component) -> u32 {
    let needs = component.resources_required();
    let (memories, tables) = needs.map_or((1, 1), |needs| (needs.num_memories, needs.num_tables));
    memories.max(tables.div_ceil(TABLES)).clamp(1, INSTANCES as u32)
}

/// Two engines of one name run each other's machine code. What modules had to keep before they were compiled is part of
/// the name, so that stored code vouches for it.
pub(crate) fn name(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    inspect::rules().hash(&mut hasher);
    hasher.finish()
}

/// What a trap tells of the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Traps {
    /// The guest's functions, by name.
    #[default]
    Functions,
    /// Its lines of source as well, where a module has DWARF: for authors, since the tables make machine code longer to load.
    Lines,
}

/// How the calls into a guest are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Running {
    /// On the calling task: for what is over within a millisecond.
    Inline,
    /// On a stack of its own that yields to other tasks and unwinds when its future is dropped.
    Fiber,
}

impl Running {
    /// Fuel burns at 12 to 18 units a nanosecond: this much is about a millisecond, the longest a task may keep a thread.
    const MOST_INLINE_FUEL: u64 = 15_000_000;
    /// Fuel between two yields of a fiber. Yielding ten times as often costs a fifth of the speed.
    pub(crate) const YIELD_FUEL: u64 = 1_000_000;

    pub(crate) fn for_fuel(fuel: u64) -> Running {
        if fuel <= Running::MOST_INLINE_FUEL { Running::Inline } else { Running::Fiber }
    }
}

fn config(traps: Traps) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .memory_init_cow(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(32))
        // Traps are traced by frame pointers and name functions: tables for debuggers, and the place in the Wasm of every
        // instruction, would only make machine code longer to load.
        .native_unwind_info(false)
        .generate_address_map(traps == Traps::Lines)
        .wasm_backtrace_details(match traps {
            Traps::Functions => WasmBacktraceDetails::Disable,
            Traps::Lines => WasmBacktraceDetails::Enable,
        });
    // Only what a build of wasmtime knows may be switched, so each proposal is named rather than all others negated.
    config
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        // For the engine's own adapters between the parts of a component, which copy from one memory to another; a policy's
        // modules that have several are refused before they come here.
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_extended_const(true)
        .wasm_component_model(true);
    config
}

fn pool(instances: usize) -> PoolingAllocationConfig {
    let instances = u32::try_from(instances).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::default();
    // Memories are what is scarce, and slots count them; a component of many modules links them to few.
    pool.total_core_instances(instances.saturating_mul(MODULES))
        .total_component_instances(instances)
        .max_core_instances_per_component(MODULES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(MEMORIES * TABLES)
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks((INSTANCES + KEPT_STACKS) as u32)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(LARGEST_MEMORY)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_end_before_the_deadline() {
        assert_eq!(Engine::ticks(Duration::ZERO), 1);
        assert_eq!(Engine::ticks(Duration::from_micros(1)), 2);
        assert_eq!(Engine::ticks(Duration::from_millis(20)), 21);
        assert_eq!(Engine::ticks(Duration::MAX), u64::MAX);
    }

    #[test]
    fn small_budgets_run_inline() {
        assert_eq!(Running::for_fuel(5_000_000), Running::Inline);
        assert_eq!(Running::for_fuel(15_000_001), Running::Fiber);
    }
}
