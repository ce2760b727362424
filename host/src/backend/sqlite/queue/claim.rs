//! The claim: whose turn it is, which delivery that is, and when to ask again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rusqlite::params;

use crate::backend::sqlite::queue::{
    STEP, Scheduler, later, list,
    settle::{self, Expired},
};
use crate::{
    backend::{
        Claim, LeaseToken, Leased,
        schedule::{FIRSTS_PER_RETRY, MAX_CLAIM},
        sqlite::{
            Tx,
            fault::{Fault, Sql},
        },
    },
    model::{Timestamp, WorkerId},
};

/// Opens the outlets whose moment has come.
pub(super) const OPEN_DUE: &str =
    "UPDATE outlets SET open = 1 WHERE open = 0 AND ready_at IS NOT NULL AND ready_at <= ?1";

/// The outlet whose turn it is: of the tenants with an open one the one served longest ago, and within it
/// likewise.
pub(super) const NEXT_OUTLET: &str =
    "SELECT id, tenant, firsts, rate_interval_us, rate_burst_us, rate_next_us FROM outlets
     WHERE open = 1
       AND tenant = (SELECT tenant FROM turns WHERE open > 0 ORDER BY served LIMIT 1)
     ORDER BY served LIMIT 1";

/// The oldest delivery in a lane, if it is due.
pub(super) const HEAD: &str = "SELECT seq FROM deliveries
     WHERE outlet = ?1 AND lane = ?2 AND due <= ?3 ORDER BY due, seq LIMIT 1";

/// The next moment at which time alone changes something.
pub(super) const NEXT_DUE: &str = "SELECT
     (SELECT 1 FROM outlets WHERE open = 1 LIMIT 1),
     (SELECT ready_at FROM outlets WHERE open = 0 AND ready_at IS NOT NULL ORDER BY ready_at LIMIT 1),
     (SELECT lease_until FROM deliveries WHERE lease_until IS NOT NULL ORDER BY lease_until LIMIT 1)";

struct Outlet {
    id: i64,
    tenant: String,
    firsts: i64,
    rate_interval: i64,
    rate_burst: i64,
    rate_next: i64,
}

pub(super) fn claim(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    worker: &WorkerId,
    max: usize,
    lease: Duration,
) -> Result<Claim, Fault> {
    let lost = settle::reclaim(tx, scheduler, tx.now, Expired::By(tx.now), STEP)?;
    tx.run(OPEN_DUE, [tx.now.as_millis()])?;
    let mut leased = Vec::new();
    let mut events = HashMap::new();
    while leased.len() < max.min(MAX_CLAIM) {
        let Some(outlet) = next_outlet(tx)? else {
            break;
        };
        let Some((seq, lane)) = next_delivery(tx, &outlet)? else {
            // The indexes say otherwise than the outlet. Closed, it cannot keep this loop going.
            tracing::error!(outlet = outlet.id, "an outlet was open with nothing due");
            tx.run(
                "UPDATE outlets SET open = 0, ready_at = NULL WHERE id = ?1",
                [outlet.id],
            )?;
            continue;
        };
        lease_delivery(tx, seq, worker, lease)?;
        take_turn(tx, scheduler, &outlet, lane)?;
        let stored = list::by_seq(tx, seq)?;
        let event = match events.get(&stored.event) {
            Some(event) => Arc::clone(event),
            None => {
                let event = Arc::new(list::event_by_seq(tx, stored.event)?);
                events.insert(stored.event, Arc::clone(&event));
                event
            }
        };
        leased.push(Leased {
            token: LeaseToken {
                tenant: stored.delivery.tenant.clone(),
                delivery: stored.delivery.id.clone(),
                fence: stored.fence,
            },
            delivery: stored.delivery,
            event,
        });
    }
    Ok(Claim {
        leased,
        next_due: next_due(tx)?,
        lost,
    })
}

fn next_outlet(tx: &Tx<'_>) -> Result<Option<Outlet>, Fault> {
    tx.one(NEXT_OUTLET, [], |row| {
        Ok(Outlet {
            id: row.get(0)?,
            tenant: row.get(1)?,
            firsts: row.get(2)?,
            rate_interval: row.get(3)?,
            rate_burst: row.get(4)?,
            rate_next: row.get(5)?,
        })
    })
}

/// The delivery and its lane: 0 for first attempts, 1 for retries.
fn next_delivery(tx: &Tx<'_>, outlet: &Outlet) -> Result<Option<(i64, i64)>, Fault> {
    let lanes = if outlet.firsts < i64::from(FIRSTS_PER_RETRY) {
        [0, 1]
    } else {
        [1, 0]
    };
    for lane in lanes {
        let key = [outlet.id, lane, tx.now.as_millis()];
        if let Some(seq) = tx.one(HEAD, key, |row| Ok(row.get(0)?))? {
            return Ok(Some((seq, lane)));
        }
    }
    Ok(None)
}

fn lease_delivery(tx: &Tx<'_>, seq: i64, worker: &WorkerId, lease: Duration) -> Result<(), Fault> {
    tx.run(
        "UPDATE deliveries SET status = 'started', lane = NULL, receives = receives + 1,
             fence = fence + 1, worker = ?2, leased_at = ?3, lease_until = ?4, updated = ?3
         WHERE seq = ?1",
        params![
            seq,
            worker.as_str(),
            tx.now.as_millis(),
            later(tx.now, lease).as_millis()
        ],
    )?;
    Ok(())
}

/// Sends the outlet and its tenant to the end of their lines and counts against its rate.
fn take_turn(tx: &Tx<'_>, scheduler: &Scheduler, outlet: &Outlet, lane: i64) -> Result<(), Fault> {
    let tick = scheduler.tick();
    let firsts = if lane == 0 {
        (outlet.firsts + 1).min(FIRSTS_PER_RETRY.into())
    } else {
        0
    };
    let (rate_next, rate_ready) = after_claim(
        tx.now,
        outlet.rate_interval,
        outlet.rate_burst,
        outlet.rate_next,
    );
    tx.run(
        "UPDATE outlets SET served = ?2, firsts = ?3, rate_next_us = ?4, rate_ready = ?5 WHERE id = ?1",
        [outlet.id, tick, firsts, rate_next, rate_ready],
    )?;
    tx.run(
        "UPDATE turns SET served = ?2 WHERE tenant = ?1",
        params![outlet.tenant, tick],
    )?;
    scheduler.refresh(tx, tx.now, outlet.id)
}

/// The generic cell rate algorithm: the new theoretical arrival time (microseconds) and when the next
/// claim conforms (milliseconds, rounded up).
fn after_claim(now: Timestamp, interval: i64, burst: i64, next: i64) -> (i64, i64) {
    if interval == 0 {
        return (0, 0);
    }
    let now = now.as_millis().saturating_mul(1000);
    let next = next.max(now).saturating_add(interval);
    let ready = next.saturating_sub(burst);
    (next, ready.saturating_add(999).div_euclid(1000))
}

fn next_due(tx: &Tx<'_>) -> Result<Option<Duration>, Fault> {
    let found = tx.one(NEXT_DUE, [], |row| {
        let open: Option<i64> = row.get(0)?;
        let (ready, lease): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
        Ok((open.is_some(), ready.into_iter().chain(lease).min()))
    })?;
    Ok(match found {
        Some((true, _)) => Some(Duration::ZERO),
        Some((false, Some(at))) => Some(Timestamp::from_millis(at).since(tx.now)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::schedule::rate;

    proptest! {
        /// However claims come, no span of time holds more than its share and one burst.
        #[test]
        fn a_rate_limit_is_never_exceeded_by_more_than_its_burst(
            per_second in 0.01f64..500.0,
            waits in proptest::collection::vec(0i64..3000, 1..200),
        ) {
            let (interval, burst) = rate(Some(per_second));
            let (mut next, mut ready, mut now) = (0, 0, 1_000_000i64);
            let mut claims = Vec::new();
            for wait in waits {
                now = (now + wait).max(ready);
                (next, ready) = after_claim(Timestamp::from_millis(now), interval, burst, next);
                claims.push(now);
            }
            for (i, first) in claims.iter().enumerate() {
                for (j, last) in claims.iter().enumerate().skip(i) {
                    let allowed = per_second * (last - first) as f64 / 1000.0 + per_second.ceil().max(1.0);
                    prop_assert!((j - i + 1) as f64 <= allowed + 0.5, "{} in {} ms", j - i + 1, last - first);
                }
            }
        }
    }
}
