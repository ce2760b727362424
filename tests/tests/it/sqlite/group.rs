//! Group commit: many steps, few waits for the disk.

use futures_util::future::join_all;
use hookbox::backend::Settled;

use super::open_in;
use crate::contract::bed::{event, settlement, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_come_together_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let before = backend.write_stats();
    let answers = join_all((0..400).map(|_| bed.enqueue(vec![event(&t, &[&hook])]))).await;
    assert!(answers.iter().all(Result::is_ok));
    let after = backend.write_stats();
    assert_eq!(after.steps - before.steps, 400);
    let commits = after.commits - before.commits;
    assert!(commits <= 100, "{commits} commits for 400 steps");
}

#[tokio::test]
async fn a_step_that_fails_undoes_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let (good, again) = (event(&t, &[&hook]), event(&t, &[&hook]));
    // The second has the same ids as the first, which no caller ever does. A long step before them, and
    // they wait together and share a transaction.
    let before = backend.write_stats();
    let many = (0..500).map(|_| event(&t, &[])).collect();
    let (_, first, second, third) = tokio::join!(
        bed.enqueue(many),
        bed.enqueue(vec![good.clone()]),
        bed.enqueue(vec![again.clone(), good.clone()]),
        bed.enqueue(vec![again.clone()]),
    );
    assert!(first.is_ok() && second.is_err() && third.is_ok());
    let after = backend.write_stats();
    assert_eq!(after.steps - before.steps, 4);
    assert!(after.commits - before.commits <= 2);
    let leased = bed.claim_all().await;
    assert_eq!(leased.len(), 2);
    let end = settlement(&leased[0].token, hookbox::record::Next::Finished);
    assert_eq!(bed.settle(end).await.unwrap(), Settled::Done);
}
