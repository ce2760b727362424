//! Whose turn it is, and who has to wait.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use hookbox::{
    backend::Status,
    config::QueueLimits,
    model::{TenantId, Timestamp, Webhook, WebhookId},
    record::Next,
};

use super::bed::{Bed, LIMITS, LONG, Open, ids, settlement, tenant, until, webhook, webhooks_of};

pub(crate) async fn tenants_take_turns(open: Open) {
    let bed = open(LIMITS).await;
    let (big, small) = (tenant("big"), tenant("small"));
    let hooks = [
        bed.webhook(&big, |_| ()).await,
        bed.webhook(&big, |_| ()).await,
    ];
    for i in 0..60 {
        bed.send_one(&big, &hooks[i % 2]).await;
    }
    // However much one has queued, and over however many webhooks, another waits for one turn at most.
    for _ in 0..10 {
        let hook = webhook(|_| ()).id;
        let sent = bed.send_one(&small, &hook).await;
        let claim = bed.claim_for(2, LONG).await;
        assert!(ids(&claim.leased).contains(&sent));
    }
}

pub(crate) async fn webhooks_of_a_tenant_take_turns(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut hooks = Vec::new();
    for _ in 0..3 {
        let hook = bed.webhook(&t, |_| ()).await;
        for _ in 0..10 {
            bed.send_one(&t, &hook).await;
        }
        hooks.push(hook);
    }
    for _ in 0..10 {
        let claim = bed.claim_for(3, LONG).await;
        let served: HashSet<_> = webhooks_of(&claim.leased).into_iter().collect();
        assert_eq!(served.len(), 3);
    }
}

pub(crate) async fn first_attempts_go_before_retries_but_do_not_starve_them(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let retry = bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Retry(Duration::ZERO)).await;
    let mut firsts = Vec::new();
    for _ in 0..20 {
        firsts.push(bed.send_one(&t, &hook).await);
    }
    // The order of first attempts is kept, one of them goes first, and the retry is not among the last.
    let order = ids(&bed.claim_all().await);
    assert_eq!(order.len(), 21);
    let place = order.iter().position(|id| *id == retry).unwrap();
    assert!((1..=10).contains(&place), "the retry came at {place}");
    let others: Vec<_> = order.into_iter().filter(|id| *id != retry).collect();
    assert_eq!(others, firsts);
}

pub(crate) async fn a_webhook_has_no_more_under_way_than_it_may(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let capped = bed.webhook(&t, |spec| spec.max_in_flight = Some(2)).await;
    let free = bed.webhook(&t, |_| ()).await;
    for _ in 0..4 {
        bed.send(&t, &[&capped, &free]).await;
    }
    let claim = bed.claim_for(100, LONG).await;
    let served = webhooks_of(&claim.leased);
    assert_eq!(served.iter().filter(|id| **id == capped).count(), 2);
    assert_eq!(served.iter().filter(|id| **id == free).count(), 4);
    // Only a settlement can help, not time; the next moment is a lease's end.
    assert!(claim.next_due.unwrap() > LONG / 2);

    let first = claim
        .leased
        .iter()
        .find(|l| l.delivery.webhook == capped)
        .unwrap();
    bed.end(&first.token, Next::Finished).await;
    assert_eq!(
        webhooks_of(&bed.claim_all().await),
        std::slice::from_ref(&capped)
    );
    let more: Webhook = {
        let mut stored = bed.stored_webhook(&t, &capped).await;
        stored.spec.max_in_flight = Some(3);
        stored
    };
    bed.put_webhook(&t, &more, None).await.unwrap();
    assert_eq!(webhooks_of(&bed.claim_all().await), [capped]);
}

pub(crate) async fn the_default_cap_holds_for_a_webhook_that_does_not_say(open: Open) {
    let limits = QueueLimits {
        max_in_flight: 3,
        ..LIMITS
    };
    let (bed, t) = (open(limits).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..5 {
        bed.send_one(&t, &hook).await;
    }
    let leased = bed.claim_all().await;
    assert_eq!(leased.len(), 3);
    bed.release(&[leased[0].token.clone()]).await.unwrap();
    assert_eq!(bed.claim_all().await.len(), 1);
}

pub(crate) async fn a_disabled_webhook_waits_and_goes_on_when_enabled(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut hook = webhook(|spec| spec.enabled = false);
    bed.put_webhook(&t, &hook, None).await.unwrap();
    let sent = bed.send_one(&t, &hook.id).await;
    let claim = bed.claim_for(10, LONG).await;
    assert!(claim.leased.is_empty());
    assert_eq!(claim.next_due, None);
    hook.spec.enabled = true;
    bed.put_webhook(&t, &hook, None).await.unwrap();
    assert_eq!(bed.claim_one().await.delivery.id, sent);
}

pub(crate) async fn a_paused_webhook_waits_and_the_others_go_on(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (paused, other) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    pause(&bed, &t, &paused, LONG).await;
    let overview = bed.overview(Some(&t)).await.unwrap();
    assert_eq!(overview.paused.len(), 1);
    assert_eq!(overview.paused[0].webhook, paused);
    let until = overview.paused[0].until.since(Timestamp::now());
    assert!(until > LONG / 2 && until <= LONG, "{until:?}");

    bed.send_one(&t, &paused).await;
    let goes_on = bed.send_one(&t, &other).await;
    let leased = bed.claim_all().await;
    assert_eq!(ids(&leased), [goes_on]);
    bed.end(&leased[0].token, Next::Finished).await;
    // The end of the pause is the next thing that time brings.
    let due = bed.claim_for(1, LONG).await.next_due.unwrap();
    assert!(due > LONG / 2 && due <= LONG, "{due:?}");
}

pub(crate) async fn a_pause_ends_by_itself(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let span = Duration::from_millis(300);
    let begun = Instant::now();
    pause(&bed, &t, &hook, span).await;
    let held = bed.send_one(&t, &hook).await;
    assert_eq!(bed.claim_when_due(LONG).await.delivery.id, held);
    assert!(begun.elapsed() >= span);
    assert!(bed.overview(Some(&t)).await.unwrap().paused.is_empty());
}

pub(crate) async fn a_changed_spec_ends_a_pause(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (hook, other) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    pause(&bed, &t, &hook, LONG).await;
    pause(&bed, &t, &other, LONG).await;
    let held = bed.send_one(&t, &hook).await;
    let still = bed.send_one(&t, &other).await;
    // As it was: whoever stores all webhooks again and again does not break receivers' pauses.
    let mut stored = bed.stored_webhook(&t, &hook).await;
    stored.updated = Timestamp::now();
    bed.put_webhook(&t, &stored, None).await.unwrap();
    assert!(bed.claim_all().await.is_empty());

    stored.spec.payload_url = "https://example.com/moved".to_owned();
    bed.put_webhook(&t, &stored, None).await.unwrap();
    let overview = bed.overview(Some(&t)).await.unwrap();
    assert_eq!(overview.paused.len(), 1);
    assert_eq!(overview.paused[0].webhook, other);
    assert_eq!(bed.claim_one().await.delivery.id, held);
    assert_eq!(bed.status(&t, &still).await, Status::Queued);
}

/// Has this webhook's receiver ask for a rest; nothing else may be claimable.
async fn pause(bed: &Bed, t: &TenantId, hook: &WebhookId, span: Duration) {
    bed.send_one(t, hook).await;
    let leased = bed.claim_one().await;
    let mut end = settlement(&leased.token, Next::Finished);
    end.pause = Some(span);
    bed.settle(end).await.unwrap();
}

pub(crate) async fn a_shorter_pause_does_not_end_a_longer_one(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..3 {
        bed.send_one(&t, &hook).await;
    }
    let leased = bed.claim_for(2, LONG).await.leased;
    for (leased, pause) in leased.iter().zip([LONG, Duration::ZERO]) {
        let mut end = settlement(&leased.token, Next::Finished);
        end.pause = Some(pause);
        bed.settle(end).await.unwrap();
    }
    assert!(bed.claim_all().await.is_empty());
}

pub(crate) async fn a_rate_limit_holds_back_and_says_until_when(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let slow = bed.webhook(&t, |spec| spec.rate_limit = Some(0.01)).await;
    let brisk = bed.webhook(&t, |spec| spec.rate_limit = Some(20.0)).await;
    for _ in 0..30 {
        bed.send(&t, &[&slow, &brisk]).await;
    }
    // A burst is what one second allows, at least one.
    let begun = Instant::now();
    let served = webhooks_of(&bed.claim_all().await);
    assert_eq!(served.iter().filter(|id| **id == slow).count(), 1);
    let mut count = served.len() - 1;
    assert!((20..30).contains(&count), "{count}");
    until(async || {
        let leased = bed.claim_all().await;
        assert!(webhooks_of(&leased).iter().all(|id| *id == brisk));
        count += leased.len();
        (count == 30).then_some(())
    })
    .await;
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "{:?}",
        begun.elapsed()
    );
    let due = bed.claim_for(1, LONG).await.next_due.unwrap();
    assert!((50..=100).contains(&due.as_secs()), "{due:?}");
}
