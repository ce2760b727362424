//! Render → build → guard → send → attempt: one path for deliveries, dry runs, smoke tests and the command line.
//!
//! | step | from | result | where |
//! |---|---|---|---|
//! | render, build | a transformer, an event and a `Render` | `Rendered` | `render.rs` |
//! | guard, send | an [`crate::request::OutboundRequest`] | `Exchange` | `exchange.rs` |
//! | record | both results | [`crate::record::Attempt`] | `attempt.rs` |
//! | report | the first result and the guard's verdict | [`RenderReport`] | `dry_run.rs` |
//!
//! A dry run, a smoke test and the command line end after the first step. Only a delivery sends.

mod attempt;
mod dry_run;
mod exchange;
pub(crate) mod json_body;
mod refusals;
mod render;

use std::sync::Arc;

pub(crate) use attempt::Stages;
pub use dry_run::{GuardVerdict, Outcome, RenderReport, RenderSetup};
pub(crate) use exchange::{Exchange, Target};
pub(crate) use render::{Render, RenderOutcome, Rendered};

use crate::{
    config::Config,
    deliver::{Client, ClientError},
    guard::Guard,
    sandbox::Sandbox,
};
use refusals::Refusals;

/// The parts that the steps of every delivery use.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) guard: Guard,
    config: Arc<Config>,
    sandbox: Sandbox,
    client: Client,
    refusals: Refusals,
}

impl Pipeline {
    /// Sets up the guard and the HTTP client.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub(crate) fn new(config: Arc<Config>, sandbox: Sandbox) -> Result<Self, ClientError> {
        let guard = Guard::new(&config.guard, &config.delivery);
        Ok(Self {
            client: Client::new(&config.delivery, guard.clone())?,
            guard,
            config,
            sandbox,
            refusals: Refusals::default(),
        })
    }
}
