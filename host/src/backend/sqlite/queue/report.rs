//! How the queue stands, and what was used.

use rusqlite::{Connection, ToSql, params};

use crate::{
    backend::{
        PausedWebhook, QueueOverview, Usage,
        schedule::{self, MAX_PAUSED},
        sqlite::{
            Tx,
            fault::{Fault, Sql},
            queue::list,
        },
    },
    model::{TenantId, Timestamp, WebhookId},
    record::Attempt,
};

pub(super) const HOUR: i64 = 3_600_000;

pub(super) const OLDEST_OF: &str = "SELECT created FROM deliveries
     WHERE tenant = ?1 AND status = 'queued' AND total_attempts = 0 ORDER BY created LIMIT 1";

pub(super) const OLDEST_OF_ALL: &str = "SELECT min((SELECT created FROM deliveries
         WHERE tenant = turns.tenant AND status = 'queued' AND total_attempts = 0
         ORDER BY created LIMIT 1))
     FROM turns WHERE ?1 IS NULL";

pub(super) fn overview(
    conn: &Connection,
    tenant: Option<&TenantId>,
    now: Timestamp,
) -> Result<QueueOverview, Fault> {
    let tenant = tenant.map(TenantId::as_str);
    let mut overview = QueueOverview::default();
    let sql = "SELECT status, sum(n) FROM counts WHERE ?1 IS NULL OR tenant = ?1 GROUP BY status";
    for (status, n) in conn.all(sql, [tenant], |row| {
        Ok((list::status(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })? {
        overview.add(status, n);
    }
    let sql = if tenant.is_some() {
        OLDEST_OF
    } else {
        OLDEST_OF_ALL
    };
    let oldest = conn.one(sql, [tenant], |row| Ok(row.get::<_, Option<i64>>(0)?))?;
    overview.oldest_queued = oldest.flatten().map(Timestamp::from_millis);
    let sql = "SELECT webhook, paused_until FROM outlets
               WHERE paused_until > 0 AND paused_until > ?2 AND (?1 IS NULL OR tenant = ?1)
               ORDER BY paused_until LIMIT ?3";
    overview.paused = conn.all(
        sql,
        params![tenant, now.as_millis(), MAX_PAUSED as i64],
        |row| {
            Ok(PausedWebhook {
                webhook: WebhookId::from(row.get::<_, String>(0)?),
                until: Timestamp::from_millis(row.get(1)?),
            })
        },
    )?;
    Ok(overview)
}

/// Counted by the hour: the hours that `since` to `until` touch, from the start of the first.
pub(super) fn usage(
    conn: &Connection,
    tenant: &TenantId,
    since: Timestamp,
    until: Timestamp,
) -> Result<Usage, Fault> {
    let sql =
        "SELECT total(events), total(attempts), total(delivered), total(fuel), total(bytes_sent)
               FROM usage WHERE tenant = ?1 AND hour >= ?2 AND hour * ?4 < ?3";
    let key = params![
        tenant.as_str(),
        since.as_millis().div_euclid(HOUR),
        until.as_millis(),
        HOUR
    ];
    let usage = conn.one(sql, key, |row| {
        // total() is a float, which cannot overflow; it is exact up to 2^53.
        let sum = |column| row.get::<_, f64>(column).map(|n| n as u64);
        Ok(Usage {
            events: sum(0)?,
            attempts: sum(1)?,
            delivered: sum(2)?,
            fuel: sum(3)?,
            bytes_sent: sum(4)?,
        })
    })?;
    Ok(usage.unwrap_or_default())
}

pub(super) fn count_event(tx: &Tx<'_>, tenant: &TenantId) -> Result<(), Fault> {
    tx.run(
        "INSERT INTO usage (tenant, hour, events) VALUES (?1, ?2, 1)
         ON CONFLICT DO UPDATE SET events = events + 1",
        params![tenant.as_str(), tx.now.as_millis().div_euclid(HOUR)],
    )?;
    Ok(())
}

pub(super) fn count_attempt(
    conn: &Connection,
    tenant: &TenantId,
    now: Timestamp,
    attempt: &Attempt,
) -> Result<(), Fault> {
    let (delivered, fuel, bytes) = schedule::used(attempt);
    conn.run(
        "INSERT INTO usage (tenant, hour, attempts, delivered, fuel, bytes_sent)
         VALUES (?1, ?2, 1, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET attempts = attempts + 1, delivered = delivered + ?3,
             fuel = fuel + ?4, bytes_sent = bytes_sent + ?5",
        params![
            tenant.as_str(),
            now.as_millis().div_euclid(HOUR),
            delivered,
            fuel as i64,
            bytes as i64
        ],
    )?;
    Ok(())
}

/// Writes, so that a full or read-only disk is noticed.
pub(super) fn ping(tx: &Tx<'_>) -> Result<(), Fault> {
    let now: &dyn ToSql = &tx.now.as_millis();
    tx.run(
        "INSERT INTO meta (name, value) VALUES ('ping', ?1) ON CONFLICT DO UPDATE SET value = ?1",
        [now],
    )?;
    Ok(())
}
