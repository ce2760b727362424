//! All stages, put together: what the API, the command line and the worker call.

mod attempt;
mod report;

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use report::{GuardVerdict, Outcome, RenderReport, RenderSetup};

use crate::{
    config::Config,
    deliver::{Client, ClientError},
    guard::Guard,
    ingest::Incoming,
    model::{DeliveryId, FieldError, FieldErrors, TenantId, WebhookSpec},
    queue::{Enqueued, NewDelivery, NewEvent},
    registry::{Backend, BackendError, Directory, Snapshot, directory::guest_view},
    rules::ConditionLimits,
    sandbox::{ErrorKind, JINJA, RenderError, Sandbox, SandboxError, Transformer},
    telemetry::Metrics,
};

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
    guard: Guard,
    client: Client,
    metrics: Metrics,
    matching: Semaphore,
    dry_runs: Semaphore,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
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

impl Engine {
    /// Sets everything up on this backend. Compiled transformers are cached under the data directory; the
    /// first start compiles the built-in one, which takes a few seconds.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn open(config: Config, backend: Arc<dyn Backend>) -> Result<Arc<Self>, StartError> {
        let (sandbox, jinja) = {
            let (limits, cache) = (config.sandbox.clone(), config.cache_dir());
            tokio::task::spawn_blocking(move || open_sandbox(&limits, Some(&cache)))
                .await
                .map_err(|_| StartError::Interrupted)??
        };
        let guard = Guard::new(&config.guard);
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
            guard,
            client,
            metrics,
            matching,
            dry_runs: Semaphore::new(1),
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

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.encode()
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

    /// Checks a webhook's templates as its transformer sees them, in the sandbox.
    ///
    /// # Errors
    /// The field, the line and what is wrong.
    pub async fn check_webhook(&self, spec: &WebhookSpec) -> Result<(), FieldErrors> {
        let transformer = self
            .transformer(spec)
            .map_err(|e| FieldErrors::one("plugin", e.message))?;
        let _turn = self.dry_runs.acquire().await;
        match self.sandbox.check(transformer, guest_view(spec)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(FieldErrors(vec![FieldError {
                field: error.field.unwrap_or_else(|| "body_template".to_owned()),
                line: error.line,
                message: error.message,
            }])),
        }
    }

    /// The transformer that a webhook names, as `name` or as `name@version`.
    fn transformer(&self, spec: &WebhookSpec) -> Result<&Transformer, RenderError> {
        const VERSION: &str = env!("CARGO_PKG_VERSION");
        let named = spec.plugin.as_deref().unwrap_or(BUILT_IN);
        let message = match named.split_once('@').unwrap_or((named, VERSION)) {
            (BUILT_IN, VERSION) => return Ok(&self.jinja),
            (BUILT_IN, other) => format!(
                "there is no version {other:?} of {BUILT_IN:?} here; it is {VERSION:?}, and the name alone \
                 means whichever version comes with hookbox"
            ),
            (other, _) => {
                format!("there is no transformer named {other:?}; the built-in one is {BUILT_IN:?}")
            }
        };
        Err(RenderError::new(ErrorKind::PluginError, message).in_field("plugin"))
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
