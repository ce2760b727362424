//! The dry run: the request that a webhook would send for an event. It sends and stores nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Render, RenderOutcome, Rendered};
use crate::{
    config::Config,
    guard::Guard,
    ingest::Event,
    model::{DeliveryId, WebhookSpec},
    record::RequestRecord,
    request::OutboundRequest,
    sandbox::{Cost, LogLine, RenderError, RenderJob, Rendering, Sandbox, Transformer},
    tenant::{WebhookSecrets, snapshot::guest_view},
};

/// The result of a dry run, the same from the command line and the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RenderReport {
    /// The outcome of the render.
    pub outcome: Outcome,
    /// The request that would be sent. Secrets are redacted.
    pub request: Option<RequestRecord>,
    /// The transformer's reason for sending nothing.
    pub skip_reason: Option<String>,
    /// The error because of which there is no request.
    pub error: Option<RenderError>,
    /// Fuel spent: deterministic.
    pub fuel: u64,
    /// Maximum linear memory held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Time in the sandbox, in microseconds.
    pub elapsed_us: u64,
    /// The transformer's log lines.
    pub logs: Vec<LogLine>,
    /// Whether the destination is allowed.
    pub guard: Option<GuardVerdict>,
    /// Parts that work but are probably mistakes, one sentence each.
    pub warnings: Vec<String>,
}

/// The outcome of a render.
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

/// The address guard's verdict on the URL, at the time of the dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuardVerdict {
    /// Whether a delivery would be allowed.
    pub allowed: bool,
    /// The reason if it is not allowed.
    pub reason: Option<String>,
}

/// The setting of a dry run besides the event: the same in a server and on the command line.
#[derive(Debug)]
pub struct RenderSetup<'a> {
    /// The configuration: limits and the user agent.
    pub config: &'a Config,
    /// The address guard.
    pub guard: &'a Guard,
    /// The secrets that the webhook may place.
    pub secrets: WebhookSecrets,
}

impl RenderSetup<'_> {
    /// Runs a webhook on an event up to the point of sending. Resolves the host's name; connects to
    /// nothing.
    pub async fn report(
        &self,
        sandbox: &Sandbox,
        transformer: &Transformer,
        webhook: &WebhookSpec,
        event: &Event,
    ) -> RenderReport {
        let rendering = sandbox.render(transformer, self.job(webhook, event)).await;
        self.of_rendering(rendering, webhook).await
    }

    /// The input of the transformer.
    #[must_use]
    pub fn job(&self, webhook: &WebhookSpec, event: &Event) -> RenderJob {
        let (context, view) = (Arc::clone(event.context()), guest_view(webhook));
        self.render(webhook, &dry_run_id())
            .job(context, view, event.tenant().as_str())
    }

    /// The report of a transformer's output, wherever it ran: from the request's validation up to the point of sending.
    pub async fn of_rendering(&self, rendering: Rendering, webhook: &WebhookSpec) -> RenderReport {
        let Rendered {
            outcome,
            cost,
            logs,
        } = self.render(webhook, &dry_run_id()).build(rendering);
        let mut report = RenderReport::new(cost, logs);
        match outcome {
            RenderOutcome::Request(request) => {
                report.outcome = Outcome::Request;
                report.request = Some(without_signatures(request.record()));
                report.warnings = request.warnings().to_vec();
                report.guard = Some(self.verdict(*request).await);
            }
            RenderOutcome::Skip(reason) => {
                report.outcome = Outcome::Skip;
                report.skip_reason = Some(reason);
            }
            RenderOutcome::Error(error) => report.error = Some(error),
        }
        report
    }

    fn render<'r>(&'r self, webhook: &'r WebhookSpec, delivery: &'r DeliveryId) -> Render<'r> {
        Render {
            config: self.config,
            webhook,
            delivery,
            secrets: &self.secrets,
        }
    }

    async fn verdict(&self, outbound: OutboundRequest) -> GuardVerdict {
        let reason = if outbound.destination_is_secret() {
            "not checked: the URL's scheme, host or port holds a secret, and dry runs do not use secrets' values"
                .to_owned()
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

/// The request without its signatures: with a valid one, a key that may only look at renders could send the request
/// itself.
fn without_signatures(mut record: RequestRecord) -> RequestRecord {
    for (name, value) in &mut record.headers {
        if ["webhook-signature", "x-hook-signature"].contains(&name.to_ascii_lowercase().as_str()) {
            "[signature]".clone_into(value);
        }
    }
    record
}

/// The `webhook-id` of a dry run.
fn dry_run_id() -> DeliveryId {
    DeliveryId::from("dlv_dry_run")
}

impl From<&RenderReport> for Cost {
    fn from(report: &RenderReport) -> Self {
        Self {
            fuel: report.fuel,
            peak_memory_bytes: report.peak_memory_bytes,
            elapsed_us: report.elapsed_us,
        }
    }
}

impl RenderReport {
    /// The report of a render that did not get as far as the sandbox.
    #[must_use]
    pub fn failed(error: RenderError) -> Self {
        Self {
            error: Some(error),
            ..Self::new(Cost::default(), Vec::new())
        }
    }

    fn new(cost: Cost, logs: Vec<LogLine>) -> Self {
        Self {
            outcome: Outcome::Error,
            request: None,
            skip_reason: None,
            error: None,
            fuel: cost.fuel,
            peak_memory_bytes: cost.peak_memory_bytes,
            elapsed_us: cost.elapsed_us,
            logs,
            guard: None,
            warnings: Vec::new(),
        }
    }
}
