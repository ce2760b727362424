//! From a posted event to a delivered request, and the story it leaves behind.

use hookbox_tests::{
    process::hookbox,
    server::{KEY, Server, netbox_event},
    sink::{Answer, Sink},
};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_netbox_event_is_rendered_signed_delivered_and_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let webhook = server
        .webhook(json!({
            "name": "Slack",
            "payload_url": format!("{}?site={{{{ data.slug }}}}", sink.url()),
            "additional_headers": "X-Event: {{ event }}\nX-Name: {{ data.name }}",
            "body_template": "{\"text\": \"{{ data.slug }} was {{ event }} by {{ username }}\"}",
            "secret": "s3cret",
        }))
        .await;
    let id = server.send(&netbox_event()).await;
    let delivery = server.delivery(&id, "finished").await;
    assert_eq!(delivery["webhook"], webhook);

    sink.wait_for(1).await;
    let request = &sink.received()[0];
    assert_eq!(
        &request.body[..],
        br#"{"text": "zuerich-nord was created by jstretch"}"#
    );
    assert_eq!(request.header("x-event"), "created");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), id);
    assert!(request.header("webhook-signature").starts_with("v1,"));
    assert_eq!(request.header("x-hook-signature").len(), 128);

    let show = hookbox()
        .args(["deliveries", "show", &id])
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY)
        .output()
        .expect("hookbox runs");
    let story = String::from_utf8_lossy(&show.stdout);
    assert!(
        show.status.success(),
        "{story}{}",
        String::from_utf8_lossy(&show.stderr)
    );
    for part in [
        "finished",
        "zuerich-nord was created by jstretch",
        "200",
        "fuel",
        "every event to Slack",
    ] {
        assert!(
            story.contains(part),
            "{part:?} is not in the story:\n{story}"
        );
    }
    assert!(!story.contains("s3cret"), "the secret is in the story");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_body_template_the_receiver_gets_netboxes_own_json() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server.webhook(json!({"payload_url": sink.url()})).await;
    server.send(&netbox_event()).await;
    sink.wait_for(1).await;
    let body = String::from_utf8(sink.received()[0].body.to_vec()).expect("UTF-8");
    assert_eq!(
        serde_json::from_str::<Value>(&body).expect("JSON"),
        netbox_event()
    );
    assert!(
        body.starts_with(r#"{"event": "created", "timestamp": "2026-03-06T15:11:23.503186+00:00""#),
        "{body}"
    );
    assert!(body.contains(r#""name": "Z\u00fcrich \"Nord\"""#), "{body}");
    assert!(body.contains(r#""latitude": 47.376887"#), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_placed_where_its_handle_stands_and_recorded_nowhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let (status, answer) = server
        .request(
            reqwest::Method::PUT,
            "/v1/secrets/token",
            Some(&json!({"value": "t0p-s3cret"})),
        )
        .await;
    assert!(status.is_success(), "{answer}");
    server
        .webhook(json!({
            "payload_url": sink.url(),
            "additional_headers": "X-Token: Bearer {{ secret('token') }}\nX-Env: {{ 'token' | env }}",
            "body_template": "{\"token\": \"{{ secret('token') }}\", \"data\": {{ data | tojson }}}",
        }))
        .await;
    let id = server
        .send(&json!({"event": "created", "data": {"n": 1}}))
        .await;
    let delivery = server.delivery(&id, "finished").await;
    sink.wait_for(1).await;
    let request = &sink.received()[0];
    assert_eq!(request.header("x-token"), "Bearer t0p-s3cret");
    assert_eq!(
        request.header("x-env"),
        "t0p-s3cret",
        "NetBox's own way to name one"
    );
    assert_eq!(
        &request.body[..],
        br#"{"token": "t0p-s3cret", "data": {"n": 1}}"#
    );
    assert!(!delivery.to_string().contains("t0p-s3cret"), "{delivery:#}");
    assert!(
        delivery.to_string().contains("[secret:token]"),
        "{delivery:#}"
    );
    let report = server
        .post(
            "/v1/render",
            &json!({"webhook_id": delivery["webhook"], "event": {"event": "created"}}),
        )
        .await;
    assert_eq!(report["outcome"], "request", "{report:#}");
    assert!(!report.to_string().contains("t0p-s3cret"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_matches_nothing_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let webhook = server
        .post(
            "/v1/webhooks",
            &json!({"name": "w", "payload_url": sink.url()}),
        )
        .await;
    server
        .post(
            "/v1/event-rules",
            &json!({
                "name": "active sites", "object_types": ["dcim.site"], "event_types": ["object_created"],
                "conditions": {"attr": "status.value", "value": "planned"}, "webhooks": [webhook["id"]],
            }),
        )
        .await;
    let answer = server.post("/v1/events", &netbox_event()).await;
    assert_eq!(answer["events"][0]["deliveries"], json!([]));
    let id = answer["events"][0]["id"].as_str().expect("an id");
    let event = server.get(&format!("/v1/events/{id}")).await;
    let verdict = &event["explanation"]["rules"][0];
    assert_eq!(verdict["mismatch"], "conditions", "{event:#}");
    assert!(
        verdict["trace"].to_string().contains("status.value"),
        "{event:#}"
    );
    assert!(verdict["trace"].to_string().contains("active"), "{event:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_under_way_and_exits_0() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut server, sink) = (Server::start(dir.path()), Sink::start().await);
    sink.answer(Answer {
        delay: Duration::from_millis(800),
        ..Answer::default()
    });
    server.webhook(json!({"payload_url": sink.url()})).await;
    let id = server.send(&netbox_event()).await;
    sink.wait_for(1).await;
    assert_eq!(server.terminate().code(), Some(0));

    let server = Server::start(dir.path());
    let delivery = server.delivery(&id, "finished").await;
    assert_eq!(delivery["total_attempts"], 1, "{delivery:#}");
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_sent_twice_is_delivered_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server.webhook(json!({"payload_url": sink.url()})).await;
    let event = json!({"event": "created", "id": "change-7", "data": {}});
    let first = server.post("/v1/events", &event).await;
    let second = server.post("/v1/events", &event).await;
    assert_eq!(first["events"][0]["id"], second["events"][0]["id"]);
    assert_eq!(second["events"][0]["duplicate"], true);
    let id = first["events"][0]["deliveries"][0].as_str().expect("an id");
    server.delivery(id, "finished").await;
    assert_eq!(sink.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_adds_is_seen_under_data_and_loses_to_the_event() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let webhook = server
        .post(
            "/v1/webhooks",
            &json!({"name": "w", "payload_url": sink.url(), "body_template": "{{ data.room }} {{ data.name }}"}),
        )
        .await;
    server
        .post(
            "/v1/event-rules",
            &json!({
                "name": "r", "object_types": ["*"], "event_types": ["*"], "webhooks": [webhook["name"]],
                "action_data": {"room": "noc", "name": "from the rule"},
            }),
        )
        .await;
    server
        .send(&json!({"event": "created", "data": {"name": "from the event"}}))
        .await;
    sink.wait_for(1).await;
    assert_eq!(&sink.received()[0].body[..], b"noc from the event");
}
