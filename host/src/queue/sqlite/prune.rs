//! Forgetting what ended long ago.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::params;

use crate::{
    model::Timestamp,
    queue::{Retention, Status},
    registry::sqlite::{
        Tx,
        fault::{Fault, Sql},
    },
};

/// Deletes deliveries that ended long enough ago, oldest first, and says which events they were of.
/// Attempts go with their deliveries.
pub(super) const ENDED: &str = "DELETE FROM deliveries WHERE seq IN (
         SELECT seq FROM deliveries
         WHERE status = ?1 AND lane IS NULL AND lease_until IS NULL AND updated <= ?2
         ORDER BY updated LIMIT ?3)
     RETURNING event";

/// One step: removes up to `limit` deliveries, with the events that nothing refers to any more, and if
/// that is less than `limit` events that set off nothing; how many deliveries and events in all.
pub(super) fn prune(tx: &Tx<'_>, retention: Retention, limit: usize) -> Result<usize, Fault> {
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
    tx.run(
        "DELETE FROM idempotency WHERE (tenant, key) IN (SELECT tenant, key FROM idempotency
             WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        [tx.now.as_millis(), limit as i64],
    )?;
    tx.run(
        "DELETE FROM outlets WHERE gone = 1 AND draining = 0
         AND NOT EXISTS (SELECT 1 FROM deliveries WHERE outlet = outlets.id)",
        [],
    )?;
    Ok(removed)
}

fn before(now: Timestamp, keep: Duration) -> i64 {
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    now.as_millis().saturating_sub(keep)
}
