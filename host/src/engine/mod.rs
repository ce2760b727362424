//! All stages, put together: what the API, the command line and the worker call.

mod attempt;
mod plugins;
mod refusals;
mod replay;
mod report;
mod turns;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

pub use attempt::{Begun, Made, NoAttempt};
pub use plugins::{AdmitError, Observation, SAMPLE_EVENT, Taken, Trial, check_reference};
pub use replay::{NoInput, ReplayInput};
pub use report::{DryRunError, GuardVerdict, Outcome, RenderReport, RenderSetup};
pub(crate) use turns::{Place, TenantTurns, Turn};

use crate::{
    config::Config,
    deliver::{Client, ClientError},
    guard::Guard,
    ingest::Incoming,
    model::{DeliveryId, FieldError, FieldErrors, TenantId, WebhookSpec},
    queue::{Enqueued, NewDelivery, NewEvent},
    registry::{Backend, BackendError, Directory, Snapshot, directory::guest_view},
    rules::ConditionLimits,
    sandbox::{JINJA, Sandbox, SandboxError, Transformer},
    telemetry::Metrics,
};
use plugins::{Shelf, admission};
use refusals::Refusals;

/// The name of the built-in transformer.
pub const BUILT_IN: &str = "jinja";

/// Everything that a running hookbox holds. Shared by all tasks.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    backend: Arc<dyn Backend>,
    directory: Directory,
    sandbox: Sandbox,
    jinja: Transformer,
    shelf: Shelf,
    guard: Guard,
    client: Client,
    metrics: Metrics,
    refusals: Refusals,
    matching: Semaphore,
    /// Only places.
    dry_runs: TenantTurns,
    /// Checks of webhooks and trials of plugins, which are nobody's on the render threads.
    checks: TenantTurns,
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
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// Why a webhook is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It is not right.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// Its plugin cannot be had just now.
    #[error("{0}")]
    NotNow(String),
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
        let shelf = Shelf::new(sandbox.clone(), Arc::clone(&backend), &config);
        let guard = Guard::new(&config.guard, &config.delivery);
        let client = Client::new(&config.delivery, guard.clone())?;
        let directory = Directory::open(Arc::clone(&backend), config.condition_limits()).await?;
        let metrics = Metrics::default();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let matching = Semaphore::new(cores);
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
            matching,
            dry_runs: TenantTurns::new(0),
            checks: TenantTurns::new(1),
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

    /// Stages 1 to 3 for one request: matches its events against the tenant's rules and stores them with
    /// their deliveries, all or none. When this returns `Ok`, they are durable.
    ///
    /// # Errors
    /// When the backend fails, or more deliveries would follow than one request may cause; nothing has
    /// been accepted then.
    pub async fn accept(
        &self,
        tenant: &TenantId,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Enqueued>, AcceptError> {
        if incoming.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.directory.snapshot(tenant).await?;
        let limits = &self.config.limits;
        let mut batch = Vec::with_capacity(incoming.len());
        let mut total = 0usize;
        for incoming in incoming {
            let new = self.match_event(&snapshot, incoming).await?;
            total = total.saturating_add(new.deliveries.len());
            for (deliveries, most, one_event) in [
                (new.deliveries.len(), limits.deliveries_per_event, true),
                (total, limits.deliveries_per_request, false),
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
        let enqueued = self.backend.enqueue(batch).await?;
        self.metrics.accepted(&enqueued);
        Ok(enqueued)
    }

    /// What follows from one event. A tenant's conditions may cost a good part of a second, so this happens
    /// away from the runtime's threads, on as many at once as there are cores, and event by event, so
    /// that requests of other tenants get their turn in between.
    async fn match_event(
        &self,
        snapshot: &Arc<Snapshot>,
        incoming: Incoming,
    ) -> Result<NewEvent, BackendError> {
        let interrupted = |e: &dyn std::fmt::Display| {
            BackendError::Internal(format!("matching rules ended early: {e}"))
        };
        let _turn = self.matching.acquire().await.map_err(|e| interrupted(&e))?;
        let snapshot = Arc::clone(snapshot);
        let matching = move || {
            let Incoming { event, idempotency } = incoming;
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
        };
        tokio::task::spawn_blocking(matching)
            .await
            .map_err(|e| interrupted(&e))
    }

    /// Checks a webhook's templates, or its settings, as its transformer sees them, in the sandbox. Waits for
    /// a plugin that has to be loaded first.
    ///
    /// # Errors
    /// [`CheckError::Invalid`] says the field, the line and what is wrong.
    pub async fn check_webhook(
        &self,
        tenant: &TenantId,
        spec: &WebhookSpec,
    ) -> Result<(), CheckError> {
        let snapshot = self.directory.snapshot(tenant).await?;
        let pick = match self
            .pick_and_wait(&snapshot, spec.plugin.as_deref())
            .await?
        {
            Ok(pick) => pick,
            Err(none) => {
                return Err(match none.tell() {
                    (error, false) => FieldErrors::one("plugin", error.message).into(),
                    (error, true) => CheckError::NotNow(error.message),
                });
            }
        };
        let _turn = self.checks.wait(tenant).await;
        match self
            .sandbox
            .check(&pick.transformer, guest_view(spec))
            .await
        {
            Ok(()) => Ok(()),
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
    /// What conditions may be.
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
