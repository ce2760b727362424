//! The end of a lease: settled by its worker, or reclaimed because it expired.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::{Connection, Row, params};

use crate::backend::sqlite::queue::{Scheduler, later, report};
use crate::{
    backend::{
        KEPT_ATTEMPTS, LostLease, Settled, Settlement, Status,
        schedule::{self, WORKER_LOST},
        sqlite::{
            Tx,
            fault::{Fault, Sql},
        },
    },
    model::{TenantId, Timestamp},
    record::{Attempt, Next},
};

struct Started {
    seq: i64,
    tenant: TenantId,
    outlet: i64,
    total_attempts: u32,
}

pub(super) fn settle(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    settlement: Settlement,
) -> Result<Settled, Fault> {
    // The settlement's id is not kept here: an answer is lost within one process only if the files of the store are
    // taken away between the commit and the answer.
    let Settlement {
        id: _,
        lease,
        mut attempt,
        next,
        pause: span,
    } = settlement;
    let sql = "SELECT seq, tenant, outlet, total_attempts FROM deliveries
               WHERE id = ?1 AND fence = ?2 AND status = 'started'";
    let key = params![lease.delivery.as_str(), fence(lease.fence)];
    let started = tx.one(sql, key, |row| {
        Ok(Started {
            seq: row.get(0)?,
            tenant: row.get::<_, String>(1)?.into(),
            outlet: row.get(2)?,
            total_attempts: row.get(3)?,
        })
    })?;
    let Some(started) = started else {
        return Ok(Settled::LeaseLost);
    };
    attempt.number = started.total_attempts.saturating_add(1);
    record(tx, started.seq, &attempt)?;
    let (status, lane, due) = match &next {
        Next::Finished => (Status::Finished, None, None),
        Next::Skip(_) => (Status::Skipped, None, None),
        Next::Fail(_) => (Status::Failed, None, None),
        Next::Retry(wait) => (Status::Scheduled, Some(1), Some(later(tx.now, *wait))),
    };
    tx.run(
        "UPDATE deliveries SET status = ?2, lane = ?3, due = coalesce(?4, due), updated = ?5,
             last_result = ?6, last_error = ?7, attempts = attempts + 1, total_attempts = total_attempts + 1,
             receives = 0, worker = NULL, leased_at = NULL, lease_until = NULL
         WHERE seq = ?1",
        params![
            started.seq,
            status.as_str(),
            lane,
            due.map(Timestamp::as_millis),
            tx.now.as_millis(),
            schedule::result(&attempt, &next),
            schedule::error_kind(&attempt),
        ],
    )?;
    if let Some(span) = span {
        pause(tx, started.outlet, span)?;
    }
    report::count_attempt(tx, &started.tenant, tx.now, &attempt)?;
    scheduler.refresh(tx, tx.now, started.outlet)?;
    tx.wake();
    Ok(Settled::Done)
}

/// Holds all of an outlet's deliveries back; a shorter span does not end a longer one.
pub(super) fn pause(tx: &Tx<'_>, outlet: i64, span: Duration) -> Result<(), Fault> {
    tx.run(
        "UPDATE outlets SET paused_until = max(paused_until, ?2) WHERE id = ?1",
        [outlet, later(tx.now, span).as_millis()],
    )?;
    Ok(())
}

/// A fencing token as SQLite has it; one that is out of range was never given out.
pub(super) fn fence(fence: u64) -> i64 {
    i64::try_from(fence).unwrap_or(-1)
}

fn record(conn: &Connection, delivery: i64, attempt: &Attempt) -> Result<(), Fault> {
    let sql = "INSERT INTO attempts (delivery, number, document) VALUES (?1, ?2, ?3)";
    let document = serde_json::to_string(attempt)?;
    conn.run(sql, params![delivery, attempt.number, document])?;
    let oldest = i64::from(attempt.number) - KEPT_ATTEMPTS as i64;
    conn.run(
        "DELETE FROM attempts WHERE delivery = ?1 AND number <= ?2",
        [delivery, oldest],
    )?;
    Ok(())
}

/// Which leases to take back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expired {
    /// Those that end at this time or before.
    By(Timestamp),
    /// All there are.
    All,
}

/// The leases that end first.
pub(super) const LEASED: &str =
    "SELECT seq, tenant, outlet, total_attempts, attempts, receives, worker, leased_at, id,
         (SELECT webhook FROM outlets WHERE outlets.id = outlet) FROM deliveries
     WHERE lease_until IS NOT NULL AND lease_until <= ?1 ORDER BY lease_until LIMIT ?2";

/// Takes back up to `limit` leases. The lost attempt is recorded. It does not use up the retry schedule, but claims stay
/// counted, so that a delivery that takes its workers down ends in `failed`.
pub(super) fn reclaim(
    conn: &Connection,
    scheduler: &Scheduler,
    now: Timestamp,
    expired: Expired,
    limit: usize,
) -> Result<Vec<LostLease>, Fault> {
    let until = match expired {
        Expired::By(time) => time.as_millis(),
        Expired::All => i64::MAX,
    };
    let text = |row: &Row<'_>, column| row.get::<_, String>(column);
    let leases = conn.all(LEASED, [until, limit as i64], |row| {
        let started = Started {
            seq: row.get(0)?,
            tenant: text(row, 1)?.into(),
            outlet: row.get(2)?,
            total_attempts: row.get(3)?,
        };
        let (attempts, receives): (u32, u32) = (row.get(4)?, row.get(5)?);
        let begun = row.get::<_, Option<i64>>(7)?;
        let begun = begun.map_or(now, Timestamp::from_millis);
        let lost = LostLease {
            delivery: text(row, 8)?.into(),
            tenant: started.tenant.clone(),
            webhook: text(row, 9)?.into(),
            worker: row.get::<_, Option<String>>(6)?.unwrap_or_default().into(),
            has_failed: receives >= scheduler.limits.max_receives.max(1),
        };
        Ok((started, attempts, receives, begun, lost))
    })?;
    let mut outlets = BTreeSet::new();
    let mut all = Vec::with_capacity(leases.len());
    for (started, attempts, receives, begun, lost) in leases {
        let number = started.total_attempts.saturating_add(1);
        let attempt = schedule::lost_attempt(number, lost.worker.clone(), begun, now);
        record(conn, started.seq, &attempt)?;
        report::count_attempt(conn, &started.tenant, now, &attempt)?;
        let (status, lane, result) = if lost.has_failed {
            (Status::Failed, None, schedule::poisonous(&receives))
        } else {
            let lane = i64::from(attempts > 0);
            (Status::Queued, Some(lane), WORKER_LOST.to_owned())
        };
        conn.run(
            "UPDATE deliveries SET status = ?2, lane = ?3, updated = ?4, last_result = ?5, last_error = ?6,
                 total_attempts = total_attempts + 1,
                 worker = NULL, leased_at = NULL, lease_until = NULL
             WHERE seq = ?1",
            params![
                started.seq,
                status.as_str(),
                lane,
                now.as_millis(),
                result,
                schedule::error_kind(&attempt),
            ],
        )?;
        outlets.insert(started.outlet);
        all.push(lost);
    }
    for outlet in outlets {
        scheduler.refresh(conn, now, outlet)?;
    }
    Ok(all)
}
