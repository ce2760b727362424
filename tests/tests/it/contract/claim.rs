//! What a claim gives and when to come back.

use std::{sync::Arc, time::Duration};

use hookbox::{backend::Status, model::WorkerId, record::Next};

use super::bed::{LIMITS, LONG, Open, SHORT, ids, tenant};

pub(crate) async fn a_claim_starts_the_oldest_deliveries(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(bed.send_one(&t, &hook).await);
    }
    let claim = bed.claim_for(3, LONG).await;
    assert_eq!(ids(&claim.leased), sent[..3]);
    for leased in &claim.leased {
        assert_eq!(leased.delivery.status, Status::Started);
        assert_eq!(leased.delivery.receives, 1);
        assert_eq!(leased.delivery.next_attempt, None);
        assert_eq!(leased.token.delivery, leased.delivery.id);
        assert_eq!(leased.event.id(), &leased.delivery.event);
        assert_eq!(bed.get(&t, &leased.delivery.id).await, leased.delivery);
    }
    assert_eq!(ids(&bed.claim_all().await), sent[3..]);
}

pub(crate) async fn deliveries_of_one_event_share_it(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (a, b) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    bed.send(&t, &[&a, &b]).await;
    let leased = bed.claim_all().await;
    assert_eq!(leased.len(), 2);
    assert!(Arc::ptr_eq(&leased[0].event, &leased[1].event));
}

pub(crate) async fn an_empty_queue_gives_nothing_to_wait_for(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    assert_eq!(bed.claim_for(1, LONG).await.next_due, None);
    let hook = bed.webhook(&t, |_| ()).await;
    bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Finished).await;
    let claim = bed.claim_for(1, LONG).await;
    assert!(claim.leased.is_empty());
    assert_eq!(claim.next_due, None);
}

pub(crate) async fn next_due_is_zero_when_more_is_claimable(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    bed.send_one(&t, &hook).await;
    bed.send_one(&t, &hook).await;
    assert_eq!(bed.claim_for(1, LONG).await.next_due, Some(Duration::ZERO));
    assert_ne!(bed.claim_for(1, LONG).await.next_due, Some(Duration::ZERO));
}

pub(crate) async fn next_due_is_the_next_retry(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for seconds in [100, 50, 200] {
        bed.send_one(&t, &hook).await;
        let leased = bed.claim_one().await;
        bed.end(&leased.token, Next::Retry(Duration::from_secs(seconds)))
            .await;
    }
    let due = bed.claim_for(1, LONG).await.next_due.unwrap();
    assert!((40..=50).contains(&due.as_secs()), "{due:?}");
}

pub(crate) async fn next_due_is_the_next_expiry(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    bed.send_one(&t, &hook).await;
    let claim = bed.claim_for(1, Duration::from_secs(50)).await;
    let due = claim.next_due.unwrap();
    assert!((40..=50).contains(&due.as_secs()), "{due:?}");
}

pub(crate) async fn a_claim_of_none_changes_nothing(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let claim = bed.claim(&WorkerId::generate(), 0, SHORT).await.unwrap();
    assert!(claim.leased.is_empty());
    assert_eq!(claim.next_due, Some(Duration::ZERO));
    assert_eq!(bed.get(&t, &sent).await.receives, 0);
}
