//! The embedded backend: registry and queue in one SQLite file.
//!
//! [`SqliteBackend`] implements both contracts. This module holds the connection layer (`open`, `writer`,
//! `store`) and the registry's SQL; `queue` holds the queue's.

pub(crate) mod fault;
mod open;
mod presence;
pub(crate) mod queue;
mod registry;
pub(crate) mod store;
mod writer;

use std::{path::Path, sync::Arc};

#[cfg(test)]
pub(crate) use open::{MIGRATIONS, configure};
pub(crate) use writer::Tx;

use crate::{backend::BackendError, config::QueueLimits};
use registry::trials::Trials;
use store::Store;

/// A folder as backend, for one process at a time.
///
/// A step is on the disk (`fsync`) before its method returns; steps that come at the same time share one.
#[derive(Debug)]
pub struct SqliteBackend {
    pub(crate) store: Store,
    pub(crate) scheduler: queue::Scheduler,
    pub(crate) workers: queue::Workers,
    trials: Trials,
}

/// How often the disk was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteStats {
    /// Steps that changed, or tried to change, something.
    pub steps: u64,
    /// Transactions, each with one `fsync`, in which they were committed.
    pub commits: u64,
}

impl SqliteBackend {
    /// Opens the folder, making it (mode 0700) and the database in it (mode 0600) if need be, and brings
    /// the schema up to date. Deliveries that a dead process had under way are claimable again at once.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] if another process uses the folder or it cannot be read or written;
    /// [`BackendError::Corrupt`] if the file is damaged, another program's or a newer hookbox's. The texts
    /// say what to do.
    pub async fn open(data_dir: &Path, limits: QueueLimits) -> Result<Arc<Self>, BackendError> {
        let data_dir = data_dir.to_owned();
        let opening = move || {
            let mut scheduler = queue::Scheduler::new(limits);
            let store = Store::open(&data_dir, |conn| scheduler.recover(conn))?;
            Ok(Arc::new(Self {
                store,
                scheduler,
                workers: queue::Workers::default(),
                trials: Trials::default(),
            }))
        };
        tokio::task::spawn_blocking(opening)
            .await
            .map_err(|_| BackendError::Internal("opening the database panicked".to_owned()))?
    }

    /// Finishes the steps that were begun, writes everything into the one database file and gives the
    /// folder free. Later calls fail with [`BackendError::Unavailable`].
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Steps and commits since the start.
    #[must_use]
    pub fn write_stats(&self) -> WriteStats {
        let (steps, commits) = self.store.written();
        WriteStats { steps, commits }
    }
}
