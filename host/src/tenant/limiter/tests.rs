use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn caller(tenant: &str, key: &str) -> Caller {
    Caller::new(TenantId::from(tenant), key)
}

fn limits(all: u32, tenant: u32, key: u32) -> Limits {
    Limits {
        all,
        tenant,
        key,
        tenant_places: usize::MAX,
        key_places: usize::MAX,
    }
}

/// Those among these callers who are served before anybody leaves, by asking in this order.
async fn served(limiter: &TenantLimiter, callers: &[Caller]) -> Vec<bool> {
    let mut asking: Vec<_> = callers
        .iter()
        .map(|caller| Box::pin(limiter.acquire(caller, 1, LONG)))
        .collect();
    let limiter: Vec<_> = asking.iter_mut().map(FutureExt::now_or_never).collect();
    limiter.iter().map(Option::is_some).collect()
}

#[tokio::test]
async fn neither_a_tenant_nor_a_key_gets_all_there_is() {
    let limiter = TenantLimiter::new(limits(4, 3, 2));
    let (a, b, other) = (caller("t", "a"), caller("t", "b"), caller("u", "a"));
    let asked = [&a, &a, &a, &b, &b, &other, &other].map(Clone::clone);
    assert_eq!(
        served(&limiter, &asked).await,
        [true, true, false, true, false, true, false]
    );
    let state = limiter.state();
    assert_eq!((state.used, state.waiting), (0, 0));
}

#[tokio::test]
async fn a_crowd_delays_another_tenant_and_another_key_by_one_turn() {
    for single in [caller("other", ""), caller("crowd", "other")] {
        let limiter = TenantLimiter::new(limits(1, 1, 1));
        let crowd = caller("crowd", "");
        let first = limiter.acquire(&crowd, 1, LONG).await.unwrap();
        let mut waiting: Vec<_> = (0..100)
            .map(|_| Box::pin(limiter.acquire(&crowd, 1, LONG)))
            .collect();
        for permit in &mut waiting {
            assert!(permit.now_or_never().is_none());
        }
        let mut late = Box::pin(limiter.acquire(&single, 1, LONG));
        assert!((&mut late).now_or_never().is_none());
        drop(first);
        // The tenant that has not held anything yet goes first; so does the key.
        let second = (&mut late).now_or_never();
        assert!(second.is_some(), "{single:?}");
    }
}

#[tokio::test]
async fn who_held_it_longest_waits_longest() {
    let limiter = TenantLimiter::new(limits(1, 1, 1));
    let (greedy, modest) = (caller("greedy", ""), caller("modest", ""));
    let held = limiter.acquire(&greedy, 1, LONG).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(held);
    drop(limiter.acquire(&modest, 1, LONG).await);
    let now = limiter
        .acquire(&caller("third", ""), 1, LONG)
        .await
        .unwrap();
    let mut again = Box::pin(limiter.acquire(&greedy, 1, LONG));
    assert!((&mut again).now_or_never().is_none());
    let mut next = Box::pin(limiter.acquire(&modest, 1, LONG));
    assert!((&mut next).now_or_never().is_none());
    drop(now);
    assert!((&mut again).now_or_never().is_none());
    assert!((&mut next).now_or_never().is_some());
}

#[tokio::test]
async fn large_requests_take_as_many_units_as_they_ask_for_and_are_not_overtaken_for_ever() {
    let limiter = TenantLimiter::new(limits(10, 10, 8));
    let (small, large) = (caller("small", ""), caller("large", ""));
    let held = limiter.acquire(&small, 3, LONG).await.unwrap();
    // It asks for more than a key may have, and gets that.
    let mut waiting = Box::pin(limiter.acquire(&large, 100, LONG));
    assert!((&mut waiting).now_or_never().is_none());
    let third = caller("third", "");
    let mut later = Box::pin(limiter.acquire(&third, 1, LONG));
    let _ = (&mut later).now_or_never();
    drop(held);
    drop(later);
    let held = waiting.await.unwrap();
    assert_eq!(held.units, 8);
    assert!(limiter.try_acquire(&small).is_some());
}

#[tokio::test]
async fn who_goes_away_leaves_the_queue_and_what_was_granted_meanwhile_is_given_back() {
    let limiter = TenantLimiter::new(limits(1, 1, 1));
    let (a, b) = (caller("a", ""), caller("b", ""));
    let held = limiter.acquire(&a, 1, LONG).await.unwrap();
    let mut gone = Box::pin(limiter.acquire(&b, 1, LONG));
    assert!((&mut gone).now_or_never().is_none());
    drop(gone);
    let mut granted = Box::pin(limiter.acquire(&b, 1, LONG));
    assert!((&mut granted).now_or_never().is_none());
    drop(held);
    // Its permit has come, and it does not look any more.
    drop(granted);
    assert!(limiter.try_acquire(&a).is_some());
    assert_eq!(limiter.state().used, 0);
}

#[tokio::test]
async fn there_are_so_many_places_and_patience_ends() {
    let few = Limits {
        tenant_places: 3,
        key_places: 2,
        ..limits(1, 1, 1)
    };
    let limiter = TenantLimiter::new(few);
    let (a, b) = (caller("t", "a"), caller("t", "b"));
    let _held = limiter.acquire(&a, 1, LONG).await.unwrap();
    let late = limiter.acquire(&a, 1, Duration::from_millis(1)).await;
    assert_eq!(late.err(), Some(LimiterError::TimedOut));
    let mut waiting = Box::pin(limiter.acquire(&a, 1, LONG));
    assert!((&mut waiting).now_or_never().is_none());
    let crowded = limiter.acquire(&a, 1, LONG).await;
    assert_eq!(crowded.err(), Some(LimiterError::QueueFull));
    let mut other = Box::pin(limiter.acquire(&b, 1, LONG));
    assert!((&mut other).now_or_never().is_none());
    let crowded = limiter.acquire(&b, 1, LONG).await;
    assert_eq!(crowded.err(), Some(LimiterError::QueueFull));
}

#[tokio::test]
async fn work_holds_its_turn_to_its_end_and_may_panic() {
    let limiter = TenantLimiter::new(limits(1, 1, 1));
    let a = caller("a", "");
    assert_eq!(limiter.run(&a, LONG, || 7).await, Ok(7));
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let mut abandoned = Box::pin(limiter.run(&a, LONG, move || gone.recv().is_ok()));
    assert!((&mut abandoned).now_or_never().is_none());
    drop(abandoned);
    assert!(limiter.try_acquire(&a).is_none());
    go.send(()).unwrap();
    assert_eq!(
        limiter.run(&a, LONG, || panic!("a defect")).await,
        Err::<(), _>(LimiterError::Panicked)
    );
    assert!(limiter.try_acquire(&a).is_some());
}

#[tokio::test]
async fn those_who_have_gone_are_forgotten() {
    let limiter = TenantLimiter::new(Limits::shares(8));
    for n in 0..10 * MAX_IDLE {
        let (tenant, key) = (caller(&n.to_string(), ""), caller("one", &n.to_string()));
        drop(limiter.acquire(&tenant, 1, LONG).await);
        drop(limiter.acquire(&key, 1, LONG).await);
    }
    let state = limiter.state();
    assert!(state.tenants.len() <= MAX_IDLE + 1);
    let keys = state.tenants.values().map(|tenant| tenant.keys.len());
    assert!(keys.max().unwrap_or(0) <= MAX_IDLE + 1);
}

proptest! {
    /// Whatever comes and goes: limits hold, nothing is lost, and nobody waits while there is room for them.
    #[test]
    fn limits_hold_and_nothing_is_lost(
        steps in prop::collection::vec((0u8..4, 0u8..3, 1u32..5, 0u8..10), 0..200),
        (all, tenant, key) in (1u32..8, 1u32..6, 1u32..4),
    ) {
        let limiter = TenantLimiter::new(limits(all, tenant, key));
        let callers = |t: u8, k: u8| caller(&t.to_string(), &k.to_string());
        let mut waiting = Vec::new();
        let mut held = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        for (t, k, units, what) in steps {
            let who = callers(t, k);
            if what < 6 {
                let (limiter, who) = (limiter.clone(), who.clone());
                waiting.push(Box::pin(async move { limiter.acquire(&who, units, LONG).await }));
            } else if what < 9 && !held.is_empty() {
                held.swap_remove(usize::from(t) % held.len());
            } else if !waiting.is_empty() {
                let gone = usize::from(k) % waiting.len();
                drop(waiting.swap_remove(gone));
            }
            // A new caller may cause the removal of an earlier one.
            for _ in 0..2 {
                let mut still = Vec::new();
                for mut one in waiting {
                    match (&mut one).now_or_never() {
                        Some(permit) => held.push(permit.unwrap()),
                        None => still.push(one),
                    }
                }
                waiting = still;
            }
            let state = limiter.state();
            let sum: u32 = held.iter().map(|permit: &Permit| permit.units).sum();
            prop_assert_eq!(state.used, sum);
            prop_assert!(sum <= all.max(key));
            for (id, tenant_state) in &state.tenants {
                let of = held.iter().filter(|permit| permit.caller.tenant == *id);
                let of: u32 = of.map(|permit| permit.units).sum();
                prop_assert_eq!(tenant_state.share.used, of);
                prop_assert!(of <= tenant.max(key), "{} of {}", of, tenant);
            }
            prop_assert!(state.used > 0 || state.waiting == 0, "there is room and somebody waits");
        }
        drop(waiting);
        drop(held);
        let state = limiter.state();
        prop_assert_eq!((state.used, state.waiting), (0, 0));
        prop_assert!(state.tenants.values().all(|tenant| tenant.share.places == 0));
    }
}
