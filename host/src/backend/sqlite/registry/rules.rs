//! Event rules.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, params};

use crate::backend::sqlite::{
    Tx,
    fault::{Fault, Sql},
};
use crate::{
    backend::{
        BackendError, Cursor, Page,
        page::{page as cut, rows_for},
        registry::name_taken,
    },
    model::{EventRule, RuleId, TenantId},
};

fn read(row: &Row<'_>) -> Result<EventRule, Fault> {
    Ok(serde_json::from_str(
        row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
    )?)
}

pub(super) fn all(conn: &Connection, tenant: &TenantId) -> Result<Vec<EventRule>, Fault> {
    let sql = "SELECT document FROM rules WHERE tenant = ?1 ORDER BY name";
    conn.all(sql, [tenant.as_str()], read)
}

pub(super) fn page(
    conn: &Connection,
    tenant: &TenantId,
    limit: usize,
    after: &str,
) -> Result<Page<EventRule>, Fault> {
    let sql = "SELECT document FROM rules WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let rows = conn.all(sql, params![tenant.as_str(), after, rows_for(limit)], read)?;
    Ok(cut(rows, limit, |last| {
        Cursor::Name(last.spec.name.clone())
    }))
}

pub(super) fn get(
    conn: &Connection,
    tenant: &TenantId,
    id: &RuleId,
) -> Result<Option<EventRule>, Fault> {
    let sql = "SELECT document FROM rules WHERE tenant = ?1 AND id = ?2";
    conn.one(sql, [tenant.as_str(), id.as_str()], read)
}

pub(super) fn put(tx: &Tx<'_>, tenant: &TenantId, rule: &EventRule) -> Result<(), Fault> {
    let (name, id) = (&rule.spec.name, rule.id.as_str());
    let sql = "SELECT 1 FROM rules WHERE tenant = ?1 AND name = ?2 AND id <> ?3";
    if tx
        .one(sql, [tenant.as_str(), name, id], |_| Ok(()))?
        .is_some()
    {
        return Err(name_taken("event rule", name).into());
    }
    tx.run(
        "INSERT INTO rules (tenant, id, name, document) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant, id) DO UPDATE SET name = ?3, document = ?4",
        params![tenant.as_str(), id, name, serde_json::to_string(rule)?],
    )?;
    tx.run(
        "DELETE FROM rule_webhooks WHERE tenant = ?1 AND rule = ?2",
        [tenant.as_str(), id],
    )?;
    let webhooks: BTreeSet<_> = rule.spec.webhooks.iter().collect();
    for webhook in webhooks {
        let added = tx.run(
            "INSERT INTO rule_webhooks (tenant, rule, webhook)
             SELECT tenant, ?2, id FROM webhooks WHERE tenant = ?1 AND id = ?3",
            [tenant.as_str(), id, webhook.as_str()],
        )?;
        if added == 0 {
            return Err(Fault::Backend(BackendError::Conflict {
                field: "webhooks".to_owned(),
                message: format!("there is no webhook {webhook}"),
            }));
        }
    }
    tx.raise_revision(tenant);
    Ok(())
}

pub(super) fn delete(tx: &Tx<'_>, tenant: &TenantId, id: &RuleId) -> Result<bool, Fault> {
    let key = [tenant.as_str(), id.as_str()];
    let deleted = tx.run("DELETE FROM rules WHERE tenant = ?1 AND id = ?2", key)? > 0;
    if deleted {
        tx.raise_revision(tenant);
    }
    Ok(deleted)
}
