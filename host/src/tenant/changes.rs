//! Changes of a tenant's configuration: each is read, decided and stored as if there were no other.
//!
//! The store makes them correct: a change names the revision that it was decided on, and the store refuses it if
//! another process has changed the tenant since ([`crate::backend::Registry`]). Then it is read and decided again here.
//!
//! Within this process, the changes of one tenant wait for each other all the same. Otherwise, of a hundred changes
//! that come together, one would succeed in each round, the others would have read the whole tenant for nothing, and
//! some would run out of tries. So there are only as many rivals as there are processes.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use crate::{
    backend::{Backend, BackendError, TenantConfig},
    model::{EventRule, Plugin, Secret, TenantId, Webhook},
};

/// Tries of one change. A try fails only if another change was made in between.
const TRIES: u32 = 16;
/// The wait before a further try is a random part of one millisecond, doubled each time up to 256.
const MAX_DOUBLINGS: u32 = 8;

/// Locks that order the changes of each tenant. Tenants share a few locks, drawn by a hash that cannot be foreseen:
/// a large or busy tenant holds up hardly any other, and names that strangers make up take no memory.
#[derive(Debug, Default)]
struct StripedLocks {
    locks: [Mutex<()>; Self::LOCKS],
    hash: RandomState,
}

impl StripedLocks {
    const LOCKS: usize = 32;

    /// Waits until it is the caller's turn; first come, first served.
    async fn take(&self, tenant: &TenantId) -> MutexGuard<'_, ()> {
        let place = self.hash.hash_one(tenant) as usize % Self::LOCKS;
        self.locks[place].lock().await
    }
}

/// Something that a tenant has, and that a change stores.
pub(crate) trait Item: Sync {
    /// Stores it, if the tenant is still as it was `expected_revision`.
    fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;
}

impl Item for &Webhook {
    async fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> Result<(), BackendError> {
        backend
            .put_webhook(tenant, self, Some(expected_revision))
            .await
    }
}

impl Item for Plugin {
    async fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> Result<(), BackendError> {
        backend
            .put_plugin(tenant, self, Some(expected_revision))
            .await
    }
}

impl Item for EventRule {
    async fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> Result<(), BackendError> {
        backend
            .put_rule(tenant, self, Some(expected_revision))
            .await
    }
}

/// A secret by its name.
impl Item for (&str, &Secret) {
    async fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> Result<(), BackendError> {
        let (name, value) = self;
        let stored = backend.put_secret(tenant, name, value, Some(expected_revision));
        stored.await
    }
}

/// Changes tenants in one backend.
#[derive(Debug)]
pub(crate) struct Changes {
    backend: Arc<dyn Backend>,
    locks: StripedLocks,
}

impl Changes {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            locks: StripedLocks::default(),
        }
    }

    /// Makes a change: `decide` gets the tenant as it is, and its result is stored. It decides again whenever the
    /// tenant has been changed between the two.
    ///
    /// # Errors
    /// An error of `decide` at once, errors of the backend, and [`BackendError::RevisionMismatch`] if others have
    /// changed the tenant during all tries.
    pub(crate) async fn apply<T: Item, E: From<BackendError>>(
        &self,
        tenant: &TenantId,
        mut decide: impl FnMut(TenantConfig) -> Result<T, E>,
    ) -> Result<T, E> {
        let _permit = self.locks.take(tenant).await;
        for doublings in 0..TRIES {
            let existing = self.backend.tenant(tenant).await?;
            let expected_revision = existing.revision;
            let item = decide(existing)?;
            match item.put(&*self.backend, tenant, expected_revision).await {
                Err(BackendError::RevisionMismatch) => {}
                stored => return Ok(stored.map(|()| item)?),
            }
            // A random wait, so that rivals do not meet again and again.
            let most = 1_000_u64 << doublings.min(MAX_DOUBLINGS);
            tokio::time::sleep(Duration::from_micros(rand::random_range(0..most))).await;
        }
        tracing::warn!(%tenant, "a change of the tenant's configuration was given up: other changes came first in every try");
        Err(BackendError::RevisionMismatch.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{backend::sqlite::SqliteBackend, config::Config};

    /// A secret that meets a rival in each of its first tries, who stores one of their own.
    #[derive(Debug)]
    struct Contended<'a> {
        rivals: u32,
        tried: &'a AtomicU32,
    }

    impl Item for Contended<'_> {
        async fn put(
            &self,
            backend: &dyn Backend,
            tenant: &TenantId,
            expected_revision: u64,
        ) -> Result<(), BackendError> {
            let value = Secret::new("x");
            if self.tried.fetch_add(1, Ordering::Relaxed) < self.rivals {
                backend.put_secret(tenant, "rival", &value, None).await?;
            }
            ("own", &value)
                .put(backend, tenant, expected_revision)
                .await
        }
    }

    async fn changes() -> (Changes, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let limits = Config::defaults().queue_limits();
        let backend = SqliteBackend::open(dir.path(), limits).await.unwrap();
        (Changes::new(backend), dir)
    }

    /// The result, the tries, and whether it is stored.
    async fn against(rivals: u32) -> (Result<(), BackendError>, u32, bool) {
        let (changes, _dir) = changes().await;
        let (tenant, tried) = (TenantId::default_tenant(), AtomicU32::new(0));
        let decide = |_| {
            let tried = &tried;
            Ok(Contended { rivals, tried })
        };
        let result = changes.apply(&tenant, decide).await;
        let secrets = changes.backend.tenant(&tenant).await.unwrap().secrets;
        let tried = tried.load(Ordering::Relaxed);
        (result.map(|_| ()), tried, secrets.contains_key("own"))
    }

    #[tokio::test]
    async fn a_stale_decision_is_made_again() {
        let (result, tried, stored) = against(3).await;
        assert!(result.is_ok() && stored, "{result:?}");
        assert_eq!(tried, 4);
    }

    #[tokio::test]
    async fn a_change_that_always_comes_too_late_is_given_up() {
        let (result, tried, stored) = against(u32::MAX).await;
        assert!(matches!(result, Err(BackendError::RevisionMismatch)));
        assert_eq!((tried, stored), (TRIES, false));
    }

    #[tokio::test]
    async fn a_decision_against_it_is_final() {
        #[derive(Debug)]
        struct NoRoom;
        impl From<BackendError> for NoRoom {
            fn from(_: BackendError) -> Self {
                Self
            }
        }
        let (changes, _dir) = changes().await;
        let mut decided = 0;
        let decide = |_| -> Result<EventRule, NoRoom> {
            decided += 1;
            Err(NoRoom)
        };
        let result = changes.apply(&TenantId::default_tenant(), decide).await;
        assert!(result.is_err());
        assert_eq!(decided, 1);
    }
}
