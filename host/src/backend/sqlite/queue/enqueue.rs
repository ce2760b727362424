//! Taking events in.

use std::collections::BTreeSet;

use rusqlite::params;

use crate::backend::sqlite::queue::{Scheduler, later, report};
use crate::{
    backend::{
        BackendError, Enqueued, NewEvent,
        sqlite::{
            Tx,
            fault::{Fault, Sql},
        },
    },
    model::{DeliveryId, EventId, Idempotency, TenantId},
};

pub(super) fn enqueue(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    batch: &[NewEvent],
) -> Result<Vec<Enqueued>, Fault> {
    let mut outlets = BTreeSet::new();
    let mut answers = Vec::with_capacity(batch.len());
    for new in batch {
        let tenant = new.event.tenant();
        let earlier = match &new.idempotency {
            Some(idempotency) => known(tx, tenant, idempotency)?,
            None => None,
        };
        if let Some(earlier) = earlier {
            answers.push(duplicate(tx, tenant, earlier)?);
            continue;
        }
        if let Some(idempotency) = &new.idempotency {
            remember(tx, scheduler, new, idempotency)?;
        }
        store(tx, new, &mut outlets)?;
        answers.push(Enqueued {
            id: new.event.id().clone(),
            deliveries: new.deliveries.iter().map(|d| d.id.clone()).collect(),
            duplicate: false,
        });
    }
    for outlet in &outlets {
        scheduler.refresh(tx, tx.now, *outlet)?;
    }
    if !outlets.is_empty() {
        tx.wake();
    }
    Ok(answers)
}

/// The event that came under this key before, if that was within the window.
fn known(
    tx: &Tx<'_>,
    tenant: &TenantId,
    idempotency: &Idempotency,
) -> Result<Option<EventId>, Fault> {
    let sql = "SELECT event, fingerprint FROM idempotency
               WHERE tenant = ?1 AND key = ?2 AND expires > ?3";
    let key = params![tenant.as_str(), idempotency.key, tx.now.as_millis()];
    let found = tx.one(sql, key, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let Some((event, fingerprint)) = found else {
        return Ok(None);
    };
    match (fingerprint, &idempotency.fingerprint) {
        (Some(before), Some(now)) if before != *now => {
            Err(Fault::Backend(BackendError::IdempotencyMismatch {
                key: idempotency.key.clone(),
            }))
        }
        _ => Ok(Some(EventId::from(event))),
    }
}

fn remember(
    tx: &Tx<'_>,
    scheduler: &Scheduler,
    new: &NewEvent,
    idempotency: &Idempotency,
) -> Result<(), Fault> {
    tx.run(
        "INSERT INTO idempotency (tenant, key, fingerprint, event, expires) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET fingerprint = ?3, event = ?4, expires = ?5",
        params![
            new.event.tenant().as_str(),
            idempotency.key,
            idempotency.fingerprint,
            new.event.id().as_str(),
            later(tx.now, scheduler.limits.idempotency_window).as_millis()
        ],
    )?;
    Ok(())
}

fn duplicate(tx: &Tx<'_>, tenant: &TenantId, id: EventId) -> Result<Enqueued, Fault> {
    let sql = "SELECT d.id FROM events e JOIN deliveries d ON d.event = e.seq
               WHERE e.id = ?1 AND e.tenant = ?2 ORDER BY d.seq";
    let deliveries = tx.all(sql, [id.as_str(), tenant.as_str()], |row| {
        Ok(DeliveryId::from(row.get::<_, String>(0)?))
    })?;
    Ok(Enqueued {
        id,
        deliveries,
        duplicate: true,
    })
}

fn store(tx: &Tx<'_>, new: &NewEvent, outlets: &mut BTreeSet<i64>) -> Result<(), Fault> {
    let event = &new.event;
    let (tenant, now) = (event.tenant(), tx.now.as_millis());
    tx.run(
        "INSERT INTO events
             (id, tenant, event_type, object_type, received, created, unmatched, explanation, context)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            event.id().as_str(),
            tenant.as_str(),
            event.event_type(),
            event.object_type(),
            event.received().as_millis(),
            now,
            new.deliveries.is_empty(),
            serde_json::to_string(&new.explanation)?,
            &**event.context()
        ],
    )?;
    let seq = tx.last_insert_rowid();
    for delivery in &new.deliveries {
        let outlet = Scheduler::outlet(tx, tenant, &delivery.webhook)?;
        tx.run(
            "INSERT INTO deliveries
                 (id, tenant, event, outlet, rule, object_type, status, lane, due, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', 0, ?7, ?7, ?7)",
            params![
                delivery.id.as_str(),
                tenant.as_str(),
                seq,
                outlet,
                delivery.rule.as_str(),
                event.object_type(),
                now
            ],
        )?;
        outlets.insert(outlet);
    }
    report::count_event(tx, tenant)
}
