//! The loop that joins the stages: claim, attempt, settle.
//!
//! One task claims as many deliveries as there is room for and starts a task for each. One timer renews
//! every lease that is held, at a third of its time. Nothing here ends because of an error: a backend that
//! fails is asked again, with growing pauses. At shutdown the worker stops claiming, waits for what is
//! under way, and gives the leases of the rest back.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use tracing::Instrument;

use crate::{
    backend::{
        Delivery, LeaseToken, Leased, LostLease, Settled, Settlement, WorkerInfo, outage,
        schedule::{self, HEARTBEAT},
    },
    engine::{AttemptResult, Engine, NoAttempt},
    model::{Timestamp, WorkerId},
    record::Next,
    telemetry::Part,
};

/// Deliveries taken in one claim.
const CLAIM_BATCH: usize = 64;
/// The longest sleep without work. Wake-ups come from the backend; this bounds the harm of a lost one.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// How often it is logged that deliveries were put off.
const PUT_OFF_LOG: Duration = Duration::from_secs(15);
/// How often retention runs, and how much it removes in one step.
const RETENTION_INTERVAL: Duration = Duration::from_secs(60);
const RETENTION_STEP: usize = 500;
/// How long a delivery that could not even be begun keeps its slot.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Retries of storing an attempt when the backend's error is not of the kind that passes.
const SETTLE_RETRIES: u32 = 5;

/// Runs a worker until `shutdown` becomes true, then until nothing is under way any more (at most
/// `server.shutdown_seconds`).
pub async fn run(engine: Arc<Engine>, mut shutdown: watch::Receiver<bool>) {
    engine.metrics().runs(Part::Worker);
    let worker = Arc::new(Worker::new(engine));
    let mut background = JoinSet::new();
    background.spawn(Arc::clone(&worker).keep_leases());
    background.spawn(Arc::clone(&worker).report());
    background.spawn(Arc::clone(&worker).retain());

    let mut deliveries = JoinSet::new();
    worker.claim_until(&mut shutdown, &mut deliveries).await;
    worker.drain(deliveries).await;
    background.shutdown().await;
}

#[derive(Debug)]
struct Worker {
    engine: Arc<Engine>,
    id: WorkerId,
    started: Timestamp,
    lease: Duration,
    slots: Arc<Semaphore>,
    held: Mutex<HashSet<LeaseToken>>,
    /// Deliveries deferred since that was last logged.
    deferred: AtomicUsize,
}

impl Worker {
    fn new(engine: Arc<Engine>) -> Self {
        let config = &engine.config().worker;
        Self {
            id: WorkerId::generate(),
            started: Timestamp::now(),
            lease: Duration::from_secs(config.lease_seconds),
            slots: Arc::new(Semaphore::new(config.concurrency)),
            held: Mutex::default(),
            deferred: AtomicUsize::new(0),
            engine,
        }
    }

    /// Claims and starts deliveries. Only the waits are cut short by a shutdown, never a claim: its leases
    /// would be held by nobody.
    async fn claim_until(
        self: &Arc<Self>,
        shutdown: &mut watch::Receiver<bool>,
        deliveries: &mut JoinSet<()>,
    ) {
        let mut backoff = Backoff::default();
        while let Some(mut slots) = unless_stopped(shutdown, self.free_slots()).await {
            while deliveries.try_join_next().is_some() {}
            let pause = match self
                .engine
                .backend()
                .claim(&self.id, slots.len(), self.lease)
                .await
            {
                Ok(claim) => {
                    outage::answered();
                    backoff.reset();
                    log_lost(&claim.lost);
                    let found = !claim.leased.is_empty();
                    for leased in claim.leased {
                        let slot = slots.pop();
                        self.held().insert(leased.token.clone());
                        let Delivery {
                            id,
                            tenant,
                            webhook,
                            event,
                            ..
                        } = &leased.delivery;
                        // On every line that the delivery causes, whatever the level of the log.
                        let span = tracing::error_span!("delivery", %id, %tenant, %webhook, %event);
                        deliveries.spawn(Arc::clone(self).deliver(leased, slot).instrument(span));
                    }
                    self.count();
                    if found {
                        continue;
                    }
                    claim.next_due.map_or(MAX_IDLE, |due| due.min(MAX_IDLE))
                }
                Err(error) => {
                    let pause = backoff.next();
                    outage::failed("claim deliveries", &error);
                    drop(slots);
                    if unless_stopped(shutdown, sleep(pause)).await.is_none() {
                        return;
                    }
                    continue;
                }
            };
            drop(slots);
            if unless_stopped(shutdown, self.engine.backend().wait(pause))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// At least one free slot, and as many more as a claim may fill.
    async fn free_slots(&self) -> Vec<OwnedSemaphorePermit> {
        let mut slots = Vec::with_capacity(CLAIM_BATCH);
        if let Ok(first) = Arc::clone(&self.slots).acquire_owned().await {
            slots.push(first);
        }
        while slots.len() < CLAIM_BATCH
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            slots.push(slot);
        }
        slots
    }

    async fn deliver(self: Arc<Self>, leased: Leased, mut slot: Option<OwnedSemaphorePermit>) {
        // Also if what follows panics: the lease must not be renewed for ever.
        let _held = HeldLease {
            worker: &self,
            leased: &leased,
        };
        match self.attempt(&leased, &mut slot).await {
            Ok(AttemptResult {
                settlement,
                observation,
            }) => {
                tracing::debug!(
                    delivery = %leased.delivery.id, outcome = ?settlement.attempt.outcome,
                    next = ?settlement.next, "attempt made"
                );
                let failed = matches!(settlement.next, Next::Fail(_))
                    .then(|| schedule::error_kind(&settlement.attempt).map(str::to_owned))
                    .flatten();
                let stored = self.settle(settlement).await;
                if let Some(kind) = failed.filter(|_| stored) {
                    tracing::warn!(
                        kind,
                        "a delivery failed and is not tried again: `hookbox deliveries show` says why, and \
                         `hookbox deliveries requeue` sends it again"
                    );
                    self.engine.metrics().failed(&kind);
                }
                // One that was not stored is made again.
                if let Some(observation) = observation.filter(|_| stored) {
                    self.engine.count(&observation).await;
                }
            }
            Err(NoAttempt::Deferred { why, reason, wait }) => {
                tracing::debug!(delivery = %leased.delivery.id, reason, "an attempt was deferred");
                self.deferred.fetch_add(1, Ordering::Relaxed);
                self.engine.metrics().defer(reason);
                let defer = self.engine.backend().defer(&leased.token, wait, &why);
                if let Err(error) = defer.await {
                    outage::failed("give a lease back", &error);
                }
            }
            Err(NoAttempt::Store(error)) => {
                outage::failed("read a webhook", &error);
                // It is claimable again at once, and what failed may go on failing.
                sleep(PAUSE_AFTER_FAILURE).await;
                self.give_back(std::slice::from_ref(&leased.token)).await;
            }
        }
        drop(slot);
    }

    /// Makes the attempt. One that waits for its plugin to be loaded steps aside meanwhile: it keeps its lease,
    /// and others have its slot. How many may do so the engine bounds.
    async fn attempt(
        &self,
        leased: &Leased,
        slot: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<AttemptResult, NoAttempt> {
        let mut begun = self.engine.begin(leased).await?;
        if begun.is_waiting() {
            drop(slot.take());
            begun = begun.ready().await?;
            *slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        }
        self.engine.attempt(&self.id, leased, begun).await
    }

    /// Stores the result. While the backend is away or full, it tries again until there is an answer: the
    /// lease is renewed meanwhile, and if that fails as well, the answer will be that it was lost. Other
    /// errors do not go away; after some tries the delivery is left to be made again. Whether it is stored.
    async fn settle(&self, settlement: Settlement) -> bool {
        let mut backoff = Backoff::default();
        let delivery = settlement.lease.delivery.clone();
        loop {
            match self.engine.backend().settle(settlement.clone()).await {
                Ok(Settled::Done) => {
                    outage::answered();
                    return true;
                }
                Ok(Settled::LeaseLost) => {
                    outage::answered();
                    tracing::warn!(%delivery, "its lease was lost before the attempt was stored");
                    return false;
                }
                Err(error) => {
                    if !error.is_passing() && backoff.failures >= SETTLE_RETRIES {
                        tracing::error!(%error, %delivery, "cannot store an attempt; giving up");
                        return false;
                    }
                    outage::failed("store an attempt", &error);
                    let pause = backoff.next();
                    sleep(pause).await;
                }
            }
        }
    }

    async fn give_back(&self, tokens: &[LeaseToken]) {
        if let Err(error) = self.engine.backend().release(tokens).await {
            outage::failed("give leases back", &error);
        }
    }

    /// Stops everything: waits for what is under way, then cuts off the rest and gives its leases back.
    async fn drain(&self, mut deliveries: JoinSet<()>) {
        let patience = Duration::from_secs(self.engine.config().server.shutdown_seconds);
        let all = async { while deliveries.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            let left: Vec<LeaseToken> = self.held().iter().cloned().collect();
            deliveries.shutdown().await;
            tracing::warn!(
                deliveries = left.len(),
                "gave back what was still under way"
            );
            self.give_back(&left).await;
        }
        if let Err(error) = self.engine.backend().deregister(&self.id).await {
            tracing::debug!(%error, "cannot deregister the worker; it is listed for some seconds more");
        }
    }

    async fn keep_leases(self: Arc<Self>) {
        let mut pause = self.lease / 3;
        loop {
            sleep(pause).await;
            pause = self.lease / 3;
            let tokens: Vec<LeaseToken> = self.held().iter().cloned().collect();
            if tokens.is_empty() {
                continue;
            }
            match self.engine.backend().renew(&tokens, self.lease).await {
                Ok(lost) => {
                    outage::answered();
                    for token in lost.iter().filter(|token| self.held().contains(token)) {
                        tracing::warn!(delivery = %token.delivery, "its lease was lost");
                    }
                }
                Err(error) => {
                    // There may be little time left.
                    pause = self.lease / 20;
                    outage::failed("renew leases", &error);
                }
            }
        }
    }

    async fn report(self: Arc<Self>) {
        let mut tick = interval(HEARTBEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut logged = Instant::now();
        loop {
            tick.tick().await;
            if logged.elapsed() >= PUT_OFF_LOG
                && let deferred @ 1.. = self.deferred.swap(0, Ordering::Relaxed)
            {
                logged = Instant::now();
                tracing::warn!(
                    deferred,
                    "deliveries were deferred, as their plugins are not ready to run here yet"
                );
            }
            let in_flight = self.held().len();
            let info = WorkerInfo {
                id: self.id.clone(),
                host: rustix::system::uname()
                    .nodename()
                    .to_string_lossy()
                    .into_owned(),
                pid: std::process::id(),
                started: self.started,
                last_seen: Timestamp::now(),
                in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
                concurrency: u32::try_from(self.engine.config().worker.concurrency)
                    .unwrap_or(u32::MAX),
            };
            match self.engine.backend().heartbeat(&info).await {
                Ok(()) => outage::answered(),
                Err(error) => outage::failed("send a heartbeat", &error),
            }
        }
    }

    async fn retain(self: Arc<Self>) {
        let mut tick = interval(RETENTION_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let retention = self.engine.config().retention();
        loop {
            tick.tick().await;
            loop {
                match self.engine.backend().prune(retention, RETENTION_STEP).await {
                    Ok(removed) if removed < RETENTION_STEP => break,
                    Ok(removed) => {
                        tracing::debug!(removed, "removed what had been kept long enough");
                    }
                    Err(error) => {
                        outage::failed("remove old deliveries", &error);
                        break;
                    }
                }
            }
        }
    }

    fn count(&self) {
        self.engine.metrics().set_in_flight(self.held().len());
    }

    fn held(&self) -> MutexGuard<'_, HashSet<LeaseToken>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each lost worker, and one for each delivery that failed because its workers were lost.
fn log_lost(lost: &[LostLease]) {
    let mut deliveries: BTreeMap<&WorkerId, usize> = BTreeMap::new();
    for lease in lost {
        *deliveries.entry(&lease.worker).or_default() += 1;
    }
    for (worker, deliveries) in deliveries {
        tracing::warn!(
            lost_worker = %worker,
            deliveries,
            "a worker was lost: its leases expired and its deliveries are taken over. It was killed, it hangs, or it \
             cannot reach the store"
        );
    }
    for lease in lost.iter().filter(|lease| lease.has_failed) {
        tracing::warn!(
            delivery = %lease.delivery, tenant = %lease.tenant, webhook = %lease.webhook, lost_worker = %lease.worker,
            "a delivery failed because every worker that claimed it was lost: see whether it stops them, and send it \
             again with `hookbox deliveries requeue`"
        );
    }
}

/// A delivery that a task works on.
struct HeldLease<'a> {
    worker: &'a Worker,
    leased: &'a Leased,
}

impl Drop for HeldLease<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the task of the delivery panicked; its lease will expire");
        }
        self.worker.held().remove(&self.leased.token);
        self.worker.count();
    }
}

/// The future's value, or nothing if the shutdown comes first.
async fn unless_stopped<T>(
    shutdown: &mut watch::Receiver<bool>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        _ = shutdown.wait_for(|stop| *stop) => None,
        value = future => Some(value),
    }
}

/// Pauses between tries: doubling from 100 ms to 5 s.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }

    fn next(&mut self) -> Duration {
        let pause = Duration::from_millis(100 << self.failures.min(6));
        self.failures += 1;
        pause.min(Duration::from_secs(5))
    }
}
