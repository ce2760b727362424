//! The Redis backend on real servers that the tests start: the contract, and what is its own: many
//! processes over one Redis, and whatever happens to that.

mod contract;
mod fairness;
mod harness;
mod idle;
mod ledger;
mod metrics;
mod plugins;
mod producers;
mod rights;
mod scene;
mod steps;
mod tenants;
mod weather;

use std::sync::Arc;

use hookbox::{
    backend::redis::RedisBackend,
    config::{Config, QueueLimits},
};

/// The backend at this URL, with further changes to the configuration.
async fn open_at(
    url: &str,
    limits: QueueLimits,
    change: impl FnOnce(&mut Config),
) -> Arc<RedisBackend> {
    let mut config = Config::load(None, &[("redis.url", url.into())]).unwrap();
    change(&mut config);
    RedisBackend::open(&config.redis, limits).await.unwrap()
}
