//! Names to addresses: bounded, shared and remembered for seconds.

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{timeout, timeout_at},
};

/// Maximum wait of a delivery for a name's addresses.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// Time for which a lookup's result is used. Long enough that the guard's check and the connection that follows share
/// one lookup, short enough to follow every change of a name, and shorter than the wait before the first retry.
pub(super) const MEMORY: Duration = Duration::from_secs(3);

/// Lookups at once. A resolver call that hangs holds one of the runtime's blocking threads (512) until the
/// system gives up, however long ago its delivery did; this leaves most of them to others.
const CONCURRENT: usize = 192;

/// Names remembered at once, beside those that are being looked up.
const REMEMBERED: usize = 4096;

/// Turns a host name into addresses. The system's resolver, or a test's.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `host`, in the order of preference.
    ///
    /// # Errors
    /// When the name has none, or none could be found out.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver (`getaddrinfo`), so that /etc/hosts and the machine's DNS settings hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((host, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

/// The reason why there are no addresses. The texts say nothing about the machine's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("the name has no address, or its name servers do not answer")]
    NoAddress,
    #[error("the name servers did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("too many look-ups of this tenant, or of all tenants, are under way and take too long")]
    Busy,
}

type Answer = Result<Arc<[IpAddr]>, LookupError>;
type SharedAnswer = Shared<BoxFuture<'static, Answer>>;

struct Lookup {
    /// The time of the end. The shared answer does not advance before it is polled, so it cannot tell.
    ended: Arc<OnceLock<Instant>>,
    task: AbortHandle,
    answer: SharedAnswer,
}

impl Lookup {
    /// Whether it is under way, or has ended not too long ago.
    fn is_usable(&self) -> bool {
        self.ended
            .get()
            .map_or(!self.task.is_finished(), |ended| ended.elapsed() < MEMORY)
    }
}

/// Look-ups under way and recent ones.
///
/// An owner may have as many look-ups under way as there are free slots (dynamic thresholds: Choudhury and Hahne,
/// 1998). A single owner gets at most half of all. Even if many owners use all slots for names whose servers hang, an
/// owner without a look-up gets the next slot before those that have many.
pub(crate) struct Names {
    resolver: Arc<dyn Resolve>,
    lookups: Mutex<HashMap<String, Lookup>>,
    under_way: Arc<InFlight>,
}

#[derive(Default)]
struct InFlight {
    /// Number of lookups under way, by owner.
    owners: Mutex<HashMap<Arc<str>, usize>>,
    one_ended: Notify,
}

/// The right to look up one name, until it is dropped.
struct Slot {
    under_way: Arc<InFlight>,
    owner: Arc<str>,
}

impl InFlight {
    fn enter(self: &Arc<Self>, owner: &Arc<str>) -> Option<Slot> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = owners.values().sum();
        let own = owners.get(owner).copied().unwrap_or(0);
        if own >= CONCURRENT.saturating_sub(all) {
            return None;
        }
        owners.insert(Arc::clone(owner), own.saturating_add(1));
        Some(Slot {
            under_way: Arc::clone(self),
            owner: Arc::clone(owner),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let owners = &self.under_way.owners;
        let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = owners.get_mut(&self.owner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                owners.remove(&self.owner);
            }
        }
        self.under_way.one_ended.notify_waiters();
    }
}

impl Names {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver,
            lookups: Mutex::default(),
            under_way: Arc::default(),
        }
    }

    /// The addresses of `host`, at least one. If it has to be looked up, that counts as `owner`'s.
    pub(crate) async fn lookup(&self, host: &str, owner: &Arc<str>) -> Answer {
        self.lookup_within(host, owner, TIMEOUT).await
    }

    /// The same with a wait for the answer of at most `patience`. If no slot for the look-up becomes free, the error is
    /// [`LookupError::Busy`], independent of `patience`.
    pub(super) async fn lookup_within(
        &self,
        host: &str,
        owner: &Arc<str>,
        patience: Duration,
    ) -> Answer {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        let mut waited = false;
        let answer = loop {
            // Registered first, so that the end of a look-up in between is not missed.
            let one_ended = self.under_way.one_ended.notified();
            if let Some(answer) = self.join_or_start(host, owner) {
                break answer;
            }
            waited = true;
            timeout_at(deadline, one_ended)
                .await
                .map_err(|_| LookupError::Busy)?;
        };
        match timeout_at(deadline, timeout(patience, answer)).await {
            Ok(Ok(answer)) => answer,
            // Less time was left for it than it should have had.
            Err(_) if waited => Err(LookupError::Busy),
            Err(_) | Ok(Err(_)) => Err(LookupError::TimedOut),
        }
    }

    /// Joins the look-up of this name that is under way, or starts one. So a name whose servers hang holds one thread,
    /// not one for each delivery. None if the owner has enough under way.
    fn join_or_start(&self, host: &str, owner: &Arc<str>) -> Option<SharedAnswer> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host)
            && lookup.is_usable()
        {
            return Some(lookup.answer.clone());
        }
        let slot = self.under_way.enter(owner)?;
        if lookups.len() >= REMEMBERED {
            lookups.retain(|_, lookup| lookup.is_usable());
        }
        if lookups.len() >= REMEMBERED {
            lookups.retain(|_, lookup| !lookup.task.is_finished());
        }
        let lookup = self.start(host.to_owned(), slot);
        let answer = lookup.answer.clone();
        lookups.insert(host.to_owned(), lookup);
        Some(answer)
    }

    /// Starts the look-up in a task of its own: the slot must be held until the resolver is done, even if all callers
    /// have gone.
    fn start(&self, host: String, slot: Slot) -> Lookup {
        let resolver = Arc::clone(&self.resolver);
        let ended = Arc::new(OnceLock::new());
        let end = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let found = resolver.resolve(&host).await;
            let _ = end.set(Instant::now());
            drop(slot);
            match found {
                Ok(addresses) if !addresses.is_empty() => Ok(addresses.into()),
                _ => Err(LookupError::NoAddress),
            }
        });
        Lookup {
            ended,
            task: task.abort_handle(),
            answer: task
                .map(|joined| joined.unwrap_or(Err(LookupError::NoAddress)))
                .boxed()
                .shared(),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
