//! Connections that are kept for the next request to the same place.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::{http1::Http1, http2::Http2, tls::Trust};
use crate::guard::Owner;

/// Places that something is kept for. Strangers choose the hosts: without a bound, idle connections to ever new ones
/// would use up the process's file descriptors.
const PLACES: usize = 256;

/// Idle HTTP/1.1 connections to one place, and to all together.
const IDLE_PER_PLACE: usize = 16;
const IDLE: usize = 1024;

/// How long is remembered that a receiver wants HTTP/1.1.
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
    /// Whom TLS trusts; none without TLS.
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
    places: HashMap<PoolKey, Kept>,
    /// HTTP/1.1 connections in all places.
    idle: usize,
    /// Whether somebody sees to it that nothing stays too long.
    swept: bool,
}

struct Kept {
    /// The last is the one that was used last.
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
    pub(super) fn take(&self, place: &PoolKey) -> Option<Http1> {
        loop {
            let mut state = self.0.state();
            let kept = state.places.get_mut(place)?;
            let (mut connection, since) = kept.idle.pop()?;
            state.idle -= 1;
            drop(state);
            if since.elapsed() < self.0.idle_timeout && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection on which an exchange has ended.
    pub(super) fn put(&self, place: &PoolKey, connection: Http1) {
        let mut state = self.0.state();
        if state.idle >= IDLE {
            return;
        }
        let now = Instant::now();
        let kept = state.kept(place);
        if kept.idle.len() >= IDLE_PER_PLACE {
            return;
        }
        kept.idle.push((connection, now));
        state.idle += 1;
        self.sweep_from_now_on(&mut state);
    }

    /// The HTTP/2 connection to a place.
    pub(super) fn shared(&self, place: &PoolKey) -> Option<Http2> {
        let mut state = self.0.state();
        let kept = state.places.get_mut(place)?;
        kept.shared.take_if(|shared| shared.is_retired());
        kept.used = Instant::now();
        kept.shared.clone()
    }

    /// Shares an HTTP/2 connection from now on. Returns the one to use: another if there was one already.
    pub(super) fn share(&self, place: &PoolKey, connection: Http2) -> Http2 {
        if let Some(shared) = self.shared(place) {
            connection.retire();
            return shared;
        }
        let mut state = self.0.state();
        state.kept(place).shared = Some(connection.clone());
        self.sweep_from_now_on(&mut state);
        connection
    }

    /// Whether a receiver wants HTTP/1.1 although it offers HTTP/2.
    pub(super) fn wants_http1(&self, place: &PoolKey) -> bool {
        let state = self.0.state();
        let kept = state.places.get(place);
        kept.is_some_and(|kept| {
            kept.wants_http1
                .is_some_and(|since| since.elapsed() < MEMORY)
        })
    }

    /// Remembers that it does.
    pub(super) fn note_http1(&self, place: &PoolKey) {
        let mut state = self.0.state();
        let kept = state.kept(place);
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
    /// What is kept for a place. The place that was used longest ago makes room for a new one.
    fn kept(&mut self, place: &PoolKey) -> &mut Kept {
        if !self.places.contains_key(place) && self.places.len() >= PLACES {
            let oldest = self.places.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone())
                && let Some(kept) = self.places.remove(&oldest)
            {
                self.idle -= kept.idle.len();
            }
        }
        let now = Instant::now();
        let kept = self.places.entry(place.clone()).or_insert_with(|| Kept {
            idle: Vec::new(),
            shared: None,
            wants_http1: None,
            used: now,
        });
        kept.used = now;
        kept
    }

    /// Drops what has been idle for too long. Returns whether anything is left to look after.
    fn sweep(&mut self, idle_timeout: Duration) -> bool {
        let mut idle = 0;
        self.places.retain(|_, kept| {
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
        self.swept = !self.places.is_empty();
        self.swept
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Others may hold it still, so that its task would go on.
        if let Some(shared) = &self.shared {
            shared.retire();
        }
    }
}
