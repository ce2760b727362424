//! The render report: what a webhook would send for an event, without sending or storing anything.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Engine;
use crate::{
    config::Config,
    guard::Guard,
    ingest::Event,
    model::{DeliveryId, TenantId, Timestamp, WebhookId, WebhookSpec},
    record::RequestRecord,
    registry::{BackendError, WebhookSecrets, directory::guest_view},
    request::{OutboundRequest, RequestContext},
    sandbox::{LogLine, Output, RenderError, RenderJob, Sandbox, Transformer},
};

/// What a webhook would do with an event, the same from the command line and the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RenderReport {
    /// Which of the three it is.
    pub outcome: Outcome,
    /// The request that would be sent. Secrets are redacted.
    pub request: Option<RequestRecord>,
    /// Why nothing would be sent.
    pub skip_reason: Option<String>,
    /// Why there is no request.
    pub error: Option<RenderError>,
    /// Fuel spent: deterministic.
    pub fuel: u64,
    /// The most linear memory held at once.
    pub peak_memory_bytes: u64,
    /// Time in the sandbox, in microseconds.
    pub elapsed_us: u64,
    /// What the transformer logged.
    pub logs: Vec<LogLine>,
    /// Whether the request might go where it wants to.
    pub guard: Option<GuardVerdict>,
    /// Things that work but probably are not meant so.
    pub warnings: Vec<String>,
}

/// The three ways a render can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is a request.
    Request,
    /// The transformer wants nothing sent.
    Skip,
    /// It failed.
    Error,
}

/// What the address guard says to a URL just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuardVerdict {
    /// Whether a delivery would be allowed.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// What a render needs besides the event: the same for a dry run in a server and on the command line.
#[derive(Debug)]
pub struct RenderSetup<'a> {
    /// The configuration: limits and the user agent.
    pub config: &'a Config,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// The transformer to run.
    pub transformer: &'a Transformer,
    /// The address guard.
    pub guard: &'a Guard,
    /// The secrets that the webhook may place.
    pub secrets: WebhookSecrets,
}

impl RenderSetup<'_> {
    /// Runs a webhook on an event up to the point of sending. Resolves the host's name; connects to
    /// nothing.
    pub async fn report(&self, webhook: &WebhookSpec, event: &Event) -> RenderReport {
        let job = RenderJob {
            event: Arc::clone(event.context()),
            webhook: guest_view(webhook),
            secrets: Arc::clone(&self.secrets.handles),
            // Dry runs wait for one another before they come here.
            owner: Arc::default(),
        };
        let rendering = self.sandbox.render(self.transformer, job).await;
        let mut report = RenderReport {
            outcome: Outcome::Error,
            request: None,
            skip_reason: None,
            error: None,
            fuel: rendering.cost.fuel,
            peak_memory_bytes: rendering.cost.peak_memory_bytes,
            elapsed_us: rendering.cost.elapsed_us,
            logs: rendering.logs,
            guard: None,
            warnings: Vec::new(),
        };
        let rendered = match rendering.output {
            Output::Request(rendered) => rendered,
            Output::Skip(reason) => {
                report.outcome = Outcome::Skip;
                report.skip_reason = Some(reason);
                return report;
            }
            Output::Error(error) => {
                report.error = Some(error);
                return report;
            }
        };
        let context = RequestContext {
            webhook,
            delivery: &DeliveryId::from("dlv_dry_run"),
            now: Timestamp::now(),
            secrets: &self.secrets.values,
            limits: &self.config.sandbox,
            user_agent: &self.config.delivery.user_agent,
        };
        match OutboundRequest::build(rendered, &context) {
            Ok(outbound) => {
                report.outcome = Outcome::Request;
                report.request = Some(without_signatures(outbound.record()));
                report.warnings = outbound.warnings().to_vec();
                report.guard = Some(self.verdict(outbound).await);
            }
            Err(error) => report.error = Some(error),
        }
        report
    }

    async fn verdict(&self, outbound: OutboundRequest) -> GuardVerdict {
        let reason = if outbound.host_is_secret() {
            "not looked at: a secret stands in the host, and to resolve it would tell it".to_owned()
        } else {
            match self.guard.check(outbound).await {
                Ok(_) => {
                    return GuardVerdict {
                        allowed: true,
                        reason: None,
                    };
                }
                Err(e) => e.to_string(),
            }
        };
        GuardVerdict {
            allowed: false,
            reason: Some(reason),
        }
    }
}

/// Who may look at renders chooses their bytes; with a valid signature they would be as good as sent.
fn without_signatures(mut record: RequestRecord) -> RequestRecord {
    for (name, value) in &mut record.headers {
        if ["webhook-signature", "x-hook-signature"].contains(&name.to_ascii_lowercase().as_str()) {
            "[signature]".clone_into(value);
        }
    }
    record
}

impl Engine {
    /// What a webhook would send for an event; nothing is sent or stored. `id` is that of the stored
    /// webhook, if it is one.
    ///
    /// # Errors
    /// When the backend fails.
    pub async fn dry_run(
        &self,
        tenant: &TenantId,
        webhook: &WebhookSpec,
        id: Option<&WebhookId>,
        event: &Event,
    ) -> Result<RenderReport, BackendError> {
        let snapshot = self.directory.snapshot(tenant).await?;
        let pick = self.pick_and_wait(&snapshot, webhook.plugin.as_deref());
        let pick = match pick.await? {
            Ok(pick) => pick,
            Err(none) => return Ok(RenderReport::failed(none.tell().0)),
        };
        let setup = RenderSetup {
            config: &self.config,
            sandbox: &self.sandbox,
            transformer: &pick.transformer,
            guard: &self.guard,
            secrets: snapshot.secrets_for(webhook, id.map_or("", WebhookId::as_str)),
        };
        // Deliveries come first: dry runs wait for one another.
        let _turn = self.dry_runs.acquire().await;
        Ok(setup.report(webhook, event).await)
    }
}

impl RenderReport {
    /// The report of a render that did not get as far as the sandbox.
    #[must_use]
    pub fn failed(error: RenderError) -> Self {
        Self {
            outcome: Outcome::Error,
            request: None,
            skip_reason: None,
            error: Some(error),
            fuel: 0,
            peak_memory_bytes: 0,
            elapsed_us: 0,
            logs: Vec::new(),
            guard: None,
            warnings: Vec::new(),
        }
    }
}
