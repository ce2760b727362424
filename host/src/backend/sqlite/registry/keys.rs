//! Secrets, API keys and the instance's own key.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::backend::sqlite::{
    Tx,
    fault::{Fault, Sql},
};
use crate::{
    backend::{
        ApiKey, BackendError, Cursor, KeyScope, Page, SecretInfo,
        page::{page as cut, rows_for},
        registry::name_taken,
    },
    model::{Secret, TenantId, Timestamp},
};

pub(super) fn all_secrets(
    conn: &Connection,
    tenant: &TenantId,
) -> Result<BTreeMap<String, Secret>, Fault> {
    let sql = "SELECT name, value FROM secrets WHERE tenant = ?1";
    let secret = |row: &Row<'_>| Ok((row.get(0)?, Secret::new(row.get::<_, String>(1)?)));
    Ok(conn
        .all(sql, [tenant.as_str()], secret)?
        .into_iter()
        .collect())
}

pub(super) fn secrets_page(
    conn: &Connection,
    tenant: &TenantId,
    limit: usize,
    after: &str,
) -> Result<Page<SecretInfo>, Fault> {
    let sql = "SELECT name, updated FROM secrets WHERE tenant = ?1 AND name > ?2
               ORDER BY name LIMIT ?3";
    let key = params![tenant.as_str(), after, rows_for(limit)];
    let rows = conn.all(sql, key, |row| {
        Ok(SecretInfo {
            name: row.get(0)?,
            updated: Timestamp::from_millis(row.get(1)?),
        })
    })?;
    Ok(cut(rows, limit, |last| Cursor::Name(last.name.clone())))
}

pub(super) fn put_secret(
    tx: &Tx<'_>,
    tenant: &TenantId,
    name: &str,
    value: &Secret,
) -> Result<(), Fault> {
    tx.run(
        "INSERT INTO secrets (tenant, name, value, updated) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET value = ?3, updated = ?4",
        params![tenant.as_str(), name, value.expose(), tx.now.as_millis()],
    )?;
    tx.raise_revision(tenant);
    Ok(())
}

pub(super) fn delete_secret(tx: &Tx<'_>, tenant: &TenantId, name: &str) -> Result<bool, Fault> {
    let sql = "DELETE FROM secrets WHERE tenant = ?1 AND name = ?2";
    let deleted = tx.run(sql, [tenant.as_str(), name])? > 0;
    if deleted {
        tx.raise_revision(tenant);
    }
    Ok(deleted)
}

const KEY: &str = "SELECT id, name, tenant, scope, created, hash FROM api_keys";

fn read_key(row: &Row<'_>) -> Result<ApiKey, Fault> {
    let scope: String = row.get(3)?;
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        tenant: TenantId::from(row.get::<_, String>(2)?),
        scope: scope_from_name(&scope)
            .ok_or_else(|| Fault::stored("an API key has an unknown scope"))?,
        created: Timestamp::from_millis(row.get(4)?),
        hash: row.get(5)?,
    })
}

const fn scope_name(scope: KeyScope) -> &'static str {
    match scope {
        KeyScope::Admin => "admin",
        KeyScope::Ingest => "ingest",
        KeyScope::Read => "read",
    }
}

fn scope_from_name(name: &str) -> Option<KeyScope> {
    [KeyScope::Admin, KeyScope::Ingest, KeyScope::Read]
        .into_iter()
        .find(|scope| scope_name(*scope) == name)
}

pub(super) fn by_hash(conn: &Connection, hash: &str) -> Result<Option<ApiKey>, Fault> {
    conn.one(&format!("{KEY} WHERE hash = ?1"), [hash], read_key)
}

pub(super) fn page(
    conn: &Connection,
    tenant: &TenantId,
    limit: usize,
    after: &str,
) -> Result<Page<ApiKey>, Fault> {
    let sql = format!("{KEY} WHERE tenant = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
    let key = params![tenant.as_str(), after, rows_for(limit)];
    let rows = conn.all(&sql, key, read_key)?;
    Ok(cut(rows, limit, |last| Cursor::Name(last.name.clone())))
}

pub(super) fn put(tx: &Tx<'_>, key: &ApiKey, at_most: Option<usize>) -> Result<(), Fault> {
    let tenant = key.tenant.as_str();
    let sql = "SELECT 1 FROM api_keys WHERE tenant = ?1 AND name = ?2 AND id <> ?3";
    if tx
        .one(sql, [tenant, &key.name, &key.id], |_| Ok(()))?
        .is_some()
    {
        return Err(name_taken("key", &key.name).into());
    }
    let sql = "SELECT 1 FROM api_keys WHERE hash = ?1 AND NOT (tenant = ?2 AND id = ?3)";
    if tx
        .one(sql, [&key.hash, tenant, &key.id], |_| Ok(()))?
        .is_some()
    {
        return Err(Fault::Backend(BackendError::Conflict {
            field: "key".to_owned(),
            message: "this key is in use already".to_owned(),
        }));
    }
    if let Some(limit) = at_most {
        let sql = "SELECT 1 WHERE ?3 <= (SELECT count(*) FROM api_keys WHERE tenant = ?1)
                   AND NOT EXISTS (SELECT 1 FROM api_keys WHERE tenant = ?1 AND id = ?2)";
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let no_room = tx.one(sql, params![tenant, key.id, most], |_| Ok(()))?;
        if no_room.is_some() {
            return Err(Fault::Backend(BackendError::LimitReached {
                what: "keys",
                limit,
            }));
        }
    }
    tx.run(
        "INSERT INTO api_keys (tenant, id, name, scope, created, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (tenant, id) DO UPDATE SET name = ?3, scope = ?4, created = ?5, hash = ?6",
        params![
            tenant,
            key.id,
            key.name,
            scope_name(key.scope),
            key.created.as_millis(),
            key.hash
        ],
    )?;
    Ok(())
}

pub(super) fn delete(tx: &Tx<'_>, tenant: &TenantId, id: &str) -> Result<bool, Fault> {
    let sql = "DELETE FROM api_keys WHERE tenant = ?1 AND id = ?2";
    Ok(tx.run(sql, [tenant.as_str(), id])? > 0)
}

pub(super) fn instance_key(tx: &Tx<'_>) -> Result<[u8; 32], Fault> {
    let fresh: [u8; 32] = rand::random();
    tx.run(
        "INSERT INTO meta (name, value) VALUES ('instance_key', ?1) ON CONFLICT DO NOTHING",
        [fresh],
    )?;
    let sql = "SELECT value FROM meta WHERE name = 'instance_key'";
    let key = tx.query_row(sql, [], |row| row.get(0)).optional()?;
    key.ok_or_else(|| Fault::stored("the instance key is missing"))
}
