//! The floor: the same guest in bare wasmtime, in the quickest way its API offers, fresh for each call or warm.

use wasmtime::{
    Config, Enabled, Engine, Instance, InstanceAllocationStrategy, InstancePre, Linker, Memory, Module, ModuleExport,
    OptLevel, PoolingAllocationConfig, Store, Strategy, TypedFunc,
};

/// Both sides pay for metering, however much there is.
const FUEL: u64 = 1_000_000_000;

/// A compiled guest with its exports resolved.
pub(crate) struct Floor {
    engine: Engine,
    pre: InstancePre<()>,
    memory: ModuleExport,
    alloc: ModuleExport,
    evaluate: ModuleExport,
    configure: Option<ModuleExport>,
}

/// An instance that is called again and again, whatever the call before left behind.
pub(crate) struct Warm {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    evaluate: TypedFunc<(i32, i32), i64>,
}

impl Floor {
    /// With the host's own settings.
    pub(crate) fn new(wasm: &[u8]) -> Floor {
        Floor::with(wasm, pool())
    }

    /// With the host's settings for code, and a pool as wasmtime gives it to whoever asks for one.
    pub(crate) fn with_default_pool(wasm: &[u8]) -> Floor {
        Floor::with(wasm, PoolingAllocationConfig::default())
    }

    fn with(wasm: &[u8], pool: PoolingAllocationConfig) -> Floor {
        let mut config = config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("the settings of the host work here too");
        let module = Module::from_binary(&engine, wasm).expect("the host has compiled this module before");
        let export = |name| module.get_export_index(name).expect("the guest speaks the core ABI");
        Floor {
            memory: export("memory"),
            alloc: export("weir_alloc"),
            evaluate: export("weir_evaluate"),
            configure: module.get_export_index("weir_configure"),
            pre: Linker::new(&engine).instantiate_pre(&module).expect("the guest imports nothing"),
            engine,
        }
    }

    /// A store, an instance, `alloc`, the request in, `evaluate`, the answer out. No configuration, no checks.
    pub(crate) fn evaluate(&self, request: &[u8]) -> Vec<u8> {
        self.start().try_call(request).expect("the guest answers")
    }

    /// The same for a guest that cannot judge before it is configured.
    pub(crate) fn configured(&self, config: &[u8], request: &[u8]) -> Vec<u8> {
        self.warm(config).try_call(request).expect("the guest answers")
    }

    /// An instance that is configured.
    pub(crate) fn warm(&self, config: &[u8]) -> Warm {
        let mut warm = self.start();
        let Some(configure) = &self.configure else { return warm };
        let configure =
            warm.instance.get_module_export(&mut warm.store, configure).and_then(|export| export.into_func());
        let configure =
            configure.expect("a function").typed::<(i32, i32), i64>(&warm.store).expect("as the ABI says");
        let input = warm.give(config).expect("the guest takes its configuration");
        let refused = configure.call(&mut warm.store, input).expect("the guest configures itself");
        assert_eq!(refused, 0, "the configuration is refused");
        warm
    }

    fn start(&self) -> Warm {
        let mut store = Store::new(&self.engine, ());
        store.set_fuel(FUEL).expect("the engine meters fuel");
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate(&mut store).expect("the pool has room for one more");
        let mut export = |export| instance.get_module_export(&mut store, export).expect("resolved beforehand");
        let memory = export(&self.memory).into_memory().expect("a memory");
        let alloc = export(&self.alloc).into_func().expect("a function");
        let evaluate = export(&self.evaluate).into_func().expect("a function");
        let alloc = alloc.typed(&store).expect("as the ABI says");
        let evaluate = evaluate.typed(&store).expect("as the ABI says");
        Warm { store, instance, memory, alloc, evaluate }
    }
}

impl Warm {
    /// One more call, with a budget of its own.
    pub(crate) fn call(&mut self, request: &[u8]) -> Vec<u8> {
        self.store.set_fuel(FUEL).expect("the engine meters fuel");
        self.store.set_epoch_deadline(u64::MAX / 2);
        self.try_call(request).expect("the guest answers")
    }

    fn try_call(&mut self, request: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let input = self.give(request)?;
        let answer = self.evaluate.call(&mut self.store, input)?;
        let (start, length) = ((answer as u64 >> 32) as usize, answer as u32 as usize);
        Ok(self.memory.data(&self.store)[start..start + length].to_vec())
    }

    fn give(&mut self, bytes: &[u8]) -> wasmtime::Result<(i32, i32)> {
        let length = bytes.len() as i32;
        let pointer = self.alloc.call(&mut self.store, length)?;
        self.memory.write(&mut self.store, pointer as u32 as usize, bytes)?;
        Ok((pointer, length))
    }
}

/// INVARIANT: agrees line by line with `config` and `pool` in `host/runtime/src/engine.rs`, or the ratio means nothing.
fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .native_unwind_info(false)
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .memory_init_cow(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(32));
    config
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_extended_const(true);
    config
}

fn pool() -> PoolingAllocationConfig {
    const INSTANCES: u32 = 512 + 4096;
    const TABLES: u32 = 4;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * TABLES)
        .total_stacks(1024)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .table_elements(10_000)
        .max_memory_size(256 << 20)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
