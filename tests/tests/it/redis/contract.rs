//! The backend's contract, each case on a server of its own.

use std::{pin::Pin, time::Duration};

use hookbox::{backend::Settled, config::QueueLimits, record::Next};
use hookbox_tests::redis::{Options, RedisServer};

use super::open_at;
use crate::contract::bed::{Bed, LIMITS, LONG, settlement, tenant};

/// An empty backend on a server that keeps nothing on disk.
fn open(limits: QueueLimits) -> Pin<Box<dyn Future<Output = Bed> + Send>> {
    Box::pin(async move {
        let redis = RedisServer::start(Options::default());
        let backend = open_at(&redis.url(), limits, |_| ()).await;
        Bed::new(backend, redis)
    })
}

crate::contract::contract!(super::open);

/// A worker settles again when the answer was lost on the way; it must not hear that its lease was lost then.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_sent_again_is_recognised_and_counts_once() {
    let (bed, t) = (open(LIMITS).await, tenant("t"));
    let hook = bed.webhook(&t, |_| ()).await;
    let sent = bed.send_one(&t, &hook).await;
    let token = bed.claim_one().await.token;
    let first = settlement(&token, Next::Finished);
    assert_eq!(bed.settle(first.clone()).await.unwrap(), Settled::Done);
    assert_eq!(bed.settle(first).await.unwrap(), Settled::Done);
    let another = settlement(&token, Next::Finished);
    assert_eq!(bed.settle(another).await.unwrap(), Settled::LeaseLost);
    assert_eq!(bed.attempts(&t, &sent).await.unwrap().len(), 1);

    // Also if the delivery has been claimed again in between; that claim keeps its lease.
    let sent = bed.send_one(&t, &hook).await;
    let token = bed.claim_one().await.token;
    let retry = settlement(&token, Next::Retry(Duration::ZERO));
    assert_eq!(bed.settle(retry.clone()).await.unwrap(), Settled::Done);
    let again = bed.claim_when_due(LONG).await.token;
    assert_eq!(bed.settle(retry).await.unwrap(), Settled::Done);
    assert_eq!(bed.attempts(&t, &sent).await.unwrap().len(), 1);
    assert_eq!(bed.end(&again, Next::Finished).await, Settled::Done);
}
