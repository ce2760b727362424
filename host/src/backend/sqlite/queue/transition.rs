//! The transitions without an attempt: renew, release, put off, requeue, cancel.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::{params, params_from_iter, types::Value};

use crate::backend::sqlite::queue::{
    Scheduler, later,
    list::{self, Condition},
    settle::{fence, pause},
};
use crate::{
    backend::{
        Delivery, DeliveryFilter, LeaseToken, Status, TransitionError,
        schedule::MAX_MOVED,
        sqlite::{
            Tx,
            fault::{Fault, Sql},
        },
    },
    model::{DeliveryId, TenantId},
};

pub(super) fn renew(
    tx: &Tx<'_>,
    leases: Vec<LeaseToken>,
    lease: Duration,
) -> Result<Vec<LeaseToken>, Fault> {
    let until = later(tx.now, lease).as_millis();
    let sql = "UPDATE deliveries SET lease_until = ?3
               WHERE id = ?1 AND fence = ?2 AND status = 'started'";
    let mut lost = Vec::new();
    for token in leases {
        let key = params![token.delivery.as_str(), fence(token.fence), until];
        if tx.run(sql, key)? == 0 {
            lost.push(token);
        }
    }
    Ok(lost)
}

pub(super) fn release(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    leases: &[LeaseToken],
) -> Result<(), Fault> {
    let mut outlets = BTreeSet::new();
    for token in leases {
        outlets.extend(give_back(tx, token, None)?);
    }
    refresh_all(tx, scheduler, outlets)
}

pub(super) fn defer(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    lease: &LeaseToken,
    wait: Duration,
    why: &str,
) -> Result<(), Fault> {
    let outlet = give_back(tx, lease, Some(why))?;
    if let Some(outlet) = outlet {
        pause(tx, outlet, wait)?;
    }
    refresh_all(tx, scheduler, outlet.into_iter().collect())
}

/// Back to where it waited; its outlet, if the lease still held.
fn give_back(tx: &Tx<'_>, token: &LeaseToken, why: Option<&str>) -> Result<Option<i64>, Fault> {
    let sql = "UPDATE deliveries SET status = 'queued', lane = (attempts > 0), updated = ?3,
                   receives = max(receives - 1, 0), last_result = coalesce(?4, last_result),
                   worker = NULL, leased_at = NULL, lease_until = NULL
               WHERE id = ?1 AND fence = ?2 AND status = 'started' RETURNING outlet";
    let (id, now) = (token.delivery.as_str(), tx.now.as_millis());
    let key = params![id, fence(token.fence), now, why];
    tx.one(sql, key, |row| Ok(row.get(0)?))
}

fn refresh_all(tx: &Tx<'_>, scheduler: &Scheduler, outlets: BTreeSet<i64>) -> Result<(), Fault> {
    for outlet in outlets {
        scheduler.refresh(tx, tx.now, outlet)?;
        tx.wake();
    }
    Ok(())
}

/// To the end of the lane of first attempts.
const REQUEUE: &str = "UPDATE deliveries SET status = 'queued', lane = 0, due = ?2, updated = ?2,
     attempts = 0, receives = 0 WHERE seq = ?1 RETURNING outlet";

const CANCEL: &str = "UPDATE deliveries SET status = 'cancelled', lane = NULL, updated = ?2
     WHERE seq = ?1 RETURNING outlet";

pub(super) fn requeue(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Result<Delivery, TransitionError>, Fault> {
    let may = |status: Status| status.is_ended() || status == Status::Scheduled;
    let allowed = "only one that has ended or is scheduled can be requeued";
    move_one(tx, scheduler, tenant, id, may, allowed, REQUEUE)
}

pub(super) fn cancel(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    id: &DeliveryId,
) -> Result<Result<Delivery, TransitionError>, Fault> {
    let may = |status: Status| matches!(status, Status::Queued | Status::Scheduled);
    let allowed = "only one that is queued or scheduled can be cancelled";
    move_one(tx, scheduler, tenant, id, may, allowed, CANCEL)
}

fn move_one(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    id: &DeliveryId,
    may: impl FnOnce(Status) -> bool,
    allowed: &'static str,
    sql: &str,
) -> Result<Result<Delivery, TransitionError>, Fault> {
    let Some(found) = list::find(tx, tenant, id)? else {
        return Ok(Err(TransitionError::NotFound(id.clone())));
    };
    let status = found.delivery.status;
    if !may(status) {
        return Ok(Err(TransitionError::WrongState {
            id: id.clone(),
            status,
            allowed,
        }));
    }
    let key = [found.seq, tx.now.as_millis()];
    let outlet = tx.one(sql, key, |row| Ok(row.get::<_, i64>(0)?))?;
    refresh_all(tx, scheduler, outlet.into_iter().collect())?;
    Ok(Ok(list::by_seq(tx, found.seq)?.delivery))
}

pub(super) fn requeue_matching(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    limit: usize,
) -> Result<usize, Fault> {
    const MAY: &str = "'finished', 'failed', 'skipped', 'cancelled', 'scheduled'";
    move_matching(tx, scheduler, tenant, filter, limit, MAY, REQUEUE)
}

pub(super) fn cancel_matching(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    limit: usize,
) -> Result<usize, Fault> {
    const MAY: &str = "'queued', 'scheduled'";
    move_matching(tx, scheduler, tenant, filter, limit, MAY, CANCEL)
}

/// Moves those that match and are in one of these states, oldest first.
fn move_matching(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    tenant: &TenantId,
    filter: &DeliveryFilter,
    limit: usize,
    states: &str,
    sql: &str,
) -> Result<usize, Fault> {
    let mut condition = Condition::new(tenant, filter);
    let limit = condition.bind(Value::Integer(limit.min(MAX_MOVED) as i64));
    let find = format!(
        "SELECT d.seq FROM deliveries d WHERE {} AND d.status IN ({states})
         ORDER BY d.created, d.seq LIMIT {limit}",
        condition.sql()
    );
    let matching = tx.all(&find, params_from_iter(condition.values()), |row| {
        Ok(row.get::<_, i64>(0)?)
    })?;
    let mut outlets = BTreeSet::new();
    for seq in &matching {
        let key = [*seq, tx.now.as_millis()];
        outlets.extend(tx.one(sql, key, |row| Ok(row.get::<_, i64>(0)?))?);
    }
    refresh_all(tx, scheduler, outlets)?;
    Ok(matching.len())
}
