//! What the tests share: see the modules of `tests/it`.

pub mod process;
