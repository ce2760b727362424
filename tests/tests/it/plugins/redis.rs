//! Over Redis: who takes a plugin in is not who runs it.

use hookbox_tests::{
    fleet::Fleet,
    redis::{Options, RedisServer},
    sink::Sink,
};
use serde_json::json;

use super::{event, ran, says, upload};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_fetches_and_compiles_a_plugin_that_it_has_never_seen() {
    let redis = RedisServer::start(Options::default());
    let sink = Sink::start().await;
    let fleet = Fleet::new(redis.url());
    let server = fleet.api().await;
    // In every run another component, so that it is not in the cache that tests share.
    let body = format!("from {}", sink.addr);
    let version = upload(&server, "name=mine", says(&sink.url(), &body)).await;
    server
        .webhook(json!({"payload_url": "https://unused.example", "plugin": "mine"}))
        .await;
    let id = server.send(&event()).await;
    let cache = tempfile::tempdir().unwrap();
    let _worker = fleet.worker_with_cache(cache.path());
    let delivery = server.delivery(&id, "finished").await;
    assert_eq!(ran(&delivery), format!("mine@{}", &version[..12]));
    assert_eq!(sink.received()[0].body, body);
    let artifacts = std::fs::read_dir(cache.path()).unwrap();
    assert!(artifacts.count() >= 3, "its key, jinja and the plugin");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_make_room_for_new_ones() {
    let redis = RedisServer::start(Options::default());
    let fleet = Fleet::new(redis.url());
    super::versions::make_room(&fleet.api().await).await;
}
