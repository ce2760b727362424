//! The trial render: what a plugin makes of an event before it is taken in.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::Config,
    ingest::{self, Event},
    model::{DeliveryId, FieldErrors, TenantId, Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::{
        ErrorKind, LogLine, Output, RenderError, RenderJob, Sandbox, SecretHandles, Transformer,
    },
    tenant::snapshot::guest_view,
};

/// The event that the smoke test renders unless another is given.
pub const SAMPLE_EVENT: &[u8] = include_bytes!("../../../../examples/netbox/event.json");

/// The result of the smoke test.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SmokeTest {
    /// `request`, `skip` or `error`.
    pub outcome: &'static str,
    /// Why there is no request, if one failed to be made.
    pub error: Option<RenderError>,
    /// Fuel spent.
    pub fuel: u64,
    /// The most linear memory held at once.
    pub peak_memory_bytes: u64,
    /// Time on the render thread, in microseconds.
    pub elapsed_us: u64,
    /// What the plugin logged.
    pub logs: Vec<LogLine>,
}

impl SmokeTest {
    /// Renders an event with a webhook that has neither settings nor secrets.
    pub async fn run(
        sandbox: &Sandbox,
        transformer: &Transformer,
        event: &Event,
        config: &Config,
    ) -> Self {
        let webhook = WebhookSpec {
            name: "trial".to_owned(),
            payload_url: "https://example.com/hook".to_owned(),
            ..WebhookSpec::default()
        };
        let job = RenderJob {
            event: Arc::clone(event.context()),
            webhook: guest_view(&webhook),
            secrets: Arc::new(SecretHandles::default()),
            owner: Arc::default(),
        };
        let rendering = sandbox.render(transformer, job).await;
        let outcome = match rendering.output {
            Output::Skip(_) => Ok("skip"),
            Output::Error(error) => Err(error),
            Output::Request(rendered) => {
                let context = RequestContext {
                    webhook: &webhook,
                    delivery: &DeliveryId::from("dlv_trial"),
                    now: Timestamp::now(),
                    secrets: &SecretValues::default(),
                    limits: &config.sandbox,
                    user_agent: &config.delivery.user_agent,
                };
                OutboundRequest::build(rendered, &context).map(|_| "request")
            }
        };
        Self {
            outcome: outcome.as_ref().copied().unwrap_or("error"),
            error: outcome.err(),
            fuel: rendering.cost.fuel,
            peak_memory_bytes: rendering.cost.peak_memory_bytes,
            elapsed_us: rendering.cost.elapsed_us,
            logs: rendering.logs,
        }
    }

    /// The failure for which the plugin is refused, if there is one. That the plugin itself says it cannot do
    /// anything with this event, or this webhook, which has no settings, speaks for it.
    #[must_use]
    pub fn refusal(&self) -> Option<&RenderError> {
        self.error.as_ref().filter(|error| match error.kind {
            ErrorKind::OutOfFuel
            | ErrorKind::Timeout
            | ErrorKind::OutOfMemory
            | ErrorKind::Trap
            | ErrorKind::OutputTooLarge => true,
            ErrorKind::TemplateSyntax
            | ErrorKind::TemplateRuntime
            | ErrorKind::InvalidRequest
            | ErrorKind::PluginError => false,
        })
    }
}

/// An event to try plugins on.
///
/// # Errors
/// If it is none, or over the limits of ingest.
pub(super) fn sample_event(config: &Config) -> Result<Event, FieldErrors> {
    let parsed = ingest::parse_event(&TenantId::default_tenant(), SAMPLE_EVENT, &config.ingest);
    Ok(parsed?.event)
}
