//! Rollouts: a new version gets a share of the deliveries, and the rollout ends if that version fails more often.

use super::{Arm, TenantId, Timestamp, Transformers};
use crate::{
    backend::{BackendError, Delivery},
    model::{Plugin, Tallies, is_worse},
    record::{Attempt, AttemptOutcome},
};

/// The side of a rollout that an attempt is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutArm {
    pub(super) plugin: String,
    pub(super) started: Timestamp,
    pub(super) share: u8,
    pub(super) arm: Arm,
}

/// An attempt's evidence in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    tenant: TenantId,
    rollout: RolloutArm,
    failed: bool,
}

impl Observation {
    /// The observation of a delivery's first attempt. Later attempts are none, as the judgement is sound only if each
    /// delivery counts once. An attempt that failed before the version ran is none either.
    pub(crate) fn of(rollout: RolloutArm, delivery: &Delivery, attempt: &Attempt) -> Option<Self> {
        let kind = attempt.error.as_ref().map(|error| error.kind.as_str());
        let says_nothing = matches!(kind, Some("webhook_missing" | "internal"));
        (delivery.total_attempts == 0 && !says_nothing).then(|| Self {
            tenant: delivery.tenant.clone(),
            rollout,
            failed: is_to_blame(attempt),
        })
    }
}

/// Whether an attempt failed in a way for which its transformer can be blamed: it could not be loaded, it
/// failed to render, it rendered no valid request, or the receiver refused the request for good (4xx, but
/// not those that are worth a retry). A receiver that cannot be reached or has failed is not its fault.
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

/// Why a rollout was not ended.
enum NotEnded {
    /// It is over already: another process has ended it, or somebody has changed the plugin.
    Over,
    Backend(BackendError),
}

impl From<BackendError> for NotEnded {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl Transformers {
    /// Counts the observation of a stored attempt. If the observations up to now say that the new version is worse, it
    /// ends the rollout and answers `true`. A failure is logged; it is no reason to make the attempt again.
    pub(crate) async fn count(&self, observation: &Observation) -> bool {
        let Observation {
            tenant,
            rollout,
            failed,
        } = observation;
        let plugin = rollout.plugin.as_str();
        let counted = self
            .backend
            .tally(tenant, plugin, rollout.started, rollout.arm, *failed)
            .await;
        let seen = match counted {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, %tenant, plugin, "an attempt of a rollout was not counted");
                return false;
            }
        };
        if !is_worse(&seen, rollout.share) {
            return false;
        }
        match self.end_rollout(tenant, rollout, seen).await {
            Ok(ended) => {
                tracing::warn!(
                    %tenant, plugin, version = ended.rolled_back.map(|ended| ended.version),
                    attempts = seen.canary.attempts, failures = seen.canary.failures,
                    current_attempts = seen.current.attempts, current_failures = seen.current.failures,
                    "a rollout was ended: the new version fails more often than the current one"
                );
                true
            }
            Err(NotEnded::Over) => false,
            Err(NotEnded::Backend(error)) => {
                tracing::error!(%error, %tenant, plugin, "a rollout could not be ended; the next attempt tries again");
                false
            }
        }
    }

    async fn end_rollout(
        &self,
        tenant: &TenantId,
        rollout: &RolloutArm,
        seen: Tallies,
    ) -> Result<Plugin, NotEnded> {
        self.changes
            .apply(tenant, |config| {
                let mut plugins = config.plugins.into_iter();
                let found = plugins.find(|plugin| plugin.name == rollout.plugin);
                let mut plugin = found.ok_or(NotEnded::Over)?;
                if plugin.end_rollout(rollout.started, seen, Timestamp::now()) {
                    Ok(plugin)
                } else {
                    Err(NotEnded::Over)
                }
            })
            .await
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
        let rollout = RolloutArm {
            plugin: "mine".to_owned(),
            started: Timestamp::from_millis(0),
            share: 5,
            arm: Arm::Canary,
        };
        let seen = Observation::of(rollout, &delivery(total_attempts), &attempt(kind));
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
