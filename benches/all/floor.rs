//! The floor: the same guest in a fresh instance of bare wasmtime, in the quickest way its API offers.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, ModuleExport, OptLevel,
    PoolingAllocationConfig, Store, Strategy,
};

/// As the default limits of a policy: both sides pay for metering.
const FUEL: u64 = 5_000_000;

/// A compiled guest with its exports resolved.
pub(crate) struct Floor {
    engine: Engine,
    pre: InstancePre<()>,
    memory: ModuleExport,
    alloc: ModuleExport,
    evaluate: ModuleExport,
}

impl Floor {
    pub(crate) fn new(wasm: &[u8]) -> Floor {
        let engine = Engine::new(&config()).expect("the settings of the host work here too");
        let module = Module::from_binary(&engine, wasm).expect("the host has compiled this module before");
        let export = |name| module.get_export_index(name).expect("the guest speaks the core ABI");
        Floor {
            memory: export("memory"),
            alloc: export("weir_alloc"),
            evaluate: export("weir_evaluate"),
            pre: Linker::new(&engine).instantiate_pre(&module).expect("the guest imports nothing"),
            engine,
        }
    }

    /// A store, an instance, `alloc`, the request in, `evaluate`, the answer out. No configuration, no checks.
    pub(crate) fn evaluate(&self, request: &[u8]) -> Vec<u8> {
        self.try_evaluate(request).expect("the guest answers")
    }

    fn try_evaluate(&self, request: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let mut store = Store::new(&self.engine, ());
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate(&mut store)?;
        let mut export = |export| instance.get_module_export(&mut store, export).expect("resolved beforehand");
        let memory = export(&self.memory).into_memory().expect("a memory");
        let alloc = export(&self.alloc).into_func().expect("a function");
        let evaluate = export(&self.evaluate).into_func().expect("a function");
        let length = request.len() as i32;
        let pointer = alloc.typed::<i32, i32>(&store)?.call(&mut store, length)?;
        memory.write(&mut store, pointer as u32 as usize, request)?;
        let answer = evaluate.typed::<(i32, i32), i64>(&store)?.call(&mut store, (pointer, length))?;
        let (start, length) = ((answer as u64 >> 32) as usize, answer as u32 as usize);
        Ok(memory.data(&store)[start..start + length].to_vec())
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
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .memory_init_cow(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
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
    const INSTANCES: u32 = 512;
    const TABLES: u32 = 4;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * TABLES)
        .total_stacks(INSTANCES)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .table_elements(10_000)
        .max_memory_size(256 << 20)
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
