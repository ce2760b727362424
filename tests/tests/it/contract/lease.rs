//! Leases: who holds one, who has lost it, and what becomes of a delivery whose worker is gone.

use std::time::{Duration, Instant};

use hookbox::{
    backend::{Delivery, LostLease, Settled, Status},
    config::QueueLimits,
    model::WorkerId,
    record::{AttemptOutcome, Next},
};

use super::bed::{Bed, LIMITS, LONG, Open, SHORT, tenant, until, webhook};

pub(crate) async fn a_settled_lease_cannot_settle_again(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    assert_eq!(bed.end(&leased.token, Next::Finished).await, Settled::Done);
    let after = bed.get(&t, &sent).await;
    assert_eq!(
        bed.end(&leased.token, Next::Fail("late".to_owned())).await,
        Settled::LeaseLost
    );
    assert_eq!(bed.get(&t, &sent).await, after);
    assert_eq!(bed.attempts(&t, &sent).await.unwrap().len(), 1);
}

pub(crate) async fn an_expired_lease_is_reclaimed_and_recorded(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |spec| spec.max_in_flight = Some(1)).await;
    let sent = bed.send_one(&t, &hook).await;
    bed.claim_for(1, SHORT).await;
    let again = bed.claim_when_due(LONG).await;
    assert_eq!(again.delivery.id, sent);
    assert_eq!(again.delivery.receives, 2);
    // The retry schedule is for receivers that fail, not for our workers.
    assert_eq!(
        (again.delivery.attempts, again.delivery.total_attempts),
        (0, 1)
    );
    let attempts = bed.attempts(&t, &sent).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].number, 1);
    assert_eq!(attempts[0].worker.as_str(), "wrk_test");
    assert_eq!(attempts[0].outcome, AttemptOutcome::Failed);
    let error = attempts[0].error.as_ref().unwrap();
    assert_eq!(error.kind, "worker_lost");
    assert!(error.retryable);
}

pub(crate) async fn a_superseded_lease_changes_nothing(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let old = bed.claim_for(1, SHORT).await.leased.remove(0).token;
    let new = bed.claim_when_due(LONG).await.token;
    assert!(new.fence > old.fence);

    let before = bed.get(&t, &sent).await;
    assert_eq!(bed.end(&old, Next::Finished).await, Settled::LeaseLost);
    assert_eq!(
        bed.renew(std::slice::from_ref(&old), LONG).await.unwrap(),
        std::slice::from_ref(&old)
    );
    bed.defer(&old, LONG, "late").await.unwrap();
    assert!(bed.overview(Some(&t)).await.unwrap().paused.is_empty());
    bed.release(&[old]).await.unwrap();
    assert_eq!(bed.get(&t, &sent).await, before);
    assert_eq!(bed.attempts(&t, &sent).await.unwrap().len(), 1);
    assert_eq!(bed.end(&new, Next::Finished).await, Settled::Done);
}

pub(crate) async fn a_delivery_that_takes_its_workers_down_fails(open: Open) {
    let limits = QueueLimits {
        max_receives: 2,
        ..LIMITS
    };
    let (bed, t) = (open(limits).await, tenant("t"));
    let hook = bed.webhook(&t, |spec| spec.max_in_flight = Some(1)).await;
    let sent = bed.send_one(&t, &hook).await;
    for receives in [1, 2] {
        assert_eq!(bed.claim_when_due(SHORT).await.delivery.receives, receives);
    }
    let failed = ended(&bed, &sent).await;
    assert_eq!(failed.status, Status::Failed);
    assert!(failed.last_result.is_some());
    assert_eq!(bed.attempts(&t, &sent).await.unwrap().len(), 2);
    // It has made room, and a requeue gives it all its chances again.
    bed.requeue(&t, &sent).await.unwrap();
    assert_eq!(bed.claim_one().await.delivery.receives, 1);
}

/// Claims until the delivery has ended; a claim is what reclaims.
async fn ended(bed: &Bed, id: &hookbox::model::DeliveryId) -> Delivery {
    until(async || {
        assert!(bed.claim_all().await.is_empty());
        let delivery = bed.get(&tenant("t"), id).await;
        delivery.status.is_ended().then_some(delivery)
    })
    .await
}

pub(crate) async fn a_claim_names_the_leases_that_were_lost(open: Open) {
    let limits = QueueLimits {
        max_receives: 2,
        ..LIMITS
    };
    let (bed, t) = (open(limits).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    assert_eq!(bed.claim_for(1, SHORT).await.lost, []);
    for has_failed in [false, true] {
        let lost = until(async || {
            let lost = bed.claim_for(1, SHORT).await.lost;
            (!lost.is_empty()).then_some(lost)
        });
        let expected = LostLease {
            delivery: sent.clone(),
            tenant: t.clone(),
            webhook: hook.clone(),
            worker: WorkerId::from("wrk_test"),
            has_failed,
        };
        assert_eq!(lost.await, [expected]);
    }
}

pub(crate) async fn a_renewed_lease_is_kept(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let kept = bed.send_one(&t, &hook).await;
    let dropped = bed.send_one(&t, &hook).await;
    let lease = Duration::from_secs(2);
    let begun = Instant::now();
    let leased = bed.claim_for(2, lease).await.leased;
    let kept = leased.iter().find(|l| l.delivery.id == kept).unwrap();
    let kept = kept.token.clone();
    // Only a claim takes leases back, so that renewing one in time does not depend on this machine.
    let lost = bed.renew(std::slice::from_ref(&kept), LONG).await.unwrap();
    assert!(lost.is_empty());
    // When the other one has been reclaimed, this one would have been too.
    let reclaimed = bed.claim_when_due(LONG).await;
    assert!(begun.elapsed() >= lease);
    assert_eq!(reclaimed.delivery.id, dropped);
    assert!(bed.claim_all().await.is_empty());
    assert_eq!(bed.end(&kept, Next::Finished).await, Settled::Done);
}

pub(crate) async fn lost_leases_are_named_when_renewed(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..3 {
        bed.send_one(&t, &hook).await;
    }
    let tokens: Vec<_> = bed.claim_all().await.into_iter().map(|l| l.token).collect();
    bed.end(&tokens[1], Next::Finished).await;
    assert_eq!(bed.renew(&tokens, LONG).await.unwrap(), [tokens[1].clone()]);
    let mut unknown = tokens[0].clone();
    unknown.fence = u64::MAX;
    assert_eq!(
        bed.renew(&[unknown.clone()], LONG).await.unwrap(),
        [unknown]
    );
}

pub(crate) async fn released_deliveries_are_claimable_at_once_and_unreceived(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |spec| spec.max_in_flight = Some(1)).await;
    let sent = bed.send_one(&t, &hook).await;
    for _ in 0..5 {
        let leased = bed.claim_one().await;
        assert_eq!(leased.delivery.receives, 1);
        bed.release(&[leased.token]).await.unwrap();
        let released = bed.get(&t, &sent).await;
        assert_eq!((released.status, released.receives), (Status::Queued, 0));
    }
    assert!(bed.attempts(&t, &sent).await.unwrap().is_empty());
}

pub(crate) async fn a_released_retry_stays_in_the_lane_of_retries(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Retry(Duration::ZERO)).await;
    let retry = bed.claim_one().await;
    assert_eq!(retry.delivery.id, sent);
    bed.release(&[retry.token]).await.unwrap();
    let first = bed.send_one(&t, &hook).await;
    assert_eq!(bed.claim_for(1, LONG).await.leased[0].delivery.id, first);
    let retry = bed.claim_one().await;
    assert_eq!((retry.delivery.id, retry.delivery.attempts), (sent, 1));
}

pub(crate) async fn what_is_put_off_waits_uncounted_and_so_does_its_webhook(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut hook = webhook(|spec| spec.max_in_flight = Some(1));
    bed.put_webhook(&t, &hook, None).await.unwrap();
    let sent = bed.send_one(&t, &hook.id).await;
    let next = bed.send_one(&t, &hook.id).await;
    let leased = bed.claim_one().await;
    assert_eq!(leased.delivery.id, sent);
    for _ in 0..2 {
        // Once more changes nothing.
        bed.defer(&leased.token, LONG, "not ready").await.unwrap();
        let waiting = bed.get(&t, &sent).await;
        assert_eq!((waiting.status, waiting.receives), (Status::Queued, 0));
        assert_eq!((waiting.attempts, waiting.total_attempts), (0, 0));
        assert_eq!(waiting.last_result.as_deref(), Some("not ready"));
    }
    let claim = bed.claim_for(10, LONG).await;
    assert!(claim.leased.is_empty());
    assert!(
        claim
            .next_due
            .is_some_and(|due| !due.is_zero() && due <= LONG)
    );
    assert_eq!(bed.overview(Some(&t)).await.unwrap().paused.len(), 1);
    assert!(bed.attempts(&t, &sent).await.unwrap().is_empty());

    hook.spec.max_in_flight = Some(2);
    bed.put_webhook(&t, &hook, None).await.unwrap();
    let order: Vec<_> = bed
        .claim_all()
        .await
        .into_iter()
        .map(|l| l.delivery.id)
        .collect();
    assert_eq!(order, [sent, next], "in the order in which they came");
}

pub(crate) async fn a_retry_that_is_put_off_stays_one(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Retry(Duration::ZERO)).await;
    let retry = bed.claim_one().await;
    bed.defer(&retry.token, SHORT, "not ready").await.unwrap();
    // The pause ends by itself.
    let retry = bed.claim_when_due(LONG).await;
    assert_eq!((retry.delivery.id, retry.delivery.attempts), (sent, 1));
    assert_eq!(retry.delivery.receives, 1);
}
