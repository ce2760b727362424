//! `/v1/events`

use hookbox_tests::api::{ADMIN, Api};
use reqwest::Method;
use serde_json::{Value, json};

use super::{event, every_event_to, webhook};

#[tokio::test]
async fn an_accepted_event_says_what_it_set_off_and_why() {
    let api = Api::start().await;
    let hook = api.create("/v1/webhooks", &webhook("a")).await;
    let rule = api.create("/v1/event-rules", &every_event_to("a")).await;
    api.create(
        "/v1/event-rules",
        &json!({"name": "never", "object_types": ["dcim.device"], "event_types": ["*"], "webhooks": ["a"]}),
    )
    .await;

    let accepted = api.post("/v1/events", &event("Oslo")).await.expect(202);
    let one = &accepted["events"][0];
    assert_eq!(one["duplicate"], false);
    assert_eq!(one["deliveries"].as_array().unwrap().len(), 1);

    let path = format!("/v1/events/{}", one["id"].as_str().unwrap());
    let stored = api.get(&path).await.expect(200);
    assert_eq!(stored["event_type"], "object_created");
    assert_eq!(stored["context"]["data"]["name"], "Oslo");
    assert_eq!(stored["deliveries"][0]["webhook"], json!(hook));
    let verdicts = stored["explanation"]["rules"].as_array().unwrap();
    assert_eq!(verdicts.len(), 2, "{stored:#}");
    let of = |matched: bool| verdicts.iter().find(|v| v["matched"] == matched).unwrap();
    assert_eq!(of(true)["rule"], json!(rule));
    assert_eq!(of(false)["mismatch"], "object_type");
    api.get("/v1/events/evt_none")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_recognised() {
    let api = Api::start().await;
    let send = |key: &'static str, body: Value| {
        let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
        api.send(request.header("idempotency-key", key).json(&body))
    };
    let first = send("k1", event("a")).await.expect(202);
    let again = send("k1", event("a")).await.expect(202);
    assert_eq!(again["events"][0]["id"], first["events"][0]["id"]);
    assert_eq!(again["events"][0]["duplicate"], true);
    send("k1", event("b"))
        .await
        .problem(422, "idempotency-mismatch");
    send("", event("b")).await.problem(422, "validation-failed");

    let twice = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let twice = twice
        .header("idempotency-key", "x")
        .header("idempotency-key", "y")
        .json(&event("b"));
    api.send(twice).await.problem(400, "malformed-body");
}

#[tokio::test]
async fn batches_are_taken_whole_or_not_at_all() {
    let api = Api::start_with(|config| config.ingest.max_batch = 3).await;
    let accepted = api
        .post("/v1/events", &json!([event("a"), event("b")]))
        .await
        .expect(202);
    assert_eq!(accepted["events"].as_array().unwrap().len(), 2);
    let refused = api
        .post("/v1/events", &json!([event("a"), {"object_type": "x"}]))
        .await;
    assert!(
        refused.problem(422, "validation-failed").contains("[1]"),
        "{}",
        refused.text
    );
    let many: Vec<Value> = (0..4).map(|i| event(&i.to_string())).collect();
    let refused = api.post("/v1/events", &json!(many)).await;
    assert!(refused.status.is_client_error(), "{}", refused.text);

    let lines = format!("{}\n{}\n", event("a"), event("b"));
    let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let accepted = api
        .send(
            request
                .header("content-type", "application/x-ndjson")
                .body(lines),
        )
        .await;
    assert_eq!(accepted.expect(202)["events"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_holds_no_events_is_refused_by_its_type() {
    let api = Api::start().await;
    let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let refused = api
        .send(request.header("content-type", "text/html").body("<p>"))
        .await;
    refused.problem(415, "unsupported-media-type");
    let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let refused = api
        .send(
            request
                .header("content-type", "application/json")
                .body("{\"event\":"),
        )
        .await;
    refused.problem(400, "malformed-body");
}

#[tokio::test]
async fn what_would_cause_too_many_deliveries_is_refused_whole() {
    let api = Api::start_with(|config| {
        config.limits.deliveries_per_event = 2;
        config.limits.deliveries_per_request = 3;
    })
    .await;
    api.create("/v1/webhooks", &webhook("a")).await;
    api.create("/v1/event-rules", &every_event_to("a")).await;
    let events = |n| Value::from(vec![event("Oslo"); n]);
    api.post("/v1/events", &events(3)).await.expect(202);
    let detail = api
        .post("/v1/events", &events(4))
        .await
        .problem(409, "limit-reached");
    assert!(detail.contains("fewer events"), "{detail}");

    for name in ["second", "third"] {
        let mut rule = every_event_to("a");
        rule["name"] = name.into();
        api.create("/v1/event-rules", &rule).await;
    }
    api.post("/v1/events", &event("Oslo"))
        .await
        .problem(409, "limit-reached");
    let deliveries = api.get("/v1/deliveries").await.expect(200);
    assert_eq!(deliveries["results"].as_array().unwrap().len(), 3);
}
