//! The components that are loaded, loading or failed; bounded, and fair between tenants.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::load::{LoadError, LoadState};
use crate::model::TenantId;
use crate::sandbox::eviction::{self, CacheEntry};

/// A component that was not used for so long counts in no tenant's share any more; all such components share one share.
/// So an idle tenant does not make the shares of others smaller. To load a component again, from disk, costs some
/// milliseconds.
const IDLE: Duration = Duration::from_secs(600);
/// Failures remembered.
const MOST_FAILURES: usize = 1000;

/// A component of a tenant. Entries are not shared between tenants, as their stores are not: a failure to load it for
/// one tenant says nothing of another. The sandbox holds a component that several tenants have only once.
pub(super) type Key = (TenantId, String);

/// The outcome of loading something.
pub(super) type Outcome<T> = Result<T, LoadError>;
/// The channel on which the outcome is announced.
pub(super) type Announced<T> = watch::Receiver<Option<Outcome<T>>>;

/// Maximum amounts that may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes of machine code.
    pub(super) bytes: u64,
    /// Components, however small: each holds a few memory mappings and a file descriptor.
    pub(super) components: u64,
}

/// The components of all tenants.
pub(super) struct Entries<T> {
    entries: HashMap<Key, Entry<T>>,
    /// Counts uses.
    clock: u64,
}

enum Entry<T> {
    Loading(Announced<T>),
    Ready {
        item: T,
        bytes: u64,
        used: u64,
        at: Instant,
    },
    Failed {
        error: LoadError,
        until: Instant,
    },
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            clock: 0,
        }
    }
}

impl<T: Clone> Entries<T> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The state of a component now, if there is an entry. If it is loaded, this counts as a use of it.
    pub(super) fn find(&mut self, key: &Key, now: Instant) -> Option<LoadState<T, Announced<T>>> {
        self.clock = self.clock.wrapping_add(1);
        match self.entries.get_mut(key)? {
            Entry::Ready { item, used, at, .. } => {
                (*used, *at) = (self.clock, now);
                Some(LoadState::Ready(item.clone()))
            }
            Entry::Failed { error, until } if now < *until => {
                Some(LoadState::Failed(error.clone()))
            }
            Entry::Failed { .. } => None,
            Entry::Loading(outcome) => Some(LoadState::Loading(outcome.clone())),
        }
    }

    /// Notes that a component is being loaded.
    pub(super) fn expect(&mut self, key: Key, outcome: Announced<T>) {
        self.entries.insert(key, Entry::Loading(outcome));
    }

    /// Stores the outcome of loading a component, which takes so many bytes. Then evicts others until the rest fits
    /// into its room: only those of tenants that hold more than their share. The new component stays in any case, so
    /// that its callers can use it.
    pub(super) fn put(
        &mut self,
        key: &Key,
        outcome: &Outcome<T>,
        bytes: impl Fn(&T) -> u64,
        room: Room,
        now: Instant,
    ) {
        self.clock = self.clock.wrapping_add(1);
        let entry = match outcome {
            Ok(item) => Entry::Ready {
                item: item.clone(),
                bytes: bytes(item),
                used: self.clock,
                at: now,
            },
            Err(error) => Entry::Failed {
                error: error.clone(),
                until: now + error.remembered(),
            },
        };
        self.entries.insert(key.clone(), entry);
        while let Some(key) = self.pick_victim(key, room, now) {
            self.entries.remove(&key);
        }
        self.forget(now);
    }

    /// The component to evict, if all together are too much.
    fn pick_victim(&self, new: &Key, room: Room, now: Instant) -> Option<Key> {
        eviction::pick_victim(self.here(new, now, |bytes| bytes), room.bytes)
            .or_else(|| eviction::pick_victim(self.here(new, now, |_| 1), room.components))
            .cloned()
    }

    /// The cache entries by one measure. The new one stays.
    fn here(
        &self,
        new: &Key,
        now: Instant,
        amount: impl Fn(u64) -> u64,
    ) -> impl Iterator<Item = CacheEntry<Option<&TenantId>, u64, &Key>> {
        self.entries.iter().filter_map(move |(key, entry)| {
            let Entry::Ready {
                bytes, used, at, ..
            } = entry
            else {
                return None;
            };
            Some(CacheEntry {
                owner: (now.saturating_duration_since(*at) < IDLE).then_some(&key.0),
                amount: amount(*bytes),
                used: *used,
                key: (key != new).then_some(key),
            })
        })
    }

    /// Forgets failures that are over, and any if they are too many.
    fn forget(&mut self, now: Instant) {
        let mut failures = 0;
        self.entries.retain(|_, entry| match entry {
            Entry::Failed { until, .. } => {
                failures += 1;
                *until > now && failures <= MOST_FAILURES
            }
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROOM: Room = Room {
        bytes: 100,
        components: 20,
    };

    fn key(n: usize) -> Key {
        key_of("default", n)
    }

    fn key_of(tenant: &str, n: usize) -> Key {
        (TenantId::from(tenant), n.to_string())
    }

    /// Each item is as many bytes as it says.
    fn put(entries: &mut Entries<u64>, n: usize, outcome: &Outcome<u64>, now: Instant) {
        entries.put(&key(n), outcome, |bytes| *bytes, ROOM, now);
    }

    fn here(entries: &mut Entries<u64>) -> Vec<usize> {
        here_of(entries, "default")
    }

    fn here_of(entries: &mut Entries<u64>, tenant: &str) -> Vec<usize> {
        let now = Instant::now();
        let is_here = |n: &usize| {
            matches!(
                entries.find(&key_of(tenant, *n), now),
                Some(LoadState::Ready(_))
            )
        };
        (0..10).filter(is_here).collect()
    }

    #[test]
    fn a_tenant_that_loads_without_end_takes_nothing_from_one_that_keeps_to_its_share() {
        for greedy in [0, 30] {
            let (mut entries, now) = (Entries::default(), Instant::now());
            for n in 0..2 {
                entries.put(&key_of("small", n), &Ok(20), |b| *b, ROOM, now);
            }
            for n in 0..1000 {
                entries.put(&key_of("greedy", n), &Ok(greedy), |b| *b, ROOM, now);
            }
            assert_eq!(here_of(&mut entries, "small"), [0, 1]);
            assert!(entries.len() <= 20, "{}", entries.len());
            let last = entries.find(&key_of("greedy", 999), now);
            assert!(matches!(last, Some(LoadState::Ready(_))));
        }
    }

    #[test]
    fn what_nobody_uses_does_not_keep_others_small() {
        let (mut entries, then) = (Entries::default(), Instant::now());
        for n in 0..9 {
            entries.put(
                &key_of(&format!("idle {n}"), 0),
                &Ok(10),
                |b| *b,
                ROOM,
                then,
            );
        }
        // Each of ten has a share of 10, and one wants 20 for each of two.
        for (now, expected) in [(then, 1), (then + IDLE, 2)] {
            for n in 0..2 {
                entries.put(&key_of("busy", n), &Ok(20), |b| *b, ROOM, now);
            }
            assert_eq!(here_of(&mut entries, "busy").len(), expected);
        }
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        for n in 0..4 {
            put(&mut entries, n, &Ok(25), now);
        }
        assert_eq!(here(&mut entries), [0, 1, 2, 3]);
        assert!(matches!(
            entries.find(&key(0), now),
            Some(LoadState::Ready(25))
        ));
        put(&mut entries, 4, &Ok(40), now);
        assert_eq!(here(&mut entries), [0, 3, 4]);
    }

    #[test]
    fn what_is_larger_than_all_the_room_is_there_alone() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        put(&mut entries, 0, &Ok(10), now);
        put(&mut entries, 1, &Ok(1000), now);
        assert_eq!(here(&mut entries), [1]);
        put(&mut entries, 2, &Ok(10), now);
        assert_eq!(here(&mut entries), [2]);
    }

    #[test]
    fn however_small_they_are_only_so_many_stay() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        for n in 0..50 {
            put(&mut entries, n, &Ok(0), now);
        }
        assert_eq!(entries.len() as u64, ROOM.components);
    }

    #[test]
    fn a_failure_is_believed_for_a_while_and_then_forgotten() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let error = LoadError::Machine;
        put(&mut entries, 0, &Err(error.clone()), now);
        let last = now + error.remembered() - Duration::from_millis(1);
        assert!(matches!(
            entries.find(&key(0), last),
            Some(LoadState::Failed(_))
        ));
        let over = now + error.remembered();
        assert!(entries.find(&key(0), over).is_none());
        put(&mut entries, 1, &Ok(1), over);
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn failures_without_number_take_no_more_than_their_room() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        for n in 0..2 * MOST_FAILURES {
            put(&mut entries, n, &Err(LoadError::Machine), now);
        }
        assert!(entries.len() <= MOST_FAILURES, "{}", entries.len());
    }

    #[test]
    fn what_is_coming_makes_no_room_and_is_not_let_go() {
        let (mut entries, now) = (Entries::default(), Instant::now());
        let (_sender, outcome) = watch::channel(None);
        entries.expect(key(0), outcome);
        put(&mut entries, 1, &Ok(1000), now);
        put(&mut entries, 2, &Ok(1000), now);
        assert!(matches!(
            entries.find(&key(0), now),
            Some(LoadState::Loading(_))
        ));
    }
}
