//! What is particular to the steps and connections of this backend.

use std::time::Duration;

use hookbox::{
    backend::{BackendError, redis::RedisBackend},
    config::{Config, QueueLimits},
};
use hookbox_tests::redis::{Cluster, Options, RedisServer};

use super::open_at;
use crate::contract::bed::{Bed, LIMITS, LONG, ids, tenant};

async fn bed(limits: QueueLimits, shards: i64) -> (RedisServer, Bed) {
    let redis = RedisServer::start(Options::default());
    let change = |config: &mut Config| config.redis.shards = u16::try_from(shards).unwrap();
    let backend = open_at(&redis.url(), limits, change).await;
    let bed = Bed::new(backend, ());
    (redis, bed)
}

/// After a failover to a server whose clock is behind, or when a clock is set back, stamps lie in the future.
#[tokio::test]
async fn a_clock_that_was_set_back_holds_no_first_attempt_up() {
    let (redis, bed) = bed(LIMITS, 1).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let first = bed.send_one(&t, &hook).await;
    let ahead = hookbox::model::Timestamp::now().plus(LONG).as_millis() * 1000;
    redis.cli(&["set", "hookbox:{0}:stamp", &ahead.to_string()]);
    let second = bed.send_one(&t, &hook).await;
    let leased = bed.claim_all().await;
    assert_eq!(ids(&leased), [first, second.clone()]);
    bed.release(&[leased[1].token.clone()]).await.unwrap();
    assert_eq!(ids(&bed.claim_all().await), [second]);
}

#[tokio::test]
async fn wake_ups_need_no_new_connections() {
    let (redis, bed) = bed(LIMITS, 3).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let connections = || {
        let stats = redis.info("stats");
        stats["total_connections_received"].parse::<u32>().unwrap()
    };
    let wake = async || {
        let waiting = tokio::time::timeout(Duration::from_secs(20), bed.wait(LONG));
        let sending = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            bed.send_one(&t, &hook).await;
        };
        tokio::join!(waiting, sending).0.expect("a wake-up");
        bed.claim_all().await
    };
    wake().await;
    let before = connections();
    for _ in 0..30 {
        assert!(!wake().await.is_empty());
    }
    // Each look is a connection of its own.
    let more = connections() - before;
    assert!(more <= 5, "{more} connections for 30 wake-ups");
}

/// All shards are served, and none of them keeps the others waiting.
#[tokio::test]
async fn a_claim_goes_round_the_shards() {
    let (redis, bed) = bed(LIMITS, 4).await;
    let mut hooks = Vec::new();
    for n in 0..12 {
        let t = tenant(&format!("tenant-{n}"));
        let hook = bed.webhook(&t, |_| ()).await;
        for _ in 0..20 {
            bed.send_one(&t, &hook).await;
        }
        hooks.push(hook);
    }
    let used = (0..4).filter(|n| redis.cli(&["exists", &format!("hookbox:{{{n}}}:ring")]) == "1");
    assert_eq!(
        used.count(),
        4,
        "twelve tenants are spread over four shards"
    );
    let mut served = std::collections::HashSet::new();
    for _ in 0..12 {
        let claim = bed.claim_for(4, LONG).await;
        assert_eq!(claim.next_due, Some(Duration::ZERO));
        served.extend(claim.leased.into_iter().map(|l| l.delivery.tenant));
    }
    assert!(
        served.len() >= 10,
        "only {} tenants had a turn",
        served.len()
    );
}

#[tokio::test]
async fn an_emptied_server_keeps_its_number_of_shards() {
    let (redis, bed) = bed(LIMITS, 3).await;
    redis.cli(&["flushall"]);
    bed.ping().await.unwrap();
    assert_eq!(redis.cli(&["hget", "hookbox:{0}:meta", "shards"]), "3");
    let mut config = Config::load(None, &[("redis.url", redis.url().into())]).unwrap();
    config.redis.shards = 5;
    let refused = RedisBackend::open(&config.redis, LIMITS).await.unwrap_err();
    assert!(refused.to_string().contains("3 shards"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_one_node_of_a_cluster_is_refused_with_what_to_write() {
    let cluster = tokio::task::block_in_place(|| Cluster::start(3, 0, &Options::default()));
    let config = Config::load(None, &[("redis.url", cluster.nodes[0].url().into())]).unwrap();
    let refused = RedisBackend::open(&config.redis, LIMITS).await.unwrap_err();
    assert!(matches!(refused, BackendError::Internal(_)), "{refused:?}");
    assert!(
        refused.to_string().contains("redis+cluster://"),
        "{refused}"
    );
}

/// Something else than hookbox has removed keys: that spoils the one delivery, not the claim.
#[tokio::test]
async fn a_delivery_whose_event_is_missing_fails_and_the_others_go_on() {
    let (redis, bed) = bed(LIMITS, 1).await;
    let t = tenant("t");
    let hook = bed.webhook(&t, |_| ()).await;
    let (lost, sound) = (bed.send_one(&t, &hook).await, bed.send_one(&t, &hook).await);
    let event = bed.get(&t, &lost).await.event;
    redis.cli(&["del", &format!("hookbox:{{0}}:context:{event}")]);
    assert_eq!(ids(&bed.claim_all().await), [sound]);
    let failed = bed.get(&t, &lost).await;
    assert_eq!(failed.status, hookbox::backend::Status::Failed);
    assert!(failed.last_result.unwrap().contains("event is missing"));
}
