//! Which entry a cache that many owners share evicts next. Pure.

use std::{collections::HashMap, hash::Hash};

/// One thing in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheEntry<O, U, K> {
    /// Its owner.
    pub owner: O,
    /// The room that the entry takes, in the unit of the cache.
    pub amount: u64,
    /// Time of the last use: the least was used longest ago.
    pub used: U,
    /// The key by which it can be removed; `None` if it must stay.
    pub key: Option<K>,
}

#[derive(Debug)]
struct Owner<U, K> {
    amount: u64,
    oldest: Option<(U, K)>,
}

/// The entry to evict first if all together are more than `most`, or nothing if they are not; for more, ask again
/// without it.
///
/// Of n owners that hold something, each has a share of one n-th of `most`, and who holds no more than that loses
/// nothing, whatever the others do. Of those who hold more, the greediest give up what they have not used for
/// longest: those who hold at least half as much as the one who holds most, so that of two that are nearly
/// alike it is not always the same. If something stays in any case, the rest comes to `most` or less.
///
/// Linear in what is held.
pub fn pick_victim<O: Eq + Hash, U: Ord, K>(
    held: impl IntoIterator<Item = CacheEntry<O, U, K>>,
    most: u64,
) -> Option<K> {
    let mut total = 0_u64;
    let mut owners = HashMap::new();
    for CacheEntry {
        owner,
        amount,
        used,
        key,
    } in held
    {
        total = total.saturating_add(amount);
        let owner = owners.entry(owner).or_insert(Owner {
            amount: 0,
            oldest: None,
        });
        owner.amount = owner.amount.saturating_add(amount);
        if let Some(key) = key
            && owner.oldest.as_ref().is_none_or(|(first, _)| used < *first)
        {
            owner.oldest = Some((used, key));
        }
    }
    if total <= most {
        return None;
    }
    let share = most / (owners.len().max(1) as u64);
    let greedy: Vec<_> = owners
        .into_values()
        .filter(|owner| owner.amount > share && owner.oldest.is_some())
        .collect();
    let most_held = greedy.iter().map(|owner| owner.amount).max()?;
    greedy
        .into_iter()
        .filter(|owner| owner.amount >= most_held / 2)
        .filter_map(|owner| owner.oldest)
        .min_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    type Thing = CacheEntry<u8, u16, usize>;

    /// Things of few owners; the first may stay in any case.
    fn things() -> impl Strategy<Value = Vec<Thing>> {
        let thing = (0_u8..6, 0_u64..50, any::<u16>());
        (proptest::collection::vec(thing, 0..40), any::<bool>()).prop_map(|(things, stays)| {
            let number = |(n, (owner, amount, used))| CacheEntry {
                owner,
                amount,
                used,
                key: (n > 0 || !stays).then_some(n),
            };
            things.into_iter().enumerate().map(number).collect()
        })
    }

    fn by_owner(things: &[Thing]) -> HashMap<u8, u64> {
        let mut held = HashMap::new();
        for thing in things {
            *held.entry(thing.owner).or_default() += thing.amount;
        }
        held
    }

    /// The entries that are left after all evictions.
    fn after(mut things: Vec<Thing>, most: u64) -> Vec<Thing> {
        while let Some(key) = pick_victim(things.iter().copied(), most) {
            let before = things.len();
            things.retain(|thing| thing.key != Some(key));
            assert_eq!(things.len(), before - 1);
        }
        things
    }

    proptest! {
        #[test]
        fn who_keeps_to_its_share_loses_nothing(things in things(), most in 0_u64..1000) {
            let before = by_owner(&things);
            let share = most / before.len().max(1) as u64;
            let after = by_owner(&after(things, most));
            for (owner, held) in before {
                if held <= share {
                    prop_assert_eq!(after.get(&owner).copied().unwrap_or(0), held, "owner {}", owner);
                }
            }
        }

        #[test]
        fn what_can_go_makes_enough_room_and_no_more(things in things(), most in 0_u64..1000) {
            let total = |things: &[Thing]| things.iter().map(|thing| thing.amount).sum::<u64>();
            let stays = things.iter().filter(|thing| thing.key.is_none());
            let stays: u64 = stays.map(|thing| thing.amount).sum();
            if total(&things) <= most {
                prop_assert_eq!(pick_victim(things.iter().copied(), most), None);
            }
            prop_assert!(total(&after(things, most)) <= most + stays);
        }

        #[test]
        fn of_one_owner_what_was_used_longest_ago_goes_first(mut things in things(), most in 0_u64..100) {
            for (n, thing) in things.iter_mut().enumerate() {
                (thing.owner, thing.used, thing.key) = (0, u16::try_from(n * 7 % 41).unwrap(), Some(n));
            }
            let gone = pick_victim(things.iter().copied(), most);
            let oldest = things.iter().min_by_key(|thing| thing.used).and_then(|thing| thing.key);
            prop_assert!(gone.is_none() || gone == oldest);
        }
    }

    #[test]
    fn of_two_that_are_nearly_alike_it_is_not_always_the_larger_one() {
        let thing = |owner, amount, used| CacheEntry {
            owner,
            amount,
            used,
            key: Some(owner),
        };
        let alike = [thing('a', 41, 2), thing('b', 40, 1)];
        assert_eq!(pick_victim(alike, 60), Some('b'));
        let greedy = [thing('a', 90, 2), thing('b', 40, 1)];
        assert_eq!(pick_victim(greedy, 60), Some('a'));
    }
}
