//! The engine: which WebAssembly there is, what it costs, and where instances live.

use std::{num::NonZeroUsize, thread, time::Duration};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig,
    VariableOperatorCost,
};

use super::{
    SandboxError,
    limits::{CORE_INSTANCES, Limits, MEMORIES, TABLES},
};
use crate::config::SandboxConfig;

/// Interval at which the epoch rises: the resolution of the wall-clock deadline.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Fuel for each page a memory grows by: about what zeroing one takes.
const PAGE_FUEL: u8 = 255;

/// Most render threads, and so instances at once.
const MAX_THREADS: usize = 64;

/// Makes the engine and says how many instances it can hold at once, which is the number of render threads.
///
/// Each instance has address space of its own for [`MEMORIES`] memories of 4 GiB (reserved, not used:
/// what makes bounds checks free). Where there is too little of it, there are fewer instances.
pub(super) fn build(config: &SandboxConfig) -> Result<(Engine, usize), SandboxError> {
    let wanted = match config.threads {
        0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        n => n,
    }
    .clamp(1, MAX_THREADS);
    let mut threads = wanted;
    loop {
        match Engine::new(&engine_config(config, threads)) {
            Ok(engine) => {
                if threads < wanted {
                    tracing::warn!(
                        wanted,
                        threads,
                        "there is too little address space for all render threads"
                    );
                }
                spawn_ticker(&engine)?;
                return Ok((engine, threads));
            }
            Err(error) if threads == 1 => {
                return Err(SandboxError::Engine(format!("{error:#}")));
            }
            Err(_) => threads /= 2,
        }
    }
}

/// An engine that only compiles: what it makes runs in the other one, and it takes no address space.
pub(super) fn compiler(config: &SandboxConfig) -> wasmtime::Result<Engine> {
    Engine::new(&code_config(config))
}

fn engine_config(config: &SandboxConfig, threads: usize) -> Config {
    let mut c = code_config(config);
    // Where instances live: in slots that are mapped once, whose memories start as copy-on-write images.
    c.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config, threads)));
    c
}

/// All that compiled code depends on.
fn code_config(config: &SandboxConfig) -> Config {
    let mut c = Config::new();

    // Cost: fuel is the bill and the limit; the epoch is the clock.
    c.consume_fuel(true);
    c.operator_cost(OperatorCost {
        variable: VariableOperatorCost {
            memory_grow_per_page: PAGE_FUEL,
            ..VariableOperatorCost::new()
        },
        ..OperatorCost::new()
    });
    c.epoch_interruption(true);
    c.max_wasm_stack(config.stack_bytes);

    // Features that guests do not need are off: each has had holes through which guests escaped or fuel was lost.
    c.concurrency_support(false);
    c.wasm_component_model_error_context(false);
    c.wasm_component_model_gc(false);
    c.wasm_gc(false);
    c.wasm_function_references(false);
    c.wasm_exceptions(false);
    c.wasm_threads(false);
    c.shared_memory(false);
    c.wasm_memory64(false);
    c.wasm_multi_memory(false);
    c.wasm_custom_page_sizes(false);
    c.wasm_tail_call(false);
    c.wasm_stack_switching(false);
    c.wasm_wide_arithmetic(false);
    c.wasm_relaxed_simd(false);
    c.wasm_simd(true);
    c.wasm_bulk_memory(true);

    // Same input, same output, on every machine.
    c.cranelift_nan_canonicalization(true);
    c.relaxed_simd_deterministic(true);

    // A trap shows the author a few frames. Nothing is registered with the system's unwinder, as that is slow with many
    // components.
    c.wasm_backtrace_max_frames(NonZeroUsize::new(4));
    c.native_unwind_info(false);

    c.memory_init_cow(true);
    c.memory_may_move(false);
    c
}

fn pool(config: &SandboxConfig, threads: usize) -> PoolingAllocationConfig {
    let limits = Limits::new(config);
    let instances = u32::try_from(threads).unwrap_or(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_gc_heaps(0)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        // Pages are wiped in place up to this size instead of being given back, so that the next
        // instance has no page faults. Bounded, as it is held for each slot.
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT_TABLE)
        .max_unused_warm_slots(instances)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Bytes of a memory that stay mapped between two runs.
const KEEP_RESIDENT: usize = 4 << 20;
/// The same of a table.
const KEEP_RESIDENT_TABLE: usize = 64 << 10;

/// Raises the epoch for as long as the engine lives.
fn spawn_ticker(engine: &Engine) -> Result<(), SandboxError> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("sandbox-epoch".to_owned())
        .stack_size(64 << 10)
        .spawn(move || {
            loop {
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.increment_epoch();
            }
        })
        .map(drop)
        .map_err(SandboxError::Threads)
}
