//! Sleeping until there is work. A waiting process blocks on a list in each shard; a step that made
//! something claimable puts one element there if there is none, which wakes one process. Nothing is asked at
//! intervals.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify},
    time::sleep,
};

use crate::backend::{
    BackendError,
    redis::{
        RedisBackend,
        script::WAKE,
        store::{Listener, Mode, Store},
    },
};

/// How long one blocking read lasts: an idle process sends one command in this time to each shard.
const BLOCK: Duration = Duration::from_secs(30);
/// The pause after a connection failed.
const PAUSE: Duration = Duration::from_millis(500);

/// The waiting workers of this process.
#[derive(Debug)]
pub(crate) struct Waker {
    shards: Vec<WakeListener>,
    waiting: AtomicUsize,
    woken: Notify,
    turns: AtomicUsize,
}

/// The listener of one shard.
#[derive(Debug, Default)]
struct WakeListener {
    /// Whether a task does.
    listening: AtomicBool,
    /// Its connection, kept when it ends.
    listener: Mutex<Option<Listener>>,
    /// Whether it was woken and nothing has been claimed there since.
    woken: AtomicBool,
}

impl Waker {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| WakeListener::default()).collect(),
            waiting: AtomicUsize::new(0),
            woken: Notify::new(),
            turns: AtomicUsize::new(0),
        }
    }

    /// A number that goes up.
    pub(super) fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a wake-up from this shard has been taken since this was asked last.
    pub(super) fn was_woken(&self, shard: usize) -> bool {
        let ear = self.shards.get(shard);
        ear.is_some_and(|ear| ear.woken.swap(false, Ordering::Relaxed))
    }

    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// Somebody waits for as long as this lives.
struct Waiting<'a>(&'a Waker);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RedisBackend {
    pub(super) async fn wait_for_work(&self, at_most: Duration) {
        self.waker.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waker);
        for (shard, ear) in self.waker.shards.iter().enumerate() {
            if !ear.listening.swap(true, Ordering::SeqCst) {
                let (store, waker) = (Arc::clone(&self.store), Arc::clone(&self.waker));
                tokio::spawn(async move { listen(&store, &waker, shard).await });
            }
        }
        tokio::select! {
            () = self.waker.woken.notified() => {}
            () = sleep(at_most) => {}
        }
    }

    /// Wakes a process that waits for any shard, this one or another.
    pub(super) async fn wake_another(&self) {
        for shard in 0..self.store.shards() {
            self.wake_another_for(shard).await;
        }
    }

    pub(super) async fn wake_another_for(&self, shard: usize) {
        put_back(&self.store, shard).await;
    }
}

/// Reads wake-ups for as long as somebody here waits. One that comes when nobody does any more is for
/// another process.
async fn listen(store: &Store, waker: &Waker, shard: usize) {
    let Some(ear) = waker.shards.get(shard) else {
        return;
    };
    loop {
        while waker.is_wanted() {
            match hear(store, ear, shard).await {
                Ok(true) if waker.is_wanted() => {
                    ear.woken.store(true, Ordering::Relaxed);
                    waker.woken.notify_one();
                }
                Ok(true) => put_back(store, shard).await,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, shard, "cannot wait for wake-ups");
                    // The worker asks, and so learns that the shard is away, or back.
                    waker.woken.notify_one();
                    sleep(PAUSE).await;
                }
            }
        }
        ear.listening.store(false, Ordering::SeqCst);
        // A worker that began to wait just before that saw a listener.
        if !waker.is_wanted() || ear.listening.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

/// One blocking read, on the connection of the one before.
async fn hear(store: &Store, ear: &WakeListener, shard: usize) -> Result<bool, BackendError> {
    let mut kept = ear.listener.lock().await;
    let mut listener = match kept.take() {
        Some(listener) => listener,
        None => store.listen(shard, "wake", BLOCK).await?,
    };
    let heard = listener.take().await?;
    *kept = Some(listener);
    Ok(heard)
}

async fn put_back(store: &Store, shard: usize) {
    if let Err(error) = store.run(shard, &WAKE, &[], Mode::REPEATABLE).await {
        tracing::debug!(%error, shard, "cannot pass a wake-up on");
    }
}
