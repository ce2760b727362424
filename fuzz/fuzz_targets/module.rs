//! See `hookbox_tests::fuzz::module`: modules that validate, with all that transformers may use.
#![no_main]

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use wasm_smith::{Config, Module};

fuzz_target!(|input: &[u8]| {
    let config = Config {
        max_imports: 0,
        max_memories: 1,
        max_memory32_bytes: 32 << 20,
        max_table_elements: 20_000,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..Config::default()
    };
    if let Ok(module) = Module::new(config, &mut Unstructured::new(input)) {
        hookbox_tests::fuzz::module(&module.to_bytes());
    }
});
