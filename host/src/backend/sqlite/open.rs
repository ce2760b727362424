//! Opening the database: the folder, the lock, the checks and the schema.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::backend::BackendError;
use crate::backend::sqlite::{
    fault::{Fault, corrupt, unavailable},
    presence::Files,
};

/// Each brings a database from its index to the next version; what is released is never changed.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_plugins.sql"),
    include_str!("migrations/0003_component_bytes.sql"),
    include_str!("migrations/0004_last_error.sql"),
    include_str!("migrations/0005_workers.sql"),
];

/// The process that has locked this file uses the folder.
const LOCK_FILE: &str = "hookbox.lock";

/// Marks the file as hookbox's (`file` and other programs show it).
const APPLICATION_ID: i32 = 0x686b_6278;

/// Files up to this size are checked as a whole when they are opened; that takes some 20 ms at most. In
/// larger ones damage is found when it is met.
const CHECK_UP_TO: u64 = 16 << 20;

/// A folder that only this process uses, with its database open for writing.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: PathBuf,
    pub(super) writer: Connection,
    /// Held as long as the writer's connection is.
    pub(super) lock: File,
    /// The same, and longer than all other connections.
    pub(super) files: Files,
}

/// Opens the folder's database, making both if need be and bringing the schema up to date.
pub(super) fn open(data_dir: &Path) -> Result<Opened, BackendError> {
    make_private_dir(data_dir).map_err(|e| io_failed("make the folder", data_dir, &e))?;
    let lock = lock(data_dir)?;
    let file = data_dir.join("hookbox.db");
    let size = make_private_file(&file).map_err(|e| io_failed("open", &file, &e))?;
    let files = Files::of(&file, &data_dir.join(LOCK_FILE));
    let files = files.map_err(|e| io_failed("open", &file, &e))?;
    let writer = open_writer(&file, size).map_err(|fault| fault.into_backend(&file))?;
    Ok(Opened {
        file,
        writer,
        lock,
        files,
    })
}

/// A connection that can only read.
pub(super) fn open_reader(file: &Path) -> Result<Connection, Fault> {
    let conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&conn)?;
    Ok(conn)
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes sure the file is there and only its owner can read it, since it holds secrets; its size. SQLite
/// gives its write-ahead log the same mode.
fn make_private_file(file: &Path) -> io::Result<u64> {
    let handle = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    let metadata = handle.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        handle.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(metadata.len())
}

/// One process at a time: two would each take the other's leases for those of a dead process.
fn lock(data_dir: &Path) -> Result<File, BackendError> {
    let path = data_dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| io_failed("open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(unavailable(format!(
            "another hookbox uses this folder: {}. Stop it, or choose another folder with --data-dir",
            data_dir.display()
        ))),
        Err(TryLockError::Error(e)) => Err(io_failed("lock", &path, &e)),
    }
}

fn io_failed(what: &str, path: &Path, error: &io::Error) -> BackendError {
    unavailable(format!("cannot {what} {}: {error}", path.display()))
}

fn open_writer(file: &Path, size: u64) -> Result<Connection, Fault> {
    let mut conn = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&conn)?;
    check_ours(&conn, file, size)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Backend(unavailable(format!(
            "{}: this file system does not support SQLite's write-ahead log; use a local disk",
            file.display()
        ))));
    }
    // A commit is on the disk before it is acknowledged, also if the power fails.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    migrate(&mut conn)?;
    Ok(conn)
}

/// The settings of every connection.
pub(crate) fn configure(conn: &Connection) -> Result<(), Fault> {
    conn.busy_timeout(Duration::from_secs(5))?;
    // Plans that do not depend on values. Otherwise SQLite compiles a statement again for each new value
    // of some parameters, which costs more than running it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // The file may have been put there by somebody else: do not trust what its schema calls, nor its
    // pages.
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update(None, "cache_size", -16 * 1024)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Refuses what is not hookbox's, is damaged or is newer than this program.
fn check_ours(conn: &Connection, file: &Path, size: u64) -> Result<(), Fault> {
    let version = version(conn)?;
    let id: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let fresh = id == 0 && version == 0 && tables == 0;
    if !fresh && id != APPLICATION_ID {
        return Err(Fault::Backend(BackendError::Corrupt(format!(
            "{} is another program's database; move it away, or choose another folder with --data-dir",
            file.display()
        ))));
    }
    if version > MIGRATIONS.len() {
        return Err(Fault::Backend(BackendError::Corrupt(format!(
            "{} has schema version {version} and this hookbox knows versions up to {}: it was written \
             by a newer hookbox. Run that one, or restore a backup from before the upgrade",
            file.display(),
            MIGRATIONS.len()
        ))));
    }
    if size <= CHECK_UP_TO {
        let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(Fault::Backend(corrupt(file, &found)));
        }
    }
    Ok(())
}

fn version(conn: &Connection) -> Result<usize, Fault> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| Fault::stored("its schema version is negative"))
}

/// Brings the schema up to date, each step in a transaction of its own.
fn migrate(conn: &mut Connection) -> Result<(), Fault> {
    let from = version(conn)?;
    for (index, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        if from > 0 {
            let (version, of) = (index + 1, MIGRATIONS.len());
            tracing::info!(
                version,
                of,
                "changing the database's schema; a large store takes minutes, do not stop hookbox meanwhile"
            );
        }
        let tx = conn.transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", index as i64 + 1)?;
        tx.commit()?;
    }
    Ok(())
}
