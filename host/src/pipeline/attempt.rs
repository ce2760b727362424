//! The third step: the record of an attempt, made from the results of the steps that it went through.

use std::time::{Duration, Instant};

use super::{Exchange, Pipeline, Render, RenderOutcome, Target, exchange::micros};
use crate::{
    backend::{Delivery, Leased},
    model::{Timestamp, WorkerId},
    record::{
        Attempt, AttemptError, AttemptOutcome, FailureKind, RenderInput, RenderRecord, Timings,
    },
    sandbox::{RenderError, Transformer},
    tenant::{CompiledWebhook, RenderFor, Snapshot},
};

/// The results of the steps that an attempt went through. A step that was not reached has none.
#[derive(Debug)]
pub(crate) struct Stages {
    render: Option<(RenderRecord, Duration)>,
    end: End,
}

/// The last step of an attempt.
#[derive(Debug)]
enum End {
    Exchanged(Box<Exchange>),
    Skipped(String),
    Failed(AttemptError),
}

impl Stages {
    /// An attempt whose webhook is gone.
    pub(crate) fn webhook_missing() -> Self {
        let kind = FailureKind::WEBHOOK_MISSING.as_str();
        Self::failed(AttemptError::new(
            kind,
            "its webhook has been deleted",
            false,
        ))
    }

    /// An attempt whose transformer cannot be had.
    pub(crate) fn no_transformer(error: RenderError) -> Self {
        Self::failed(error.into())
    }

    fn failed(error: AttemptError) -> Self {
        Self {
            render: None,
            end: End::Failed(error),
        }
    }

    /// Time that the receiver asks to wait, if it said so and the attempt may be repeated.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.end {
            End::Exchanged(exchange) => exchange.retry_after,
            End::Skipped(_) | End::Failed(_) => None,
        }
    }

    /// The record. Its number is set when it is settled.
    pub(crate) fn into_attempt(
        self,
        worker: &WorkerId,
        delivery: &Delivery,
        (started, elapsed): (Timestamp, Duration),
    ) -> Attempt {
        let (render, render_took) = self.render.unzip();
        let mut attempt = Attempt {
            number: 0,
            started,
            worker: worker.clone(),
            outcome: AttemptOutcome::Failed,
            render,
            request: None,
            response: None,
            timings: Timings {
                waited_ms: waited_ms(delivery),
                render_us: render_took.map_or(0, micros),
                total_us: micros(elapsed),
                ..Timings::default()
            },
            error: None,
            skip_reason: None,
            warnings: Vec::new(),
        };
        match self.end {
            End::Exchanged(exchange) => {
                attempt.request = Some(exchange.request);
                attempt.response = exchange.response;
                attempt.warnings = exchange.warnings;
                attempt.timings.guard_us = exchange.guard_us;
                attempt.timings.response_us = exchange.response_us;
                attempt.timings.body_us = exchange.body_us;
                match exchange.result {
                    Ok(()) => attempt.outcome = AttemptOutcome::Delivered,
                    Err(error) => attempt.error = Some(error),
                }
            }
            End::Skipped(reason) => {
                attempt.outcome = AttemptOutcome::Skipped;
                attempt.skip_reason = Some(reason);
            }
            End::Failed(error) => attempt.error = Some(error),
        }
        attempt
    }
}

impl Pipeline {
    /// Takes a claimed delivery through all steps. Whatever goes wrong with the webhook or its receiver is in the
    /// result.
    pub(crate) async fn deliver(
        &self,
        snapshot: &Snapshot,
        webhook: &CompiledWebhook,
        transformer: &Transformer,
        leased: &Leased,
    ) -> Stages {
        let (delivery, spec, id) = (&leased.delivery, &webhook.webhook.spec, &webhook.webhook.id);
        let secrets = snapshot.secrets(Some(id), RenderFor::Delivery(&delivery.id));
        let render = Render {
            config: &self.config,
            webhook: spec,
            delivery: &delivery.id,
            secrets: &secrets,
        };
        let action_data = snapshot.action_data(&delivery.rule);
        let (context, view) = (
            leased.event.context_with(action_data),
            webhook.guest_view.clone(),
        );
        let job = render.job(context, view, delivery.tenant.as_str());
        let started = Instant::now();
        let rendering = self.sandbox.render(transformer, job).await;
        let took = started.elapsed();
        let rendered = render.build(rendering);
        let action_data = action_data.and_then(|data| serde_json::to_string(data).ok());
        let input = RenderInput::new(&webhook.guest_view, action_data, secrets.asked_for());
        let record = RenderRecord {
            transformer: transformer.label(),
            fuel: rendered.cost.fuel,
            peak_memory_bytes: rendered.cost.peak_memory_bytes,
            elapsed_us: rendered.cost.elapsed_us,
            logs: rendered.logs,
            input: Some(input),
        };
        let target = Target {
            tenant: &delivery.tenant,
            webhook: id,
            spec,
            revision: snapshot.revision(),
        };
        let end = match rendered.outcome {
            RenderOutcome::Request(request) => {
                End::Exchanged(Box::new(self.exchange(*request, target).await))
            }
            RenderOutcome::Skip(reason) => End::Skipped(reason),
            RenderOutcome::Error(error) => End::Failed(error.into()),
        };
        Stages {
            render: Some((record, took)),
            end,
        }
    }
}

/// Time that a delivery waited for its first attempt, in milliseconds. 0 for later attempts, whose waits are planned.
fn waited_ms(delivery: &Delivery) -> u64 {
    if delivery.total_attempts > 0 {
        return 0;
    }
    u64::try_from(delivery.updated.since(delivery.created).as_millis()).unwrap_or(u64::MAX)
}
