//! A user with the least rights is enough for everything that hookbox does.

use hookbox_tests::{
    redis::{Options, RedisServer, User},
    sink::Sink,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::block_in_place;

use super::scene::{Scene, fleet};

/// What the documentation tells operators to give hookbox's user.
pub(super) fn documented_rights() -> String {
    let text = include_str!("../../../../docs/operations.md");
    let (_, command) = text
        .split_once("ACL SETUSER hookbox on >PASSWORD ")
        .expect("the documentation has the command");
    let (rights, _) = command.split_once("```").expect("in a block of code");
    rights.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_rights_are_enough() {
    let redis = RedisServer::start(Options {
        users: vec![User {
            name: "app".to_owned(),
            password: "first".to_owned(),
            rules: documented_rights(),
        }],
        ..Options::default()
    });
    let fleet = fleet(redis.url_as("app", "first"));
    let mut scene = Scene::start_on(redis, &fleet).await;
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

    // Nothing was tried that was not allowed, but for what a client says of itself.
    let log = scene.redis.cli(&["acl", "log"]);
    let denied: Vec<&str> = log.lines().skip_while(|l| *l != "object").collect();
    assert!(
        !log.contains("reason\ncommand") && !log.contains("reason\nkey"),
        "{denied:?}"
    );
}
