//! The first step: a transformer renders an event, and its output becomes a valid request.

use std::sync::Arc;

use crate::{
    config::Config,
    model::{DeliveryId, Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext},
    sandbox::{Cost, LogLine, Output, RenderError, RenderJob, Rendering},
    tenant::WebhookSecrets,
};

/// The setting of a render besides the transformer and the event.
#[derive(Debug)]
pub(crate) struct Render<'a> {
    /// Limits and the user agent.
    pub(crate) config: &'a Config,
    /// The webhook.
    pub(crate) webhook: &'a WebhookSpec,
    /// Sent as `webhook-id`.
    pub(crate) delivery: &'a DeliveryId,
    /// The secrets that the webhook may place.
    pub(crate) secrets: &'a WebhookSecrets,
}

/// A render that has ended.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The result.
    pub(crate) outcome: RenderOutcome,
    /// Fuel, memory and time.
    pub(crate) cost: Cost,
    /// The transformer's log lines.
    pub(crate) logs: Vec<LogLine>,
}

/// The three ways in which a render can end.
#[derive(Debug)]
pub(crate) enum RenderOutcome {
    /// There is a valid request.
    Request(Box<OutboundRequest>),
    /// The transformer wants nothing sent, for this reason.
    Skip(String),
    /// It failed, or its output is no valid request.
    Error(RenderError),
}

impl Render<'_> {
    /// The job for the sandbox: the event's context, the webhook as the transformer sees it, and the tenant in whose
    /// share of the render threads it runs.
    pub(crate) fn job(&self, event: Arc<str>, webhook: Arc<str>, owner: &str) -> RenderJob {
        RenderJob {
            event,
            webhook,
            secrets: self.secrets.source(),
            owner: owner.into(),
        }
    }

    /// Builds the request from a transformer's output, wherever it ran.
    pub(crate) fn build(&self, rendering: Rendering) -> Rendered {
        let outcome = match rendering.output {
            Output::Skip(reason) => RenderOutcome::Skip(reason),
            Output::Error(error) => RenderOutcome::Error(error),
            Output::Request(rendered) => {
                let context = RequestContext {
                    webhook: self.webhook,
                    delivery: self.delivery,
                    now: Timestamp::now(),
                    secrets: &self.secrets.values(),
                    limits: &self.config.sandbox,
                    user_agent: &self.config.delivery.user_agent,
                };
                match OutboundRequest::build(rendered, &context) {
                    Ok(request) => RenderOutcome::Request(Box::new(request)),
                    Err(error) => RenderOutcome::Error(error),
                }
            }
        };
        Rendered {
            outcome,
            cost: rendering.cost,
            logs: rendering.logs,
        }
    }
}
