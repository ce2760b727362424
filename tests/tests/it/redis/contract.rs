//! The backend's contract, each case on a server of its own.

use std::pin::Pin;

use hookbox::config::QueueLimits;
use hookbox_tests::redis::{Options, RedisServer};

use super::open_at;
use crate::contract::bed::Bed;

/// An empty backend on a server that keeps nothing on disk.
fn open(limits: QueueLimits) -> Pin<Box<dyn Future<Output = Bed> + Send>> {
    Box::pin(async move {
        let redis = RedisServer::start(Options::default());
        let backend = open_at(&redis.url(), limits, |_| ()).await;
        Bed::new(backend, redis)
    })
}

crate::contract::contract!(super::open);
