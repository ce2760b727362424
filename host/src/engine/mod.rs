//! All stages, put together: what the API, the command line and the worker call.

mod attempt;
mod report;

use std::{path::Path, sync::Arc, time::Duration};

pub use report::{GuardVerdict, Outcome, RenderReport, RenderSetup};

use crate::{
    config::Config,
    deliver::{Client, ClientError},
    guard::Guard,
    ingest::Incoming,
    model::{DeliveryId, FieldError, FieldErrors, TenantId, WebhookSpec},
    queue::{Enqueued, NewDelivery, NewEvent},
    registry::{Backend, BackendError, Directory, directory::guest_view},
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
        Ok(Arc::new(Self {
            config,
            backend,
            directory,
            sandbox,
            jinja,
            guard,
            client,
            metrics,
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
    /// When the backend fails; nothing has been accepted then.
    pub async fn accept(
        &self,
        tenant: &TenantId,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Enqueued>, BackendError> {
        if incoming.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.directory.snapshot(tenant).await?;
        let most = self.config.limits.deliveries_per_event;
        let batch: Vec<NewEvent> = incoming
            .into_iter()
            .map(|incoming| {
                let (targets, explanation) =
                    snapshot.rules().match_event(&incoming.event).into_parts();
                if targets.len() > most {
                    tracing::warn!(
                        %tenant, event = %incoming.event.id(), targets = targets.len(), most,
                        "an event matches more webhooks than limits.deliveries_per_event; the rest is left out"
                    );
                }
                let deliveries = targets
                    .iter()
                    .take(most)
                    .map(|target| NewDelivery {
                        id: DeliveryId::generate(),
                        webhook: target.webhook().clone(),
                        rule: target.rule().clone(),
                    })
                    .collect();
                NewEvent {
                    event: incoming.event,
                    idempotency: incoming.idempotency,
                    deliveries,
                    explanation,
                }
            })
            .collect();
        let enqueued = self.backend.enqueue(batch).await?;
        self.metrics.accepted(&enqueued);
        Ok(enqueued)
    }

    /// Checks a webhook's templates as its transformer sees them, in the sandbox.
    ///
    /// # Errors
    /// The field, the line and what is wrong.
    pub async fn check_webhook(&self, spec: &WebhookSpec) -> Result<(), FieldErrors> {
        let transformer = self
            .transformer(spec)
            .map_err(|e| FieldErrors::one("plugin", e.message))?;
        match self.sandbox.check(transformer, guest_view(spec)).await {
            Ok(()) => Ok(()),
            Err(error) => Err(FieldErrors(vec![FieldError {
                field: error.field.unwrap_or_else(|| "body_template".to_owned()),
                line: error.line,
                message: error.message,
            }])),
        }
    }

    /// The transformer that a webhook names.
    fn transformer(&self, spec: &WebhookSpec) -> Result<&Transformer, RenderError> {
        match spec.plugin.as_deref() {
            None | Some(BUILT_IN) => Ok(&self.jinja),
            Some(other) => Err(RenderError::new(
                ErrorKind::PluginError,
                format!(
                    "there is no transformer named {other:?}; the built-in one is {BUILT_IN:?}"
                ),
            )
            .in_field("plugin")),
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
