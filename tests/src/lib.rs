//! What the tests share: see the modules of `tests/it`.

pub mod server;
pub mod sink;
