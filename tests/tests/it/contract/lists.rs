//! What can be asked, and how it is forgotten.

use std::time::Duration;

use hookbox::{
    backend::{BackendError, DeliveryFilter, Leased, PAGE_ROWS, Status, Usage, WorkerInfo},
    config::Retention,
    model::{RuleId, Timestamp, WorkerId},
    record::{
        AttemptOutcome, Body, FailureKind, Next, RenderRecord, RequestRecord, ResponseRecord,
    },
};

use super::bed::{LIMITS, LONG, Open, SHORT, event, event_about, settlement, tenant, until};

const NOW: Retention = Retention {
    finished: Duration::ZERO,
    failed: Duration::ZERO,
};

pub(crate) async fn pages_hold_each_delivery_once_newest_first(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.extend(bed.send(&t, &[&hook, &hook, &hook]).await);
    }
    sent.reverse();
    for size in [1, 5, 12, 100] {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = bed
                .deliveries(&t, &DeliveryFilter::default(), size, cursor.as_deref())
                .await
                .unwrap();
            assert!(page.results.len() <= size);
            found.extend(page.results.into_iter().map(|d| d.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, sent, "in pages of {size}");
    }
}

pub(crate) async fn each_filter_finds_what_it_says(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (a, b) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    let first = event_about(&t, "dcim.site", &[&a]);
    let second = event_about(&t, "dcim.rack", &[&b]);
    let one = bed.enqueue_one(first.clone()).await.deliveries;
    let created = bed.get(&t, &one[0]).await.created;
    until(async || (Timestamp::now() > created).then_some(())).await;
    let two = bed.enqueue_one(second.clone()).await.deliveries;
    let later = bed.get(&t, &two[0]).await.created;
    bed.cancel(&t, &two[0]).await.unwrap();

    let none = DeliveryFilter::default();
    let cases = [
        (
            DeliveryFilter {
                status: Some(Status::Queued),
                ..none.clone()
            },
            &one,
        ),
        (
            DeliveryFilter {
                status: Some(Status::Cancelled),
                ..none.clone()
            },
            &two,
        ),
        (
            DeliveryFilter {
                webhook: Some(a.clone()),
                ..none.clone()
            },
            &one,
        ),
        (
            DeliveryFilter {
                rule: Some(second.deliveries[0].rule.clone()),
                ..none.clone()
            },
            &two,
        ),
        (
            DeliveryFilter {
                event: Some(first.event.id().clone()),
                ..none.clone()
            },
            &one,
        ),
        (
            DeliveryFilter {
                object_type: Some("dcim.rack".to_owned()),
                ..none.clone()
            },
            &two,
        ),
        (
            DeliveryFilter {
                since: Some(later),
                ..none.clone()
            },
            &two,
        ),
        (
            DeliveryFilter {
                until: Some(later),
                ..none.clone()
            },
            &one,
        ),
        (
            DeliveryFilter {
                status: Some(Status::Queued),
                webhook: Some(a.clone()),
                rule: Some(first.deliveries[0].rule.clone()),
                event: Some(first.event.id().clone()),
                object_type: Some("dcim.site".to_owned()),
                since: Some(created),
                until: Some(later),
                ..none.clone()
            },
            &one,
        ),
    ];
    for (filter, expected) in &cases {
        assert_eq!(&bed.list(&t, filter).await, *expected, "{filter:?}");
    }
    for filter in [
        DeliveryFilter {
            status: Some(Status::Failed),
            ..none.clone()
        },
        DeliveryFilter {
            rule: Some(RuleId::generate()),
            ..none.clone()
        },
        DeliveryFilter {
            webhook: Some(a),
            status: Some(Status::Cancelled),
            ..none.clone()
        },
        DeliveryFilter {
            since: Some(created),
            until: Some(created),
            ..none
        },
    ] {
        assert!(bed.list(&t, &filter).await.is_empty(), "{filter:?}");
    }
}

pub(crate) async fn deliveries_are_found_by_the_kind_of_their_last_error(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let (a, b) = (bed.webhook(&t, |_| ()).await, bed.webhook(&t, |_| ()).await);
    let filter = |kind: &str| DeliveryFilter {
        error: Some(FailureKind::parse(kind).unwrap()),
        ..DeliveryFilter::default()
    };
    let end = async |leased: &Leased, next: Next, kind: &str| {
        let mut settlement = settlement(&leased.token, next);
        settlement.attempt.error.as_mut().unwrap().kind = kind.to_owned();
        bed.settle(settlement).await.unwrap();
    };
    let fail = || Next::Fail("no".to_owned());
    let later = || Next::Retry(LONG);

    let mut sent = Vec::new();
    for (hook, next, kind) in [
        (&a, fail(), "blocked"),
        (&a, later(), "blocked"),
        (&b, fail(), "blocked"),
        (&a, fail(), "dns"),
    ] {
        sent.push(bed.send_one(&t, hook).await);
        end(&bed.claim_one().await, next, kind).await;
    }
    let good = bed.send_one(&t, &a).await;
    bed.end(&bed.claim_one().await.token, Next::Finished).await;
    let [first, second, third, fourth] = sent.try_into().unwrap();
    let of = async |filter: &DeliveryFilter| bed.list(&t, filter).await;
    assert_eq!(
        of(&filter("blocked")).await,
        [third.clone(), second.clone(), first.clone()]
    );
    assert_eq!(of(&filter("dns")).await, std::slice::from_ref(&fourth));
    assert!(of(&filter("timeout")).await.is_empty());
    let failed_of_a = DeliveryFilter {
        webhook: Some(a.clone()),
        status: Some(Status::Failed),
        ..filter("blocked")
    };
    assert_eq!(of(&failed_of_a).await, std::slice::from_ref(&first));
    assert!(
        bed.list(&tenant("other"), &filter("blocked"))
            .await
            .is_empty()
    );
    assert_eq!(
        bed.get(&t, &first).await.last_error.as_deref(),
        Some("blocked")
    );
    assert_eq!(bed.get(&t, &good).await.last_error, None);

    // Called off are those that wait; queued again those that ended, in their order.
    assert_eq!(bed.cancel_matching(&t, &filter("blocked"), 10).await, Ok(1));
    assert_eq!(bed.status(&t, &second).await, Status::Cancelled);
    assert_eq!(bed.requeue_matching(&t, &filter("blocked"), 2).await, Ok(2));
    assert_eq!(
        bed.requeue_matching(&t, &filter("blocked"), 10).await,
        Ok(1)
    );
    assert_eq!(
        bed.requeue_matching(&t, &filter("blocked"), 10).await,
        Ok(0)
    );
    let again = bed.claim_all().await;
    assert_eq!(again.len(), 3);
    // The next attempt decides anew.
    for (leased, kind) in again.iter().zip(["dns", "dns", ""]) {
        match kind {
            "" => drop(bed.end(&leased.token, Next::Finished).await),
            kind => end(leased, fail(), kind).await,
        }
    }
    assert!(of(&filter("blocked")).await.is_empty());
    assert_eq!(of(&filter("dns")).await.len(), 3);

    // A lease that nobody keeps is an error of its own, and what is forgotten is found no more.
    let lost = bed.send_one(&t, &a).await;
    bed.claim_for(1, SHORT).await;
    let leased = bed.claim_when_due(LONG).await;
    assert_eq!(leased.delivery.id, lost);
    assert_eq!(of(&filter("worker_lost")).await, [lost]);
    bed.end(&leased.token, fail()).await;
    assert_eq!(of(&filter("connect")).await.len(), 1);
    bed.prune(NOW, 100).await.unwrap();
    for kind in ["dns", "connect", "worker_lost"] {
        assert!(of(&filter(kind)).await.is_empty(), "{kind}");
    }
}

pub(crate) async fn a_cursor_that_no_list_gave_out_is_refused(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let long = "A".repeat(100_000);
    for cursor in ["", "x", "é", "' OR 1=1 --", "-1", &long] {
        let page = bed
            .deliveries(&t, &DeliveryFilter::default(), 10, Some(cursor))
            .await;
        assert_eq!(page, Err(BackendError::BadCursor), "{cursor:.20}");
    }
}

/// A page that finds little costs no more than one that finds much.
pub(crate) async fn a_page_looks_at_so_many_deliveries_and_says_where_the_next_goes_on(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let oldest = bed.send_one(&t, &hook).await;
    bed.cancel(&t, &oldest).await.unwrap();
    let mut others = 0;
    while others <= PAGE_ROWS {
        others += bed.send(&t, &[&hook; 1000]).await.len();
    }
    let of_hook = DeliveryFilter {
        webhook: Some(hook),
        ..DeliveryFilter::default()
    };
    let none = DeliveryFilter {
        object_type: Some("dcim.rack".to_owned()),
        ..of_hook.clone()
    };
    let first = bed.deliveries(&t, &none, 10, None).await.unwrap();
    assert!(first.results.is_empty() && first.next.is_some());
    let one = DeliveryFilter {
        status: Some(Status::Cancelled),
        object_type: Some("dcim.site".to_owned()),
        ..of_hook
    };
    for (filter, expected) in [(none, vec![]), (one, vec![oldest])] {
        let (mut found, mut cursor) = (Vec::new(), None);
        for _ in 0..others / PAGE_ROWS + 1 {
            let page = bed.deliveries(&t, &filter, 10, cursor.as_deref()).await;
            let page = page.unwrap();
            found.extend(page.results.into_iter().map(|delivery| delivery.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((found, cursor), (expected, None));
    }
}

pub(crate) async fn tenants_see_only_their_own(open: Open) {
    let (bed, t, other) = (open(LIMITS).await, tenant("t"), tenant("other"));
    let hook = bed.webhook(&t, |_| ()).await;
    let new = event(&t, &[&hook]);
    let id = bed.enqueue_one(new.clone()).await.deliveries.remove(0);
    let leased = bed.claim_one().await;
    bed.end(&leased.token, Next::Finished).await;

    assert!(bed.event(&other, new.event.id()).await.unwrap().is_none());
    assert!(bed.delivery(&other, &id).await.unwrap().is_none());
    assert!(bed.attempts(&other, &id).await.unwrap().is_empty());
    for filter in [
        DeliveryFilter::default(),
        DeliveryFilter {
            webhook: Some(hook),
            ..DeliveryFilter::default()
        },
        DeliveryFilter {
            event: Some(new.event.id().clone()),
            ..DeliveryFilter::default()
        },
        DeliveryFilter {
            rule: Some(new.deliveries[0].rule.clone()),
            ..DeliveryFilter::default()
        },
    ] {
        assert!(bed.list(&other, &filter).await.is_empty());
        assert_eq!(bed.list(&t, &filter).await.len(), 1);
    }
    assert_eq!(bed.overview(Some(&other)).await.unwrap().finished, 0);
    assert_eq!(bed.overview(None).await.unwrap().finished, 1);
}

pub(crate) async fn the_overview_counts_each_state(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    assert_eq!(bed.overview(None).await.unwrap(), Default::default());
    let oldest = bed.send_one(&t, &hook).await;
    for next in [
        Next::Finished,
        Next::Skip(String::new()),
        Next::Fail("no".to_owned()),
        Next::Retry(LONG),
    ] {
        bed.send_one(&t, &hook).await;
        let leased = bed.claim_for(1, LONG).await.leased.remove(0);
        bed.end(&leased.token, next).await;
    }
    bed.claim_for(1, LONG).await;
    let last = bed.send_one(&t, &hook).await;
    let gone = bed.send_one(&t, &hook).await;
    bed.cancel(&t, &gone).await.unwrap();
    assert_ne!(bed.status(&t, &oldest).await, Status::Queued);
    for of in [None, Some(&t)] {
        let view = bed.overview(of).await.unwrap();
        let counts = [
            view.queued,
            view.started,
            view.scheduled,
            view.finished,
            view.failed,
            view.skipped,
            view.cancelled,
        ];
        assert_eq!(counts, [1; 7]);
        assert_eq!(view.oldest_queued, Some(bed.get(&t, &last).await.created));
    }
}

pub(crate) async fn usage_adds_up_by_tenant(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for next in [Next::Finished, Next::Fail("no".to_owned())] {
        bed.send_one(&t, &hook).await;
        let leased = bed.claim_one().await;
        let mut end = settlement(&leased.token, next);
        end.attempt.render = Some(RenderRecord {
            transformer: "jinja@0".to_owned(),
            fuel: 20_000_000,
            peak_memory_bytes: 1,
            elapsed_us: 1,
            logs: Vec::new(),
            input: None,
        });
        end.attempt.request = Some(RequestRecord {
            method: "POST".to_owned(),
            url: "https://example.com/".to_owned(),
            headers: vec![("X".to_owned(), "1".to_owned())],
            headers_left_out: 3,
            body: Body::Text("12345".to_owned()),
            truncated: true,
            body_bytes: 5000,
        });
        end.attempt.response =
            (end.attempt.outcome == AttemptOutcome::Delivered).then(|| ResponseRecord {
                status: 204,
                version: "HTTP/1.1".to_owned(),
                peer: None,
                headers: Vec::new(),
                body: Body::Text(String::new()),
                truncated: false,
            });
        let recorded = end.attempt.clone();
        bed.settle(end).await.unwrap();
        let mut stored = bed
            .attempts(&t, &leased.delivery.id)
            .await
            .unwrap()
            .remove(0);
        stored.number = recorded.number;
        assert_eq!(stored, recorded);
    }
    bed.enqueue_one(event(&t, &[])).await;
    let (since, until) = (Timestamp::from_millis(0), Timestamp::now().plus(LONG));
    let expected = Usage {
        events: 3,
        attempts: 2,
        delivered: 1,
        fuel: 40_000_000,
        bytes_sent: 5000,
    };
    assert_eq!(bed.usage(&t, since, until).await.unwrap(), expected);
    assert_eq!(bed.usage(&t, since, since).await.unwrap(), Usage::default());
    assert_eq!(
        bed.usage(&tenant("other"), since, until).await.unwrap(),
        Usage::default()
    );
}

pub(crate) async fn pruning_removes_what_ended_long_enough_ago(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let done = event(&t, &[&hook, &hook]);
    let unmatched = event(&t, &[]);
    bed.enqueue(vec![done.clone(), unmatched.clone()])
        .await
        .unwrap();
    let leased = bed.claim_all().await;
    bed.end(&leased[0].token, Next::Finished).await;
    bed.end(&leased[1].token, Next::Fail("no".to_owned())).await;
    let waiting = bed.send_one(&t, &hook).await;

    let kept = Retention {
        finished: LONG,
        failed: LONG,
    };
    assert_eq!(bed.prune(kept, 100).await.unwrap(), 0);
    // The finished one goes; its event stays as long as the failed one needs it; the event that matched
    // nothing goes with the finished.
    let failed_kept = Retention {
        finished: Duration::ZERO,
        failed: LONG,
    };
    assert_eq!(bed.prune(failed_kept, 100).await.unwrap(), 2);
    let finished = &leased[0].delivery.id;
    assert!(bed.delivery(&t, finished).await.unwrap().is_none());
    assert!(bed.attempts(&t, finished).await.unwrap().is_empty());
    assert!(bed.event(&t, unmatched.event.id()).await.unwrap().is_none());
    let stored = bed.event(&t, done.event.id()).await.unwrap().unwrap();
    assert_eq!(stored.deliveries.len(), 1);

    assert_eq!(bed.prune(NOW, 100).await.unwrap(), 2);
    assert!(bed.event(&t, done.event.id()).await.unwrap().is_none());
    assert_eq!(bed.prune(NOW, 100).await.unwrap(), 0);
    assert_eq!(bed.claim_one().await.delivery.id, waiting);
    assert_eq!(
        bed.prune(NOW, 100).await.unwrap(),
        0,
        "one under way is not pruned"
    );
}

pub(crate) async fn pruning_stops_at_its_limit(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send(&t, &[&hook; 10]).await;
    for id in &sent {
        bed.cancel(&t, id).await.unwrap();
    }
    assert_eq!(bed.prune(NOW, 4).await.unwrap(), 4);
    assert_eq!(bed.list(&t, &DeliveryFilter::default()).await.len(), 6);
    assert_eq!(bed.prune(NOW, 0).await.unwrap(), 0);
}

pub(crate) async fn pruning_leaves_what_its_limit_does_not_reach(open: Open) {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    for _ in 0..10 {
        bed.send_one(&t, &hook).await;
    }
    let leased = bed.claim_all().await;
    for (n, leased) in leased.iter().enumerate() {
        let next = match n % 2 {
            0 => Next::Finished,
            _ => Next::Fail("no".to_owned()),
        };
        bed.end(&leased.token, next).await;
    }
    // Each delivery takes its event with it, which counts too.
    bed.prune(NOW, 5).await.unwrap();
    let failed = DeliveryFilter {
        status: Some(Status::Failed),
        ..DeliveryFilter::default()
    };
    assert_eq!(bed.list(&t, &failed).await.len(), 5);
}

pub(crate) async fn workers_are_listed_until_they_say_farewell(open: Open) {
    let bed = open(LIMITS).await;
    let mut info = WorkerInfo {
        id: WorkerId::generate(),
        host: "machine".to_owned(),
        pid: 42,
        started: Timestamp::from_millis(1_772_810_000_120),
        last_seen: Timestamp::from_millis(0),
        in_flight: 3,
        concurrency: 128,
    };
    for in_flight in [3, 4] {
        info.in_flight = in_flight;
        bed.heartbeat(&info).await.unwrap();
        let mut workers = bed.workers().await.unwrap();
        assert_eq!(workers.len(), 1);
        assert!(workers[0].last_seen > info.started);
        workers[0].last_seen = info.last_seen;
        assert_eq!(workers[0], info);
    }
    bed.deregister(&info.id).await.unwrap();
    assert!(bed.workers().await.unwrap().is_empty());
}

pub(crate) async fn the_backend_answers_a_ping(open: Open) {
    let bed = open(LIMITS).await;
    bed.ping().await.unwrap();
    bed.ping().await.unwrap();
}
