//! Watching the versions on trial.

use std::time::Duration;

use super::{Arm, Engine, TenantId, Timestamp};
use crate::{
    deliver::status_is_retryable,
    model::{Tallies, is_worse},
    record::{Attempt, AttemptOutcome},
    registry::BackendError,
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

/// Whether an attempt failed in a way for which its transformer can be blamed: it could not be loaded, it
/// failed to render, what it rendered is no request, or the receiver refused the request for good (4xx, but
/// not those that are worth a retry). Not blamed for who cannot be reached or has failed.
pub(crate) fn is_to_blame(attempt: &Attempt) -> bool {
    if attempt.outcome != AttemptOutcome::Failed {
        return false;
    }
    match &attempt.response {
        Some(response) => {
            (400..500).contains(&response.status) && !status_is_retryable(response.status)
        }
        None => {
            attempt.request.is_none()
                && attempt.error.as_ref().is_some_and(|error| {
                    !matches!(
                        error.kind.as_str(),
                        "webhook_missing" | "internal" | "plugin_loading"
                    )
                })
        }
    }
}

impl Engine {
    /// Counts an attempt of a trial, and ends the trial if what was seen by now says so. Failing to is no
    /// reason to fail the attempt.
    pub(crate) async fn count(&self, tenant: &TenantId, trial: &OnTrial, failed: bool) {
        let counted = self
            .backend
            .tally(tenant, &trial.plugin, trial.started, trial.arm, failed)
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
                Err(BackendError::Changed) => {
                    let wait = Duration::from_micros(rand::random_range(0..20_000));
                    tokio::time::sleep(wait).await;
                }
                stored => {
                    let version = plugin.rolled_back.map(|ended| ended.version);
                    return stored.map(|()| version);
                }
            }
        }
        Err(BackendError::Changed)
    }
}
