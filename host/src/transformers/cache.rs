//! The cache of transformers that are ready to run, and the loading of those that are not.
//!
//! A component that is asked for and not here is loaded once for all callers, away from the runtime's threads. It comes
//! from the cache on disk if it was compiled before. Otherwise its bytes come from the registry, are compared with
//! their digest, surveyed, and compiled in the compiler's process. Callers that come meanwhile wait. Only so many may
//! wait, of one tenant and in all; further deliveries are deferred. A failure is remembered for a while.
//!
//! **Fairness.** One component of a tenant is loaded at a time, and tenants take turns, first come, first
//! served, so a tenant with many slow components delays another by one of them at most. A component in the cache on
//! disk does not wait for a compiler. Tenants that use more than their share of the memory, or of the disk, make room
//! for the others.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Semaphore, watch};

use super::{
    entries::{Announced, Entries, Key, Outcome, Room},
    load::{LoadError, LoadState},
};
use crate::{
    backend::{Backend, BackendError},
    config::{Config, PluginConfig},
    model::{TenantId, short},
    sandbox::{Sandbox, SandboxError, Transformer, survey},
};

/// Components kept, however small.
const MOST_LOADED: u64 = 200;
/// Looks into the cache under way at once: each reads and authenticates up to some tens of megabytes.
const QUICK: usize = 2;

type Loaded = Outcome<Transformer>;

/// The transformers of all tenants. Cheap to clone.
#[derive(Clone)]
pub(super) struct TransformerCache(Arc<Inner>);

struct Inner {
    sandbox: Sandbox,
    backend: Arc<dyn Backend>,
    limits: PluginConfig,
    deliveries: Places,
    dry_runs: Places,
    state: Mutex<State>,
    quick: Semaphore,
    slow: Semaphore,
}

/// The purpose for which a component is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Delivery,
    /// Dry runs have places of their own, as a key may make as many of them as it likes.
    DryRun,
}

/// Maximum numbers of callers with one purpose that may wait.
#[derive(Clone, Copy, Debug)]
struct Places {
    of_one_tenant: usize,
    in_all: usize,
}

/// Each waiting dry run holds its request in memory.
const DRY_RUNS: Places = Places {
    of_one_tenant: 4,
    in_all: 32,
};

#[derive(Default)]
struct State {
    entries: Entries<Transformer>,
    /// The number of waiting callers, by tenant and purpose.
    waiting: HashMap<(TenantId, Purpose), usize>,
    /// The order of a tenant's requests, as long as something of it is being loaded.
    turns: HashMap<TenantId, Arc<Semaphore>>,
}

/// A place among the callers that wait for a component. Dropping it gives the place back.
pub(crate) struct Waiting {
    cache: Arc<Inner>,
    place: (TenantId, Purpose),
    outcome: Announced<Transformer>,
}

impl Waiting {
    /// Waits until the component is loaded, or cannot be.
    pub(super) async fn loaded(mut self) -> Loaded {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(LoadError::Machine)),
            // The task that loaded it has panicked.
            Err(_) => Err(LoadError::Machine),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        if let Some(waiting) = state.waiting.get_mut(&self.place) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                state.waiting.remove(&self.place);
            }
        }
    }
}

impl TransformerCache {
    pub(super) fn new(sandbox: Sandbox, backend: Arc<dyn Backend>, config: &Config) -> Self {
        Self(Arc::new(Inner {
            sandbox,
            backend,
            limits: config.plugins.clone(),
            // A waiting delivery keeps its lease and its event, as one in flight does.
            deliveries: Places {
                of_one_tenant: (config.worker.concurrency / 4).max(1),
                in_all: config.worker.concurrency.max(1),
            },
            dry_runs: DRY_RUNS,
            state: Mutex::default(),
            quick: Semaphore::new(QUICK),
            slow: Semaphore::new(1),
        }))
    }

    /// The component of this digest, which is one of the tenant's. If it is neither here nor being loaded, this
    /// starts to load it. A caller without a place to wait gets [`LoadError::Busy`], but it still starts the load
    /// when nothing of the tenant's is being loaded, so it succeeds at a later try. Does not block.
    pub(super) fn get(
        &self,
        tenant: &TenantId,
        sha256: &str,
        purpose: Purpose,
    ) -> LoadState<Transformer, Waiting> {
        let key = (tenant.clone(), sha256.to_owned());
        let mut guard = self.0.state();
        let state = &mut *guard;
        let loading = match state.entries.find(&key, Instant::now()) {
            Some(LoadState::Ready(transformer)) => return LoadState::Ready(transformer),
            Some(LoadState::Failed(error)) => return LoadState::Failed(error),
            Some(LoadState::Loading(outcome)) => Some(outcome),
            None => None,
        };
        let place = (tenant.clone(), purpose);
        let has_place = state.has_place(&place, self.0.places(purpose));
        let outcome = match loading {
            Some(outcome) => outcome,
            None if has_place || !state.turns.contains_key(tenant) => {
                self.start_loading(state, key)
            }
            None => return LoadState::Failed(LoadError::Busy),
        };
        if !has_place {
            return LoadState::Failed(LoadError::Busy);
        }
        *state.waiting.entry(place.clone()).or_default() += 1;
        LoadState::Loading(Waiting {
            cache: Arc::clone(&self.0),
            place,
            outcome,
        })
    }

    fn start_loading(&self, state: &mut State, key: Key) -> Announced<Transformer> {
        let (sender, outcome) = watch::channel(None);
        let turn = state.turns.entry(key.0.clone());
        let turn = Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))));
        state.entries.expect(key.clone(), outcome.clone());
        tokio::spawn(Arc::clone(&self.0).fetch(key, turn, sender));
        outcome
    }
}

impl State {
    /// Whether one more caller may wait, by the number of its tenant and of all.
    fn has_place(&self, place: &(TenantId, Purpose), places: Places) -> bool {
        let of_tenant = self.waiting.get(place).copied().unwrap_or(0);
        let same = self.waiting.iter().filter(|((_, of), _)| *of == place.1);
        let in_all: usize = same.map(|(_, waiting)| waiting).sum();
        of_tenant < places.of_one_tenant && in_all < places.in_all
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn places(&self, purpose: Purpose) -> Places {
        match purpose {
            Purpose::Delivery => self.deliveries,
            Purpose::DryRun => self.dry_runs,
        }
    }

    /// Loads a component, stores it or the failure, and tells the waiting callers.
    async fn fetch(
        self: Arc<Self>,
        key: Key,
        turn: Arc<Semaphore>,
        sender: watch::Sender<Option<Loaded>>,
    ) {
        let loading = Unfinished {
            cache: &self,
            key: &key,
            finished: false,
        };
        let turn = turn.acquire_owned().await;
        let loaded = self.load(&key.0, &key.1).await;
        drop(turn);
        match &loaded {
            Ok(_) => {}
            Err(LoadError::Store(error)) => {
                tracing::error!(%error, tenant = %key.0, version = short(&key.1), "cannot read a plugin's component");
            }
            Err(error) => {
                tracing::warn!(%error, tenant = %key.0, version = short(&key.1), "a plugin cannot be loaded");
            }
        }
        loading.finish(&loaded);
        // An error means that no caller waits any more.
        let _ = sender.send(Some(loaded));
    }

    async fn load(self: &Arc<Self>, tenant: &TenantId, sha256: &str) -> Loaded {
        let version = || short(sha256).to_owned();
        let damaged = |what| LoadError::Damaged {
            version: version(),
            what,
        };
        let digest = digest(sha256).ok_or_else(|| damaged("named by no digest"))?;
        let cached = {
            let _permit = self.quick.acquire().await;
            self.blocking(move |cache| Ok(cache.sandbox.cached("", &digest)))
                .await?
        };
        if let Some(transformer) = cached {
            return Ok(transformer);
        }
        let _permit = self.slow.acquire().await;
        let wasm = self.backend.component(tenant, sha256).await;
        let wasm = match wasm {
            Ok(wasm) => wasm.ok_or_else(|| damaged("not there"))?,
            Err(BackendError::Corrupt(what)) => {
                tracing::error!(what, %tenant, version = short(sha256), "a stored component is damaged");
                return Err(damaged("damaged"));
            }
            Err(error) => return Err(LoadError::Store(error)),
        };
        let owner = tenant.clone();
        let loaded = self.blocking(move |cache| {
            if crate::sandbox::digest(&wasm) != digest {
                return Ok(None);
            }
            survey(&wasm, &cache.limits).map_err(SandboxError::from)?;
            cache.sandbox.load_for(owner.as_str(), &wasm).map(Some)
        });
        match loaded.await {
            Ok(Some(transformer)) => Ok(transformer),
            Ok(None) => Err(damaged("damaged")),
            Err(Failure::Refused(why)) => Err(LoadError::Refused {
                version: version(),
                why,
            }),
            Err(Failure::Machine) => Err(LoadError::Machine),
        }
    }

    /// Does work that blocks, and logs failures of the machine.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, SandboxError> + Send + 'static,
    ) -> Result<T, Failure> {
        let cache = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&cache)).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) if error.is_refusal() => Err(Failure::Refused(error.to_string())),
            Ok(Err(error)) => {
                tracing::error!(%error, "a plugin cannot be compiled here");
                Err(Failure::Machine)
            }
            Err(error) => {
                tracing::error!(%error, "loading a plugin ended early");
                Err(Failure::Machine)
            }
        }
    }

    /// Stores a loaded component, or the failure, in place of the entry that says that it is being loaded.
    fn put(&self, key: &Key, loaded: &Loaded) {
        let mut guard = self.state();
        let state = &mut *guard;
        if state
            .turns
            .get(&key.0)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            state.turns.remove(&key.0);
        }
        let bytes = |transformer: &Transformer| transformer.compiled_bytes() as u64;
        let room = Room {
            bytes: self.limits.loaded_bytes,
            components: MOST_LOADED,
        };
        state.entries.put(key, loaded, bytes, room, Instant::now());
    }
}

/// The reason why a component could not be loaded.
enum Failure {
    Refused(String),
    Machine,
}

impl From<Failure> for LoadError {
    fn from(_: Failure) -> Self {
        Self::Machine
    }
}

/// A component that is being loaded. If that ends without an outcome, dropping this ends the wait of its callers.
struct Unfinished<'a> {
    cache: &'a Inner,
    key: &'a Key,
    finished: bool,
}

impl Unfinished<'_> {
    fn finish(mut self, loaded: &Loaded) {
        self.cache.put(self.key, loaded);
        self.finished = true;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.cache.put(self.key, &Err(LoadError::Machine));
        }
    }
}

/// The digest as bytes, if it is one.
fn digest(sha256: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(sha256, &mut digest).ok()?;
    Some(digest)
}

impl fmt::Debug for TransformerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.state().entries.len();
        f.debug_struct("TransformerCache")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
