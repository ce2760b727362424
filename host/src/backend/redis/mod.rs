//! The Redis backend: registry and queue in one Redis (or Valkey) that many processes share.
//!
//! [`RedisBackend`] implements both contracts. This module holds the connections (`address`, `node`,
//! `store`), the steps' texts (`script`) and the registry; `queue` holds the queue, and at the
//! head of its `lua/common.lua` is what each key holds.

mod answer;
mod clear;
mod connection;
mod durability;
pub(crate) mod fault;
mod keyspace;
mod node;
mod queue;
mod registry;
pub(crate) mod script;
pub(crate) mod store;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::unsync::Cache;

use crate::{
    backend::BackendError,
    config::{QueueLimits, RedisConfig},
    model::TenantId,
};
use keyspace::Naming;
use node::Nodes;
use queue::Waker;
use store::Store;

/// How long a tenant's revision is believed: changes made through other processes are in force after that.
const REVISION_AGE: Duration = Duration::from_millis(500);
/// How often heartbeats say again how many shards there are.
const KEEP: Duration = Duration::from_secs(15);
/// Tenants whose revisions are remembered; past that, those that are used least are forgotten.
const MAX_REVISIONS: usize = 10_000;

/// By tenant: when it was asked, and the answer, unless it has been changed here since.
type Revisions = Cache<TenantId, (Instant, Option<u64>)>;

/// Where API keys and what belongs to no tenant live.
pub(crate) const HOME: usize = 0;

/// A Redis as backend, for any number of processes.
///
/// A step is durable as far as Redis is: see [`RedisBackend::open`].
#[derive(Debug)]
pub struct RedisBackend {
    pub(crate) store: Arc<Store>,
    pub(crate) waker: Arc<Waker>,
    /// Where a store with today's names would be, if this one has those of an earlier version.
    other: Option<Store>,
    /// When the number of shards was last said by a heartbeat.
    kept: Mutex<Option<Instant>>,
    revisions: Mutex<Revisions>,
}

impl RedisBackend {
    /// Connects, checks the server's version and durability, and settles on the number of shards.
    ///
    /// # Errors
    /// [`BackendError::Unavailable`] when Redis cannot be reached or refuses the password: trying again may
    /// help. Any other error is a matter of configuration, and its text says what to do.
    pub async fn open(
        config: &RedisConfig,
        limits: QueueLimits,
    ) -> Result<Arc<Self>, BackendError> {
        let unusable = |what: String| BackendError::Internal(format!("Redis: {what}"));
        let address = config.url.address();
        let address = address.ok_or_else(|| unusable("redis.url is not set".to_owned()))?;
        let ca = match config.ca_file.as_os_str().is_empty() {
            true => None,
            false => Some(std::fs::read(&config.ca_file).map_err(|e| {
                unusable(format!("redis.ca_file {}: {e}", config.ca_file.display()))
            })?),
        };
        let timeout = Duration::from_millis(config.timeout_ms);
        let with = |naming: Naming, shards: usize| {
            let nodes = Nodes::new(address.clone(), ca.clone(), timeout)?;
            Ok::<_, BackendError>(Store::new(
                nodes,
                &config.prefix,
                naming,
                shards,
                limits,
                timeout,
                config.replicas,
            ))
        };
        let (prefixed, braced) = (with(Naming::Prefixed, 1)?, with(Naming::Braced, 1)?);
        durability::check(&prefixed, config).await?;
        let naming = keyspace::naming(&prefixed, &braced).await?;
        let (first, other) = match naming {
            Naming::Prefixed => (prefixed, None),
            Naming::Braced => (braced, Some(prefixed)),
        };
        let shards = keyspace::shards(&first, usize::from(config.shards)).await?;
        let store = with(naming, shards)?;
        Ok(Arc::new(Self {
            waker: Arc::new(Waker::new(shards)),
            store: Arc::new(store),
            other,
            kept: Mutex::default(),
            revisions: Mutex::new(Cache::new(MAX_REVISIONS)),
        }))
    }

    /// Says again how many shards there are: an emptied Redis must not be set up with another number, or under other
    /// names, by the next process, while this one goes on with its own.
    ///
    /// # Errors
    /// If that has happened.
    pub(crate) async fn keep_shards(&self) -> Result<(), BackendError> {
        if let Some(other) = &self.other {
            keyspace::keep_alone(other).await?;
        }
        keyspace::shards(&self.store, self.store.shards())
            .await
            .map(drop)
    }

    /// The same, at most every so often: a heartbeat comes far more often than a Redis is emptied.
    pub(crate) async fn keep_shards_now_and_then(&self) -> Result<(), BackendError> {
        let due = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let due = kept.is_none_or(|kept| kept.elapsed() >= KEEP);
            if due {
                *kept = Some(Instant::now());
            }
            due
        };
        match due {
            true => self.keep_shards().await,
            false => Ok(()),
        }
    }

    fn believe(&self, tenant: &TenantId, asked: Instant, revision: u64) {
        let mut revisions = self.revisions();
        // A question from before a change here may have been answered before it, too.
        match revisions.get(tenant) {
            Some((when, _)) if *when > asked => {}
            _ => revisions.insert(tenant.clone(), (asked, Some(revision))),
        }
    }

    fn forget_revision(&self, tenant: &TenantId) {
        let now = Instant::now();
        self.revisions().insert(tenant.clone(), (now, None));
    }

    fn revisions(&self) -> std::sync::MutexGuard<'_, Revisions> {
        self.revisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
