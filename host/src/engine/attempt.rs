//! Stages 4 to 8 for one claimed delivery: render, build, guard, send, and the record of it all.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Engine,
    plugins::{LoadError, NoTransformer, Observation, Pick, PickedUp, Picking, Waiting, trial_of},
};
use crate::{
    backend::{BackendError, Delivery, Leased, Settlement},
    deliver::{Response, SendError, SendOptions},
    guard::{GuardError, Remedy},
    model::{RetryPolicy, Timestamp, WebhookSpec, WorkerId},
    record::{
        Attempt, AttemptError, AttemptOutcome, RenderInput, RenderRecord, RequestRecord,
        RetryInput, Timings, decide,
    },
    request::{OutboundRequest, Redactor, RequestContext},
    sandbox::{Output, RenderError, RenderJob, Rendering, Transformer},
    tenant::{CompiledWebhook, RenderFor, Snapshot},
};

/// Why no attempt was made. Nothing has been sent, and nothing counts.
#[derive(Debug, thiserror::Error)]
pub enum NoAttempt {
    /// The backend failed.
    #[error(transparent)]
    Store(#[from] BackendError),
    /// The webhook's transformer is not to be had just now, through no fault of its own. In words for the
    /// webhook's owner.
    #[error("{why}")]
    Deferred {
        /// The obstacle.
        why: String,
        /// The same as a label.
        reason: &'static str,
        /// When to try again.
        wait: Duration,
    },
}

/// An attempt that was made.
#[derive(Debug)]
pub struct AttemptResult {
    /// The settlement to be stored.
    pub settlement: Settlement,
    /// Its observation for a rollout, to be counted once the attempt is stored.
    pub observation: Option<Observation>,
}

/// An attempt that has its webhook and its transformer, or waits for the latter.
#[derive(Debug)]
pub struct PreparedAttempt {
    begun: Instant,
    snapshot: Arc<Snapshot>,
    picked: Picked,
}

#[derive(Debug)]
enum Picked {
    /// There is no webhook any more.
    NoWebhook,
    Transformer(Result<Pick, NoTransformer>),
    Coming(Waiting, PickedUp),
}

impl PreparedAttempt {
    /// Whether the transformer has to be loaded first, which may take a minute.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.picked, Picked::Coming(..))
    }

    /// Waits until the transformer is there, or cannot be had.
    ///
    /// # Errors
    /// When the plugin is not to be had just now.
    pub async fn ready(self) -> Result<Self, NoAttempt> {
        let Picked::Coming(waiting, picked) = self.picked else {
            return Ok(self);
        };
        let picked = Picked::Transformer(picked.pick(waiting.loaded().await));
        Self { picked, ..self }.unless_passing()
    }

    /// A failure that may pass is no attempt: it says nothing about the webhook.
    fn unless_passing(self) -> Result<Self, NoAttempt> {
        match self.picked {
            Picked::Transformer(Err(NoTransformer::Load { error, .. })) if error.is_passing() => {
                Err(match error {
                    LoadError::Store(error) => error.into(),
                    error => NoAttempt::Deferred {
                        why: error.to_string(),
                        reason: error.reason(),
                        // At different times, so that they do not all come at once again.
                        wait: error.remembered().mul_f64(rand::random_range(1.0..2.0)),
                    },
                })
            }
            _ => Ok(self),
        }
    }
}

impl Engine {
    /// Begins an attempt of a claimed delivery: finds its webhook and transformer. A transformer that is not
    /// at hand begins to be loaded, if not too many are waiting for that already.
    ///
    /// # Errors
    /// When the backend cannot say what the webhook is, or the transformer is not to be had just now.
    pub async fn begin(&self, leased: &Leased) -> Result<PreparedAttempt, NoAttempt> {
        let delivery = &leased.delivery;
        let begun = Instant::now();
        let snapshot = self
            .directory
            .snapshot_for(&delivery.tenant, &delivery.webhook)
            .await?;
        let picked = match snapshot.webhook(&delivery.webhook) {
            None => Picked::NoWebhook,
            Some(prepared) => {
                let plugin = prepared.webhook.spec.plugin.as_deref();
                match self.pick(&snapshot, plugin, Some(&delivery.id)).await? {
                    Picking::Ready(pick) => Picked::Transformer(pick),
                    Picking::Waiting(waiting, picked) => Picked::Coming(waiting, picked),
                }
            }
        };
        PreparedAttempt {
            begun,
            snapshot,
            picked,
        }
        .unless_passing()
    }

    /// Makes one attempt of a claimed delivery. Whatever goes wrong with the webhook or its receiver is in
    /// the settlement.
    ///
    /// # Errors
    /// When the plugin, which is waited for if need be, is not to be had just now.
    pub async fn attempt(
        &self,
        worker: &WorkerId,
        leased: &Leased,
        begun: PreparedAttempt,
    ) -> Result<AttemptResult, NoAttempt> {
        let PreparedAttempt {
            begun,
            snapshot,
            picked,
        } = begun.ready().await?;
        let delivery = &leased.delivery;
        let mut attempt = Attempt {
            number: 0,
            started: Timestamp::now(),
            worker: worker.clone(),
            outcome: AttemptOutcome::Failed,
            render: None,
            request: None,
            response: None,
            timings: Timings {
                waited_ms: waited_ms(delivery),
                ..Timings::default()
            },
            error: None,
            skip_reason: None,
            warnings: Vec::new(),
        };
        let mut rest = Rest::default();
        let mut trial = None;
        let policy = match (snapshot.webhook(&delivery.webhook), picked) {
            (Some(prepared), Picked::Transformer(pick)) => {
                trial = trial_of(&pick);
                self.run_stages(&snapshot, prepared, pick, leased, &mut attempt, &mut rest)
                    .await;
                self.policy_of(&prepared.webhook.spec)
            }
            _ => {
                attempt.error = Some(error(
                    "webhook_missing",
                    "its webhook has been deleted",
                    false,
                ));
                self.config.default_retry()
            }
        };
        attempt.timings.total_us = micros(begun.elapsed());
        let next = decide(
            &attempt,
            RetryInput {
                policy: &policy,
                earlier_attempts: delivery.attempts,
                retry_after: rest.retry_after,
                random: rand::random(),
            },
        );
        self.metrics
            .attempted(&attempt, delivery.total_attempts == 0);
        let observation = trial.and_then(|trial| Observation::of(trial, delivery, &attempt));
        let pause = rest.retry_after.filter(|_| rest.one_receiver);
        Ok(AttemptResult {
            settlement: Settlement {
                id: rand::random(),
                lease: leased.token.clone(),
                attempt,
                next,
                pause,
            },
            observation,
        })
    }

    async fn run_stages(
        &self,
        snapshot: &Snapshot,
        prepared: &CompiledWebhook,
        pick: Result<Pick, NoTransformer>,
        leased: &Leased,
        attempt: &mut Attempt,
        rest: &mut Rest,
    ) {
        let spec = &prepared.webhook.spec;
        let (webhook, render) = (
            &prepared.webhook.id,
            RenderFor::Delivery(&leased.delivery.id),
        );
        let secrets = snapshot.secrets(spec, Some(webhook), render);

        let transformer = match pick {
            Ok(pick) => pick.transformer,
            Err(none) => return attempt.error = Some(render_error(none.tell().0)),
        };
        let clock = Instant::now();
        let action_data = snapshot.action_data(&leased.delivery.rule);
        let job = RenderJob {
            event: leased.event.context_with(action_data),
            webhook: Arc::clone(&prepared.guest_view),
            secrets: secrets.source(),
            owner: leased.delivery.tenant.as_str().into(),
        };
        let rendering = self.sandbox.render(&transformer, job).await;
        attempt.timings.render_us = micros(clock.elapsed());
        let action_data = action_data.and_then(|data| serde_json::to_string(data).ok());
        let input = RenderInput::new(&prepared.guest_view, action_data, secrets.names());
        attempt.render = Some(render_record(&transformer, &rendering, input));
        let rendered = match rendering.output {
            Output::Request(rendered) => rendered,
            Output::Skip(reason) => {
                attempt.outcome = AttemptOutcome::Skipped;
                attempt.skip_reason = Some(reason);
                return;
            }
            Output::Error(e) => return attempt.error = Some(render_error(e)),
        };

        let context = RequestContext {
            webhook: spec,
            delivery: &leased.delivery.id,
            now: Timestamp::now(),
            secrets: &secrets.values(),
            limits: &self.config.sandbox,
            user_agent: &self.config.delivery.user_agent,
        };
        let outbound = match OutboundRequest::build(rendered, &context) {
            Ok(outbound) => outbound,
            Err(e) => return attempt.error = Some(render_error(e)),
        };
        attempt.request = Some(outbound.record_up_to(RequestRecord::MAX_BODY));
        let redactor = outbound.redactor();
        attempt.warnings.extend_from_slice(outbound.warnings());

        rest.one_receiver = names_one_receiver(&spec.payload_url);
        let limit = self.config.timeout_of(spec);
        let clock = Instant::now();
        let guarded = match self.guard.of(&leased.delivery.tenant).check(outbound).await {
            Ok(guarded) => guarded,
            Err(e) => {
                attempt.timings.guard_us = micros(clock.elapsed());
                self.note_refusal(snapshot, leased, &e, &redactor);
                let told = redactor.error(e.kind(), &e.to_string());
                return attempt.error = Some(error(e.kind(), &told, e.retryable()));
            }
        };
        attempt.timings.guard_us = micros(clock.elapsed());

        let options = SendOptions {
            timeout: limit.saturating_sub(clock.elapsed()),
            ssl_verification: spec.ssl_verification,
            ca_file_path: spec.ca_file_path.as_deref(),
        };
        let clock = Instant::now();
        match self.client.send(guarded, &options).await {
            Ok(response) => self.take_response(&response, &redactor, spec, attempt, rest),
            Err(e) => {
                attempt.timings.response_us = micros(clock.elapsed());
                if let SendError::Guard(refused) = &e {
                    self.note_refusal(snapshot, leased, refused, &redactor);
                }
                let told = redactor.error(e.kind(), &e.to_string());
                attempt.error = Some(error(e.kind(), &told, e.retryable()));
            }
        }
    }

    /// The operator hears of it: mostly a network was allowed once and forgotten at a restart.
    fn note_refusal(
        &self,
        snapshot: &Snapshot,
        leased: &Leased,
        error: &GuardError,
        redactor: &Redactor,
    ) {
        let delivery = &leased.delivery;
        let mut error = error.clone();
        if let GuardError::Blocked { reason, remedy, .. } = &mut error
            && redactor.hides_destination()
        {
            *remedy = Remedy::Secret;
            "why is not told, as a secret stands in the URL's host or port".clone_into(reason);
        }
        self.refusals.log(
            &delivery.tenant,
            &delivery.webhook,
            snapshot.revision(),
            &error,
        );
    }

    fn policy_of(&self, spec: &WebhookSpec) -> RetryPolicy {
        let own = spec.retry.clone();
        own.unwrap_or_else(|| self.config.default_retry())
    }

    fn take_response(
        &self,
        response: &Response,
        redactor: &Redactor,
        spec: &WebhookSpec,
        attempt: &mut Attempt,
        rest: &mut Rest,
    ) {
        attempt.timings.response_us = response.response_us;
        attempt.timings.body_us = response.body_us;
        attempt.response = Some(response.record(redactor));
        attempt.warnings.extend_from_slice(&response.notes);
        // The record is the wire: HTTP/2 has names in lower case alone.
        if let Some(request) = &mut attempt.request
            && response.is_http2()
        {
            for (name, _) in &mut request.headers {
                name.make_ascii_lowercase();
            }
        }
        if response.is_success() {
            attempt.outcome = AttemptOutcome::Delivered;
            return;
        }
        let retryable = self.policy_of(spec).tries_again_after(response.status);
        // A receiver that is done with this request for good has no say in when others come.
        if retryable {
            let most = Duration::from_secs(self.config.retry.max_retry_after_seconds);
            let wait = response.retry_after.map(|wait| wait.min(most));
            rest.retry_after = wait.filter(|wait| !wait.is_zero());
        }
        let message = told(response.status);
        attempt.error = Some(error("status", &message, retryable));
    }
}

/// A status that is no success, in words.
fn told(status: u16) -> String {
    let more = match status {
        100..=199 => ", which is no final answer to a request",
        300 => " (Multiple Choices) instead of taking the request",
        301 | 302 | 303 | 307 | 308 => "; redirects are not followed",
        304 => " (Not Modified), although it was not asked whether something has changed",
        _ => "",
    };
    format!("the receiver answered {status}{more}")
}

/// The results of an attempt besides its record.
#[derive(Default)]
struct Rest {
    /// The receiver's wish.
    retry_after: Option<Duration>,
    /// Whether all of the webhook's deliveries go to this receiver, so that its wish concerns them all.
    one_receiver: bool,
}

/// Whether a webhook's URL names its host and port itself, instead of taking them from the event: then one
/// receiver could hold back deliveries to all others.
fn names_one_receiver(payload_url: &str) -> bool {
    let Some((scheme, rest)) = payload_url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !scheme.contains('{') && !authority.contains('{')
}

fn render_record(
    transformer: &Transformer,
    rendering: &Rendering,
    input: RenderInput,
) -> RenderRecord {
    RenderRecord {
        transformer: transformer.label(),
        fuel: rendering.cost.fuel,
        peak_memory_bytes: rendering.cost.peak_memory_bytes,
        elapsed_us: rendering.cost.elapsed_us,
        logs: rendering.logs.clone(),
        input: Some(input),
    }
}

fn render_error(e: RenderError) -> AttemptError {
    AttemptError {
        kind: e.kind.as_str().to_owned(),
        retryable: e.kind.is_retryable(),
        field: e.field,
        line: e.line,
        message: e.message,
    }
}

fn error(kind: &str, message: &str, retryable: bool) -> AttemptError {
    AttemptError {
        kind: kind.to_owned(),
        field: None,
        line: None,
        message: message.to_owned(),
        retryable,
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// How long a delivery stood in line for its first attempt; the waits before later ones are planned.
fn waited_ms(delivery: &Delivery) -> u64 {
    if delivery.total_attempts > 0 {
        return 0;
    }
    u64::try_from(delivery.updated.since(delivery.created).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirects_are_called_so() {
        let redirects: Vec<u16> = (100..1000)
            .filter(|status| told(*status).contains("redirect"))
            .collect();
        assert_eq!(redirects, [301, 302, 303, 307, 308]);
        assert!(told(304).contains("304 (Not Modified)"));
        assert_eq!(told(404), "the receiver answered 404");
    }

    #[test]
    fn only_a_host_in_the_template_itself_is_one_receiver() {
        for one in [
            "https://x.example/{{ data.id }}",
            "http://x.example:80?q={{ a }}",
            "http://x",
        ] {
            assert!(names_one_receiver(one), "{one}");
        }
        for many in [
            "{{ data.url }}",
            "http://{{ data.host }}/",
            "http://x.example:{{ data.port }}/",
            "{{ data.scheme }}://x.example/",
            "http://{% if a %}x{% else %}y{% endif %}.example/",
        ] {
            assert!(!names_one_receiver(many), "{many}");
        }
    }
}
