//! What is kept of components, seen in the keys.

use futures_util::future::join_all;
use hookbox::{
    backend::{BackendError, Registry},
    config::Retention,
    model::{Arm, Canary, Timestamp},
};
use hookbox_tests::redis::{Options, RedisServer, User};

use super::{open_at, rights::documented_rights};
use crate::contract::{
    bed::{Bed, LIMITS, LONG, tenant, until},
    components::{bytes, component, digest, interrupt},
    plugins::plugin,
};

const KEEP: Retention = Retention {
    finished: LONG,
    failed: LONG,
};

async fn bed() -> (RedisServer, Bed) {
    let redis = RedisServer::start(Options::default());
    let backend = open_at(&redis.url(), LIMITS, |config| config.redis.shards = 1).await;
    (redis, Bed::new(backend, ()))
}

fn keys(redis: &RedisServer, pattern: &str) -> Vec<String> {
    let found = redis.cli(&["keys", &format!("hookbox:{{0}}:{pattern}")]);
    found
        .lines()
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}

/// An hour passes for all that was stored.
fn an_hour_passes(redis: &RedisServer) {
    let keep = "hookbox:{0}:keep";
    for member in redis.cli(&["zrange", keep, "0", "-1"]).lines() {
        redis.cli(&["zincrby", keep, "-3600000000", member]);
    }
}

#[tokio::test]
async fn an_interrupted_upload_goes_after_an_hour() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    interrupt(&bed, &t, &bytes(20 << 20, 1)).await;
    let waits = component(&bed, &t, "waits for its plugin").await;
    bed.prune(KEEP, 100).await.unwrap();
    let pieces = keys(&redis, "piece:*").len();
    assert!(pieces > 1, "{pieces}");
    an_hour_passes(&redis);
    let young = component(&bed, &t, "young").await;
    bed.prune(KEEP, 100).await.unwrap();
    assert_eq!(keys(&redis, "piece:*").len(), 1);
    assert_eq!(bed.component(&t, &waits).await.unwrap(), None);
    assert!(bed.component(&t, &young).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_plugin_needs_is_kept_whenever_it_was_stored() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    let one = component(&bed, &t, "one").await;
    bed.put_plugin(&t, &plugin("it", &[&one]), None)
        .await
        .unwrap();
    component(&bed, &t, "one").await;
    an_hour_passes(&redis);
    bed.prune(KEEP, 100).await.unwrap();
    assert!(bed.component(&t, &one).await.unwrap().is_some());
    assert_eq!(keys(&redis, "keep"), [""; 0]);
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    assert_eq!(keys(&redis, "piece:*"), [""; 0]);
}

#[tokio::test]
async fn nothing_is_left_of_plugins_that_are_gone() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    let hook = bed
        .webhook(&t, |spec| spec.plugin = Some("it@0123".to_owned()))
        .await;
    let large = bytes(20 << 20, 1);
    let sha256 = digest(&large);
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
    let small = component(&bed, &t, "small").await;
    let mut it = plugin("it", &[&small, &sha256]);
    it.canary = Some(Canary {
        version: small,
        share: 1,
        started: Timestamp::from_millis(1),
    });
    bed.put_plugin(&t, &it, None).await.unwrap();
    let count = bed.tally(&t, "it", Timestamp::from_millis(1), Arm::Canary, true);
    count.await.unwrap();
    assert_eq!(keys(&redis, "piece:*").len(), 81);
    assert!(Registry::delete_webhook(&**bed, &t, &hook).await.unwrap());
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    for pattern in ["*plugin*", "*component*", "piece:*", "keep", "trial:*"] {
        assert_eq!(keys(&redis, pattern), [""; 0]);
    }
}

#[tokio::test]
async fn a_trial_that_ended_without_a_word_is_forgotten_some_day() {
    let (redis, bed) = bed().await;
    let (t, started) = (tenant("t"), Timestamp::from_millis(1));
    let count = bed.tally(&t, "it", started, Arm::Canary, true);
    count.await.unwrap();
    let ttl = redis.cli(&["ttl", "hookbox:{0}:trial:t|it"]);
    assert!(ttl.parse::<i64>().unwrap() > 86_400, "{ttl}");
}

#[tokio::test]
async fn a_component_that_lost_a_piece_is_damaged() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    let large = bytes(6 << 20, 1);
    let sha256 = digest(&large);
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
    let lost = keys(&redis, "piece:*|23");
    assert_eq!(redis.cli(&["del", &lost[0]]), "1");
    let found = bed.component(&t, &sha256).await;
    assert!(matches!(found, Err(BackendError::Corrupt(_))), "{found:?}");
}

/// As a failover to a replica that was behind does.
#[tokio::test]
async fn an_upload_of_which_redis_lost_a_part_fails() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    let large = bytes(20 << 20, 1);
    let sha256 = digest(&large);
    for lost in ["piece:*|0", "keep"] {
        let losing = async {
            until(async || keys(&redis, "piece:*|0").pop()).await;
            let lost = keys(&redis, lost);
            assert_eq!(redis.cli(&["del", &lost[0]]), "1");
        };
        let (stored, ()) = tokio::join!(bed.put_component(&t, &sha256, &large, None), losing);
        assert!(
            matches!(stored, Err(BackendError::Unavailable { .. })),
            "{lost}: {stored:?}"
        );
        assert_eq!(bed.component(&t, &sha256).await.unwrap(), None);
    }
    bed.put_component(&t, &sha256, &large, None).await.unwrap();
    assert!(bed.component(&t, &sha256).await.unwrap().is_some());
}

#[tokio::test]
async fn the_least_rights_are_enough_for_plugins() {
    let redis = RedisServer::start(Options {
        users: vec![User {
            name: "app".to_owned(),
            password: "first".to_owned(),
            rules: documented_rights(),
        }],
        ..Options::default()
    });
    let bed = Bed::new(
        open_at(&redis.url_as("app", "first"), LIMITS, |_| ()).await,
        (),
    );
    let t = tenant("t");
    let one = component(&bed, &t, "one").await;
    bed.put_component(&t, &digest(b"two"), b"two", Some(6))
        .await
        .unwrap();
    bed.release_component(&t, &digest(b"two")).await.unwrap();
    bed.put_plugin(&t, &plugin("it", &[&one]), None)
        .await
        .unwrap();
    assert_eq!(bed.tenant(&t).await.unwrap().plugins.len(), 1);
    assert_eq!(bed.plugins(&t, 1, None).await.unwrap().results.len(), 1);
    assert!(bed.component(&t, &one).await.unwrap().is_some());
    let started = Timestamp::from_millis(1);
    let count = bed.tally(&t, "it", started, Arm::Current, true).await;
    assert_eq!(
        bed.tallies(&t, "it", started).await.unwrap(),
        count.unwrap()
    );
    assert!(bed.delete_plugin(&t, "it").await.unwrap());
    bed.prune(KEEP, 1).await.unwrap();
}

#[tokio::test]
async fn of_uploads_of_the_same_at_once_one_is_kept() {
    let (redis, bed) = bed().await;
    let t = tenant("t");
    let many = bytes(20 << 18, 1);
    let sha256 = digest(&many);
    let all = join_all((0..3).map(|_| bed.put_component(&t, &sha256, &many, None))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(keys(&redis, "piece:*").len(), 60);
    bed.prune(KEEP, 100).await.unwrap();
    assert_eq!(keys(&redis, "piece:*").len(), 20);
    assert!(bed.component(&t, &sha256).await.unwrap().unwrap() == many);
}
