//! Forgetting what ended long ago.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::params;

use crate::{
    backend::{
        Status,
        sqlite::{
            Tx,
            fault::{Fault, Sql},
            queue::report,
        },
    },
    config::Retention,
    model::Timestamp,
};

/// Deletes deliveries that ended long enough ago, oldest first, and says which events they were of.
/// Attempts go with their deliveries.
pub(super) const ENDED: &str = "DELETE FROM deliveries WHERE seq IN (
         SELECT seq FROM deliveries
         WHERE status = ?1 AND lane IS NULL AND lease_until IS NULL AND updated <= ?2
         ORDER BY updated LIMIT ?3)
     RETURNING event";

/// Hours for which usage is kept: 400 days, so that a year can be compared with the one before.
const USAGE_HOURS: i64 = 400 * 24;

pub(super) const OLD_USAGE: &str = "DELETE FROM usage WHERE (tenant, hour) IN
         (SELECT tenant, hour FROM usage WHERE hour < ?1 ORDER BY hour LIMIT ?2)";

pub(super) const EXPIRED_KEYS: &str = "DELETE FROM idempotency WHERE (tenant, key) IN
         (SELECT tenant, key FROM idempotency WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";

/// The result of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned {
    /// Deliveries and events removed.
    pub(super) removed: usize,
    /// Whether a further step would find more of anything.
    pub(super) more: bool,
}

/// One step: removes up to `limit` deliveries, with the events that nothing refers to any more, and if
/// that is less than `limit` events that set off nothing; and up to `limit` each of what is not counted.
pub(super) fn prune(tx: &Tx<'_>, retention: Retention, limit: usize) -> Result<Pruned, Fault> {
    let mut removed = 0;
    let mut events = BTreeSet::new();
    for status in [
        Status::Finished,
        Status::Skipped,
        Status::Cancelled,
        Status::Failed,
    ] {
        let keep = match status {
            Status::Failed => retention.failed,
            _ => retention.finished,
        };
        let rest = limit.saturating_sub(removed) as i64;
        let key = params![status.as_str(), before(tx.now, keep), rest];
        let of = tx.all(ENDED, key, |row| Ok(row.get::<_, i64>(0)?))?;
        removed += of.len();
        events.extend(of);
    }
    for event in events {
        removed += tx.run(
            "DELETE FROM events WHERE seq = ?1
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1)",
            [event],
        )?;
    }
    // Events that set off nothing are kept like finished ones: they explain why.
    let rest = limit.saturating_sub(removed) as i64;
    removed += tx.run(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events
             WHERE unmatched = 1 AND created <= ?1 ORDER BY created LIMIT ?2)",
        [before(tx.now, retention.finished), rest],
    )?;
    let now = tx.now.as_millis();
    let keys = tx.run(EXPIRED_KEYS, [now, limit as i64])?;
    let oldest = now.div_euclid(report::HOUR) - USAGE_HOURS;
    let hours = tx.run(OLD_USAGE, [oldest, limit as i64])?;
    forget_outlets(tx)?;
    Ok(Pruned {
        removed,
        more: removed > 0 || keys >= limit || hours >= limit,
    })
}

/// Outlets whose webhook is gone and that no delivery refers to, and then their tenants' turns if they
/// were the last ones.
fn forget_outlets(tx: &Tx<'_>) -> Result<(), Fault> {
    let sql = "DELETE FROM outlets WHERE gone = 1 AND draining = 0 AND open = 0
               AND NOT EXISTS (SELECT 1 FROM deliveries WHERE outlet = outlets.id)
               RETURNING tenant";
    let tenants = tx.all(sql, [], |row| Ok(row.get::<_, String>(0)?))?;
    for tenant in tenants.into_iter().collect::<BTreeSet<_>>() {
        for sql in [
            "DELETE FROM turns WHERE tenant = ?1
             AND NOT EXISTS (SELECT 1 FROM outlets WHERE tenant = ?1)",
            "DELETE FROM counts WHERE tenant = ?1 AND n = 0
             AND NOT EXISTS (SELECT 1 FROM outlets WHERE tenant = ?1)",
        ] {
            tx.run(sql, [&tenant])?;
        }
    }
    Ok(())
}

fn before(now: Timestamp, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    now.as_millis().saturating_sub(keep)
}
