//! The queue in Redis: each transition one Lua step of [`crate::backend::redis::RedisBackend`]'s store. The
//! steps are in `lua/`; here their arguments are made and their answers read.

mod claim;
mod enqueue;
mod list;
mod report;
mod wake;

use std::time::Duration;

use async_trait::async_trait;

pub(crate) use wake::Waker;

use crate::{
    backend::{
        BackendError, outage,
        redis::{
            RedisBackend,
            registry::named::write,
            script::{CANCEL, DEFER, DRAIN, PING, PRUNE, RELEASE, RENEW, REQUEUE, SETTLE, Script},
            store::{Answer, Mode, int},
        },
    },
    model::{DeliveryId, EventId, TenantId, Timestamp, WorkerId},
    record::{Attempt, Next},
};
use crate::{
    backend::{
        Claim, Delivery, DeliveryFilter, Enqueued, LeaseToken, NewEvent, Page, Queue,
        QueueOverview, Settled, Settlement, Status, StoredEvent, TransitionError, Usage,
        WorkerInfo,
        schedule::{self, MAX_MOVED, MAX_SPAN, WEBHOOK_DELETED},
    },
    config::Retention,
};

/// Deliveries that one step of a long task handles: Redis serves nobody else meanwhile.
const STEP: usize = 200;

/// A span of time as the steps take it.
fn micros(span: Duration) -> String {
    span.min(MAX_SPAN).as_micros().to_string()
}

/// Tokens by shard, each with its place in the list.
type ByShard<'a> = Vec<Vec<(usize, &'a LeaseToken)>>;

/// The outcome of the same step in several shards. One that is away does not keep it from the others.
#[derive(Debug, Default)]
struct Outcome {
    worked: bool,
    error: Option<BackendError>,
}

impl Outcome {
    fn of<T>(&mut self, result: Result<T, BackendError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.worked = true;
                Some(value)
            }
            Err(error) => {
                tracing::debug!(%error, "a step failed in one shard");
                self.error = Some(error);
                None
            }
        }
    }

    /// An error only if it worked nowhere.
    fn result(self) -> Result<(), BackendError> {
        match self.error {
            Some(error) if !self.worked => Err(error),
            Some(error) => {
                outage::failed("reach some shards of Redis", &error);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl RedisBackend {
    /// Cancels what still waits for webhooks that are gone, step by step.
    pub(crate) async fn drain(&self, shard: usize) -> Result<(), BackendError> {
        let limit = STEP.to_string();
        let args = [limit.as_bytes(), WEBHOOK_DELETED.as_bytes()];
        loop {
            let answer = self
                .store
                .run(shard, &DRAIN, &args, Mode::REPEATABLE)
                .await?;
            if answer.ok()?.int()? == 0 {
                return Ok(());
            }
        }
    }

    fn by_shard<'a>(&self, leases: &'a [LeaseToken]) -> Result<ByShard<'a>, BackendError> {
        let mut all: ByShard<'a> = vec![Vec::new(); self.store.shards()];
        for (place, token) in leases.iter().enumerate() {
            let shard = self.store.shard_of(&token.tenant)?;
            if let Some(tokens) = all.get_mut(shard) {
                tokens.push((place, token));
            }
        }
        Ok(all)
    }

    /// A step on leases of one shard, given as delivery and fence in turn.
    async fn on_leases(
        &self,
        shard: usize,
        script: &Script,
        first: Option<&str>,
        tokens: &[(usize, &LeaseToken)],
    ) -> Result<Answer, BackendError> {
        let fences: Vec<String> = tokens.iter().map(|(_, t)| t.fence.to_string()).collect();
        let mut args: Vec<&[u8]> = first.into_iter().map(str::as_bytes).collect();
        for ((_, token), fence) in tokens.iter().zip(&fences) {
            args.extend([token.delivery.as_str().as_bytes(), fence.as_bytes()]);
        }
        let answer = self.store.run(shard, script, &args, Mode::REPEATABLE);
        answer.await?.ok()
    }

    /// Removes what ended long enough ago from one shard, by steps.
    async fn prune_shard(
        &self,
        shard: usize,
        retention: Retention,
        limit: usize,
    ) -> Result<usize, BackendError> {
        self.drain(shard).await?;
        self.sweep(shard).await?;
        let (finished, failed) = (micros(retention.finished), micros(retention.failed));
        let mut removed = 0;
        while removed < limit {
            let at_most = STEP.min(limit - removed).to_string();
            let args = [at_most.as_bytes(), finished.as_bytes(), failed.as_bytes()];
            let answer = self.store.run(shard, &PRUNE, &args, Mode::REPEATABLE);
            let pruned = usize::try_from(answer.await?.ok()?.int()?).unwrap_or(0);
            removed += pruned;
            if pruned == 0 {
                break;
            }
        }
        Ok(removed)
    }

    /// Requeues or cancels those that match and are in a state that allows it, oldest first.
    async fn move_matching(
        &self,
        script: &Script,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
        may: impl Fn(Status) -> bool + Send,
    ) -> Result<usize, BackendError> {
        let shard = self.store.shard_of(tenant)?;
        let limit = limit.min(MAX_MOVED);
        let mut scan = list::Scan::oldest_first(&self.store, shard, tenant, filter).await?;
        let mut moved = 0;
        while moved < limit {
            let Some(found) = scan.next(&self.store).await? else {
                break;
            };
            let mut args = vec![tenant.as_str().as_bytes()];
            args.extend(
                found
                    .iter()
                    .filter(|delivery| may(delivery.status))
                    .map(|delivery| delivery.id.as_str().as_bytes())
                    .take(limit - moved),
            );
            if args.len() > 1 {
                let answer = self.store.run(shard, script, &args, Mode::MOVE).await?;
                moved += usize::try_from(answer.ok()?.int()?).unwrap_or(0);
            }
        }
        Ok(moved)
    }

    /// Requeues or cancels one.
    async fn move_one(
        &self,
        script: &Script,
        tenant: &TenantId,
        id: &DeliveryId,
        allowed: &'static str,
    ) -> Result<Delivery, TransitionError> {
        let shard = self.store.shard_of(tenant)?;
        let args = [tenant.as_str().as_bytes(), id.as_str().as_bytes()];
        // Made twice it would be refused the second time.
        let mut answer = self
            .store
            .run(shard, script, &args, Mode::MOVE)
            .await?
            .ok()?;
        if answer.int()? == 0 {
            let state = answer.text()?;
            return Err(match Status::from_name(&state) {
                None => TransitionError::NotFound(id.clone()),
                Some(status) => TransitionError::WrongState {
                    id: id.clone(),
                    status,
                    allowed,
                },
            });
        }
        let moved = self.delivery(tenant, id).await?;
        moved.ok_or_else(|| TransitionError::NotFound(id.clone()))
    }
}

#[async_trait]
impl Queue for RedisBackend {
    async fn enqueue(&self, batch: Vec<NewEvent>) -> Result<Vec<Enqueued>, BackendError> {
        enqueue::enqueue(&self.store, &batch).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        max: usize,
        lease: Duration,
    ) -> Result<Claim, BackendError> {
        claim::claim(self, worker, max, lease).await
    }

    async fn renew(
        &self,
        leases: &[LeaseToken],
        lease: Duration,
    ) -> Result<Vec<LeaseToken>, BackendError> {
        let span = micros(lease);
        let (mut lost, mut outcome) = (Vec::new(), Outcome::default());
        for (shard, tokens) in self.by_shard(leases)?.into_iter().enumerate() {
            for tokens in tokens.chunks(STEP) {
                let step = self.on_leases(shard, &RENEW, Some(&span), tokens);
                let answer = outcome.of(step.await);
                let places = answer.map(|mut answer| answer.list()).transpose()?;
                for place in places.unwrap_or_default() {
                    let place = usize::try_from(int(place)?).unwrap_or(usize::MAX);
                    lost.extend(tokens.get(place).map(|(place, token)| (*place, *token)));
                }
            }
        }
        outcome.result()?;
        lost.sort_by_key(|(place, _)| *place);
        Ok(lost.into_iter().map(|(_, token)| token.clone()).collect())
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, BackendError> {
        let Settlement {
            id,
            lease,
            attempt,
            next,
            pause,
        } = settlement;
        let shard = self.store.shard_of(&lease.tenant)?;
        let (state, wait) = match &next {
            Next::Finished => (Status::Finished, Duration::ZERO),
            Next::Skip(_) => (Status::Skipped, Duration::ZERO),
            Next::Fail(_) => (Status::Failed, Duration::ZERO),
            Next::Retry(wait) => (Status::Scheduled, *wait),
        };
        let (delivered, fuel, bytes) = schedule::used(&attempt);
        let (fence, wait) = (lease.fence.to_string(), micros(wait));
        let pause = micros(pause.unwrap_or_default());
        let (fuel, bytes) = (fuel.to_string(), bytes.to_string());
        let id = id.to_string();
        let args = [
            lease.delivery.as_str().as_bytes(),
            fence.as_bytes(),
            &write(&attempt)?.into_bytes(),
            state.as_str().as_bytes(),
            wait.as_bytes(),
            pause.as_bytes(),
            &schedule::result(&attempt, &next).into_bytes(),
            if delivered { b"1" } else { b"0" },
            fuel.as_bytes(),
            bytes.as_bytes(),
            id.as_bytes(),
            schedule::error_kind(&attempt)
                .unwrap_or_default()
                .as_bytes(),
        ];
        let answer = self
            .store
            .run(shard, &SETTLE, &args, Mode::REPEATABLE)
            .await?;
        Ok(if answer.ok()?.int()? == 1 {
            Settled::Done
        } else {
            Settled::LeaseLost
        })
    }

    async fn release(&self, leases: &[LeaseToken]) -> Result<(), BackendError> {
        let mut outcome = Outcome::default();
        for (shard, tokens) in self.by_shard(leases)?.into_iter().enumerate() {
            for tokens in tokens.chunks(STEP) {
                outcome.of(self.on_leases(shard, &RELEASE, None, tokens).await);
            }
        }
        outcome.result()
    }

    async fn defer(
        &self,
        lease: &LeaseToken,
        wait: Duration,
        why: &str,
    ) -> Result<(), BackendError> {
        let shard = self.store.shard_of(&lease.tenant)?;
        let (fence, wait) = (lease.fence.to_string(), micros(wait));
        let args = [
            lease.delivery.as_str().as_bytes(),
            fence.as_bytes(),
            wait.as_bytes(),
            why.as_bytes(),
        ];
        let answer = self.store.run(shard, &DEFER, &args, Mode::REPEATABLE);
        answer.await?.ok().map(|_| ())
    }

    async fn requeue(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Delivery, TransitionError> {
        let allowed = "only one that has ended or is scheduled can be requeued";
        self.move_one(&REQUEUE, tenant, id, allowed).await
    }

    async fn requeue_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError> {
        let may = |status: Status| status.is_ended() || status == Status::Scheduled;
        self.move_matching(&REQUEUE, tenant, filter, limit, may)
            .await
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Delivery, TransitionError> {
        let allowed = "only one that is queued or scheduled can be cancelled";
        self.move_one(&CANCEL, tenant, id, allowed).await
    }

    async fn cancel_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError> {
        let may = |status: Status| matches!(status, Status::Queued | Status::Scheduled);
        self.move_matching(&CANCEL, tenant, filter, limit, may)
            .await
    }

    async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<StoredEvent>, BackendError> {
        list::event(&self.store, tenant, id).await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, BackendError> {
        list::delivery(&self.store, tenant, id).await
    }

    async fn attempts(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Vec<Attempt>, BackendError> {
        list::attempts(&self.store, tenant, id, None).await
    }

    async fn attempt(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
        number: u32,
    ) -> Result<Option<Attempt>, BackendError> {
        let found = list::attempts(&self.store, tenant, id, Some(number)).await?;
        Ok(found.into_iter().next())
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, BackendError> {
        list::deliveries(&self.store, tenant, filter, limit, cursor).await
    }

    async fn overview(&self, tenant: Option<&TenantId>) -> Result<QueueOverview, BackendError> {
        report::overview(&self.store, tenant).await
    }

    async fn usage(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Usage, BackendError> {
        report::usage(&self.store, tenant, since, until).await
    }

    async fn prune(&self, retention: Retention, limit: usize) -> Result<usize, BackendError> {
        let (mut removed, mut outcome) = (0, Outcome::default());
        for shard in 0..self.store.shards() {
            let left = limit.saturating_sub(removed);
            let pruned = outcome.of(self.prune_shard(shard, retention, left).await);
            removed += pruned.unwrap_or(0);
        }
        outcome.result().map(|()| removed)
    }

    async fn heartbeat(&self, worker: &WorkerInfo) -> Result<(), BackendError> {
        let about = write(worker)?;
        report::workers(&self.store, Some((&worker.id, &about))).await?;
        self.keep_shards_now_and_then().await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BackendError> {
        report::workers(&self.store, None).await
    }

    async fn deregister(&self, worker: &WorkerId) -> Result<(), BackendError> {
        report::workers(&self.store, Some((worker, ""))).await?;
        // A wake-up that this process took with it must not be lost.
        self.wake_another().await;
        Ok(())
    }

    async fn wait(&self, at_most: Duration) {
        self.wait_for_work(at_most).await;
    }

    async fn ping(&self) -> Result<(), BackendError> {
        for shard in 0..self.store.shards() {
            self.store
                .run(shard, &PING, &[], Mode::REPEATABLE)
                .await?
                .ok()?;
        }
        self.keep_shards().await
    }
}
