//! One tenant with a great backlog for a receiver that hangs, and many tenants with one delivery each, with
//! the real worker: what the others feel of it.
//!
//! `HOOKBOX_TEST_FULL=1` runs it with 10,000 tenants and 100,000 deliveries instead of a tenth of them.

use std::{
    collections::HashMap,
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use hookbox::{
    backend::{Queue, Registry, redis::RedisBackend},
    config::Config,
    engine::Engine,
    model::{DeliveryId, TenantId, WebhookId},
    worker,
};
use hookbox_tests::{
    process::program,
    redis::{Options, RedisServer},
    sink::Sink,
};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::open_at;
use crate::contract::bed::{event, tenant, webhook};

/// Events in one step while the backlog is made.
const BATCH: usize = 200;

struct Sizes {
    tenants: usize,
    backlog: usize,
    /// Events that small tenants send in a second, one tenant after the other. Far less than a worker
    /// delivers, so that a latency is not a queue's length.
    rate: u32,
}

fn sizes() -> Sizes {
    let full = env::var_os("HOOKBOX_TEST_FULL").is_some();
    let (share, rate) = if full { (1, 300) } else { (10, 200) };
    Sizes {
        tenants: 10_000 / share,
        backlog: 100_000 / share,
        rate,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_of_one_tenant_is_not_felt_by_the_others() {
    let Sizes {
        tenants,
        backlog,
        rate,
    } = sizes();
    let redis = RedisServer::start(Options::default());
    let mut config = Config::defaults();
    config.guard.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    config.storage.cache_dir = program().with_file_name("test-cache");
    config.delivery.timeout_seconds = 5;
    let backend = open_at(&redis.url(), config.queue_limits(), |_| ()).await;
    let (quick, hanging) = (Sink::start().await, Sink::start().await);
    hanging.admit(0);

    let mut small: Vec<(TenantId, WebhookId)> = Vec::with_capacity(tenants);
    for n in 0..tenants {
        let owner = tenant(&format!("small-{n}"));
        let hook = hook_to(&backend, &owner, &quick).await;
        small.push((owner, hook));
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let engine = Engine::open(config, Arc::<RedisBackend>::clone(&backend))
        .await
        .unwrap();
    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(worker::run(engine, stopped));

    // The first round also fills what the worker remembers of each tenant, and is not counted.
    let _ = round(&backend, &small, &quick, rate).await;
    let alone = round(&backend, &small, &quick, rate).await;

    let big = tenant("big");
    let hook = hook_to(&backend, &big, &hanging).await;
    for _ in 0..backlog / BATCH {
        let batch = (0..BATCH).map(|_| event(&big, &[&hook])).collect();
        backend.enqueue(batch).await.unwrap();
    }
    hanging.wait_for(16).await;
    let beside = round(&backend, &small, &quick, rate).await;

    let queue = backend.overview(Some(&big)).await.unwrap();
    let ratio = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
    println!("{tenants} tenants alone:                {alone:?}");
    println!("beside one with {backlog} queued: {beside:?}; p99 {ratio:.2} times as long");
    assert!(queue.queued as usize > backlog / 2, "the backlog is gone");
    // What this guards against takes seconds: a turn behind the backlog, or behind attempts that hang. A
    // busy machine takes milliseconds.
    assert!(
        beside.p99 < 2 * alone.p99 + Duration::from_millis(250),
        "{ratio:.1}"
    );
    stop.send_replace(true);
    hanging.admit(usize::MAX);
    worker.await.unwrap();
}

async fn hook_to(backend: &Arc<RedisBackend>, owner: &TenantId, sink: &Sink) -> WebhookId {
    let hook = webhook(|spec| {
        spec.payload_url = sink.url();
        spec.body_template = "{{ data.name }}".to_owned();
    });
    backend.put_webhook(owner, &hook, None).await.unwrap();
    hook.id
}

/// From the moment an event is accepted until its delivery arrives.
#[derive(Debug)]
struct Latency {
    #[expect(dead_code, reason = "it is printed")]
    p50: Duration,
    p99: Duration,
}

/// One event for each tenant, at a steady rate.
async fn round(
    backend: &Arc<RedisBackend>,
    tenants: &[(TenantId, WebhookId)],
    sink: &Sink,
    rate: u32,
) -> Latency {
    let before = sink.arrived();
    let mut sent: HashMap<DeliveryId, Instant> = HashMap::with_capacity(tenants.len());
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for (owner, hook) in tenants {
        tick.tick().await;
        let new = event(owner, &[hook]);
        let id = new.deliveries[0].id.clone();
        sent.insert(id, Instant::now());
        backend.enqueue(vec![new]).await.unwrap();
    }
    sink.wait_for(before + tenants.len()).await;
    let mut took: Vec<Duration> = sink.received()[before..]
        .iter()
        .map(|request| {
            let id = DeliveryId::from(request.header("webhook-id"));
            request.at.duration_since(sent[&id])
        })
        .collect();
    took.sort_unstable();
    Latency {
        p50: took[took.len() / 2],
        p99: took[took.len() * 99 / 100],
    }
}
