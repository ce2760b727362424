//! How SQLite's failures become [`BackendError`]s, and short forms of the few calls that the SQL needs.

use std::{path::Path, time::Duration};

use rusqlite::{CachedStatement, Connection, ErrorCode, Params, Row};

use crate::backend::BackendError;

/// A failure on the way through SQL. It becomes a [`BackendError`] where the file's name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// A row holds what hookbox never wrote.
    Stored(String),
    /// The contract's own answer.
    Backend(BackendError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<BackendError> for Fault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        // Only the place: the text could hold a part of a secret.
        Self::Stored(format!(
            "a stored document is not the JSON it should be (line {}, column {})",
            error.line(),
            error.column()
        ))
    }
}

impl Fault {
    /// A row that should be there is missing, or the like: the file was changed by something else.
    pub(crate) fn stored(what: impl Into<String>) -> Self {
        Self::Stored(what.into())
    }

    /// The contract's error. The texts are for operators and name the file.
    pub(crate) fn into_backend(self, file: &Path) -> BackendError {
        let error = match self {
            Self::Backend(error) => return error,
            Self::Stored(what) => return corrupt(file, &what),
            Self::Sql(error) => error,
        };
        match (&error, error.sqlite_error_code()) {
            (_, Some(ErrorCode::DiskFull)) => BackendError::Full(format!(
                "{}: {error}; free space on this disk",
                file.display()
            )),
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
            | (
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..),
                _,
            ) => corrupt(file, &error.to_string()),
            (
                _,
                Some(
                    ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::OutOfMemory
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::OperationAborted,
                ),
            ) => unavailable(format!("{}: {error}", file.display())),
            _ => BackendError::Internal(format!("{}: {error}", file.display())),
        }
    }
}

/// Damage, with the ways out of it.
pub(crate) fn corrupt(file: &Path, what: &str) -> BackendError {
    let file = file.display();
    BackendError::Corrupt(format!(
        "{file}: {what}. Stop hookbox and restore a backup of the folder, or rescue what can be read \
         with `sqlite3 {file} .recover`, or move the file away to start empty"
    ))
}

/// A failure that may pass.
pub(crate) fn unavailable(reason: impl Into<String>) -> BackendError {
    BackendError::Unavailable {
        reason: reason.into(),
        retry_after: Duration::from_secs(1),
    }
}

/// Short forms, all with cached statements.
pub(crate) trait Sql {
    /// The statement, compiled at most once for each connection.
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, Fault>;

    /// Runs a statement; how many rows it changed.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        Ok(self.statement(sql)?.execute(params)?)
    }

    /// The first row, if there is one.
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// All rows.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.statement(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

impl Sql for Connection {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, Fault> {
        Ok(self.prepare_cached(sql)?)
    }
}
