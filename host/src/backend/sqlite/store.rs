//! The database connections: one writer, a few readers, one file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::backend::sqlite::{
    fault::{Fault, unavailable},
    open::{self, Opened},
    presence::Files,
    writer::{Shared, Tx, Writer, closed},
};
use crate::{backend::BackendError, model::TenantId};

/// Reads at once. They share the disk's cache, so more would only wait for each other. The API uses at most four
/// (`api::sending`), so that workers and changes always find one.
const READERS: u32 = 6;

/// The open database.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    /// For look-ups of keys, which every request needs: they wait for nothing that tenants ask for.
    lookups: Arc<Readers>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Readers {
    file: PathBuf,
    count: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    // After the connections.
    files: Arc<Files>,
}

impl Store {
    /// Opens the folder's database and runs `first` in a transaction of its own before anything else.
    /// Blocks.
    pub(crate) fn open(
        data_dir: &Path,
        first: impl FnOnce(&Connection) -> Result<(), Fault>,
    ) -> Result<Self, BackendError> {
        let Opened {
            file,
            writer,
            lock,
            files,
        } = open::open(data_dir)?;
        within_transaction(&writer, first).map_err(|fault| fault.into_backend(&file))?;
        let (shared, files) = (Arc::new(Shared::default()), Arc::new(files));
        let readers = |count| Arc::new(Readers::new(file.clone(), Arc::clone(&files), count));
        Ok(Self {
            readers: readers(READERS),
            lookups: readers(1),
            writer: Writer::start(writer, lock, file.clone(), files, Arc::clone(&shared))?,
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
        Arc::clone(&self.readers).run(work).await
    }

    /// The same for the look-up of a key.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, BackendError> {
        Arc::clone(&self.lookups).run(work).await
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
        self.readers.close().await;
        self.lookups.close().await;
        self.writer.close().await;
    }
}

impl Readers {
    fn new(file: PathBuf, files: Arc<Files>, count: u32) -> Self {
        Self {
            file,
            count,
            permits: Arc::new(Semaphore::new(count as usize)),
            idle: Mutex::default(),
            files,
        }
    }

    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, BackendError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let read = move || {
            // Held by the thread, which goes on when the caller has lost interest.
            let _permit = permit;
            self.read(work)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| BackendError::Internal("a read panicked".to_owned()))?
    }

    async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.count).await {
            all.forget();
            self.permits.close();
        }
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A list of connections is whole whoever panicked.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A further connection, to the very file that the others have open.
    fn open(&self) -> Result<Connection, Fault> {
        self.files.check()?;
        let conn = open::open_reader(&self.file)?;
        self.files.check()?;
        Ok(conn)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, BackendError> {
        let conn = self.idle().pop();
        let conn = conn.map_or_else(|| self.open(), Ok);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_key_is_looked_up_while_all_readers_are_busy() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path(), |_| Ok(())).unwrap());
        let (begun, is_begun) = mpsc::channel();
        let mut busy = Vec::new();
        let mut release = Vec::new();
        for _ in 0..READERS {
            let (end, is_ended) = mpsc::channel::<()>();
            release.push(end);
            let (store, begun) = (Arc::clone(&store), begun.clone());
            busy.push(tokio::spawn(async move {
                let read = move |_: &Connection| {
                    begun.send(()).unwrap();
                    let _ = is_ended.recv();
                    Ok(())
                };
                store.read(read).await
            }));
        }
        for _ in 0..READERS {
            tokio::task::yield_now().await;
        }
        let waits = tokio::task::spawn_blocking(move || {
            (0..READERS).for_each(|_| is_begun.recv().unwrap());
        });
        waits.await.unwrap();
        assert_eq!(store.look_up(|_| Ok(7)).await, Ok(7));
        drop(release);
        for read in busy {
            assert_eq!(read.await.unwrap(), Ok(()));
        }
    }
}
