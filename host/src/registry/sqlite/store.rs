//! What both modules stand on: one writer, a few readers, one file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{
    fault::{Fault, unavailable},
    open::{self, Opened},
    writer::{Shared, Tx, Writer, closed},
};
use crate::{model::TenantId, registry::BackendError};

/// Reads at once. They share the disk's cache, so more would only wait for each other.
const READERS: usize = 4;

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Readers {
    file: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Store {
    /// Opens the folder's database and runs `first` in a transaction of its own before anything else.
    /// Blocks.
    pub(crate) fn open(
        data_dir: &Path,
        first: impl FnOnce(&Connection) -> Result<(), Fault>,
    ) -> Result<Self, BackendError> {
        let Opened { file, writer, lock } = open::open(data_dir)?;
        within_transaction(&writer, first).map_err(|fault| fault.into_backend(&file))?;
        let shared = Arc::new(Shared::default());
        Ok(Self {
            writer: Writer::start(writer, lock, file.clone(), Arc::clone(&shared))?,
            readers: Arc::new(Readers {
                file,
                permits: Arc::new(Semaphore::new(READERS)),
                idle: Mutex::default(),
            }),
            shared,
        })
    }

    /// One atomic, durable step; see [`Writer::write`].
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, BackendError> {
        self.writer.write(work).await
    }

    /// Reads one consistent state, beside the writer.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, BackendError> {
        let readers = Arc::clone(&self.readers);
        let permit = Arc::clone(&readers.permits).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let read = move || {
            // Held by the thread, which goes on when the caller has lost interest.
            let _permit = permit;
            readers.read(work)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| BackendError::Internal("a read panicked".to_owned()))?
    }

    pub(crate) fn revision(&self, tenant: &TenantId) -> u64 {
        self.shared.revision(tenant)
    }

    /// Waits for a step that called [`Tx::wake`], at most so long. One that ended before the call counts.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.shared.wake.notified()).await;
    }

    /// Passes a wake-up on to the next waiting worker.
    pub(crate) fn wake_another(&self) {
        self.shared.wake.notify_one();
    }

    /// Steps run and transactions committed for them.
    pub(crate) fn written(&self) -> (u64, u64) {
        let Shared { jobs, commits, .. } = &*self.shared;
        (
            jobs.load(Ordering::Relaxed),
            commits.load(Ordering::Relaxed),
        )
    }

    pub(crate) async fn close(&self) {
        // The readers first: the last connection to close removes the write-ahead log.
        if let Ok(all) = self.readers.permits.acquire_many(READERS as u32).await {
            all.forget();
            self.readers.permits.close();
        }
        self.readers.idle().clear();
        self.writer.close().await;
    }
}

impl Readers {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections is whole whoever panicked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, BackendError> {
        let conn = self.idle().pop();
        let conn = conn.map_or_else(|| open::open_reader(&self.file), Ok);
        let result = conn.and_then(|conn| {
            let result = within_transaction(&conn, work)?;
            // Only one that worked is used again.
            self.idle().push(conn);
            Ok(result)
        });
        result.map_err(|fault| match fault {
            Fault::Sql(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::CannotOpen =>
            {
                unavailable(format!("cannot open {} to read it", self.file.display()))
            }
            fault => fault.into_backend(&self.file),
        })
    }
}

fn within_transaction<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let tx = conn.unchecked_transaction()?;
    let result = work(&tx)?;
    tx.commit()?;
    Ok(result)
}
