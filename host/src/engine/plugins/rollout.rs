//! Watching the versions on trial.

use std::time::Duration;

use super::{Arm, Engine, TenantId, Timestamp};
use crate::{
    backend::{BackendError, Delivery},
    model::{Tallies, is_worse},
    record::{Attempt, AttemptOutcome},
};

/// Tries to end a trial while others change the tenant. The next attempt of the trial would try again.
const TRIES: u32 = 8;

/// The trial that an attempt is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnTrial {
    pub(super) plugin: String,
    pub(super) started: Timestamp,
    pub(super) share: u8,
    pub(super) arm: Arm,
}

/// An attempt's evidence in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    tenant: TenantId,
    trial: OnTrial,
    failed: bool,
}

impl Observation {
    /// Of the first attempt of a delivery only: that each counts once is what makes the judgement sound. And
    /// not of one that failed before the version had its say.
    pub(crate) fn of(trial: OnTrial, delivery: &Delivery, attempt: &Attempt) -> Option<Self> {
        let kind = attempt.error.as_ref().map(|error| error.kind.as_str());
        let says_nothing = matches!(kind, Some("webhook_missing" | "internal"));
        (delivery.total_attempts == 0 && !says_nothing).then(|| Self {
            tenant: delivery.tenant.clone(),
            trial,
            failed: is_to_blame(attempt),
        })
    }
}

/// Whether an attempt failed in a way for which its transformer can be blamed: it could not be loaded, it
/// failed to render, what it rendered is no request, or the receiver refused the request for good (4xx, but
/// not those that are worth a retry). Not blamed for who cannot be reached or has failed.
fn is_to_blame(attempt: &Attempt) -> bool {
    if attempt.outcome != AttemptOutcome::Failed {
        return false;
    }
    match &attempt.response {
        Some(response) => {
            let for_good = attempt.error.as_ref().is_none_or(|e| !e.retryable);
            (400..500).contains(&response.status) && for_good
        }
        None => attempt.request.is_none(),
    }
}

impl Engine {
    /// Counts what a stored attempt says of a trial, and ends the trial if what was seen by now says so. Failing
    /// to is no reason to make the attempt again.
    pub async fn count(&self, observation: &Observation) {
        let Observation {
            tenant,
            trial,
            failed,
        } = observation;
        let counted = self
            .backend
            .tally(tenant, &trial.plugin, trial.started, trial.arm, *failed)
            .await;
        let seen = match counted {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, %tenant, plugin = trial.plugin, "an attempt of a trial was not counted");
                return;
            }
        };
        if !is_worse(&seen, trial.share) {
            return;
        }
        match self.end_trial(tenant, trial, seen).await {
            Ok(Some(version)) => {
                tracing::warn!(
                    %tenant, plugin = trial.plugin, version,
                    attempts = seen.canary.attempts, failures = seen.canary.failures,
                    current_attempts = seen.current.attempts, current_failures = seen.current.failures,
                    "a trial was ended: the new version fails more often than the current one"
                );
                self.metrics.trial_ended();
            }
            // Somebody else has ended it.
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, %tenant, plugin = trial.plugin, "a trial could not be ended; the next attempt tries again");
            }
        }
    }

    /// Ends the trial, unless it is over; the version that was on trial.
    async fn end_trial(
        &self,
        tenant: &TenantId,
        trial: &OnTrial,
        seen: Tallies,
    ) -> Result<Option<String>, BackendError> {
        for _ in 0..TRIES {
            let config = self.backend.tenant(tenant).await?;
            let mut plugins = config.plugins.into_iter();
            let Some(mut plugin) = plugins.find(|plugin| plugin.name == trial.plugin) else {
                return Ok(None);
            };
            if !plugin.end_trial(trial.started, seen, Timestamp::now()) {
                return Ok(None);
            }
            match self
                .backend
                .put_plugin(tenant, &plugin, Some(config.revision))
                .await
            {
                Err(BackendError::RevisionMismatch) => {
                    let wait = Duration::from_micros(rand::random_range(0..20_000));
                    tokio::time::sleep(wait).await;
                }
                stored => {
                    let version = plugin.rolled_back.map(|ended| ended.version);
                    return stored.map(|()| version);
                }
            }
        }
        Err(BackendError::RevisionMismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::Status,
        model::{DeliveryId, EventId, RuleId, WebhookId, WorkerId},
        record::{AttemptError, Timings},
    };

    fn delivery(total_attempts: u32) -> Delivery {
        Delivery {
            id: DeliveryId::generate(),
            tenant: TenantId::default_tenant(),
            event: EventId::generate(),
            webhook: WebhookId::generate(),
            rule: RuleId::generate(),
            object_type: String::new(),
            event_type: String::new(),
            status: Status::Started,
            attempts: 0,
            total_attempts,
            receives: 1,
            created: Timestamp::from_millis(0),
            updated: Timestamp::from_millis(0),
            next_attempt: None,
            last_result: None,
            last_error: None,
        }
    }

    fn attempt(kind: Option<&str>) -> Attempt {
        Attempt {
            number: 0,
            started: Timestamp::from_millis(0),
            worker: WorkerId::generate(),
            outcome: kind.map_or(AttemptOutcome::Skipped, |_| AttemptOutcome::Failed),
            render: None,
            request: None,
            response: None,
            timings: Timings::default(),
            error: kind.map(|kind| AttemptError {
                kind: kind.to_owned(),
                field: None,
                line: None,
                message: String::new(),
                retryable: false,
            }),
            skip_reason: None,
            warnings: Vec::new(),
        }
    }

    fn failed(total_attempts: u32, kind: Option<&str>) -> Option<bool> {
        let trial = OnTrial {
            plugin: "mine".to_owned(),
            started: Timestamp::from_millis(0),
            share: 5,
            arm: Arm::Canary,
        };
        let seen = Observation::of(trial, &delivery(total_attempts), &attempt(kind));
        seen.map(|observation| observation.failed)
    }

    #[test]
    fn the_first_attempt_of_a_delivery_counts_if_the_version_had_its_say() {
        assert_eq!(failed(0, None), Some(false));
        assert_eq!(failed(0, Some("trap")), Some(true));
        assert_eq!(failed(0, Some("plugin_error")), Some(true));
        for kind in ["webhook_missing", "internal"] {
            assert_eq!(failed(0, Some(kind)), None);
        }
        for kind in [None, Some("trap")] {
            assert_eq!(failed(1, kind), None);
        }
    }
}
