//! Taking events in.

use std::time::Duration;

use hookbox::{
    backend::{BackendError, DeliveryFilter, NewEvent, Status},
    config::QueueLimits,
    model::Idempotency,
    record::Next,
};

use super::bed::{Bed, LIMITS, LONG, Open, event, no_event, tenant, until, webhook};

fn keyed(mut event: NewEvent, key: &str, fingerprint: Option<&str>) -> NewEvent {
    event.idempotency = Some(Idempotency {
        key: key.to_owned(),
        fingerprint: fingerprint.map(str::to_owned),
    });
    event
}

pub(crate) async fn an_event_comes_back_with_its_explanation_and_deliveries(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (a, b) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    let new = event(&t, &[&a, &b]);
    let enqueued = bed.enqueue_one(new.clone()).await;
    assert_eq!(&enqueued.id, new.event.id());
    assert!(!enqueued.duplicate);

    let stored = bed.event(&t, &enqueued.id).await.unwrap().unwrap();
    assert_eq!(stored.event, new.event);
    assert_eq!(stored.explanation, new.explanation);
    let found: Vec<_> = stored.deliveries.iter().map(|d| d.id.clone()).collect();
    assert_eq!(found, enqueued.deliveries);
    for (delivery, new) in stored.deliveries.iter().zip(&new.deliveries) {
        assert_eq!(delivery.webhook, new.webhook);
        assert_eq!(delivery.rule, new.rule);
        assert_eq!(delivery.object_type, "dcim.site");
        assert_eq!(delivery.event_type, "object_created");
        assert_eq!(delivery.status, Status::Queued);
        assert_eq!(
            (
                delivery.attempts,
                delivery.total_attempts,
                delivery.receives
            ),
            (0, 0, 0)
        );
        assert!(delivery.next_attempt.is_some());
    }
    assert!(bed.event(&t, &no_event()).await.unwrap().is_none());
}

pub(crate) async fn a_known_key_stores_nothing_and_names_the_first_event(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let first = bed
        .enqueue_one(keyed(event(&t, &[&hook]), "k", Some("f")))
        .await;
    for fingerprint in [Some("f"), None] {
        let again = keyed(event(&t, &[&hook]), "k", fingerprint);
        let answer = bed.enqueue_one(again.clone()).await;
        assert!(answer.duplicate);
        assert_eq!(
            (&answer.id, &answer.deliveries),
            (&first.id, &first.deliveries)
        );
        assert!(bed.event(&t, again.event.id()).await.unwrap().is_none());
    }
    assert_eq!(bed.claim_all().await.len(), 1);
}

pub(crate) async fn other_content_under_a_key_is_refused_with_the_whole_batch(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    bed.enqueue_one(keyed(event(&t, &[&hook]), "k", Some("f")))
        .await;
    let good = event(&t, &[&hook]);
    let batch = vec![good.clone(), keyed(event(&t, &[&hook]), "k", Some("other"))];
    let refused = bed.enqueue(batch).await;
    assert_eq!(
        refused,
        Err(BackendError::IdempotencyMismatch {
            key: "k".to_owned()
        })
    );
    assert!(bed.event(&t, good.event.id()).await.unwrap().is_none());
    assert_eq!(bed.claim_all().await.len(), 1);
}

pub(crate) async fn within_a_batch_later_ones_are_duplicates_of_earlier_ones(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let batch = (0..3)
        .map(|_| keyed(event(&t, &[&hook]), "k", None))
        .collect();
    let answers = bed.enqueue(batch).await.unwrap();
    let duplicates: Vec<_> = answers.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [false, true, true]);
    assert!(answers.iter().all(|a| a.id == answers[0].id));
    assert_eq!(bed.claim_all().await.len(), 1);
}

pub(crate) async fn a_key_is_forgotten_after_its_window(open: Open) {
    let limits = QueueLimits {
        idempotency_window: Duration::from_millis(50),
        ..LIMITS
    };
    let (bed, t) = (open(limits).await, tenant("t"));
    bed.enqueue_one(keyed(event(&t, &[]), "k", Some("f"))).await;
    until(async || {
        let again = keyed(event(&t, &[]), "k", Some("f"));
        (!bed.enqueue_one(again).await.duplicate).then_some(())
    })
    .await;
}

pub(crate) async fn tenants_do_not_share_keys(open: Open) {
    let bed = open(LIMITS).await;
    for name in ["a", "b"] {
        let new = keyed(event(&tenant(name), &[]), "k", Some(name));
        assert!(!bed.enqueue_one(new).await.duplicate);
    }
}

pub(crate) async fn answers_keep_the_order_of_the_batch(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let batch: Vec<_> = (0..20).map(|_| event(&t, &[])).collect();
    let sent: Vec<_> = batch.iter().map(|new| new.event.id().clone()).collect();
    let answers = bed.enqueue(batch).await.unwrap();
    let answered: Vec<_> = answers.into_iter().map(|a| a.id).collect();
    assert_eq!(answered, sent);
    assert!(bed.enqueue(Vec::new()).await.unwrap().is_empty());
}

pub(crate) async fn an_event_wakes_a_waiting_worker(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = webhook(|_| ());
    let worker = async {
        // A wait may end early, so it is the claim that counts.
        while bed.claim_for(1, LONG).await.leased.is_empty() {
            woken(&bed).await;
        }
    };
    tokio::join!(worker, bed.send_one(&t, &hook.id));
}

pub(crate) async fn a_wake_up_between_claim_and_wait_is_not_lost(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = webhook(|_| ());
    for _ in 0..20 {
        assert!(bed.claim_all().await.is_empty());
        bed.send_one(&t, &hook.id).await;
        woken(&bed).await;
        assert_eq!(bed.claim_all().await.len(), 1);
    }
}

pub(crate) async fn whatever_makes_a_delivery_claimable_wakes_a_waiting_worker(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut hook = webhook(|spec| spec.max_in_flight = Some(1));
    bed.put_webhook(&t, &hook, None).await.unwrap();
    let first = bed.send_one(&t, &hook.id).await;
    bed.send_one(&t, &hook.id).await;
    let claimed = async |what: &str| {
        woken(&bed).await;
        let mut leased = bed.claim_all().await;
        assert_eq!(leased.len(), 1, "{what}");
        leased.remove(0)
    };
    // Wake-ups of what has already been claimed may be stored: they are used up first.
    let idle = async || {
        while tokio::time::timeout(Duration::from_millis(50), bed.wait(LONG))
            .await
            .is_ok()
        {}
    };
    let leased = bed.claim_one().await;
    idle().await;
    bed.end(&leased.token, Next::Finished).await;
    let leased = claimed("a settlement makes room").await;
    idle().await;
    bed.release(&[leased.token]).await.unwrap();
    let leased = claimed("a release").await;
    bed.end(&leased.token, Next::Finished).await;
    idle().await;
    bed.requeue(&t, &first).await.unwrap();
    let leased = claimed("a requeue").await;
    bed.end(&leased.token, Next::Finished).await;
    idle().await;
    let all = DeliveryFilter {
        event: Some(leased.delivery.event),
        ..DeliveryFilter::default()
    };
    assert_eq!(bed.requeue_matching(&t, &all, 10).await.unwrap(), 1);
    let leased = claimed("requeues").await;
    bed.send_one(&t, &hook.id).await;
    assert!(bed.claim_all().await.is_empty());
    idle().await;
    hook.spec.max_in_flight = Some(2);
    bed.put_webhook(&t, &hook, None).await.unwrap();
    claimed("a change of the webhook").await;
    bed.end(&leased.token, Next::Finished).await;
}

/// A worker that went to sleep until the end of a lease would make the retry of that delivery very late.
pub(crate) async fn who_sleeps_learns_of_an_earlier_retry(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    assert!(bed.claim_for(1, LONG).await.next_due.unwrap() > LONG / 2);
    while tokio::time::timeout(Duration::from_millis(50), bed.wait(LONG))
        .await
        .is_ok()
    {}
    bed.end(&leased.token, Next::Retry(Duration::from_secs(5)))
        .await;
    woken(&bed).await;
    let due = bed.claim_for(1, LONG).await.next_due.unwrap();
    assert!(due <= Duration::from_secs(5), "{due:?}");
}

/// Waits for a wake-up; half a minute without one is a failure.
async fn woken(bed: &Bed) {
    tokio::time::timeout(Duration::from_secs(30), bed.wait(LONG))
        .await
        .expect("a wake-up");
}
