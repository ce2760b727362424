//! From state to state: by the end of an attempt, and by what people ask for.

use std::time::Duration;

use hookbox::{
    backend::{DeliveryFilter, KEPT_ATTEMPTS, Status, TransitionError},
    model::DeliveryId,
    record::Next,
};

use super::bed::{Bed, LIMITS, LONG, Open, tenant};

const STATES: [Status; 7] = Status::ALL;

/// One delivery in each state, and its state.
async fn one_in_each_state(bed: &Bed) -> Vec<(DeliveryId, Status)> {
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let mut all = Vec::new();
    for status in [
        Status::Finished,
        Status::Failed,
        Status::Skipped,
        Status::Scheduled,
        Status::Cancelled,
        Status::Started,
        Status::Queued,
    ] {
        let id = bed.send_one(&t, &hook).await;
        let next = match status {
            Status::Finished => Some(Next::Finished),
            Status::Failed => Some(Next::Fail("the reason".to_owned())),
            Status::Skipped => Some(Next::Skip("a draft".to_owned())),
            Status::Scheduled => Some(Next::Retry(LONG)),
            _ => None,
        };
        if let Some(next) = next {
            let leased = bed.claim_one().await;
            bed.end(&leased.token, next).await;
        } else if status == Status::Cancelled {
            bed.cancel(&t, &id).await.unwrap();
        } else if status == Status::Started {
            bed.claim_one().await;
        }
        all.push((id, status));
    }
    all
}

pub(crate) async fn each_end_of_an_attempt_leads_to_its_state(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let all = one_in_each_state(&bed).await;
    assert_eq!(all.len(), STATES.len());
    for (id, status) in all {
        let delivery = bed.get(&t, &id).await;
        assert_eq!(delivery.status, status);
        assert_eq!(
            delivery.next_attempt.is_some(),
            matches!(status, Status::Queued | Status::Scheduled)
        );
        if status == Status::Failed {
            assert_eq!(delivery.last_result.as_deref(), Some("the reason"));
        }
        if status == Status::Skipped {
            assert_eq!(delivery.last_result.as_deref(), Some("a draft"));
            let recorded = bed.attempts(&t, &id).await.unwrap().remove(0);
            assert_eq!(recorded.skip_reason.as_deref(), Some("a draft"));
        }
        if status == Status::Scheduled {
            assert_eq!(delivery.last_result.as_deref(), Some("nobody answered"));
            let wait = delivery.next_attempt.unwrap().since(delivery.updated);
            assert_eq!(wait, LONG);
            assert_eq!((delivery.attempts, delivery.receives), (1, 0));
        }
    }
}

pub(crate) async fn attempts_are_numbered_over_the_whole_life(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let id = bed.send_one(&t, &hook).await;
    for _ in 0..2 {
        let leased = bed.claim_one().await;
        bed.end(&leased.token, Next::Retry(Duration::ZERO)).await;
    }
    assert_eq!(bed.get(&t, &id).await.attempts, 2);
    let requeued = bed.requeue(&t, &id).await.unwrap();
    assert_eq!((requeued.attempts, requeued.total_attempts), (0, 2));
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Finished).await;
    let delivery = bed.get(&t, &id).await;
    assert_eq!((delivery.attempts, delivery.total_attempts), (1, 3));
    let attempts = bed.attempts(&t, &id).await.unwrap();
    let numbers: Vec<_> = attempts.iter().map(|a| a.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub(crate) async fn ended_and_scheduled_deliveries_can_be_requeued(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let mut requeued = Vec::new();
    for (id, status) in one_in_each_state(&bed).await {
        if status.is_ended() || status == Status::Scheduled {
            let delivery = bed.requeue(&t, &id).await.unwrap();
            assert_eq!(delivery.status, Status::Queued);
            assert_eq!((delivery.attempts, delivery.receives), (0, 0));
            assert_eq!(bed.get(&t, &id).await, delivery);
            requeued.push(id);
        }
    }
    let claimed = super::bed::ids(&bed.claim_all().await);
    assert!(requeued.iter().all(|id| claimed.contains(id)));
}

pub(crate) async fn queued_and_started_ones_cannot_be_requeued(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    for (id, status) in one_in_each_state(&bed).await {
        if matches!(status, Status::Queued | Status::Started) {
            let before = bed.get(&t, &id).await;
            let error = bed.requeue(&t, &id).await.unwrap_err();
            assert!(
                matches!(&error, TransitionError::WrongState { status: s, .. } if *s == status),
                "{error}"
            );
            assert_eq!(bed.get(&t, &id).await, before);
        }
    }
}

pub(crate) async fn only_waiting_deliveries_can_be_cancelled(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    for (id, status) in one_in_each_state(&bed).await {
        let cancelled = bed.cancel(&t, &id).await;
        if matches!(status, Status::Queued | Status::Scheduled) {
            assert_eq!(cancelled.unwrap().status, Status::Cancelled);
        } else {
            assert!(matches!(cancelled, Err(TransitionError::WrongState { .. })));
            assert_eq!(bed.status(&t, &id).await, status);
        }
    }
    assert!(bed.claim_all().await.is_empty());
}

pub(crate) async fn nothing_of_another_tenant_can_be_moved(open: Open) {
    let (bed, other) = (open(LIMITS).await, tenant("other"));
    for (id, status) in one_in_each_state(&bed).await {
        let not_found = TransitionError::NotFound(id.clone());
        assert_eq!(bed.requeue(&other, &id).await.unwrap_err(), not_found);
        assert_eq!(bed.cancel(&other, &id).await.unwrap_err(), not_found);
        assert_eq!(bed.status(&tenant("t"), &id).await, status);
    }
    let all = DeliveryFilter::default();
    assert_eq!(bed.requeue_matching(&other, &all, 100).await.unwrap(), 0);
    let unknown = DeliveryId::generate();
    assert_eq!(
        bed.cancel(&tenant("t"), &unknown).await.unwrap_err(),
        TransitionError::NotFound(unknown)
    );
}

pub(crate) async fn requeue_matching_takes_the_oldest_that_may_be(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (hook, other) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    let mut failed = Vec::new();
    for _ in 0..5 {
        failed.push(bed.send_one(&t, &hook).await);
        bed.send_one(&t, &other).await;
        for leased in bed.claim_all().await {
            bed.end(&leased.token, Next::Fail("no".to_owned())).await;
        }
    }
    let filter = DeliveryFilter {
        webhook: Some(hook.clone()),
        ..DeliveryFilter::default()
    };
    assert_eq!(bed.requeue_matching(&t, &filter, 3).await.unwrap(), 3);
    assert_eq!(super::bed::ids(&bed.claim_all().await), failed[..3]);
    let filter = DeliveryFilter {
        status: Some(Status::Failed),
        ..filter
    };
    assert_eq!(bed.requeue_matching(&t, &filter, 100).await.unwrap(), 2);
    assert_eq!(bed.requeue_matching(&t, &filter, 100).await.unwrap(), 0);
    assert_eq!(super::bed::ids(&bed.claim_all().await), failed[3..]);
}

pub(crate) async fn cancel_matching_takes_the_oldest_that_wait(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (hook, other) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(bed.send_one(&t, &hook).await);
        bed.send_one(&t, &other).await;
    }
    let filter = DeliveryFilter {
        webhook: Some(hook.clone()),
        ..DeliveryFilter::default()
    };
    let nobody = tenant("other");
    assert_eq!(bed.cancel_matching(&nobody, &filter, 100).await, Ok(0));
    assert_eq!(bed.cancel_matching(&t, &filter, 3).await, Ok(3));
    for (id, n) in waiting.iter().zip(0..) {
        let expected = [Status::Cancelled, Status::Queued][usize::from(n == 3)];
        assert_eq!(bed.status(&t, id).await, expected);
    }
    // What is under way is not called off, and neither is what another webhook has.
    let leased = bed.claim_all().await;
    assert_eq!(leased.len(), 5);
    assert_eq!(bed.cancel_matching(&t, &filter, 100).await, Ok(0));
    assert_eq!(bed.overview(Some(&t)).await.unwrap().cancelled, 3);
}

pub(crate) async fn deleting_a_webhook_cancels_what_waits_for_it(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let all = one_in_each_state(&bed).await;
    let hook = bed.get(&t, &all[0].0).await.webhook;
    assert!(bed.delete_webhook(&t, &hook).await.unwrap());
    for (id, before) in all {
        let expected = match before {
            Status::Queued | Status::Scheduled => Status::Cancelled,
            other => other,
        };
        assert_eq!(bed.status(&t, &id).await, expected);
    }
    assert!(bed.claim_all().await.is_empty());
    assert!(!bed.delete_webhook(&t, &hook).await.unwrap());
    // A straggler from before is not stuck: a worker gets it and can say why it fails.
    let straggler = bed.send_one(&t, &hook).await;
    assert_eq!(bed.claim_one().await.delivery.id, straggler);
}

pub(crate) async fn the_last_hundred_attempts_are_kept(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let id = bed.send_one(&t, &hook).await;
    for _ in 0..KEPT_ATTEMPTS + 3 {
        let leased = bed.claim_one().await;
        bed.end(&leased.token, Next::Retry(Duration::ZERO)).await;
    }
    let kept: Vec<u32> = bed
        .attempts(&t, &id)
        .await
        .unwrap()
        .iter()
        .map(|a| a.number)
        .collect();
    assert_eq!(kept, (4..=KEPT_ATTEMPTS as u32 + 3).collect::<Vec<_>>());
    for number in [0, 1, 3, 4, 50, 103, 104, u32::MAX] {
        let found = bed.attempt(&t, &id, number).await.unwrap();
        let is_kept = kept.contains(&number);
        assert_eq!(found.map(|a| a.number), is_kept.then_some(number));
        assert_eq!(bed.attempt(&tenant("other"), &id, number).await, Ok(None));
    }
    assert_eq!(
        bed.get(&t, &id).await.total_attempts as usize,
        KEPT_ATTEMPTS + 3
    );
}
