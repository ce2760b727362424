//! A user with the least rights is enough for everything that hookbox does.

use std::sync::Arc;

use hookbox::{
    backend::{BackendError, Queue, redis::RedisBackend},
    config::Config,
};
use hookbox_tests::{
    redis::{Cluster, Options, RedisServer, User},
    sink::Sink,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::block_in_place;

use super::{
    open_at,
    producers::Producers,
    scene::{Scene, fleet},
    tenants::keys_of_tenants,
};
use crate::contract::bed::LIMITS;

/// What the documentation tells operators to give hookbox's user.
pub(super) fn documented_rights() -> String {
    let text = include_str!("../../../../docs/operations.md");
    let (_, command) = text
        .split_once("ACL SETUSER hookbox on >PASSWORD ")
        .expect("the documentation has the command");
    let (rights, _) = command.split_once("```").expect("in a block of code");
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same without what it says may be left out: then nothing is in it that Redis calls dangerous or of an
/// administrator.
fn bare_rights() -> String {
    let all = documented_rights();
    let bare = all.replace(" +info", "").replace(" +config|get", "");
    assert_ne!(bare, all);
    bare
}

fn users(rules: String) -> Options {
    Options {
        users: vec![User {
            name: "app".to_owned(),
            password: "first".to_owned(),
            rules,
        }],
        ..Options::default()
    }
}

/// What the server refused to the user, each as the entry of its log says it: `command` or `key` or `channel`, and the
/// command's or key's name. But for one: whether there is a store of an earlier version is asked before a new one is
/// set up.
fn refused(redis: &RedisServer) -> Vec<(String, String)> {
    let log = redis.cli(&["acl", "log"]);
    let lines: Vec<&str> = log.lines().collect();
    let after = |at: usize, name: &str| {
        let at = lines[at..].iter().position(|line| *line == name)? + at;
        lines.get(at + 1).map(|line| (*line).to_owned())
    };
    let entries = (0..lines.len()).filter(|at| lines[*at] == "reason");
    entries
        .map(|at| (after(at, "reason").unwrap(), after(at, "object").unwrap()))
        .filter(|(_, what)| what != "{hookbox:0}:meta")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    let redis = RedisServer::start(users(documented_rights()));
    let fleet = fleet(redis.url_as("app", "first"));
    let scene = uses_everything(Scene::start_on(redis, &fleet).await).await;
    // What a client says of itself is not needed.
    let refused = refused(&scene.redis);
    assert!(
        refused.iter().all(|(_, what)| what.starts_with("client|")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_dangerous_is_needed_and_no_key_without_the_prefix() {
    let redis = RedisServer::start(users(bare_rights()));
    for category in ["dangerous", "admin"] {
        for command in redis.cli(&["acl", "cat", category]).lines() {
            let mut words = vec!["acl", "dryrun", "app"];
            words.extend(command.split('|'));
            // With as many arguments as it takes, for Redis looks at those first.
            let answer = loop {
                match redis.ask(&words) {
                    Err(error) if error.contains("wrong number") => words.push("1"),
                    other => break other.unwrap(),
                }
            };
            assert!(
                answer.contains("no permissions to run"),
                "{command}: {answer}"
            );
        }
    }
    let fleet = fleet(redis.url_as("app", "first"));
    let scene = uses_everything(Scene::start_on(redis, &fleet).await).await;
    let refused = refused(&scene.redis);
    let only_looks =
        |what: &str| matches!(what, "info" | "config|get") || what.starts_with("client|");
    assert!(
        refused
            .iter()
            .all(|(why, what)| why == "command" && only_looks(what)),
        "{refused:?}"
    );
    let keys = scene.redis.cli(&["keys", "*"]);
    assert!(keys.lines().count() > 20, "{keys}");
    assert!(
        keys.lines().all(|key| key.starts_with("hookbox:")),
        "{keys}"
    );
    assert_eq!(scene.redis.cli(&["pubsub", "channels"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_rights_are_enough_in_a_cluster() {
    let cluster = block_in_place(|| Cluster::start(3, 0, &users(bare_rights())));
    let url = cluster.url().replace("//", "//app:first@");
    let keys = keys_of_tenants(&url, 8, 6).await;
    let fleet = fleet(url);
    let (api, _worker) = (fleet.api().await, fleet.worker());
    let sink = Sink::start().await;
    let producers = Arc::new(Producers::new(std::slice::from_ref(&api), keys));
    producers.configure(&sink.url()).await;
    Arc::clone(&producers).produce(0, 0..30).await;
    sink.wait_for(30).await;
    for node in &cluster.nodes {
        let keys = node.cli(&["keys", "*"]);
        assert!(!keys.is_empty(), "a node has no part of it");
        assert!(
            keys.lines().all(|key| key.starts_with("hookbox:")),
            "{keys}"
        );
        let refused = refused(node);
        assert!(
            refused
                .iter()
                .all(|(why, what)| why == "command" && !what.starts_with("cluster")),
            "{refused:?}"
        );
    }
}

/// Of an earlier version: every key began with a brace.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_earlier_version_goes_on_with_its_names() {
    let old = documented_rights().replace("~hookbox:*", "~{hookbox:*");
    let redis = RedisServer::start(users(old));
    // All that such a version had set up.
    redis.cli(&["hset", "{hookbox:0}:meta", "shards", "1"]);
    let fleet = fleet(redis.url_as("app", "first"));
    let scene = uses_everything(Scene::start_on(redis, &fleet).await).await;
    let keys = scene.redis.cli(&["keys", "*"]);
    assert!(keys.lines().count() > 20, "{keys}");
    assert!(
        keys.lines().all(|key| key.starts_with("{hookbox:0}:")),
        "{keys}"
    );
}

/// Or two processes would use two stores.
#[tokio::test]
async fn a_store_with_old_names_does_not_go_on_beside_a_new_one() {
    let redis = RedisServer::start(Options::default());
    redis.cli(&["hset", "{hookbox:0}:meta", "shards", "1"]);
    let old = open_at(&redis.url(), LIMITS, |_| ()).await;
    old.ping().await.unwrap();
    redis.cli(&["flushall"]);
    let new = open_at(&redis.url(), LIMITS, |_| ()).await;
    let told = old.ping().await.unwrap_err().to_string();
    assert!(
        told.contains("hookbox:{0}:") && told.contains("restart"),
        "{told}"
    );
    new.ping().await.unwrap();
}

#[tokio::test]
async fn a_user_that_may_not_use_the_keys_is_told_so() {
    let rules = documented_rights().replace("~hookbox:*", "~other:*");
    let redis = RedisServer::start(users(rules));
    let url = redis.url_as("app", "first");
    let config = Config::load(None, &[("redis.url", url.into())]).unwrap();
    let refused = RedisBackend::open(&config.redis, LIMITS).await.unwrap_err();
    assert!(matches!(refused, BackendError::Internal(_)), "{refused:?}");
    assert!(refused.to_string().contains("hookbox:{0}:"), "{refused}");
}

/// Configures, sends, looks, moves on and removes, in all ways that the API has.
async fn uses_everything(mut scene: Scene) -> Scene {
    let api = &scene.api;
    let call = async |method: Method, path: &str, body: Option<serde_json::Value>| {
        let (status, answer) = api.request(method.clone(), path, body.as_ref()).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    };
    let id = |answer: &serde_json::Value| answer["id"].as_str().unwrap().to_owned();

    // Configuration: made, listed, changed, removed.
    call(
        Method::PUT,
        "/v1/secrets/token",
        Some(json!({"value": "x"})),
    )
    .await;
    call(Method::GET, "/v1/secrets", None).await;
    let slow = Sink::start().await;
    slow.admit(0);
    let hook =
        json!({"name": "other", "payload_url": slow.url(), "max_in_flight": 1, "rate_limit": 50.0});
    let hook = id(&call(Method::POST, "/v1/webhooks", Some(hook)).await);
    let rule =
        json!({"name": "other", "object_types": ["c.d"], "event_types": ["*"], "webhooks": [hook]});
    let rule = id(&call(Method::POST, "/v1/event-rules", Some(rule)).await);
    call(Method::GET, "/v1/event-rules?limit=1", None).await;
    let change = Some(json!({"http_method": "PUT"}));
    call(Method::PATCH, &format!("/v1/webhooks/{hook}"), change).await;
    let key = json!({"name": "sender", "scope": "ingest"});
    let key = id(&call(Method::POST, "/v1/keys", Some(key)).await);
    call(Method::GET, "/v1/keys", None).await;

    // A delivery that waits is called off and queued again; one that went is listed and looked at.
    let event = |id: &str| {
        Some(json!({"id": id, "event": "created", "object_type": "c.d", "data": {"n": 2}}))
    };
    call(Method::POST, "/v1/events", event("one")).await;
    slow.wait_for(1).await;
    let answer = call(Method::POST, "/v1/events", event("two")).await;
    let again = call(Method::POST, "/v1/events", event("two")).await;
    assert_eq!(again["events"][0]["duplicate"], true);
    let event = id(&answer["events"][0]);
    call(Method::GET, &format!("/v1/events/{event}"), None).await;
    let held = format!("/v1/deliveries?status=queued&webhook={hook}");
    let waiting = id(&call(Method::GET, &held, None).await["results"][0]);
    let delivery = format!("/v1/deliveries/{waiting}");
    for what in ["cancel", "requeue", "cancel"] {
        call(Method::POST, &format!("{delivery}/{what}"), None).await;
    }
    slow.admit(usize::MAX);
    let all = Some(json!({"status": "cancelled"}));
    call(Method::POST, "/v1/deliveries/requeue", all).await;
    call(Method::GET, &delivery, None).await;
    for path in [
        "/v1/queue",
        "/v1/workers",
        "/v1/usage",
        "/readyz",
        "/metrics",
    ] {
        call(Method::GET, path, None).await;
    }
    for path in [
        format!("/v1/event-rules/{rule}"),
        format!("/v1/webhooks/{hook}"),
        format!("/v1/keys/{key}"),
        "/v1/secrets/token".to_owned(),
    ] {
        call(Method::DELETE, &path, None).await;
    }
    scene.flows().await;
    let ended = block_in_place(|| scene.worker.terminate());
    assert!(ended.success(), "{ended}");
    let (status, workers) = scene.api.request(Method::GET, "/v1/workers", None).await;
    assert_eq!((status, &workers["results"]), (StatusCode::OK, &json!([])));

    scene
}
