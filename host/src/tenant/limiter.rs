//! The limiter of shared resources: it bounds the amount that one request holds and orders the requests that wait.
//!
//! It stands in front of everything that a key can occupy: places for requests, processors, readers of the store, the
//! writer, render threads for dry runs. Each tenant has a limit, and within it each of its keys, so that neither a
//! tenant nor a key can take everything. A request that finds nothing free waits in a fair queue: start-time fair
//! queueing on two levels. Each tenant has a clock that advances by the time for which it held something, and the
//! tenant furthest behind is next. The keys of a tenant are ordered in the same way. Unused time is not saved up.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::model::TenantId;

/// Maximum number of idle tenants, and of idle keys of a tenant, that are remembered. Idle ones hold nothing and do not
/// wait.
const MAX_IDLE: usize = 256;

/// The key of a tenant that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    tenant: TenantId,
    key: Arc<str>,
}

impl Caller {
    /// The key with this id.
    pub(crate) fn new(tenant: TenantId, key: &str) -> Self {
        Self {
            tenant,
            key: key.into(),
        }
    }

    /// The tenant itself, where no key matters.
    pub(crate) fn of(tenant: &TenantId) -> Self {
        Self::new(tenant.clone(), "")
    }

    /// The tenant that the key belongs to.
    pub(crate) const fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// Maximum amounts that may be held at once, in units of the resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// By all together.
    pub(crate) all: u32,
    /// By one tenant.
    pub(crate) tenant: u32,
    /// By one key.
    pub(crate) key: u32,
    /// Requests of one tenant that hold something or wait. Further ones are refused at once.
    pub(crate) tenant_places: usize,
    /// The same of one key.
    pub(crate) key_places: usize,
}

impl Limits {
    /// So much for all; half of it for one tenant, and a quarter for one key, but no less than 2 and 1.
    pub(crate) const fn shares(all: u32) -> Self {
        let (half, quarter) = (all / 2, all / 4);
        Self {
            all,
            tenant: if half > 2 { half } else { 2 },
            key: if quarter > 1 { quarter } else { 1 },
            tenant_places: usize::MAX,
            key_places: usize::MAX,
        }
    }
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimiterError {
    /// The queue of the tenant or of the key is full.
    #[error("too many requests of this key or its tenant are in flight")]
    QueueFull,
    /// It did not come in time.
    #[error(
        "other requests of this key or its tenant, or too many others, came first; no permit was free in time"
    )]
    TimedOut,
    /// The work panicked.
    #[error("the work ended early")]
    Panicked,
}

/// One shared resource. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct TenantLimiter {
    state: Arc<Mutex<State>>,
}

/// Units of the resource, held until it is dropped; or, before it is granted, a place in the queue.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: TenantLimiter,
    caller: Caller,
    id: u64,
    units: u32,
    since: Instant,
}

#[derive(Debug)]
struct State {
    limits: Limits,
    tenants: HashMap<TenantId, Tenant>,
    used: u32,
    waiting: usize,
    /// The clock of the tenant served last: the present.
    now: u64,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Tenant {
    share: Share,
    keys: HashMap<Arc<str>, Key>,
    waiting: usize,
    /// The clock of the key served last.
    now: u64,
}

#[derive(Debug, Default)]
struct Key {
    share: Share,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Default)]
struct Share {
    used: u32,
    /// Requests that hold something or wait.
    places: usize,
    /// Nanoseconds for which units were held, those of each unit.
    clock: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    units: u32,
    granted: oneshot::Sender<()>,
}

impl TenantLimiter {
    /// A resource with these limits.
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            limits,
            tenants: HashMap::new(),
            used: 0,
            waiting: 0,
            now: 0,
            next_id: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Waits for so many units, at most for so long. A request for more than a key may hold at once is granted just
    /// that.
    ///
    /// # Errors
    /// [`LimiterError::QueueFull`] at once, or [`LimiterError::TimedOut`].
    pub(crate) async fn acquire(
        &self,
        caller: &Caller,
        units: u32,
        patience: Duration,
    ) -> Result<Permit, LimiterError> {
        let (mut permit, mut granted) = self.enter(caller, units).ok_or(LimiterError::QueueFull)?;
        if granted.try_recv().is_err() {
            let granted = tokio::time::timeout(patience, granted).await;
            granted
                .map_err(|_| LimiterError::TimedOut)?
                .map_err(|_| LimiterError::TimedOut)?;
        }
        permit.since = Instant::now();
        Ok(permit)
    }

    /// A unit if one can be had without waiting.
    pub(crate) fn try_acquire(&self, caller: &Caller) -> Option<Permit> {
        let (permit, mut granted) = self.enter(caller, 1)?;
        granted.try_recv().ok().map(|()| permit)
    }

    /// Waits for a unit and then does the work on a blocking thread. The work holds the unit to its end, even if its
    /// caller has gone.
    ///
    /// # Errors
    /// As [`TenantLimiter::acquire`], and [`LimiterError::Panicked`].
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        caller: &Caller,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LimiterError> {
        let permit = self.acquire(caller, 1, patience).await?;
        let work = move || {
            let _permit = permit;
            work()
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| LimiterError::Panicked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics, and no code of others runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, caller: &Caller, units: u32) -> Option<(Permit, oneshot::Receiver<()>)> {
        let (granted, is_granted) = oneshot::channel();
        let mut state = self.state();
        let units = units.min(state.limits.key).max(1);
        let id = state.enter(caller, units, granted)?;
        state.grant();
        drop(state);
        let permit = Permit {
            limiter: self.clone(),
            caller: caller.clone(),
            id,
            units,
            since: Instant::now(),
        };
        Some((permit, is_granted))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let held = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.limiter.state();
        state.leave(&self.caller, self.id, self.units, held);
        state.grant();
    }
}

impl Share {
    /// Whether so many more units may be held. If none is held, any request may: the size of one request has its own
    /// bound.
    const fn has_room(&self, units: u32, limit: u32) -> bool {
        self.used == 0 || self.used.saturating_add(units) <= limit
    }

    /// Adds a request. `waits` says whether requests of this share wait already. If none does, the clock is set to the
    /// present, so that idle time is not saved up.
    fn enter(&mut self, now: u64, waits: bool) {
        if !waits {
            self.clock = self.clock.max(now);
        }
        self.places = self.places.saturating_add(1);
    }

    fn hold(&mut self, units: u32) {
        self.used = self.used.saturating_add(units);
        // So that each of the shares that have used nothing yet is served once before one is served twice.
        self.clock = self.clock.saturating_add(1);
    }

    fn give_back(&mut self, units: u32, held: u64) {
        self.used = self.used.saturating_sub(units);
        let held = held.saturating_mul(u64::from(units));
        self.clock = self.clock.saturating_add(held);
    }

    /// Whether it can be forgotten: a new one would have the same clock.
    const fn is_forgettable(&self, now: u64) -> bool {
        self.places == 0 && self.clock <= now
    }
}

impl Tenant {
    /// The key that is next and the units it asks for, if the tenant and the key may hold that many more.
    fn next(&self, limits: &Limits) -> Option<(&Arc<str>, u32)> {
        let candidates = self.keys.iter().filter_map(|(name, key)| {
            let units = key.waiting.front()?.units;
            let room =
                self.share.has_room(units, limits.tenant) && key.share.has_room(units, limits.key);
            room.then_some((key.share.clock, name, units))
        });
        let (_, name, units) = candidates.min_by_key(|(clock, ..)| *clock)?;
        Some((name, units))
    }
}

impl State {
    fn enter(&mut self, caller: &Caller, units: u32, granted: oneshot::Sender<()>) -> Option<u64> {
        let limits = self.limits;
        if let Some(tenant) = self.tenants.get(&caller.tenant) {
            let key = tenant.keys.get(&caller.key);
            let crowded = tenant.share.places >= limits.tenant_places
                || key.is_some_and(|key| key.share.places >= limits.key_places);
            if crowded {
                return None;
            }
        }
        if limits.tenant_places == 0 || limits.key_places == 0 {
            return None;
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let tenant = self.tenants.entry(caller.tenant.clone()).or_default();
        tenant.share.enter(self.now, tenant.waiting > 0);
        let now = tenant.now;
        let key = tenant.keys.entry(Arc::clone(&caller.key)).or_default();
        key.share.enter(now, !key.waiting.is_empty());
        key.waiting.push_back(Waiting { id, units, granted });
        tenant.waiting = tenant.waiting.saturating_add(1);
        self.waiting = self.waiting.saturating_add(1);
        Some(id)
    }

    /// Serves waiting requests while there is room.
    fn grant(&mut self) {
        while self.waiting > 0 {
            let Some((tenant, key)) = self.next() else {
                return;
            };
            self.serve(&tenant, &key);
        }
    }

    /// The caller that is next, if there is room.
    fn next(&self) -> Option<(TenantId, Arc<str>)> {
        let limits = &self.limits;
        let tenants = self.tenants.iter().filter(|(_, t)| t.waiting > 0);
        let (_, id, name, units) = tenants
            .filter_map(|(id, tenant)| {
                let (name, units) = tenant.next(limits)?;
                Some((tenant.share.clock, id, name, units))
            })
            .min_by_key(|(clock, ..)| *clock)?;
        // Later requests do not overtake: otherwise small requests could keep a large one waiting for ever.
        let room = self.used == 0 || self.used.saturating_add(units) <= limits.all;
        room.then(|| (id.clone(), Arc::clone(name)))
    }

    fn serve(&mut self, tenant: &TenantId, key: &Arc<str>) {
        let Some(tenant) = self.tenants.get_mut(tenant) else {
            return;
        };
        let Some(key) = tenant.keys.get_mut(key) else {
            return;
        };
        let Some(waiting) = key.waiting.pop_front() else {
            return;
        };
        self.now = self.now.max(tenant.share.clock);
        tenant.now = tenant.now.max(key.share.clock);
        tenant.share.hold(waiting.units);
        key.share.hold(waiting.units);
        tenant.waiting = tenant.waiting.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        self.used = self.used.saturating_add(waiting.units);
        // If the caller has gone, its `Permit` is being dropped and gives the units back.
        let _ = waiting.granted.send(());
    }

    /// Gives back the units of a permit, or takes it out of the queue.
    fn leave(&mut self, caller: &Caller, id: u64, units: u32, held: u64) {
        let Some(tenant) = self.tenants.get_mut(&caller.tenant) else {
            return;
        };
        let Some(key) = tenant.keys.get_mut(&caller.key) else {
            return;
        };
        if let Some(place) = key.waiting.iter().position(|waiting| waiting.id == id) {
            key.waiting.remove(place);
            tenant.waiting = tenant.waiting.saturating_sub(1);
            self.waiting = self.waiting.saturating_sub(1);
        } else {
            key.share.give_back(units, held);
            tenant.share.give_back(units, held);
            self.used = self.used.saturating_sub(units);
        }
        key.share.places = key.share.places.saturating_sub(1);
        tenant.share.places = tenant.share.places.saturating_sub(1);
        let crowd = tenant.keys.len() > MAX_IDLE;
        let now = tenant.now;
        if crowd {
            tenant.keys.retain(|_, key| key.share.places > 0);
        } else if key_is_forgettable(tenant, caller, now) {
            tenant.keys.remove(&caller.key);
        }
        if self.tenants.len() > MAX_IDLE {
            self.tenants.retain(|_, tenant| tenant.share.places > 0);
        } else if self.is_forgettable(&caller.tenant) {
            self.tenants.remove(&caller.tenant);
        }
    }

    fn is_forgettable(&self, tenant: &TenantId) -> bool {
        let tenant = self.tenants.get(tenant);
        tenant.is_some_and(|tenant| tenant.share.is_forgettable(self.now))
    }
}

fn key_is_forgettable(tenant: &Tenant, caller: &Caller, now: u64) -> bool {
    let key = tenant.keys.get(&caller.key);
    key.is_some_and(|key| key.share.is_forgettable(now))
}

#[cfg(test)]
mod tests;
