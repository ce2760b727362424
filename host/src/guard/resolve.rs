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
use tokio::{sync::Semaphore, task::AbortHandle};

/// How long a delivery waits for a name.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a lookup's result is used. Long enough that the guard's look and the connection that follows
/// share one lookup, short enough to follow every change of a name, and shorter than the first retry.
pub(super) const MEMORY: Duration = Duration::from_secs(3);

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
pub(crate) enum LookupError {
    #[error("the name has no address, or its name servers do not answer")]
    NoAddress,
    #[error("the name servers did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("too many names are being looked up at the moment")]
    Busy,
}

type Answer = Result<Arc<[IpAddr]>, LookupError>;

struct Lookup {
    started: Instant,
    /// Only to see whether it has ended: the shared answer does not know before somebody asks for it.
    task: AbortHandle,
    answer: Shared<BoxFuture<'static, Answer>>,
}

impl Lookup {
    /// Under way, or ended and not too old.
    fn is_usable(&self) -> bool {
        !self.task.is_finished() || self.started.elapsed() < MEMORY
    }
}

/// Lookups under way and just done.
pub(crate) struct Names {
    resolver: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    lookups: Mutex<HashMap<String, Lookup>>,
}

impl Names {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver,
            slots: Arc::new(Semaphore::new(CONCURRENT)),
            lookups: Mutex::default(),
        }
    }

    /// The addresses of `host`, at least one.
    pub(crate) async fn lookup(&self, host: &str) -> Answer {
        let answer = self.join_or_start(host)?;
        tokio::time::timeout(TIMEOUT, answer)
            .await
            .unwrap_or(Err(LookupError::TimedOut))
    }

    /// Whoever wants a name that is being looked up waits for that lookup, so that a name whose servers
    /// hang holds one thread and not one for each delivery.
    fn join_or_start(&self, host: &str) -> Result<Shared<BoxFuture<'static, Answer>>, LookupError> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host)
            && lookup.is_usable()
        {
            return Ok(lookup.answer.clone());
        }
        if lookups.len() >= NAMES {
            lookups.retain(|_, lookup| lookup.is_usable());
        }
        if lookups.len() >= NAMES {
            lookups.retain(|_, lookup| !lookup.task.is_finished());
        }
        if lookups.len() >= NAMES {
            return Err(LookupError::Busy);
        }
        let lookup = self.start(host.to_owned());
        let answer = lookup.answer.clone();
        lookups.insert(host.to_owned(), lookup);
        Ok(answer)
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
        Lookup {
            started: Instant::now(),
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
