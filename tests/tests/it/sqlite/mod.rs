//! The embedded backend: the contract, and what is its own: files, crashes, damage, a full disk.

mod child;
mod crash;
mod files;
mod group;
mod plugins;
mod prune;
mod taken;

use std::{path::Path, pin::Pin, sync::Arc};

use hookbox::{backend::sqlite::SqliteBackend, config::QueueLimits};

use crate::contract::bed::{Bed, LIMITS};

/// An empty backend in a folder of its own.
fn open(limits: QueueLimits) -> Pin<Box<dyn Future<Output = Bed> + Send>> {
    Box::pin(async move {
        let dir = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
        Bed::new(backend, dir)
    })
}

/// The backend in this folder, as a bed whose folder is somebody else's.
async fn open_in(dir: &Path) -> (Arc<SqliteBackend>, Bed) {
    let backend = SqliteBackend::open(dir, LIMITS).await.unwrap();
    (Arc::clone(&backend), Bed::new(backend, ()))
}

mod contract {
    crate::contract::contract!(crate::sqlite::open);
}
