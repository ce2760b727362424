//! The pool of connections that are kept for later requests with the same [`PoolKey`].

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::{http1::Http1, http2::Http2, tls::Trust};
use crate::guard::Owner;

/// Entries of the pool at most. Tenants choose the hosts: without a bound, idle connections to ever new hosts would use
/// up the process's file descriptors.
const MAX_KEYS: usize = 256;

/// Idle HTTP/1.1 connections at most: of one entry, and of all together.
const IDLE_PER_KEY: usize = 16;
const IDLE: usize = 1024;

/// Time for which it is remembered that a receiver wants HTTP/1.1.
const MEMORY: Duration = Duration::from_secs(600);

/// The owner of a connection, its destination, and how it is secured. Requests share connections if all three are the
/// same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PoolKey {
    /// The tenant. A request of one could be written so that a receiver which misreads it takes the next request on the
    /// connection for a part of it, so the next one must not be another tenant's.
    pub(super) owner: Owner,
    /// As in the URL, so that IPv6 addresses are in brackets. May be a secret: not for logs.
    pub(super) host: String,
    pub(super) port: u16,
    /// The certificates that TLS trusts; none without TLS.
    pub(super) trust: Option<Trust>,
}

/// The pool. Clones share it.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    idle_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<PoolKey, Kept>,
    /// Idle HTTP/1.1 connections of all entries.
    idle: usize,
    /// Whether the task that closes connections which were idle for too long is running.
    swept: bool,
}

struct Kept {
    /// In the order of their last use, the most recent last.
    idle: Vec<(Http1, Instant)>,
    shared: Option<Http2>,
    wants_http1: Option<Instant>,
    used: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            idle_timeout,
            state: Mutex::default(),
        }))
    }

    /// An idle HTTP/1.1 connection that its receiver has not closed.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Http1> {
        loop {
            let mut state = self.0.state();
            let kept = state.entries.get_mut(key)?;
            let (mut connection, since) = kept.idle.pop()?;
            state.idle -= 1;
            drop(state);
            if since.elapsed() < self.0.idle_timeout && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection on which an exchange has ended.
    pub(super) fn put(&self, key: &PoolKey, connection: Http1) {
        let mut state = self.0.state();
        if state.idle >= IDLE {
            return;
        }
        let now = Instant::now();
        let kept = state.kept(key);
        if kept.idle.len() >= IDLE_PER_KEY {
            return;
        }
        kept.idle.push((connection, now));
        state.idle += 1;
        self.sweep_from_now_on(&mut state);
    }

    /// The HTTP/2 connection with this key.
    pub(super) fn shared(&self, key: &PoolKey) -> Option<Http2> {
        let mut state = self.0.state();
        let kept = state.entries.get_mut(key)?;
        kept.shared.take_if(|shared| shared.is_retired());
        kept.used = Instant::now();
        kept.shared.clone()
    }

    /// Shares an HTTP/2 connection from now on. Returns the connection to use: the one that is there already, if any.
    pub(super) fn share(&self, key: &PoolKey, connection: Http2) -> Http2 {
        if let Some(shared) = self.shared(key) {
            connection.retire();
            return shared;
        }
        let mut state = self.0.state();
        state.kept(key).shared = Some(connection.clone());
        self.sweep_from_now_on(&mut state);
        connection
    }

    /// Whether a receiver wants HTTP/1.1 although it offers HTTP/2.
    pub(super) fn wants_http1(&self, key: &PoolKey) -> bool {
        let state = self.0.state();
        let kept = state.entries.get(key);
        kept.is_some_and(|kept| {
            kept.wants_http1
                .is_some_and(|since| since.elapsed() < MEMORY)
        })
    }

    /// Remembers that the receiver wants HTTP/1.1.
    pub(super) fn note_http1(&self, key: &PoolKey) {
        let mut state = self.0.state();
        let kept = state.kept(key);
        kept.wants_http1 = Some(Instant::now());
        if let Some(shared) = kept.shared.take() {
            shared.retire();
        }
        self.sweep_from_now_on(&mut state);
    }

    /// Starts the task that closes what has been idle for too long, unless it runs. It ends when nothing is kept.
    fn sweep_from_now_on(&self, state: &mut State) {
        if std::mem::replace(&mut state.swept, true) {
            return;
        }
        let pool: Weak<Inner> = Arc::downgrade(&self.0);
        let pause = (self.0.idle_timeout / 4).max(Duration::from_millis(250));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                if !pool.state().sweep(pool.idle_timeout) {
                    return;
                }
            }
        });
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The entry with this key, made if there is none. The entry that was used longest ago makes room for a new one.
    fn kept(&mut self, key: &PoolKey) -> &mut Kept {
        if !self.entries.contains_key(key) && self.entries.len() >= MAX_KEYS {
            let oldest = self.entries.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone())
                && let Some(kept) = self.entries.remove(&oldest)
            {
                self.idle -= kept.idle.len();
            }
        }
        let now = Instant::now();
        let kept = self.entries.entry(key.clone()).or_insert_with(|| Kept {
            idle: Vec::new(),
            shared: None,
            wants_http1: None,
            used: now,
        });
        kept.used = now;
        kept
    }

    /// Drops connections that have been idle for too long. Returns whether any entry is left.
    fn sweep(&mut self, idle_timeout: Duration) -> bool {
        let mut idle = 0;
        self.entries.retain(|_, kept| {
            kept.idle
                .retain(|(_, since)| since.elapsed() < idle_timeout);
            let unused = kept.used.elapsed() >= idle_timeout;
            let ended = |shared: &mut Http2| shared.is_retired() || unused && shared.is_idle();
            if let Some(shared) = kept.shared.take_if(ended) {
                shared.retire();
            }
            kept.wants_http1.take_if(|since| since.elapsed() >= MEMORY);
            idle += kept.idle.len();
            !kept.idle.is_empty() || kept.shared.is_some() || kept.wants_http1.is_some()
        });
        self.idle = idle;
        self.swept = !self.entries.is_empty();
        self.swept
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Requests may still hold the connection, so that its task would go on.
        if let Some(shared) = &self.shared {
            shared.retire();
        }
    }
}
