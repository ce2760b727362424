//! One attempt of a claimed delivery: its webhook and transformer, the pipeline, and the decision on what follows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::Instrument;

use super::Engine;
use crate::{
    backend::{BackendError, Leased, Settlement},
    model::{Timestamp, WorkerId},
    pipeline::Stages,
    record::{RetryInput, decide},
    tenant::Snapshot,
    transformers::{LoadError, LoadState, Observation, Pick},
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
    started: Instant,
    snapshot: Arc<Snapshot>,
    /// None if the webhook has been deleted.
    pick: Option<Pick>,
}

impl PreparedAttempt {
    /// Whether the transformer has to be loaded first, which may take a minute.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.pick.as_ref().is_some_and(Pick::is_loading)
    }

    /// Waits until the transformer is loaded, or cannot be.
    ///
    /// # Errors
    /// When the transformer cannot be had now, through no fault of its own.
    pub async fn ready(self) -> Result<Self, NoAttempt> {
        let pick = match self.pick {
            Some(pick) => Some(pick.loaded().await),
            None => None,
        };
        Self { pick, ..self }.unless_passing()
    }

    /// A failure to load that may pass is no attempt: it says nothing about the webhook.
    fn unless_passing(self) -> Result<Self, NoAttempt> {
        match self.pick {
            Some(Pick {
                state: LoadState::Failed(error),
                ..
            }) if error.is_passing() => Err(match error {
                LoadError::Store(error) => error.into(),
                error => NoAttempt::Deferred {
                    why: error.to_string(),
                    reason: error.reason(),
                    // At different times, so that they do not all come at once again.
                    wait: error.remembered().mul_f64(rand::random_range(1.0..2.0)),
                },
            }),
            _ => Ok(self),
        }
    }
}

impl Engine {
    /// Prepares an attempt of a claimed delivery: finds its webhook and transformer. A transformer that is not
    /// in the cache begins to be loaded, if not too many deliveries wait for that already.
    ///
    /// # Errors
    /// When the backend cannot say what the webhook is, or the transformer cannot be had now.
    pub async fn begin(&self, leased: &Leased) -> Result<PreparedAttempt, NoAttempt> {
        let (delivery, started) = (&leased.delivery, Instant::now());
        let snapshot = self
            .snapshots
            .snapshot_for(&delivery.tenant, &delivery.webhook)
            .await?;
        let pick = match snapshot.webhook(&delivery.webhook) {
            None => None,
            Some(compiled) => {
                let plugin = compiled.webhook.spec.plugin.as_deref();
                let pick = self
                    .transformers
                    .pick(&snapshot, plugin, Some(&delivery.id));
                Some(pick.await?)
            }
        };
        PreparedAttempt {
            started,
            snapshot,
            pick,
        }
        .unless_passing()
    }

    /// Makes one attempt of a claimed delivery. Whatever goes wrong with the webhook or its receiver is in
    /// the settlement.
    ///
    /// # Errors
    /// When the transformer, which is waited for if need be, cannot be had now.
    pub async fn attempt(
        &self,
        worker: &WorkerId,
        leased: &Leased,
        prepared: PreparedAttempt,
    ) -> Result<AttemptResult, NoAttempt> {
        let PreparedAttempt {
            started,
            snapshot,
            pick,
        } = prepared.ready().await?;
        let delivery = &leased.delivery;
        let clock = Timestamp::now();
        let webhook = snapshot.webhook(&delivery.webhook);
        let mut rollout = None;
        let stages = match (webhook, pick) {
            (Some(webhook), Some(pick)) => {
                rollout = pick.rollout;
                match pick.state {
                    LoadState::Ready(transformer) => {
                        let number = delivery.total_attempts.saturating_add(1);
                        self.pipeline
                            .deliver(&snapshot, webhook, &transformer, leased)
                            .instrument(tracing::error_span!("attempt", number))
                            .await
                    }
                    LoadState::Failed(error) => Stages::no_transformer(error.into_render_error()),
                    LoadState::Loading(_) => {
                        Stages::no_transformer(LoadError::Machine.into_render_error())
                    }
                }
            }
            _ => Stages::webhook_missing(),
        };
        let retry_after = stages.retry_after();
        let attempt = stages.into_attempt(worker, delivery, (clock, started.elapsed()));
        let spec = webhook.map(|compiled| &compiled.webhook.spec);
        let policy = spec.map_or_else(
            || self.config.default_retry(),
            |spec| self.config.retry_of(spec),
        );
        let next = decide(
            &attempt,
            RetryInput {
                policy: &policy,
                earlier_attempts: delivery.attempts,
                retry_after,
                random: rand::random(),
            },
        );
        self.metrics
            .attempted(&attempt, delivery.total_attempts == 0);
        let observation = rollout.and_then(|arm| Observation::of(arm, delivery, &attempt));
        let one_receiver = spec.is_some_and(|spec| names_one_receiver(&spec.payload_url));
        Ok(AttemptResult {
            settlement: Settlement {
                id: rand::random(),
                lease: leased.token.clone(),
                attempt,
                next,
                pause: retry_after.filter(|_| one_receiver),
            },
            observation,
        })
    }

    /// Counts the observation of a stored attempt in its rollout.
    pub async fn count(&self, observation: &Observation) {
        if self.transformers.count(observation).await {
            self.metrics.rollout_ended();
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
