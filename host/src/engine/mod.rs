//! All stages, put together: what the API, the command line and the worker call.

mod attempt;
pub(crate) mod json_body;
mod plugins;
mod refusals;
mod replay;
mod report;
pub(crate) mod template;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

pub use attempt::{AttemptResult, NoAttempt, PreparedAttempt};
pub use plugins::{AdmitError, Observation, SAMPLE_EVENT, SmokeTest, Taken, check_reference};
pub use replay::{NoInput, ReplayInput};
pub use report::{DryRunError, GuardVerdict, Outcome, RenderReport, RenderSetup};

use crate::tenant::limiter::{Caller, LimiterError, Limits, Permit, TenantLimiter};
use crate::{
    backend::{Backend, BackendError, Enqueued, NewDelivery, NewEvent},
    config::Config,
    deliver::{Client, ClientError},
    guard::Guard,
    ingest::Incoming,
    model::{DeliveryId, FieldError, FieldErrors, TenantId, WebhookSpec},
    rules::ConditionLimits,
    sandbox::{JINJA, Sandbox, SandboxError, Transformer},
    telemetry::Metrics,
    tenant::{Snapshot, SnapshotCache, snapshot::guest_view},
};
use plugins::{TransformerCache, admission};
use refusals::Refusals;

/// The name of the built-in transformer.
pub const BUILT_IN: &str = "jinja";

/// Rows (events and deliveries) that are on their way into the store at once, with one more for each kilobyte of an
/// event: what comes after waits for them. A thousand take some ten milliseconds, and one request may have more.
const STORED_AT_ONCE: u32 = 4000;
/// How long work on a processor goes on before others get their turn, if it can be cut.
const SLICE: Duration = Duration::from_millis(5);
/// One at a time, whoever it is.
const ONE: Limits = Limits {
    all: 1,
    tenant: 1,
    key: 1,
    tenant_places: usize::MAX,
    key_places: usize::MAX,
};

/// Everything that a running hookbox holds. Shared by all tasks.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    backend: Arc<dyn Backend>,
    directory: SnapshotCache,
    sandbox: Sandbox,
    jinja: Transformer,
    shelf: TransformerCache,
    guard: Guard,
    client: Client,
    metrics: Metrics,
    refusals: Refusals,
    /// Work for a processor that would hold up a thread of the runtime: parsing large requests, matching rules,
    /// evaluating conditions.
    compute: TenantLimiter,
    /// Events and deliveries on their way into the store.
    storing: TenantLimiter,
    /// Dry runs under way, name look-ups included.
    dry_runs: TenantLimiter,
    /// Render threads for dry runs: at most half of them, so that deliveries and checks find one.
    dry_renders: TenantLimiter,
    /// Checks of webhooks and trials of plugins, which are nobody's on the render threads.
    checks: TenantLimiter,
    admitting: Semaphore,
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

/// Why events were not accepted. None of the request's events is stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Rules name so many webhooks that this would be too much for one step.
    #[error(
        "the request would cause {deliveries} deliveries; at most {most} are allowed{}",
        if *one_event { " for one event" } else { ": send fewer events at once" }
    )]
    TooManyDeliveries {
        /// How many.
        deliveries: usize,
        /// The limit.
        most: usize,
        /// Whether a single event is over its own limit.
        one_event: bool,
    },
    /// Others were before it for too long.
    #[error("{NOT_YOUR_TURN}")]
    Busy,
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The message for work that did not get its permit in time.
const NOT_YOUR_TURN: &str =
    "other requests of this key, its tenant or too many others were before it; try again";

/// Why a webhook is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It is not right.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// Its plugin cannot be had just now.
    #[error("{0}")]
    Busy(String),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
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
        let (sandbox, jinja) = {
            let (limits, cache) = (config.sandbox.clone(), config.cache_dir());
            let open = move || {
                let sandbox = Sandbox::with_compiler(&limits, Some(&cache), compiler)?;
                let jinja = sandbox.load_own(BUILT_IN, JINJA)?;
                Ok::<_, SandboxError>((sandbox, jinja))
            };
            tokio::task::spawn_blocking(open)
                .await
                .map_err(|_| StartError::Interrupted)??
        };
        let shelf = TransformerCache::new(sandbox.clone(), Arc::clone(&backend), &config);
        let guard = Guard::new(&config.guard, &config.delivery);
        let client = Client::new(&config.delivery, guard.clone())?;
        let directory =
            SnapshotCache::open(Arc::clone(&backend), config.condition_limits()).await?;
        let metrics = Metrics::default();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let render_threads = match u32::try_from(config.sandbox.threads) {
            Ok(0) | Err(_) => cores,
            Ok(threads) => threads,
        };
        Ok(Arc::new(Self {
            config,
            backend,
            directory,
            sandbox,
            jinja,
            shelf,
            guard,
            client,
            metrics,
            refusals: Refusals::default(),
            compute: TenantLimiter::new(Limits::shares(cores.max(4))),
            storing: TenantLimiter::new(Limits::shares(STORED_AT_ONCE)),
            dry_runs: TenantLimiter::new(report::DRY_RUNS),
            dry_renders: TenantLimiter::new(Limits {
                tenant: (render_threads / 2).max(1),
                ..Limits::shares((render_threads / 2).max(1))
            }),
            checks: TenantLimiter::new(ONE),
            admitting: Semaphore::new(admission::AT_ONCE),
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

    /// How long a request waits for a turn: as long as it may take to come.
    const fn patience(&self) -> Duration {
        Duration::from_secs(self.config.server.request_timeout_seconds)
    }

    /// Stages 1 to 3 for one request: matches its events against the tenant's rules and stores them with
    /// their deliveries, all or none. When this returns `Ok`, they are durable.
    ///
    /// # Errors
    /// When the backend fails, more deliveries would follow than one request may cause, or the caller's turn does
    /// not come in time; nothing has been accepted then.
    pub(crate) async fn accept(
        &self,
        caller: &Caller,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Enqueued>, AcceptError> {
        if incoming.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.directory.snapshot(caller.tenant()).await?;
        let batch = self.match_events(caller, &snapshot, incoming).await?;
        let rows = batch.iter().fold(0_usize, |sum, new| {
            let kilobytes = new.event.context().len() / 1024;
            sum.saturating_add(1 + new.deliveries.len())
                .saturating_add(kilobytes)
        });
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let permit = self.storing.acquire(caller, rows, self.patience()).await?;
        let enqueued = self.backend.enqueue(batch).await?;
        drop(permit);
        self.metrics.accepted(&enqueued);
        Ok(enqueued)
    }

    /// The caller's turn to move many deliveries in one step of the store, which takes as much of it as the largest
    /// batch of events.
    ///
    /// # Errors
    /// If the turn does not come in time.
    pub(crate) async fn moving(&self, caller: &Caller) -> Result<Permit, LimiterError> {
        self.storing
            .acquire(caller, u32::MAX, self.patience())
            .await
    }

    /// Matches each event. A tenant's conditions may cost a good part of a second, so this happens within
    /// the caller's share of the processors, a few milliseconds at a time.
    async fn match_events(
        &self,
        caller: &Caller,
        snapshot: &Arc<Snapshot>,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<NewEvent>, AcceptError> {
        let limits = &self.config.limits;
        let (per_event, per_request) = (limits.deliveries_per_event, limits.deliveries_per_request);
        let mut batch = Vec::with_capacity(incoming.len());
        let mut total = 0usize;
        let mut left = incoming.into_iter();
        while left.len() > 0 {
            let snapshot = Arc::clone(snapshot);
            let slice = move || {
                let begun = Instant::now();
                let mut matched = Vec::new();
                while begun.elapsed() < SLICE
                    && let Some(incoming) = left.next()
                {
                    matched.push(match_event(&snapshot, incoming));
                }
                (matched, left)
            };
            let matched;
            (matched, left) = self.compute(caller, slice).await?;
            for new in matched {
                total = total.saturating_add(new.deliveries.len());
                for (deliveries, most, one_event) in [
                    (new.deliveries.len(), per_event, true),
                    (total, per_request, false),
                ] {
                    if deliveries > most {
                        return Err(AcceptError::TooManyDeliveries {
                            deliveries,
                            most,
                            one_event,
                        });
                    }
                }
                batch.push(new);
            }
        }
        Ok(batch)
    }

    /// The tenant's turn to have something checked in the sandbox: one at a time, and tenants in turn.
    async fn check_permit(&self, tenant: &TenantId) -> Result<Permit, LimiterError> {
        self.checks
            .acquire(&Caller::of(tenant), 1, self.patience())
            .await
    }

    /// Checks a webhook's templates, or its settings, as its transformer sees them, in the sandbox. Waits for
    /// a plugin that has to be loaded first. Answers with what may go wrong although it is accepted.
    ///
    /// # Errors
    /// [`CheckError::Invalid`] says the field, the line and what is wrong.
    pub async fn check_webhook(
        &self,
        tenant: &TenantId,
        spec: &WebhookSpec,
    ) -> Result<Vec<String>, CheckError> {
        let snapshot = self.directory.snapshot(tenant).await?;
        let pick = match self
            .pick_and_wait(&snapshot, spec.plugin.as_deref())
            .await?
        {
            Ok(pick) => pick,
            Err(none) => {
                return Err(match none.tell() {
                    (error, false) => FieldErrors::one("plugin", error.message).into(),
                    (error, true) => CheckError::Busy(error.message),
                });
            }
        };
        let permit = self.check_permit(tenant).await;
        let _permit = permit.map_err(|_| CheckError::Busy(NOT_YOUR_TURN.to_owned()))?;
        match self
            .sandbox
            .check(&pick.transformer, guest_view(spec))
            .await
        {
            Ok(()) if is_built_in(spec) => {
                let owner = tenant.as_str().into();
                let warning = json_body::warning(&self.sandbox, &self.jinja, spec, owner).await;
                Ok(warning.into_iter().collect())
            }
            Ok(()) => Ok(Vec::new()),
            Err(error) => Err(FieldErrors(vec![FieldError {
                field: error.field.unwrap_or_else(|| {
                    let field = if spec.plugin.is_some() {
                        "settings"
                    } else {
                        "body_template"
                    };
                    field.to_owned()
                }),
                line: error.line,
                message: error.message,
            }])
            .into()),
        }
    }
}

/// Matches one event against the tenant's rules.
fn match_event(snapshot: &Snapshot, incoming: Incoming) -> NewEvent {
    let Incoming { event, idempotency } = incoming;
    let event = snapshot.rules().recognize(event);
    let (targets, explanation) = snapshot.rules().match_event(&event).into_parts();
    let deliveries = targets
        .iter()
        .map(|target| NewDelivery {
            id: DeliveryId::generate(),
            webhook: target.webhook().clone(),
            rule: target.rule().clone(),
        })
        .collect();
    NewEvent {
        event,
        idempotency,
        deliveries,
        explanation,
    }
}

impl From<LimiterError> for AcceptError {
    fn from(error: LimiterError) -> Self {
        match error {
            LimiterError::QueueFull | LimiterError::TimedOut => Self::Busy,
            LimiterError::Panicked => Self::Backend(BackendError::Internal(
                "matching rules ended early".to_owned(),
            )),
        }
    }
}

/// Whether the webhook's templates are what is rendered.
fn is_built_in(spec: &WebhookSpec) -> bool {
    spec.plugin.as_deref().is_none_or(|name| name == BUILT_IN)
}

/// The sandbox and the built-in transformer. Blocking.
///
/// # Errors
/// When the machine cannot host the sandbox.
pub fn open_sandbox(
    limits: &crate::config::SandboxConfig,
    cache: Option<&Path>,
) -> Result<(Sandbox, Transformer), SandboxError> {
    let sandbox = Sandbox::new(limits, cache)?;
    let jinja = sandbox.load(BUILT_IN, JINJA)?;
    Ok((sandbox, jinja))
}

impl Config {
    /// The limits of conditions.
    #[must_use]
    pub fn condition_limits(&self) -> ConditionLimits {
        ConditionLimits {
            bytes: self.limits.conditions_bytes,
            depth: self.limits.conditions_depth,
            count: self.limits.conditions_count,
        }
    }

    /// How long one attempt of this webhook may take.
    #[must_use]
    pub fn timeout_of(&self, spec: &WebhookSpec) -> Duration {
        let seconds = spec.timeout.unwrap_or(self.delivery.timeout_seconds);
        Duration::from_secs(seconds.min(self.delivery.max_timeout_seconds).into())
    }
}
