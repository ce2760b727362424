//! Decides which outlet is next. An *outlet* is a webhook as the queue sees it; the schema's comments say what its
//! columns mean.
//!
//! Whether an outlet can be claimed from is not counted up and down but computed afresh from the indexes
//! ([`Scheduler::refresh`]), in the same transaction as every transition that could change it. That costs
//! a few index look-ups, however many deliveries wait, and cannot drift.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use rusqlite::{Connection, params};

use crate::backend::sqlite::queue::{
    STEP,
    settle::{self, Expired},
};
use crate::{
    backend::{
        schedule::{self, WEBHOOK_DELETED},
        sqlite::{
            Tx,
            fault::{Fault, Sql},
        },
    },
    config::QueueLimits,
    model::{TenantId, Timestamp, Webhook, WebhookId},
};

/// The queue's own limits and its clock of turns.
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    pub(super) limits: QueueLimits,
    tick: Arc<AtomicI64>,
}

/// When an outlet can next be claimed from: once it is neither paused nor over its rate, and the first in
/// one of its lanes is due.
macro_rules! ready_at {
    () => {
        "CASE WHEN enabled AND in_flight < max(coalesce(max_in_flight, ?2), 1) THEN
             nullif(max(paused_until, rate_ready, min(
                 coalesce((SELECT due FROM deliveries WHERE outlet = outlets.id AND lane = 0
                     ORDER BY due LIMIT 1), 9223372036854775807),
                 coalesce((SELECT due FROM deliveries WHERE outlet = outlets.id AND lane = 1
                     ORDER BY due LIMIT 1), 9223372036854775807)
             )), 9223372036854775807)
         END"
    };
}

pub(super) const REFRESH: &str = concat!(
    "UPDATE outlets SET ready_at = fresh.at, open = coalesce(fresh.at <= ?1, 0)
     FROM (SELECT id AS outlet, ",
    ready_at!(),
    " AS at FROM outlets WHERE id = ?3) AS fresh WHERE outlets.id = fresh.outlet"
);

const REFRESH_ALL: &str = concat!(
    "UPDATE outlets SET ready_at = fresh.at, open = coalesce(fresh.at <= ?1, 0)
     FROM (SELECT id AS outlet, ",
    ready_at!(),
    " AS at FROM outlets) AS fresh WHERE outlets.id = fresh.outlet"
);

impl Scheduler {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            tick: Arc::default(),
        }
    }

    /// Puts in order what a dead process left behind. No other process is there, so every lease in the
    /// file is a dead one's.
    pub(crate) fn recover(&mut self, conn: &Connection) -> Result<(), Fault> {
        let now = Timestamp::now();
        let sql = "SELECT max(coalesce((SELECT max(served) FROM outlets), 0),
                              coalesce((SELECT max(served) FROM turns), 0))";
        let tick = conn.one(sql, [], |row| Ok(row.get(0)?))?.unwrap_or(0);
        self.tick.store(tick, Ordering::Relaxed);
        let mut deliveries = 0;
        loop {
            let lost = settle::reclaim(conn, self, now, Expired::All, STEP)?.len();
            deliveries += lost;
            if lost < STEP {
                break;
            }
        }
        if deliveries > 0 {
            tracing::warn!(
                deliveries,
                "the last process ended while it worked on deliveries; they are queued again"
            );
        }
        while self.drain(conn, now, STEP)? == STEP {}
        // The default cap may have changed with the configuration.
        conn.run(REFRESH_ALL, params![now.as_millis(), self.cap()])?;
        Ok(())
    }

    fn cap(&self) -> i64 {
        i64::from(self.limits.max_in_flight)
    }

    /// The next number in the order of turns.
    pub(super) fn tick(&self) -> i64 {
        self.tick.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The outlet of a webhook, made if this is the first that is heard of it.
    pub(super) fn outlet(
        conn: &Connection,
        tenant: &TenantId,
        webhook: &WebhookId,
    ) -> Result<i64, Fault> {
        let key = [tenant.as_str(), webhook.as_str()];
        let sql = "SELECT id FROM outlets WHERE tenant = ?1 AND webhook = ?2";
        if let Some(id) = conn.one(sql, key, |row| Ok(row.get(0)?))? {
            return Ok(id);
        }
        let sql = "INSERT INTO outlets (tenant, webhook) VALUES (?1, ?2)";
        conn.run(sql, key)?;
        Ok(conn.last_insert_rowid())
    }

    /// Decides afresh when an outlet can be claimed from.
    pub(super) fn refresh(
        &self,
        conn: &Connection,
        now: Timestamp,
        outlet: i64,
    ) -> Result<(), Fault> {
        conn.run(REFRESH, params![now.as_millis(), self.cap(), outlet])?;
        Ok(())
    }

    /// Takes over a webhook's settings. A changed rate limit starts with a full burst; whatever has
    /// `changed`, a pause is over.
    pub(crate) fn configure(
        &self,
        tx: &Tx<'_>,
        tenant: &TenantId,
        webhook: &Webhook,
        changed: bool,
    ) -> Result<(), Fault> {
        let outlet = Self::outlet(tx, tenant, &webhook.id)?;
        let (interval, burst) = schedule::rate(webhook.spec.rate_limit);
        tx.run(
            "UPDATE outlets SET gone = 0, draining = 0, enabled = ?2, max_in_flight = ?3,
                 rate_next_us = CASE WHEN rate_interval_us = ?4 THEN rate_next_us ELSE 0 END,
                 rate_ready = CASE WHEN rate_interval_us = ?4 THEN rate_ready ELSE 0 END,
                 rate_interval_us = ?4, rate_burst_us = ?5,
                 paused_until = CASE WHEN ?6 THEN 0 ELSE paused_until END
             WHERE id = ?1",
            params![
                outlet,
                webhook.spec.enabled,
                webhook.spec.max_in_flight,
                interval,
                burst,
                changed
            ],
        )?;
        self.refresh(tx, tx.now, outlet)?;
        tx.wake();
        Ok(())
    }

    /// The webhook is gone: nothing is claimed for it any more, and [`Scheduler::drain`] cancels what
    /// waits. There may be very many, so that is not done in this step; nobody can see the difference
    /// but in lists.
    pub(crate) fn forget(
        &self,
        tx: &Tx<'_>,
        tenant: &TenantId,
        webhook: &WebhookId,
    ) -> Result<(), Fault> {
        let outlet = Self::outlet(tx, tenant, webhook)?;
        let sql = "UPDATE outlets SET gone = 1, draining = 1, enabled = 0 WHERE id = ?1";
        tx.run(sql, [outlet])?;
        self.refresh(tx, tx.now, outlet)
    }

    /// Cancels up to `limit` deliveries that wait for webhooks that are gone; how many it were. An outlet
    /// that is empty is enabled again, so that a straggler ends in a record instead of waiting for ever.
    pub(crate) fn drain(
        &self,
        conn: &Connection,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, Fault> {
        let sql = "SELECT id FROM outlets WHERE draining = 1 LIMIT 100";
        let mut cancelled = 0;
        for outlet in conn.all(sql, [], |row| Ok(row.get::<_, i64>(0)?))? {
            let rest = limit.saturating_sub(cancelled);
            let some = conn.run(
                "UPDATE deliveries SET status = 'cancelled', lane = NULL, updated = ?2,
                     last_result = ?4
                 WHERE seq IN (SELECT seq FROM deliveries WHERE outlet = ?1 AND lane IS NOT NULL LIMIT ?3)",
                params![outlet, now.as_millis(), rest as i64, WEBHOOK_DELETED],
            )?;
            cancelled = cancelled.saturating_add(some);
            if some < rest {
                let sql = "UPDATE outlets SET draining = 0, enabled = 1, max_in_flight = NULL,
                               rate_interval_us = 0, rate_ready = 0, paused_until = 0
                           WHERE id = ?1";
                conn.run(sql, [outlet])?;
                self.refresh(conn, now, outlet)?;
            }
        }
        Ok(cancelled)
    }
}
