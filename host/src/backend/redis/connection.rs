//! One connection, made again when it breaks.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::RedisError;
use tokio::sync::Notify;

use crate::backend::redis::node::{Link, Nodes, timed_out};

/// How long a node that could not be reached is not asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// A place for one connection to the node that holds the keys of one prefix.
#[derive(Debug)]
pub(super) struct ReconnectingConnection {
    nodes: Arc<Nodes>,
    prefix: Arc<str>,
    /// How long one command may take at most.
    patience: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
enum State {
    New,
    /// A task of its own connects, which outlives whoever began it: under load nobody alone may have the time
    /// that it takes. Since when the node has been away, if it has been.
    Connecting(Option<Instant>),
    Up(Arc<Link>),
    /// It cannot be reached.
    Down {
        since: Instant,
        tried: Instant,
        error: RedisError,
    },
}

/// There is no connection.
#[derive(Debug)]
pub(super) struct Away {
    /// Since when.
    pub(super) since: Instant,
    /// The error of the last try.
    pub(super) error: RedisError,
}

impl ReconnectingConnection {
    pub(super) fn new(nodes: Arc<Nodes>, prefix: Arc<str>, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            nodes,
            prefix,
            patience,
            state: Mutex::new(State::New),
            changed: Notify::new(),
        })
    }

    /// The connection. One task makes it and all callers wait for that; a node that could not be reached is
    /// not asked again at once, and who is not `patient` does not wait for one that has been away.
    pub(super) async fn link(self: &Arc<Self>, patient: bool) -> Result<Arc<Link>, Away> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                let away = match &*state {
                    State::Up(link) => return Ok(Arc::clone(link)),
                    State::Down {
                        since,
                        tried,
                        error,
                    } if tried.elapsed() < PAUSE => {
                        let (since, error) = (*since, error.clone());
                        return Err(Away { since, error });
                    }
                    State::Connecting(away) => *away,
                    State::Down { since, .. } => {
                        let since = Some(*since);
                        self.connect(&mut state, since);
                        since
                    }
                    State::New => {
                        self.connect(&mut state, None);
                        None
                    }
                };
                if let Some(since) = away
                    && !patient
                {
                    let error = timed_out("it is away");
                    return Err(Away { since, error });
                }
            }
            changed.await;
        }
    }

    fn connect(self: &Arc<Self>, state: &mut State, away: Option<Instant>) {
        *state = State::Connecting(away);
        let connecting = Connecting(Arc::clone(self));
        tokio::spawn(async move {
            let lane = &connecting.0;
            let result = lane.nodes.connect(&lane.prefix, lane.patience).await;
            *lane.state() = match result {
                Ok(link) => State::Up(Arc::new(link)),
                Err(error) => {
                    tracing::debug!(%error, shard = &*lane.prefix, "cannot connect to Redis");
                    let tried = Instant::now();
                    State::Down {
                        since: away.unwrap_or(tried),
                        tried,
                        error,
                    }
                }
            };
        });
    }

    /// The next step makes a new connection, if this one is still in use, and looks for the node anew.
    pub(super) fn drop_link(&self, link: &Arc<Link>) {
        self.nodes.forget(&self.prefix);
        let mut state = self.state();
        if matches!(&*state, State::Up(current) if Arc::ptr_eq(current, link)) {
            *state = State::New;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that connects. However it ends, those who wait hear of it.
struct Connecting(Arc<ReconnectingConnection>);

impl Drop for Connecting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if matches!(*state, State::Connecting(_)) {
            *state = State::New;
        }
        drop(state);
        self.0.changed.notify_waiters();
    }
}
