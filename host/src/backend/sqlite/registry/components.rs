//! Components of plugins, in pieces: no step writes, removes or reads more than a few of them, so that
//! neither the writer nor the readers are held up by one that has 30 MB.

use rusqlite::{Connection, params};

use crate::backend::sqlite::{
    SqliteBackend, Tx,
    fault::{Fault, Sql, unavailable},
};
use crate::{
    backend::{
        BackendError,
        registry::{COMPONENT_PIECE, UPLOAD_TIME, check_component_id, is_component, sweeping},
    },
    model::TenantId,
};

/// Pieces that one step reads, or removes.
const STEP: usize = 16;
/// Steps that tidy up after a change; what is left then is for the next one, or for pruning.
const SWEEPS: usize = 256;

/// The beginning of an upload.
enum Begun {
    /// Nothing: it is there.
    Whole,
    /// This number.
    Upload(i64),
}

/// The component to be stored.
struct Size {
    pieces: usize,
    bytes: u64,
    /// Bytes that the tenant may have with it.
    at_most: u64,
}

impl SqliteBackend {
    pub(super) async fn store_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
        bytes: &[u8],
        at_most: Option<u64>,
    ) -> Result<(), BackendError> {
        check_component_id(sha256)?;
        let pieces = bytes.chunks(COMPONENT_PIECE);
        let (owner, digest) = (tenant.clone(), sha256.to_owned());
        let size = Size {
            pieces: pieces.len(),
            bytes: bytes.len() as u64,
            at_most: at_most.unwrap_or(u64::MAX),
        };
        let begin = move |tx: &Tx<'_>| begin(tx, &owner, &digest, &size);
        let Begun::Upload(upload) = self.store.write(begin).await? else {
            return Ok(());
        };
        for (number, piece) in pieces.enumerate() {
            let piece = piece.to_vec();
            let add = move |tx: &Tx<'_>| add(tx, upload, number, &piece);
            self.store.write(add).await?;
        }
        let (tenant, sha256) = (tenant.clone(), sha256.to_owned());
        let finish = move |tx: &Tx<'_>| finish(tx, &tenant, &sha256, upload);
        self.store.write(finish).await
    }

    pub(super) async fn give_up_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<(), BackendError> {
        let (tenant, sha256) = (tenant.clone(), sha256.to_owned());
        let step = move |tx: &Tx<'_>| give_up(tx, &tenant, &sha256);
        self.store.write(step).await?;
        sweeping(self.sweep().await);
        Ok(())
    }

    pub(super) async fn read_component(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let (tenant, digest) = (tenant.clone(), sha256.to_owned());
        let key = (tenant.clone(), digest.clone());
        let look = move |conn: &_| find(conn, &key.0, &key.1);
        let Some((component, pieces)) = self.store.read(look).await? else {
            return Ok(None);
        };
        let (mut bytes, mut next) = (Vec::new(), 0);
        while next < pieces {
            let read = move |conn: &_| read(conn, component, next, bytes);
            let (found, all) = self.store.read(read).await?;
            (bytes, next) = (all, next.saturating_add(found));
            if found == 0 {
                break;
            }
        }
        let check = move |conn: &_| {
            if is_component(&digest, &bytes) {
                return Ok(Some(bytes));
            }
            match find(conn, &tenant, &digest)? {
                Some((same, _)) if same == component => {
                    Err(Fault::stored("a component is not what was stored"))
                }
                // It was removed meanwhile.
                _ => Ok(None),
            }
        };
        self.store.read(check).await
    }

    pub(super) async fn read_piece(
        &self,
        tenant: &TenantId,
        sha256: &str,
        number: u32,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let (tenant, sha256) = (tenant.clone(), sha256.to_owned());
        let read = move |conn: &Connection| {
            let sql =
                "SELECT p.bytes FROM components c JOIN component_pieces p ON p.component = c.id
                       WHERE c.tenant = ?1 AND c.sha256 = ?2 AND c.whole = 1 AND p.number = ?3";
            let key = params![tenant.as_str(), sha256, number];
            conn.one(sql, key, |row| Ok(row.get(0)?))
        };
        self.store.read(read).await
    }

    /// Removes components that are not needed, by steps.
    pub(crate) async fn sweep(&self) -> Result<(), BackendError> {
        for _ in 0..SWEEPS {
            if !self.store.write(sweep).await? {
                break;
            }
        }
        Ok(())
    }
}

/// Until when what is stored now is kept for the plugin that shall name it.
fn keep_until(tx: &Tx<'_>) -> i64 {
    tx.now.plus(UPLOAD_TIME).as_millis()
}

/// Makes a component that is there as young as a new one; whether it is there.
fn renew(tx: &Tx<'_>, tenant: &TenantId, sha256: &str) -> Result<bool, Fault> {
    let sql =
        "UPDATE components SET keep_until = ?3 WHERE tenant = ?1 AND sha256 = ?2 AND whole = 1";
    Ok(tx.run(sql, params![tenant.as_str(), sha256, keep_until(tx)])? > 0)
}

/// The bytes of all that a tenant has, needed or not, whole or not.
pub(crate) const STORED: &str = "SELECT coalesce(sum(bytes), 0) FROM components WHERE tenant = ?1";

fn begin(tx: &Tx<'_>, tenant: &TenantId, sha256: &str, size: &Size) -> Result<Begun, Fault> {
    if renew(tx, tenant, sha256)? {
        return Ok(Begun::Whole);
    }
    let stored = tx.one(STORED, [tenant.as_str()], |row| Ok(row.get::<_, i64>(0)?))?;
    let stored = u64::try_from(stored.unwrap_or(0)).unwrap_or(0);
    if stored.saturating_add(size.bytes) > size.at_most {
        return Err(Fault::Backend(BackendError::TooManyBytes {
            stored,
            limit: size.at_most,
        }));
    }
    let sql = "INSERT INTO components (tenant, sha256, pieces, bytes, keep_until)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let pieces = i64::try_from(size.pieces).unwrap_or(i64::MAX);
    let bytes = i64::try_from(size.bytes).unwrap_or(i64::MAX);
    tx.run(
        sql,
        params![tenant.as_str(), sha256, pieces, bytes, keep_until(tx)],
    )?;
    Ok(Begun::Upload(tx.last_insert_rowid()))
}

fn add(tx: &Tx<'_>, upload: i64, number: usize, piece: &[u8]) -> Result<(), Fault> {
    let sql = "INSERT INTO component_pieces (component, number, bytes)
               SELECT id, ?2, ?3 FROM components WHERE id = ?1 AND whole = 0 AND keep_until > ?4";
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    match tx.run(sql, params![upload, number, piece, tx.now.as_millis()])? {
        0 => Err(given_up()),
        _ => Ok(()),
    }
}

fn finish(tx: &Tx<'_>, tenant: &TenantId, sha256: &str, upload: i64) -> Result<(), Fault> {
    if renew(tx, tenant, sha256)? {
        // Somebody else was faster.
        let sql = "UPDATE components SET keep_until = 1 WHERE id = ?1 AND whole = 0";
        tx.run(sql, [upload])?;
        return Ok(());
    }
    let sql = "UPDATE components SET whole = 1, keep_until = ?2
               WHERE id = ?1 AND whole = 0 AND keep_until > ?3
               AND pieces = (SELECT count(*) FROM component_pieces WHERE component = ?1)";
    match tx.run(sql, params![upload, keep_until(tx), tx.now.as_millis()])? {
        0 => Err(given_up()),
        _ => Ok(()),
    }
}

fn given_up() -> Fault {
    Fault::Backend(unavailable(
        "storing a component took so long that it was given up; upload it again",
    ))
}

/// Its number, and of how many pieces it is.
fn find(conn: &Connection, tenant: &TenantId, sha256: &str) -> Result<Option<(i64, i64)>, Fault> {
    let sql = "SELECT id, pieces FROM components WHERE tenant = ?1 AND sha256 = ?2 AND whole = 1";
    conn.one(sql, [tenant.as_str(), sha256], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Adds the next pieces to `bytes`; how many.
fn read(
    conn: &Connection,
    component: i64,
    first: i64,
    mut bytes: Vec<u8>,
) -> Result<(i64, Vec<u8>), Fault> {
    let sql = "SELECT bytes FROM component_pieces WHERE component = ?1 AND number >= ?2
               ORDER BY number LIMIT ?3";
    let found = conn.all(sql, params![component, first, STEP as i64], |row| {
        let piece = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok((i64::try_from(found.len()).unwrap_or(i64::MAX), bytes))
}

/// A plugin needs it from now on; false if it is not there.
pub(super) fn hold(tx: &Tx<'_>, tenant: &TenantId, sha256: &str) -> Result<bool, Fault> {
    let sql =
        "UPDATE components SET keep_until = 0 WHERE tenant = ?1 AND sha256 = ?2 AND whole = 1";
    Ok(tx.run(sql, [tenant.as_str(), sha256])? > 0)
}

/// A plugin does not need it any more. If no other does and nobody is about to name it, it is gone, and
/// its pieces go with the next sweep.
pub(super) fn let_go(tx: &Tx<'_>, tenant: &TenantId, sha256: &str) -> Result<(), Fault> {
    let sql = "UPDATE components SET whole = 0, keep_until = 1
               WHERE tenant = ?1 AND sha256 = ?2 AND whole = 1 AND keep_until = 0 AND NOT EXISTS
                   (SELECT 1 FROM plugin_versions WHERE tenant = ?1 AND sha256 = ?2)";
    tx.run(sql, [tenant.as_str(), sha256])?;
    Ok(())
}

/// No plugin is about to name it any more: as long as a plugin needs it, it stays, and else it goes with the next
/// sweep.
fn give_up(tx: &Tx<'_>, tenant: &TenantId, sha256: &str) -> Result<(), Fault> {
    let sql =
        "UPDATE components SET keep_until = 0 WHERE tenant = ?1 AND sha256 = ?2 AND whole = 1";
    tx.run(sql, [tenant.as_str(), sha256])?;
    let_go(tx, tenant, sha256)
}

/// The one that has been due for longest, and whether it is needed all the same.
pub(crate) const DUE: &str = "SELECT id, whole = 1 AND EXISTS (SELECT 1 FROM plugin_versions v
         WHERE v.tenant = c.tenant AND v.sha256 = c.sha256)
     FROM components c WHERE keep_until > 0 AND keep_until <= ?1 ORDER BY keep_until LIMIT 1";

/// Removes some pieces of one component that is not needed; whether there may be more to do.
fn sweep(tx: &Tx<'_>) -> Result<bool, Fault> {
    let due = tx.one(DUE, [tx.now.as_millis()], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
    })?;
    let Some((component, needed)) = due else {
        return Ok(false);
    };
    if needed {
        tx.run(
            "UPDATE components SET keep_until = 0 WHERE id = ?1",
            [component],
        )?;
        return Ok(true);
    }
    tx.run("UPDATE components SET whole = 0 WHERE id = ?1", [component])?;
    let sql = "DELETE FROM component_pieces WHERE component = ?1 AND number IN
                   (SELECT number FROM component_pieces WHERE component = ?1 LIMIT ?2)";
    if tx.run(sql, params![component, STEP as i64])? < STEP {
        tx.run("DELETE FROM components WHERE id = ?1", [component])?;
    }
    Ok(true)
}
