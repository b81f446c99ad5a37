//! How WebAssembly runs here: the compiler, its cache on disk, the pool of memories, the clock that
//! interrupts a guest that never yields. It knows no component and no interface.

use std::path::Path;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig, WasmBacktraceDetails,
};

/// Linear memory that one instance (all its composed parts together) may have, in bytes, unless the
/// operator says otherwise.
pub const MAX_INSTANCE_MEMORY: usize = 256 << 20;

/// Table elements that one instance may have.
pub const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Component instances that may exist at once, of all components together. Each is a composition
/// whose parts have a memory each.
pub const MAX_INSTANCES: u32 = 512;

/// Core modules of one composed component (its parts and their adapters).
const MAX_CORE_INSTANCES_PER_COMPONENT: u32 = 200;

/// Memories of one composed component.
const MAX_MEMORIES_PER_COMPONENT: u32 = 16;

/// Memories of all instances together. Each takes 4 GiB of address space, hardly any of it backed.
const MAX_MEMORIES: u32 = 3_072;

/// Address space of one memory: with less, every access is checked, which doubles a call's cost.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// What a freed memory keeps for the next instance instead of giving it back to the kernel.
const MEMORY_KEEP_RESIDENT: usize = 2 << 20;

/// As [`MEMORY_KEEP_RESIDENT`], for tables.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// Native stack of one call.
const STACK_SIZE: usize = 1 << 20;

/// How often a running guest yields to the scheduler, so that time-outs can stop it.
pub const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Starts the engine. Compiled code is kept in `cache`, an absolute path that need not exist; a memory
/// has at most `memory` bytes.
///
/// # Errors
/// When the cache folder cannot be used or this machine cannot run wasmtime.
pub fn start(cache: &Path, memory: usize) -> wasmtime::Result<Engine> {
    let cache = Cache::new({
        let mut config = CacheConfig::new();
        config.with_directory(cache);
        config
    })?;
    let engine = match Engine::new(&config(cache.clone(), Some(memory))) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "no room for the pool of memories (is the address space limited, `ulimit -v`?): \
                 each instance gets its own memory, which costs about 100 µs a new instance"
            );
            Engine::new(&config(cache, None))?
        }
    };
    tick(&engine)?;
    Ok(engine)
}

fn config(cache: Cache, pooled: Option<usize>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_reservation(MEMORY_RESERVATION)
        // Function names in a trap's trace are enough; file and line would be read from DWARF.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .async_stack_size(STACK_SIZE * 2)
        .max_wasm_stack(STACK_SIZE)
        .cache(Some(cache));
    if let Some(memory) = pooled {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(MAX_INSTANCES)
            .total_core_instances(MAX_INSTANCES * 24)
            .total_memories(MAX_MEMORIES)
            .total_tables(MAX_MEMORIES * 4)
            .total_stacks(MAX_INSTANCES * 4)
            .max_core_instances_per_component(MAX_CORE_INSTANCES_PER_COMPONENT)
            .max_memories_per_component(MAX_MEMORIES_PER_COMPONENT)
            .max_tables_per_component(MAX_MEMORIES_PER_COMPONENT * 4)
            .max_component_instance_size(4 << 20)
            .max_core_instance_size(1 << 20)
            .max_memory_size(memory)
            .table_elements(MAX_TABLE_ELEMENTS)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
            .table_keep_resident(TABLE_KEEP_RESIDENT)
            .async_stack_keep_resident(64 << 10)
            .max_unused_warm_slots(64)
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Advances the epoch until the engine is gone. A thread, because a guest that spins on every thread
/// of the async runtime must be interrupted all the same.
fn tick(engine: &Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH_TICK);
            }
        })?;
    Ok(())
}
