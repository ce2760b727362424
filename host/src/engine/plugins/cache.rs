//! Plugins that are ready to run, and those that are being made so.
//!
//! A component that is asked for and not here is loaded once, whoever asks, away from the runtime's threads:
//! from the cache on disk if it was compiled before, otherwise from the registry, its bytes compared with its
//! digest, surveyed, and compiled in the compiler's process. Requests that come meanwhile wait, and only so many may
//! wait, of one tenant and in all; deliveries are put off then. What cannot be loaded is remembered for a while.
//!
//! **Fairness.** One component of a tenant is loaded at a time, and tenants take turns, first come, first
//! served, so a tenant with many slow components delays another by one of them at most. What is in the cache
//! does not wait for a compiler. Tenants that have more than their share of what is kept loaded, or on disk, make
//! room for the others.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, watch};

use super::{
    digest,
    entries::{Announced, Entries, Found, Key, Outcome, Room},
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

/// Why a component cannot be had, in words for the owner of a webhook.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It would not be taken in any more: the limits have changed since, or the sandbox has.
    #[error("the plugin's version {version} cannot be run any more: {why}")]
    Refused { version: String, why: String },
    /// The store does not have its bytes, or has others.
    #[error(
        "the stored component of the plugin's version {version} is {what}, so it is not run; upload it again \
         under another name, and tell the operator"
    )]
    Damaged { version: String, what: &'static str },
    /// This machine could not load it.
    #[error("the plugin could not be made ready to run here; the worker's log says why")]
    Machine,
    /// Enough are waiting.
    #[error(
        "the plugin is being made ready to run, and enough wait for that already; try again in some seconds, as \
         deliveries do by themselves"
    )]
    Busy,
    /// The store failed. For the operator.
    #[error("the store failed")]
    Store(#[source] BackendError),
}

impl LoadError {
    /// Whether it may be otherwise later.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Machine | Self::Busy | Self::Store(_))
    }

    /// How long it is taken for granted.
    pub(crate) const fn remembered(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Refused { .. } | Self::Damaged { .. } => 60,
            Self::Machine => 15,
            Self::Busy => 3,
            Self::Store(_) => 1,
        })
    }

    /// As a label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Damaged { .. } => "damaged",
            Self::Machine => "machine",
            Self::Busy => "busy",
            Self::Store(_) => "store",
        }
    }
}

type Loaded = Outcome<Transformer>;

/// All of it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TransformerCache(Arc<Inner>);

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

/// For whom a component is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    Delivery,
    /// A key that may ask for them can do so as often as it likes, so these have places of their own.
    DryRun,
}

/// How many of a kind may wait.
#[derive(Clone, Copy, Debug)]
struct Places {
    of_one_tenant: usize,
    in_all: usize,
}

/// They hold their requests.
const DRY_RUNS: Places = Places {
    of_one_tenant: 4,
    in_all: 32,
};

#[derive(Default)]
struct State {
    entries: Entries<Transformer>,
    /// How many wait, of whom and what for.
    waiting: HashMap<(TenantId, Asker), usize>,
    /// The order of a tenant's requests, as long as something of it is being loaded.
    turns: HashMap<TenantId, Arc<Semaphore>>,
}

/// Where a component is.
pub(super) enum Lookup {
    /// Ready, or known not to be had.
    Ready(Loaded),
    /// On its way.
    Loading(Waiting),
}

/// A place among those who wait for a component. It is given back when this is dropped.
pub(crate) struct Waiting {
    shelf: Arc<Inner>,
    whose: (TenantId, Asker),
    outcome: Announced<Transformer>,
}

impl Waiting {
    /// Waits until the component is loaded, or cannot be.
    pub(crate) async fn loaded(mut self) -> Loaded {
        match self.outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Err(LoadError::Machine)),
            // The task that loaded it has panicked.
            Err(_) => Err(LoadError::Machine),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.shelf.state();
        if let Some(waiting) = state.waiting.get_mut(&self.whose) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                state.waiting.remove(&self.whose);
            }
        }
    }
}

impl TransformerCache {
    pub(crate) fn new(sandbox: Sandbox, backend: Arc<dyn Backend>, config: &Config) -> Self {
        Self(Arc::new(Inner {
            sandbox,
            backend,
            limits: config.plugins.clone(),
            // They keep their leases and events, as those under way do.
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

    /// The component of this digest, which is one of the tenant's. If it is neither here nor on its way, it
    /// is sent for: also if there is no place to wait for it, as long as nothing else of the tenant's is on its
    /// way, so that who finds all places taken waits longer but not for ever. Does not block.
    pub(super) fn get(&self, tenant: &TenantId, sha256: &str, asker: Asker) -> Lookup {
        let key = (tenant.clone(), sha256.to_owned());
        let mut guard = self.0.state();
        let state = &mut *guard;
        let coming = match state.entries.find(&key, Instant::now()) {
            Found::Ready(loaded) => return Lookup::Ready(loaded),
            Found::Loading(outcome) => Some(outcome),
            Found::Missing => None,
        };
        let places = self.0.places(asker);
        let whose = (tenant.clone(), asker);
        let of_tenant = state.waiting.get(&whose).copied().unwrap_or(0);
        let waiting = state.waiting.iter();
        let in_all: usize = waiting
            .map(|((_, of), n)| if *of == asker { *n } else { 0 })
            .sum();
        let has_place = of_tenant < places.of_one_tenant && in_all < places.in_all;
        if !has_place && (coming.is_some() || state.turns.contains_key(tenant)) {
            return Lookup::Ready(Err(LoadError::Busy));
        }
        let outcome = coming.unwrap_or_else(|| {
            let (sender, outcome) = watch::channel(None);
            let turn = state.turns.entry(tenant.clone());
            let turn = Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))));
            state.entries.expect(key.clone(), outcome.clone());
            tokio::spawn(Arc::clone(&self.0).fetch(key, turn, sender));
            outcome
        });
        if !has_place {
            return Lookup::Ready(Err(LoadError::Busy));
        }
        *state.waiting.entry(whose.clone()).or_default() += 1;
        Lookup::Loading(Waiting {
            shelf: Arc::clone(&self.0),
            whose,
            outcome,
        })
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn places(&self, asker: Asker) -> Places {
        match asker {
            Asker::Delivery => self.deliveries,
            Asker::DryRun => self.dry_runs,
        }
    }

    /// Loads a component, puts it or the failure in its place, and tells those who wait.
    async fn fetch(
        self: Arc<Self>,
        key: Key,
        turn: Arc<Semaphore>,
        sender: watch::Sender<Option<Loaded>>,
    ) {
        let loading = Unfinished {
            shelf: &self,
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
        // An error means that nobody waits any more.
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
            self.blocking(move |shelf| Ok(shelf.sandbox.cached("", &digest)))
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
        let loaded = self.blocking(move |shelf| {
            if crate::sandbox::digest(&wasm) != digest {
                return Ok(None);
            }
            survey(&wasm, &shelf.limits).map_err(SandboxError::from)?;
            shelf.sandbox.load_for(owner.as_str(), &wasm).map(Some)
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

    /// Does work that blocks, and logs what is the machine's fault.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, SandboxError> + Send + 'static,
    ) -> Result<T, Failure> {
        let shelf = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&shelf)).await {
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

    /// Puts a loaded component, or the failure, where it was being waited for.
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

/// A component that is being loaded; if that ends without an outcome, nobody must wait for it any more.
struct Unfinished<'a> {
    shelf: &'a Inner,
    key: &'a Key,
    finished: bool,
}

impl Unfinished<'_> {
    fn finish(mut self, loaded: &Loaded) {
        self.shelf.put(self.key, loaded);
        self.finished = true;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.shelf.put(self.key, &Err(LoadError::Machine));
        }
    }
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
            .field("whose", &self.whose)
            .finish_non_exhaustive()
    }
}
