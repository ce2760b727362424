//! What the tests share: see the modules of `tests/it`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot do its work fails the test"
)]

pub mod api;
pub mod crowd;
pub mod fleet;
pub mod fuzz;
pub mod guest;
pub mod hostile;
pub mod loads;
pub mod netbox;
pub mod plugins;
pub mod process;
pub mod proxy;
pub mod python;
pub mod redis;
pub mod replay;
pub mod resident;
pub mod server;
pub mod sink;
pub mod storm;
