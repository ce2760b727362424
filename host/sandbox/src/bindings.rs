//! The world of `wit/transformer.wit` as Rust types and typed calls.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "transformer",
});

pub(super) use self::hookbox::transformer::{host::Level, types};
