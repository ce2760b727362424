//! Names to addresses: bounded, shared and remembered for seconds.

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::sync::Semaphore;

/// How long a delivery waits for a name.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a lookup's result is used. Long enough that the guard's look and the connection that follows
/// share one lookup, short enough to follow every change of a name, and shorter than the first retry.
const MEMORY: Duration = Duration::from_secs(3);

/// Lookups at once. A resolver call that hangs holds one of the runtime's blocking threads (512) until the
/// system gives up, however long ago its delivery did; this leaves most of them to others.
const CONCURRENT: usize = 192;

/// Names remembered or being looked up at once.
const NAMES: usize = 4096;

/// Turns a host name into addresses. The system's resolver, or a test's.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `host`, in the order of preference.
    ///
    /// # Errors
    /// When there is none, or nobody could say.
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

/// Why there are no addresses. Says nothing of the machine's own settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    #[error("the name has no address, or its name servers do not answer")]
    NoAddress,
    #[error("the name servers did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("too many names are being looked up at the moment")]
    Busy,
}

type Answer = Result<Arc<[IpAddr]>, LookupError>;
type Lookup = Shared<BoxFuture<'static, Answer>>;

/// Lookups under way and just done.
pub(super) struct Names {
    resolver: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    lookups: Mutex<HashMap<String, (Instant, Lookup)>>,
}

impl Names {
    pub(super) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver,
            slots: Arc::new(Semaphore::new(CONCURRENT)),
            lookups: Mutex::default(),
        }
    }

    /// The addresses of `host`, at least one.
    pub(super) async fn lookup(&self, host: &str) -> Answer {
        let lookup = self.join_or_start(host)?;
        tokio::time::timeout(TIMEOUT, lookup)
            .await
            .unwrap_or(Err(LookupError::TimedOut))
    }

    /// Whoever wants a name that is being looked up waits for that lookup, so that a name whose servers
    /// hang holds one thread and not one for each delivery.
    fn join_or_start(&self, host: &str) -> Result<Lookup, LookupError> {
        let now = Instant::now();
        let usable = |started: Instant, lookup: &Lookup| {
            lookup.peek().is_none() || now.duration_since(started) < MEMORY
        };
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((started, lookup)) = lookups.get(host)
            && usable(*started, lookup)
        {
            return Ok(lookup.clone());
        }
        if lookups.len() >= NAMES {
            lookups.retain(|_, (started, lookup)| usable(*started, lookup));
            if lookups.len() >= NAMES {
                lookups.retain(|_, (_, lookup)| lookup.peek().is_none());
            }
            if lookups.len() >= NAMES {
                return Err(LookupError::Busy);
            }
        }
        let lookup = self.start(host.to_owned());
        lookups.insert(host.to_owned(), (now, lookup.clone()));
        Ok(lookup)
    }

    /// On a task of its own: the slot must be held until the resolver is done, also when nobody waits for
    /// it any more.
    fn start(&self, host: String) -> Lookup {
        let (resolver, slots) = (Arc::clone(&self.resolver), Arc::clone(&self.slots));
        let task = tokio::spawn(async move {
            let _slot = slots.acquire_owned().await.map_err(|_| LookupError::Busy)?;
            match resolver.resolve(&host).await {
                Ok(addresses) if !addresses.is_empty() => Ok(addresses.into()),
                _ => Err(LookupError::NoAddress),
            }
        });
        task.map(|joined| joined.unwrap_or(Err(LookupError::NoAddress)))
            .boxed()
            .shared()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}
