//! A running instance, which the API and the worker call.
//!
//! The [`Engine`] holds all parts and puts them together: `accept.rs` takes events in, `attempt.rs` makes attempts of
//! claimed deliveries, and `check.rs`, `dry_run.rs` and `replay.rs` try webhooks out. The steps themselves are in
//! `pipeline/`, and the transformers in `transformers/`.

mod accept;
mod attempt;
mod check;
mod dry_run;
mod replay;

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

pub use accept::AcceptError;
pub use attempt::{AttemptResult, NoAttempt, PreparedAttempt};
pub use check::CheckError;
pub use dry_run::DryRunError;
pub use replay::{NoInput, ReplayInput};

use crate::{
    backend::{Backend, BackendError},
    config::Config,
    deliver::ClientError,
    pipeline::Pipeline,
    sandbox::SandboxError,
    telemetry::Metrics,
    tenant::{
        Changes, SnapshotCache,
        limiter::{Caller, LimiterError, Limits, Permit, TenantLimiter},
    },
    transformers::Transformers,
};

/// Rows (events and deliveries) that are on their way into the store at once, with one more for each kilobyte of an
/// event; further ones wait. A thousand take some ten milliseconds, and one request may have more.
const STORED_AT_ONCE: u32 = 4000;
/// Time slice of divisible work on a processor, after which others get their turn.
const SLICE: Duration = Duration::from_millis(5);
/// The message for work that did not get its permit in time.
const NOT_YOUR_TURN: &str =
    "other requests of this key or its tenant, or too many others, came first; try again";

/// Everything that a running hookbox holds. Shared by all tasks.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    backend: Arc<dyn Backend>,
    changes: Arc<Changes>,
    snapshots: SnapshotCache,
    transformers: Transformers,
    pipeline: Pipeline,
    metrics: Metrics,
    /// Work for a processor that would hold up a thread of the runtime: parsing large requests, matching rules,
    /// evaluating conditions.
    compute: TenantLimiter,
    /// Events and deliveries on their way into the store.
    storing: TenantLimiter,
    /// Dry runs in flight, name look-ups included.
    dry_runs: TenantLimiter,
    /// Render threads for dry runs: at most half of them, so that deliveries and checks find one.
    dry_renders: TenantLimiter,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This program's own file, which is started again as the compiler of plugins.
    #[error("hookbox cannot find its own program file: {0}")]
    Program(std::io::Error),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The sandbox.
    #[error("the sandbox cannot be set up: {0}")]
    Sandbox(#[from] SandboxError),
    /// The HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] ClientError),
    /// A thread.
    #[error("start-up was interrupted")]
    Interrupted,
}

impl Engine {
    /// Sets everything up on this backend. Compiled transformers are cached under the data directory; the
    /// first start compiles the built-in one, which takes a few seconds. Plugins are compiled by this program,
    /// started again, whose `main` must begin with [`crate::sandbox::serve_as_compiler`].
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(config: Config, backend: Arc<dyn Backend>) -> Result<Arc<Self>, StartError> {
        let program = std::env::current_exe().map_err(StartError::Program)?;
        Self::open_with_compiler(config, backend, program).await
    }

    /// The same with another program as the compiler, for those that are not `hookbox` themselves.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open_with_compiler(
        config: Config,
        backend: Arc<dyn Backend>,
        compiler: PathBuf,
    ) -> Result<Arc<Self>, StartError> {
        let config = Arc::new(config);
        let changes = Arc::new(Changes::new(Arc::clone(&backend)));
        let transformers = {
            let (config, backend) = (Arc::clone(&config), Arc::clone(&backend));
            let changes = Arc::clone(&changes);
            let open = move || Transformers::open(config, backend, changes, compiler);
            tokio::task::spawn_blocking(open)
                .await
                .map_err(|_| StartError::Interrupted)??
        };
        let pipeline = Pipeline::new(Arc::clone(&config), transformers.sandbox().clone())?;
        let limits = (&config.limits).into();
        let snapshots = SnapshotCache::open(Arc::clone(&backend), limits).await?;
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let render_threads = match u32::try_from(config.sandbox.threads) {
            Ok(0) | Err(_) => cores,
            Ok(threads) => threads,
        };
        Ok(Arc::new(Self {
            config,
            backend,
            changes,
            snapshots,
            transformers,
            pipeline,
            metrics: Metrics::default(),
            compute: TenantLimiter::new(Limits::shares(cores.max(4))),
            storing: TenantLimiter::new(Limits::shares(STORED_AT_ONCE)),
            dry_runs: TenantLimiter::new(dry_run::DRY_RUNS),
            dry_renders: TenantLimiter::new(Limits {
                tenant: (render_threads / 2).max(1),
                ..Limits::shares((render_threads / 2).max(1))
            }),
        }))
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where everything is stored.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Changes of tenants' configuration.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The transformers of all tenants.
    pub(crate) const fn transformers(&self) -> &Transformers {
        &self.transformers
    }

    /// Counters and histograms.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs work that needs a processor for more than a moment, such as parsing a large request, away from the
    /// runtime's threads and within the caller's share of the processors.
    ///
    /// # Errors
    /// When the caller's turn does not come within `server.request_timeout_seconds`, or the work panics.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        caller: &Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LimiterError> {
        self.compute.run(caller, self.patience(), work).await
    }

    /// The longest wait of a request for a permit, the same as for its body.
    fn patience(&self) -> Duration {
        Duration::from_secs(self.config.server.request_timeout_seconds)
    }

    /// A permit to move many deliveries in one step of the store. Such a step takes as much of the store as the largest
    /// batch of events.
    ///
    /// # Errors
    /// If the permit does not come in time.
    pub(crate) async fn moving(&self, caller: &Caller) -> Result<Permit, LimiterError> {
        self.storing
            .acquire(caller, u32::MAX, self.patience())
            .await
    }
}
