//! Receivers that are down, slow or rude.

use std::time::Duration;

use hookbox_tests::{
    server::{Server, netbox_event},
    sink::{Answer, Sink},
};
use serde_json::{Value, json};

fn started(delivery: &Value) -> Vec<i64> {
    let attempts = delivery["attempts"].as_array().expect("attempts");
    attempts
        .iter()
        .map(|a| {
            a["started"]
                .as_str()
                .expect("a time")
                .parse::<jiff::Timestamp>()
                .expect("RFC 3339")
        })
        .map(jiff::Timestamp::as_millisecond)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_down_is_tried_as_planned_then_failed_then_requeued() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let addr = Sink::start().await.addr; // dropped at once: the port is closed
    server
        .webhook(json!({
            "payload_url": format!("http://{addr}/"),
            "retry": {"schedule": [1, 2], "jitter": 0},
        }))
        .await;
    let id = server.send(&netbox_event()).await;
    let waiting = server.delivery(&id, "scheduled").await;
    assert!(waiting["next_attempt"].is_string(), "{waiting:#}");

    let failed = server.delivery(&id, "failed").await;
    let times = started(&failed);
    assert_eq!(times.len(), 3, "{failed:#}");
    for (gap, planned) in [(times[1] - times[0], 1000), (times[2] - times[1], 2000)] {
        assert!(
            (planned..planned + 10_000).contains(&gap),
            "{gap} ms instead of {planned}"
        );
    }
    assert_eq!(
        failed["attempts"][0]["error"]["kind"], "connect",
        "{failed:#}"
    );

    let sink = Sink::start_on(addr).await;
    server
        .post(&format!("/v1/deliveries/{id}/requeue"), &json!({}))
        .await;
    let delivered = server.delivery(&id, "finished").await;
    assert_eq!(delivered["total_attempts"], 4);
    assert_eq!(sink.received()[0].header("webhook-id"), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_error_is_final_and_a_server_error_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server
        .webhook(json!({"payload_url": sink.url(), "retry": {"schedule": [1], "jitter": 0}}))
        .await;
    sink.answer(Answer {
        status: 404,
        ..Answer::default()
    });
    let id = server.send(&netbox_event()).await;
    let failed = server.delivery(&id, "failed").await;
    assert_eq!(failed["total_attempts"], 1, "{failed:#}");

    sink.answer(Answer {
        status: 503,
        ..Answer::default()
    });
    let id = server.send(&netbox_event()).await;
    server.delivery(&id, "scheduled").await;
    sink.answer(Answer::default());
    let delivered = server.delivery(&id, "finished").await;
    assert_eq!(delivered["total_attempts"], 2, "{delivered:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_the_webhook_names_is_tried_again_and_304_is_no_redirect() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    let retry = json!({"schedule": [1], "jitter": 0.0, "statuses": [304, 423]});
    let id = server
        .webhook(json!({"payload_url": sink.url(), "retry": retry}))
        .await;
    let webhook = server.get(&format!("/v1/webhooks/{id}")).await;
    assert_eq!(webhook["retry"], retry);
    for (status, tried_again) in [(423, true), (304, true), (409, false)] {
        sink.answer(Answer {
            status,
            ..Answer::default()
        });
        let id = server.send(&netbox_event()).await;
        let delivery = if tried_again {
            server.delivery(&id, "scheduled").await
        } else {
            server.delivery(&id, "failed").await
        };
        let error = &delivery["attempts"][0]["error"];
        assert_eq!(error["retryable"], tried_again, "{delivery:#}");
        let message = error["message"].as_str().expect("a message");
        assert!(!message.contains("redirect"), "{message}");
        sink.answer(Answer::default());
        if tried_again {
            let delivered = server.delivery(&id, "finished").await;
            assert_eq!(delivered["total_attempts"], 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_holds_back_the_whole_webhook() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server
        .webhook(json!({"payload_url": sink.url(), "retry": {"schedule": [1], "jitter": 0}}))
        .await;
    sink.answer(Answer {
        status: 429,
        retry_after: Some(2),
        ..Answer::default()
    });
    let first = server.send(&netbox_event()).await;
    server.delivery(&first, "scheduled").await;
    sink.answer(Answer::default());
    let second = server.send(&netbox_event()).await;
    let queue = server.get("/v1/queue").await;
    assert_eq!(
        queue["paused"].as_array().map(Vec::len),
        Some(1),
        "{queue:#}"
    );

    let first = server.delivery(&first, "finished").await;
    let second = server.delivery(&second, "finished").await;
    let rest = started(&first)[1] - started(&first)[0];
    assert!(rest >= 2000, "tried again after {rest} ms");
    assert!(
        started(&second)[0] - started(&first)[0] >= 2000,
        "{second:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hanging_receiver_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, hanging, quick) = (
        Server::start(dir.path()),
        Sink::start().await,
        Sink::start().await,
    );
    hanging.answer(Answer {
        delay: Duration::from_secs(20),
        ..Answer::default()
    });
    let slow = server
        .post(
            "/v1/webhooks",
            &json!({"name": "slow", "payload_url": hanging.url(), "timeout": 15}),
        )
        .await;
    let fast = server
        .post(
            "/v1/webhooks",
            &json!({"name": "fast", "payload_url": quick.url()}),
        )
        .await;
    for (webhook, object_type) in [(&slow, "a.slow"), (&fast, "a.fast")] {
        server
            .post(
                "/v1/event-rules",
                &json!({"name": object_type, "object_types": [object_type], "event_types": ["*"], "webhooks": [webhook["id"]]}),
            )
            .await;
    }
    let events: Vec<Value> = (0..300)
        .map(|_| json!({"event": "x", "object_type": "a.slow"}))
        .collect();
    server.post("/v1/events", &Value::from(events)).await;
    hanging.wait_for(16).await;
    let id = server
        .send(&json!({"event": "x", "object_type": "a.fast"}))
        .await;
    let delivery = server.delivery(&id, "finished").await;
    let waited = delivery["attempts"][0]["timings"]["waited_ms"]
        .as_u64()
        .expect("a number");
    assert!(
        waited < 10_000,
        "waited {waited} ms behind a hanging receiver"
    );
    assert_eq!(
        hanging.received().len(),
        16,
        "more than max_in_flight were under way"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_delivery_is_not_sent() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    sink.answer(Answer {
        status: 500,
        ..Answer::default()
    });
    server
        .webhook(json!({"payload_url": sink.url(), "retry": {"schedule": [1], "jitter": 0}}))
        .await;
    let id = server.send(&netbox_event()).await;
    server.delivery(&id, "scheduled").await;
    server
        .post(&format!("/v1/deliveries/{id}/cancel"), &json!({}))
        .await;
    let (status, problem) = server
        .refuse(&format!("/v1/deliveries/{id}/cancel"), &json!({}))
        .await;
    assert_eq!(status, 409, "{problem}");
    // Another delivery that was scheduled later and does come proves that the moment has passed.
    let other = server.send(&netbox_event()).await;
    server.delivery(&other, "failed").await;
    assert_eq!(sink.counts()[&id], 1);
}
