//! The claim over all shards.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::Value;

use crate::backend::redis::queue::{list, micros};
use crate::{
    backend::{
        BackendError, Claim, LeaseToken, Leased, LostLease, outage,
        redis::{
            RedisBackend,
            fault::stored,
            script::CLAIM,
            store::{Mode, list as parts_of, text},
        },
        schedule::{self, FIRSTS_PER_RETRY, MAX_CLAIM, WORKER_LOST},
    },
    ingest::Event,
    model::{EventId, WorkerId},
};

/// Bytes of events in one claim, after which it takes no more: a claim is one answer of Redis.
const MAX_BYTES: usize = 8 << 20;

/// When a shard that could not be asked is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Goes round the shards, each claim beginning with another one, so that none is served before the others.
/// A shard that fails does not keep back deliveries of the others.
pub(super) async fn claim(
    backend: &RedisBackend,
    worker: &WorkerId,
    max: usize,
    lease: Duration,
) -> Result<Claim, BackendError> {
    let mut all = Claim::default();
    let (shards, mut failed) = (backend.store.shards(), None);
    let first = backend.waker.turn();
    for shard in (0..shards).map(|n| first.wrapping_add(n) % shards) {
        let room = max.min(MAX_CLAIM).saturating_sub(all.leased.len());
        let woken = backend.waker.was_woken(shard);
        if room == 0 && max > 0 {
            // It is not asked any more, so who was woken for it must be another.
            if woken {
                backend.wake_another_for(shard).await;
            }
            all.next_due = Some(Duration::ZERO);
            continue;
        }
        match one(backend, shard, worker, room, lease).await {
            Ok(claim) => {
                all.leased.extend(claim.leased);
                all.lost.extend(claim.lost);
                all.next_due = sooner(all.next_due, claim.next_due);
            }
            Err(error) => {
                tracing::debug!(%error, shard, "cannot claim from a shard");
                all.next_due = sooner(all.next_due, Some(AGAIN));
                failed = Some((failed.map_or(0, |(n, _)| n) + 1, error));
            }
        }
    }
    match failed {
        Some((count, error)) if count == shards => Err(error),
        Some((_, error)) => {
            outage::failed("claim from some shards of Redis", &error);
            Ok(all)
        }
        None => Ok(all),
    }
}

fn sooner(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

async fn one(
    backend: &RedisBackend,
    shard: usize,
    worker: &WorkerId,
    max: usize,
    lease: Duration,
) -> Result<Claim, BackendError> {
    let (max, lease, bytes) = (max.to_string(), micros(lease), MAX_BYTES.to_string());
    let (poisonous, firsts) = (schedule::poisonous(&"%d"), FIRSTS_PER_RETRY.to_string());
    let args = [
        worker.as_str().as_bytes(),
        max.as_bytes(),
        lease.as_bytes(),
        bytes.as_bytes(),
        WORKER_LOST.as_bytes(),
        poisonous.as_bytes(),
        b"its event is missing from the store",
        schedule::WORKER_LOST_KIND.as_bytes(),
        firsts.as_bytes(),
    ];
    let answer = backend.store.run(shard, &CLAIM, &args, Mode::CLAIM).await?;
    let mut answer = answer.ok()?;
    answer.next()?;
    let again = answer.int()?;
    let (deliveries, events) = (answer.list()?, answer.list()?);
    let lost = read_lost(answer.list()?)?;
    let events = read_events(events)?;
    let mut leased = Vec::with_capacity(deliveries.len() / 2);
    let mut parts = deliveries.into_iter();
    while let (Some(id), Some(fields)) = (parts.next(), parts.next()) {
        let stored_delivery = list::read(text(id)?, fields)?;
        let delivery = stored_delivery.delivery;
        let event = events
            .get(&delivery.event)
            .ok_or_else(|| stored("a delivery has no event"))?;
        leased.push(Leased {
            token: LeaseToken {
                tenant: delivery.tenant.clone(),
                delivery: delivery.id.clone(),
                fence: stored_delivery.fence,
            },
            event: Arc::clone(event),
            delivery,
        });
    }
    Ok(Claim {
        leased,
        next_due: u64::try_from(again).ok().map(Duration::from_micros),
        lost,
    })
}

fn read_lost(parts: Vec<Value>) -> Result<Vec<LostLease>, BackendError> {
    let mut lost = Vec::with_capacity(parts.len() / 5);
    let mut parts = parts.into_iter();
    while let Some(delivery) = parts.next() {
        let mut next = || text(parts.next().unwrap_or(Value::Nil));
        lost.push(LostLease {
            delivery: text(delivery)?.into(),
            tenant: next()?.into(),
            webhook: next()?.into(),
            worker: next()?.into(),
            has_failed: next()? == "failed",
        });
    }
    Ok(lost)
}

fn read_events(parts: Vec<Value>) -> Result<HashMap<EventId, Arc<Event>>, BackendError> {
    let mut events = HashMap::new();
    let mut parts = parts.into_iter();
    while let (Some(id), Some(fields)) = (parts.next(), parts.next()) {
        let id = EventId::from(text(id)?);
        let event = list::read_event(id.clone(), &mut parts_of(fields)?.into_iter())?;
        events.insert(id, Arc::new(event));
    }
    Ok(events)
}
