//! Plugins, without their components.

use std::collections::BTreeSet;

use rusqlite::{Connection, Row, params};

use crate::backend::sqlite::{
    Tx,
    fault::{Fault, Sql},
    registry::components,
};
use crate::{
    backend::{
        Cursor, Page,
        page::{page as cut, rows_for},
        registry::{component_missing, plugin_in_use},
    },
    model::{Plugin, TenantId},
};

fn read(row: &Row<'_>) -> Result<Plugin, Fault> {
    Ok(serde_json::from_str(
        row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?,
    )?)
}

pub(super) fn all(conn: &Connection, tenant: &TenantId) -> Result<Vec<Plugin>, Fault> {
    let sql = "SELECT document FROM plugins WHERE tenant = ?1 ORDER BY name";
    conn.all(sql, [tenant.as_str()], read)
}

pub(super) fn page(
    conn: &Connection,
    tenant: &TenantId,
    limit: usize,
    after: &str,
) -> Result<Page<Plugin>, Fault> {
    let sql = "SELECT document FROM plugins WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
    let rows = conn.all(sql, params![tenant.as_str(), after, rows_for(limit)], read)?;
    Ok(cut(rows, limit, |last| Cursor::Name(last.name.clone())))
}

pub(super) fn get(
    conn: &Connection,
    tenant: &TenantId,
    name: &str,
) -> Result<Option<Plugin>, Fault> {
    let sql = "SELECT document FROM plugins WHERE tenant = ?1 AND name = ?2";
    conn.one(sql, [tenant.as_str(), name], read)
}

/// The digests of the versions that it has.
fn versions(tx: &Tx<'_>, key: [&str; 2]) -> Result<BTreeSet<String>, Fault> {
    let sql = "SELECT sha256 FROM plugin_versions WHERE tenant = ?1 AND plugin = ?2";
    let found = tx.all(sql, key, |row| Ok(row.get(0)?))?;
    Ok(found.into_iter().collect())
}

pub(super) fn put(tx: &Tx<'_>, tenant: &TenantId, plugin: &Plugin) -> Result<(), Fault> {
    let key = [tenant.as_str(), plugin.name.as_str()];
    tx.run(
        "INSERT INTO plugins (tenant, name, document) VALUES (?1, ?2, ?3)
         ON CONFLICT (tenant, name) DO UPDATE SET document = ?3",
        params![key[0], key[1], serde_json::to_string(plugin)?],
    )?;
    let before = versions(tx, key)?;
    let after: BTreeSet<_> = plugin.versions.iter().map(|v| v.sha256.clone()).collect();
    for sha256 in after.difference(&before) {
        if !components::hold(tx, tenant, sha256)? {
            return Err(component_missing(sha256).into());
        }
        tx.run(
            "INSERT INTO plugin_versions (tenant, plugin, sha256) VALUES (?1, ?2, ?3)",
            [key[0], key[1], sha256],
        )?;
    }
    for sha256 in before.difference(&after) {
        tx.run(
            "DELETE FROM plugin_versions WHERE tenant = ?1 AND plugin = ?2 AND sha256 = ?3",
            [key[0], key[1], sha256],
        )?;
        components::let_go(tx, tenant, sha256)?;
    }
    tx.raise_revision(tenant);
    Ok(())
}

/// A webhook that runs it.
pub(crate) const IN_USE: &str =
    "SELECT name FROM webhooks WHERE tenant = ?1 AND plugin = ?2 ORDER BY name LIMIT 1";

pub(super) fn delete(tx: &Tx<'_>, tenant: &TenantId, name: &str) -> Result<bool, Fault> {
    let key = [tenant.as_str(), name];
    let in_use = tx.one(IN_USE, key, |row| Ok(row.get::<_, String>(0)?))?;
    let versions = versions(tx, key)?;
    let deleted = tx.run("DELETE FROM plugins WHERE tenant = ?1 AND name = ?2", key)? > 0;
    if !deleted {
        return Ok(false);
    }
    if let Some(webhook) = in_use {
        return Err(plugin_in_use(&webhook).into());
    }
    for sha256 in versions {
        components::let_go(tx, tenant, &sha256)?;
    }
    tx.raise_revision(tenant);
    Ok(true)
}
