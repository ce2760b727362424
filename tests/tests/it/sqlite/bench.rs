//! A measurement: whole lives of deliveries against the backend alone, by senders and a worker that ask
//! as many things at once as real ones do.
//!
//! `cargo nextest run --workspace --run-ignored only --no-capture lives_of_deliveries`

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hookbox::{model::WorkerId, queue::Queue, record::Next};
use tokio::sync::Semaphore;

use super::open_in;
use crate::contract::bed::{LONG, event, settlement, tenant};

const DELIVERIES: usize = 3000;
const SENDERS: usize = 32;
const CONCURRENCY: usize = 128;
const CLAIM: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, which prints and judges nothing"]
async fn lives_of_deliveries() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, bed) = open_in(dir.path()).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    // Made before the clock runs: reading the configuration for each takes longer than storing it.
    let mut events: Vec<_> = (0..DELIVERIES).map(|_| event(&t, &[&hook])).collect();
    let before = backend.write_stats();
    let begun = Instant::now();
    for _ in 0..SENDERS {
        let (backend, share) = (
            Arc::clone(&backend),
            events.split_off(events.len() - events.len().min(DELIVERIES.div_ceil(SENDERS))),
        );
        tokio::spawn(async move {
            for event in share {
                backend.enqueue(vec![event]).await.unwrap();
            }
        });
    }
    let slots = Arc::new(Semaphore::new(CONCURRENCY));
    let done = Arc::new(AtomicUsize::new(0));
    while done.load(Ordering::Relaxed) < DELIVERIES {
        let mut free = vec![Arc::clone(&slots).acquire_owned().await.unwrap()];
        while free.len() < CLAIM
            && let Ok(slot) = Arc::clone(&slots).try_acquire_owned()
        {
            free.push(slot);
        }
        let worker = WorkerId::from("wrk_bench");
        let leased = backend.claim(&worker, free.len(), LONG).await;
        let leased = leased.unwrap().leased;
        if leased.is_empty() {
            backend.wait(Duration::from_millis(100)).await;
        }
        for (leased, slot) in leased.into_iter().zip(free) {
            let (backend, done) = (Arc::clone(&backend), Arc::clone(&done));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                let end = settlement(&leased.token, Next::Finished);
                backend.settle(end).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
                drop(slot);
            });
        }
    }
    let took = begun.elapsed();
    let after = backend.write_stats();
    let commits = after.commits - before.commits;
    println!(
        "{DELIVERIES} deliveries in {took:.2?}: {:.0} per second; {:.1} steps and {:.2} commits for each",
        DELIVERIES as f64 / took.as_secs_f64(),
        (after.steps - before.steps) as f64 / DELIVERIES as f64,
        commits as f64 / DELIVERIES as f64,
    );
}
