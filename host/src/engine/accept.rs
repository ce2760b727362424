//! Stages 1 to 3: the events of a request are matched with the tenant's rules and stored.

use std::{sync::Arc, time::Instant};

use super::{Engine, NOT_YOUR_TURN, SLICE};
use crate::{
    backend::{BackendError, Enqueued, NewDelivery, NewEvent},
    ingest::Incoming,
    model::DeliveryId,
    tenant::{
        Snapshot,
        limiter::{Caller, LimiterError},
    },
};

/// Why events were not accepted. None of the request's events is stored, except that after a lost connection to the
/// backend all of them may be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Rules name so many webhooks that this would be too much for one step.
    #[error(
        "the request would cause {deliveries} deliveries; at most {most} are allowed{}",
        if *one_event { " for one event" } else { ": send fewer events at once" }
    )]
    TooManyDeliveries {
        /// Number of deliveries that the request would create.
        deliveries: usize,
        /// The limit.
        most: usize,
        /// Whether a single event is over its own limit.
        one_event: bool,
    },
    /// Others were before it for too long.
    #[error("{NOT_YOUR_TURN}")]
    Busy,
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Engine {
    /// Stages 1 to 3 for one request: matches its events against the tenant's rules and stores them with
    /// their deliveries, all or none. When this returns `Ok`, they are durable.
    ///
    /// # Errors
    /// When the backend fails, more deliveries would follow than one request may cause, or the caller's turn does
    /// not come in time. Nothing is stored then, except that after a lost connection to the backend the whole request
    /// may be: the sender should send it again with the same idempotency key.
    pub(crate) async fn accept(
        &self,
        caller: &Caller,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<Enqueued>, AcceptError> {
        if incoming.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.snapshots.snapshot(caller.tenant()).await?;
        let batch = self.match_events(caller, &snapshot, incoming).await?;
        let rows = batch.iter().fold(0_usize, |sum, new| {
            let kilobytes = new.event.context().len() / 1024;
            sum.saturating_add(1 + new.deliveries.len())
                .saturating_add(kilobytes)
        });
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let permit = self.storing.acquire(caller, rows, self.patience()).await?;
        let enqueued = self.backend.enqueue(batch).await?;
        drop(permit);
        self.metrics.accepted(&enqueued);
        Ok(enqueued)
    }

    /// Matches each event. A tenant's conditions may cost a good part of a second, so this happens within
    /// the caller's share of the processors, a few milliseconds at a time.
    async fn match_events(
        &self,
        caller: &Caller,
        snapshot: &Arc<Snapshot>,
        incoming: Vec<Incoming>,
    ) -> Result<Vec<NewEvent>, AcceptError> {
        let limits = &self.config.limits;
        let (per_event, per_request) = (limits.deliveries_per_event, limits.deliveries_per_request);
        let mut batch = Vec::with_capacity(incoming.len());
        let mut total = 0usize;
        let mut left = incoming.into_iter();
        while left.len() > 0 {
            let snapshot = Arc::clone(snapshot);
            let slice = move || {
                let started = Instant::now();
                let mut matched = Vec::new();
                while started.elapsed() < SLICE
                    && let Some(incoming) = left.next()
                {
                    matched.push(match_event(&snapshot, incoming));
                }
                (matched, left)
            };
            let matched;
            (matched, left) = self.compute(caller, slice).await?;
            for new in matched {
                total = total.saturating_add(new.deliveries.len());
                for (deliveries, most, one_event) in [
                    (new.deliveries.len(), per_event, true),
                    (total, per_request, false),
                ] {
                    if deliveries > most {
                        return Err(AcceptError::TooManyDeliveries {
                            deliveries,
                            most,
                            one_event,
                        });
                    }
                }
                batch.push(new);
            }
        }
        Ok(batch)
    }
}

/// Matches one event against the tenant's rules.
fn match_event(snapshot: &Snapshot, incoming: Incoming) -> NewEvent {
    let Incoming { event, idempotency } = incoming;
    let event = snapshot.rules().recognize(event);
    let (targets, explanation) = snapshot.rules().match_event(&event).into_parts();
    let deliveries = targets
        .iter()
        .map(|target| NewDelivery {
            id: DeliveryId::generate(),
            webhook: target.webhook().clone(),
            rule: target.rule().clone(),
        })
        .collect();
    NewEvent {
        event,
        idempotency,
        deliveries,
        explanation,
    }
}

impl From<LimiterError> for AcceptError {
    fn from(error: LimiterError) -> Self {
        match error {
            LimiterError::QueueFull | LimiterError::TimedOut => Self::Busy,
            LimiterError::Panicked => Self::Backend(BackendError::Internal(
                "matching rules ended early".to_owned(),
            )),
        }
    }
}
