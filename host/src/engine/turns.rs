//! Work that takes turns: a few at once, and one of each tenant.
//!
//! Tenants stand in line, not pieces of work: of each tenant one waits for a turn among all, and its others wait
//! for that one. So a tenant that asks for a hundred turns delays another by one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::TenantId;

/// One kind of work. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct TenantTurns {
    all: Arc<Semaphore>,
    /// Those that have places.
    tenants: Arc<Mutex<HashMap<TenantId, Tenant>>>,
}

#[derive(Debug)]
struct Tenant {
    places: usize,
    /// One permit.
    own: Arc<Semaphore>,
}

/// A tenant's piece of work: counted until it is dropped, and without a turn yet.
#[derive(Debug)]
pub(crate) struct Place {
    turns: TenantTurns,
    tenant: TenantId,
    own: Arc<Semaphore>,
}

/// The tenant's turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    // `None` only if a semaphore were closed, which none is.
    _all: Option<OwnedSemaphorePermit>,
    _own: Option<OwnedSemaphorePermit>,
}

impl TenantTurns {
    /// Work of which so many may have their turn at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(at_once)),
            tenants: Arc::default(),
        }
    }

    /// A place for a piece of work; `None` if the tenant has `most` of them already.
    pub(crate) fn enter(&self, tenant: &TenantId, most: usize) -> Option<Place> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let places = tenants.get(tenant).map_or(0, |known| known.places);
        (places < most).then(|| self.add(&mut tenants, tenant))
    }

    /// Waits for a turn, however many others of the tenant do.
    pub(crate) async fn wait(&self, tenant: &TenantId) -> (Turn, Place) {
        let place = {
            let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
            self.add(&mut tenants, tenant)
        };
        (place.turn().await, place)
    }

    fn add(&self, tenants: &mut HashMap<TenantId, Tenant>, tenant: &TenantId) -> Place {
        let known = tenants.entry(tenant.clone()).or_insert_with(|| Tenant {
            places: 0,
            own: Arc::new(Semaphore::new(1)),
        });
        known.places = known.places.saturating_add(1);
        Place {
            turns: self.clone(),
            tenant: tenant.clone(),
            own: Arc::clone(&known.own),
        }
    }
}

impl Place {
    /// Waits for the tenant's turn, and then for one among all. First come, first served.
    pub(crate) async fn turn(&self) -> Turn {
        let own = Arc::clone(&self.own).acquire_owned().await;
        let all = Arc::clone(&self.turns.all).acquire_owned().await;
        Turn {
            _all: all.ok(),
            _own: own.ok(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let tenants = &self.turns.tenants;
        let mut tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get_mut(&self.tenant) {
            known.places = known.places.saturating_sub(1);
            if known.places == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::from(name)
    }

    #[test]
    fn a_tenant_has_so_many_places_and_nothing_is_left_of_it() {
        let (turns, a) = (TenantTurns::new(1), tenant("a"));
        assert!(turns.enter(&a, 0).is_none());
        let places: Vec<_> = (0..3).filter_map(|_| turns.enter(&a, 2)).collect();
        assert_eq!(places.len(), 2);
        assert!(turns.enter(&tenant("b"), 1).is_some());
        drop(places);
        assert!(turns.tenants.lock().unwrap().is_empty());
        assert!(turns.enter(&a, 1).is_some());
    }

    #[tokio::test]
    async fn a_crowd_of_one_tenant_delays_another_by_one_turn() {
        let turns = TenantTurns::new(1);
        let crowd: Vec<_> = (0..100)
            .filter_map(|_| turns.enter(&tenant("crowd"), 100))
            .collect();
        let single = turns.enter(&tenant("single"), 1).unwrap();
        let first = crowd[0].turn().await;
        let mut waiting: Vec<_> = crowd[1..]
            .iter()
            .map(|place| Box::pin(place.turn()))
            .collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none());
        }
        let mut late = Box::pin(single.turn());
        assert!((&mut late).now_or_never().is_none());
        drop(first);
        // Those of the crowd are polled first, and still the single one is next but one at most.
        let second = waiting.iter_mut().find_map(FutureExt::now_or_never);
        drop(second);
        assert!((&mut late).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_line() {
        let turns = TenantTurns::new(1);
        let (a, b) = (tenant("a"), tenant("b"));
        let (of_a, of_b) = (turns.enter(&a, 1).unwrap(), turns.enter(&b, 1).unwrap());
        let held = of_a.turn().await;
        let mut gone = Box::pin(of_b.turn());
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(held);
        assert!(of_b.turn().now_or_never().is_some());
    }
}
