//! The queue in SQLite: the claim, the transitions and the lists, each one step of
//! [`crate::backend::sqlite::SqliteBackend`]'s writer or one read.

mod claim;
mod enqueue;
mod list;
mod prune;
mod report;
mod scheduler;
mod settle;
mod transition;
mod workers;

#[cfg(test)]
mod plans;

use std::time::{Duration, Instant};

use async_trait::async_trait;

pub(crate) use scheduler::Scheduler;
pub(crate) use workers::Workers;

use crate::{
    backend::{
        BackendError, Cursor,
        sqlite::{SqliteBackend, Tx},
    },
    model::{DeliveryId, EventId, TenantId, Timestamp, WorkerId},
    record::Attempt,
};
use crate::{
    backend::{
        Claim, Delivery, DeliveryFilter, Enqueued, LeaseToken, NewEvent, Page, Queue,
        QueueOverview, Settled, Settlement, StoredEvent, TransitionError, Usage, WorkerInfo,
        schedule::MAX_SPAN,
    },
    config::Retention,
};

/// Rows that one step of a long task (pruning, draining) handles, so that other steps get their turn.
const STEP: usize = 500;

fn later(now: Timestamp, span: Duration) -> Timestamp {
    now.plus(span.min(MAX_SPAN))
}

impl SqliteBackend {
    /// Cancels what still waits for webhooks that are gone, step by step.
    pub(crate) async fn drain(&self) -> Result<(), BackendError> {
        loop {
            let scheduler = self.scheduler.clone();
            let step = move |tx: &Tx<'_>| scheduler.drain(tx, tx.now, STEP);
            if self.store.write(step).await? < STEP {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Queue for SqliteBackend {
    async fn enqueue(&self, batch: Vec<NewEvent>) -> Result<Vec<Enqueued>, BackendError> {
        let scheduler = self.scheduler.clone();
        let step = move |tx: &Tx<'_>| enqueue::enqueue(tx, &scheduler, &batch);
        self.store.write(step).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        max: usize,
        lease: Duration,
    ) -> Result<Claim, BackendError> {
        let (worker, scheduler) = (worker.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| claim::claim(tx, &scheduler, &worker, max, lease);
        let claim = self.store.write(step).await?;
        if !claim.leased.is_empty() && claim.next_due == Some(Duration::ZERO) {
            self.store.wake_another();
        }
        Ok(claim)
    }

    async fn renew(
        &self,
        leases: &[LeaseToken],
        lease: Duration,
    ) -> Result<Vec<LeaseToken>, BackendError> {
        let leases = leases.to_vec();
        let step = move |tx: &Tx<'_>| transition::renew(tx, leases, lease);
        self.store.write(step).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, BackendError> {
        let scheduler = self.scheduler.clone();
        let step = move |tx: &Tx<'_>| settle::settle(tx, &scheduler, settlement);
        self.store.write(step).await
    }

    async fn release(&self, leases: &[LeaseToken]) -> Result<(), BackendError> {
        let (leases, scheduler) = (leases.to_vec(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| transition::release(tx, &scheduler, &leases);
        self.store.write(step).await
    }

    async fn defer(
        &self,
        lease: &LeaseToken,
        wait: Duration,
        why: &str,
    ) -> Result<(), BackendError> {
        let (lease, why, scheduler) = (lease.clone(), why.to_owned(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| transition::defer(tx, &scheduler, &lease, wait, &why);
        self.store.write(step).await
    }

    async fn requeue(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Delivery, TransitionError> {
        let (tenant, id, scheduler) = (tenant.clone(), id.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| transition::requeue(tx, &scheduler, &tenant, &id);
        self.store.write(step).await?
    }

    async fn requeue_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError> {
        let (tenant, filter, scheduler) = (tenant.clone(), filter.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| {
            transition::requeue_matching(tx, &scheduler, &tenant, &filter, limit)
        };
        self.store.write(step).await
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Delivery, TransitionError> {
        let (tenant, id, scheduler) = (tenant.clone(), id.clone(), self.scheduler.clone());
        let step = move |tx: &Tx<'_>| transition::cancel(tx, &scheduler, &tenant, &id);
        self.store.write(step).await?
    }

    async fn cancel_matching(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<usize, BackendError> {
        let (tenant, filter, scheduler) = (tenant.clone(), filter.clone(), self.scheduler.clone());
        let step =
            move |tx: &Tx<'_>| transition::cancel_matching(tx, &scheduler, &tenant, &filter, limit);
        self.store.write(step).await
    }

    async fn event(
        &self,
        tenant: &TenantId,
        id: &EventId,
    ) -> Result<Option<StoredEvent>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| list::event(conn, &tenant, &id);
        self.store.read(read).await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| list::delivery(conn, &tenant, &id);
        self.store.read(read).await
    }

    async fn attempts(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
    ) -> Result<Vec<Attempt>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| list::attempts(conn, &tenant, &id);
        self.store.read(read).await
    }

    async fn attempt(
        &self,
        tenant: &TenantId,
        id: &DeliveryId,
        number: u32,
    ) -> Result<Option<Attempt>, BackendError> {
        let (tenant, id) = (tenant.clone(), id.clone());
        let read = move |conn: &_| list::attempt(conn, &tenant, &id, number);
        self.store.read(read).await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Delivery>, BackendError> {
        let after = Cursor::parse_delivery(cursor)?;
        let (tenant, filter) = (tenant.clone(), filter.clone());
        let read = move |conn: &_| list::deliveries(conn, &tenant, &filter, limit, after);
        self.store.read(read).await
    }

    async fn overview(&self, tenant: Option<&TenantId>) -> Result<QueueOverview, BackendError> {
        let tenant = tenant.cloned();
        let read = move |conn: &_| report::overview(conn, tenant.as_ref(), Timestamp::now());
        self.store.read(read).await
    }

    async fn usage(
        &self,
        tenant: &TenantId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Usage, BackendError> {
        let tenant = tenant.clone();
        let read = move |conn: &_| report::usage(conn, &tenant, since, until);
        self.store.read(read).await
    }

    async fn prune(&self, retention: Retention, limit: usize) -> Result<usize, BackendError> {
        self.drain().await?;
        self.sweep().await?;
        let mut removed = 0;
        while removed < limit {
            let at_most = STEP.min(limit - removed);
            let step = move |tx: &Tx<'_>| prune::prune(tx, retention, at_most);
            let pruned = self.store.write(step).await?;
            removed += pruned.removed;
            if !pruned.more {
                break;
            }
        }
        Ok(removed)
    }

    async fn heartbeat(&self, worker: &WorkerInfo) -> Result<(), BackendError> {
        self.workers.heartbeat(worker, Instant::now());
        Ok(())
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, BackendError> {
        Ok(self.workers.list(Instant::now()))
    }

    async fn deregister(&self, worker: &WorkerId) -> Result<(), BackendError> {
        self.workers.deregister(worker);
        Ok(())
    }

    async fn wait(&self, at_most: Duration) {
        self.store.wait(at_most).await;
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.store.write(report::ping).await
    }
}
