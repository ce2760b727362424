//! The smoke test: one render of a sample event before a plugin is admitted.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    config::Config,
    ingest::{self, Event},
    model::{DeliveryId, FieldErrors, TenantId, WebhookSpec},
    pipeline::{Render, RenderOutcome},
    sandbox::{Cost, ErrorKind, LogLine, RenderError, Sandbox, Transformer},
    tenant::{WebhookSecrets, snapshot::guest_view},
};

/// The event that the smoke test renders unless another is given.
pub const SAMPLE_EVENT: &[u8] = include_bytes!("../../../examples/netbox/event.json");

/// The result of the smoke test.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SmokeTest {
    /// `request`, `skip` or `error`.
    pub outcome: &'static str,
    /// Why there is no request, if one failed to be made.
    pub error: Option<RenderError>,
    /// Fuel, memory and time.
    #[serde(flatten)]
    pub cost: Cost,
    /// The plugin's log lines.
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
            name: "smoke test".to_owned(),
            payload_url: "https://example.com/hook".to_owned(),
            ..WebhookSpec::default()
        };
        let render = Render {
            config,
            webhook: &webhook,
            delivery: &DeliveryId::from("dlv_smoke_test"),
            secrets: &WebhookSecrets::stand_ins(&[]),
        };
        let (context, view) = (Arc::clone(event.context()), guest_view(&webhook));
        let job = render.job(context, view, "");
        let rendered = render.build(sandbox.render(transformer, job).await);
        let (outcome, error) = match rendered.outcome {
            RenderOutcome::Request(_) => ("request", None),
            RenderOutcome::Skip(_) => ("skip", None),
            RenderOutcome::Error(error) => ("error", Some(error)),
        };
        Self {
            outcome,
            error,
            cost: rendered.cost,
            logs: rendered.logs,
        }
    }

    /// The failure for which the plugin is refused, if there is one. A plugin may refuse this event, or this webhook,
    /// which has no settings: an error that it returns itself is no reason to refuse it.
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
