//! Webhooks.

use rusqlite::{Connection, Row, params};

use crate::backend::sqlite::{
    Tx,
    fault::{Fault, Sql},
};
use crate::{
    backend::{
        Cursor, Page,
        page::{page as cut, rows_for},
        registry::{name_taken, webhook_in_use},
    },
    model::{TenantId, Webhook, WebhookId},
};

fn read(row: &Row<'_>) -> Result<Webhook, Fault> {
    Ok(serde_json::from_str(
        row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
    )?)
}

pub(super) fn all(conn: &Connection, tenant: &TenantId) -> Result<Vec<Webhook>, Fault> {
    let sql = "SELECT document FROM webhooks WHERE tenant = ?1 ORDER BY name";
    conn.all(sql, [tenant.as_str()], read)
}

pub(super) fn page(
    conn: &Connection,
    tenant: &TenantId,
    limit: usize,
    after: &str,
) -> Result<Page<Webhook>, Fault> {
    let sql =
        "SELECT document FROM webhooks WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let rows = conn.all(sql, params![tenant.as_str(), after, rows_for(limit)], read)?;
    Ok(cut(rows, limit, |last| {
        Cursor::Name(last.spec.name.clone())
    }))
}

pub(super) fn get(
    conn: &Connection,
    tenant: &TenantId,
    id: &WebhookId,
) -> Result<Option<Webhook>, Fault> {
    let sql = "SELECT document FROM webhooks WHERE tenant = ?1 AND id = ?2";
    conn.one(sql, [tenant.as_str(), id.as_str()], read)
}

/// Whether that changed its spec, or it is new.
pub(super) fn put(tx: &Tx<'_>, tenant: &TenantId, webhook: &Webhook) -> Result<bool, Fault> {
    let name = &webhook.spec.name;
    let sql = "SELECT 1 FROM webhooks WHERE tenant = ?1 AND name = ?2 AND id <> ?3";
    let key = [tenant.as_str(), name, webhook.id.as_str()];
    if tx.one(sql, key, |_| Ok(()))?.is_some() {
        return Err(name_taken("webhook", name).into());
    }
    // A row that cannot be read any more is being replaced, which is no reason to fail.
    let before = get(tx, tenant, &webhook.id).ok().flatten();
    tx.run(
        "INSERT INTO webhooks (tenant, id, name, document) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant, id) DO UPDATE SET name = ?3, document = ?4",
        params![
            tenant.as_str(),
            webhook.id.as_str(),
            name,
            serde_json::to_string(webhook)?
        ],
    )?;
    tx.raise_revision(tenant);
    Ok(before.is_none_or(|before| before.spec != webhook.spec))
}

pub(super) fn delete(tx: &Tx<'_>, tenant: &TenantId, id: &WebhookId) -> Result<bool, Fault> {
    let key = [tenant.as_str(), id.as_str()];
    let sql =
        "SELECT r.name FROM rule_webhooks w JOIN rules r ON r.tenant = w.tenant AND r.id = w.rule
               WHERE w.tenant = ?1 AND w.webhook = ?2 ORDER BY r.name LIMIT 1";
    if let Some(rule) = tx.one(sql, key, |row| Ok(row.get::<_, String>(0)?))? {
        return Err(webhook_in_use(&rule).into());
    }
    let deleted = tx.run("DELETE FROM webhooks WHERE tenant = ?1 AND id = ?2", key)? > 0;
    if deleted {
        tx.raise_revision(tenant);
    }
    Ok(deleted)
}
