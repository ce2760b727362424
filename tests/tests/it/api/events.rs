//! `/v1/events`

use std::time::Duration;

use hookbox_tests::api::{ADMIN, Answer, Api};
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
    let detail = send("k1", event("b"))
        .await
        .problem(422, "idempotency-mismatch");
    assert!(detail.contains("\"k1\""), "{detail}");
    // The key stands for the request: one with the same events and one more is another.
    send("k2", json!([event("a"), event("b")]))
        .await
        .expect(202);
    for other in [
        json!([event("a")]),
        json!([event("a"), event("b"), event("c")]),
    ] {
        send("k2", other).await.problem(422, "idempotency-mismatch");
    }
    let usage = api.get("/v1/usage").await.expect(200);
    assert_eq!(usage["events"], 3, "nothing of what was refused is stored");
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
    let text = refused.problem(422, "validation-failed");
    assert!(
        text.starts_with("events: there are more than 3 events"),
        "{text}"
    );

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
async fn too_many_events_are_refused_by_the_name_of_the_list_and_of_the_limit() {
    let api = Api::start_with(|config| config.ingest.max_batch = 3).await;
    let array = Value::from(vec![event("a"); 4]);
    let lines = format!("{}\n", event("a")).repeat(4);
    for (content_type, body) in [
        ("application/json", array.to_string()),
        ("application/cloudevents-batch+json", array.to_string()),
        ("application/x-ndjson", lines),
    ] {
        let answer = send(&api, &[("content-type", content_type)], body).await;
        let detail = answer.problem(422, "validation-failed");
        assert!(detail.contains("ingest.max_batch"), "{detail}");
        let problem: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(problem["errors"][0]["field"], "events", "{problem}");
    }
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

async fn send(api: &Api, headers: &[(&str, &str)], body: String) -> Answer {
    let mut request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(body)).await
}

/// The stored event of an answer that took one.
async fn stored(api: &Api, answer: &Answer) -> Value {
    let accepted = answer.expect(202);
    assert_eq!(accepted["events"].as_array().unwrap().len(), 1);
    let id = accepted["events"][0]["id"].as_str().unwrap();
    api.get(&format!("/v1/events/{id}")).await.expect(200)
}

#[tokio::test]
async fn a_cloudevent_comes_as_headers_and_data() {
    let api = Api::start().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "7"),
        ("ce-source", "/netbox/Z%C3%BCrich"),
        ("ce-type", "object_created"),
        ("ce-objecttype", "dcim.site"),
        ("ce-time", "2026-03-06T15:11:23Z"),
        ("content-type", "application/json"),
    ];
    let data = json!({"name": "Oslo"});
    let answer = send(&api, &headers, data.to_string()).await;
    let event = stored(&api, &answer).await;
    assert_eq!(
        (&event["event_type"], &event["object_type"]),
        (&json!("object_created"), &json!("dcim.site"))
    );
    let context = &event["context"];
    assert_eq!(context["data"], data);
    assert_eq!(context["source"], "/netbox/Zürich");
    assert_eq!(context["timestamp"], "2026-03-06T15:11:23Z");

    // The same event is recognised, in another mode and order too, and another one is not taken for it.
    let structured = json!({"type": "object_created", "source": "/netbox/Zürich", "id": "7", "specversion": "1.0",
        "data": data, "objecttype": "dcim.site", "time": "2026-03-06T15:11:23Z", "subject": null});
    let kind = ("content-type", "application/cloudevents+json");
    for again in [
        send(&api, &headers, data.to_string()).await,
        send(&api, &[kind], structured.to_string()).await,
    ] {
        let again = again.expect(202);
        assert_eq!(again["events"][0]["id"], event["id"]);
        assert_eq!(again["events"][0]["duplicate"], true);
    }
    let mut other = structured.clone();
    other["data"] = json!({"name": "Bergen"});
    for other in [
        send(&api, &headers, "{}".to_owned()).await,
        send(&api, &[kind], other.to_string()).await,
    ] {
        let detail = other.problem(409, "event-mismatch");
        assert!(
            detail.contains("id \"7\"") && detail.contains("Zürich"),
            "{detail}"
        );
    }
    assert_eq!(api.get("/v1/usage").await.expect(200)["events"], 1);

    let without_id: Vec<_> = headers.into_iter().filter(|h| h.0 != "ce-id").collect();
    let refused = send(&api, &without_id, "{}".to_owned()).await;
    assert!(
        refused
            .problem(422, "validation-failed")
            .contains("id: is required"),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn cloudevents_come_in_batches() {
    let api = Api::start().await;
    let one = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/nb", "type": "updated", "data": 1});
    let kind = [("content-type", "application/cloudevents-batch+json")];
    let post = |events: Value| send(&api, &kind, events.to_string());
    let accepted = post(json!([one("1"), one("2"), one("1")]))
        .await
        .expect(202);
    let duplicates: Vec<_> = accepted["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["duplicate"].clone())
        .collect();
    assert_eq!(duplicates, [false, false, true]);

    let refused = post(json!([one("3"), {"specversion": "1.0", "id": "4"}])).await;
    let text = refused.problem(422, "validation-failed");
    assert!(
        text.contains("[1].source: is required") && text.contains("[1].type: is required"),
        "{text}"
    );
    post(one("5")).await.problem(400, "malformed-body");
    let usage = api.get("/v1/usage").await.expect(200);
    assert_eq!(usage["events"], 2);
}

#[tokio::test]
async fn an_event_of_a_batch_is_bounded_like_one_that_comes_alone() {
    let api = Api::start().await;
    let of_bytes = |bytes: usize| {
        let frame = r#"{"event": "created", "data": ""}"#;
        frame.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    let (small, large) = (event("Oslo").to_string(), of_bytes((1 << 20) + 1));
    for (kind, body) in [
        ("application/json", format!("[{small},{large}]")),
        ("application/x-ndjson", format!("{small}\n{large}\n")),
    ] {
        let refused = send(&api, &[("content-type", kind)], body).await;
        let text = refused.problem(422, "validation-failed");
        assert!(
            text.contains("[1]: the event is over the limit of 1048576 bytes"),
            "{text}"
        );
    }
    let alone = send(&api, &[("content-type", "application/json")], large).await;
    alone.problem(413, "too-large");
    let usage = api.get("/v1/usage").await.expect(200);
    assert_eq!(usage["events"], 0);

    // The text that is stored has the defaults of absent fields too.
    let fits = of_bytes((1 << 20) - 200);
    let batch = format!("[{small},{fits},{fits}]");
    let taken = send(&api, &[("content-type", "application/json")], batch).await;
    assert_eq!(taken.expect(202)["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn events_that_were_received_in_time_are_accepted_however_long_the_store_takes() {
    let api = Api::start_with(|config| config.server.request_timeout_seconds = 1).await;
    let other = rusqlite::Connection::open(api.folder().join("hookbox.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let free = async {
        // Longer than a client may take to send a request; the store waits longer for its turn.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        other.execute_batch("ROLLBACK").unwrap();
    };
    let events = event("Oslo");
    let (answer, ()) = tokio::join!(api.post("/v1/events", &events), free);
    let event = stored(&api, &answer).await;
    assert_eq!(event["context"]["data"]["name"], "Oslo");
}

#[tokio::test]
async fn a_header_of_a_cloudevent_that_cannot_be_decoded_is_named() {
    let api = Api::start().await;
    let with = |name: &'static str, value: &'static str| {
        let mut headers = vec![
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "/nb"),
            ("ce-type", "created"),
        ];
        headers.retain(|header| header.0 != name);
        headers.push((name, value));
        headers
    };
    for (name, value) in [
        ("ce-source", "/50%"),
        ("ce-subject", "%C0%A0"),
        ("ce-team", "\"a"),
    ] {
        let refused = send(&api, &with(name, value), "{}".to_owned()).await;
        let detail = refused.problem(400, "malformed-body");
        assert!(detail.contains(&format!("the header {name} ")), "{detail}");
    }
    let headers = with("ce-subject", "\"two \\\"words\\\" %26 more\"");
    let answer = send(&api, &headers, "{}".to_owned()).await;
    let event = stored(&api, &answer).await;
    assert_eq!(event["context"]["subject"], "two \"words\" & more");
}

#[tokio::test]
async fn attributes_of_cloudevents_follow_the_specification() {
    let api = Api::start().await;
    let base =
        |id: &str| json!({"specversion": "1.0", "id": id, "source": "/nb", "type": "created"});
    let with = |id: &str, more: Value| {
        let mut event = base(id);
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    };
    let kind = [("content-type", "application/cloudevents+json")];
    // Null is as good as absent.
    let nulls = with(
        "1",
        json!({"time": null, "objecttype": null, "subject": null, "data_base64": null}),
    );
    let answer = send(&api, &kind, nulls.to_string()).await;
    let event = stored(&api, &answer).await;
    assert_eq!(event["object_type"], "/nb");
    assert!(event["context"]["timestamp"].is_string(), "{event:#}");
    assert_eq!(event["context"].get("subject"), None);
    let again = send(&api, &kind, base("1").to_string()).await.expect(202);
    assert_eq!(again["events"][0]["duplicate"], true);

    let long = "s".repeat(300);
    for (more, field) in [
        (
            json!({"source": long}),
            "source: must have at most 255 characters",
        ),
        (
            json!({"type": long}),
            "type: must have at most 150 characters",
        ),
        (
            json!({"objecttype": long}),
            "objecttype: must have at most 255 characters",
        ),
        (json!({"objecttype": 1}), "objecttype: must be a string"),
        (json!({"time": 1}), "time: must be a string"),
        (json!({"id": 1}), "id: must be a string"),
        (json!({"id": "a\nb"}), "id: must hold no control character"),
        (
            json!({"data": 1, "data_base64": "MQ=="}),
            "data_base64: must not",
        ),
    ] {
        let refused = send(&api, &kind, with("2", more).to_string()).await;
        let text = refused.problem(422, "validation-failed");
        assert!(text.contains(field), "{field}: {text}");
    }
    // With a type of its own for the object, the source may be long.
    let long = with("3", json!({"source": long, "objecttype": "a.b"}));
    send(&api, &kind, long.to_string()).await.expect(202);
    let again = send(&api, &kind, long.to_string()).await.expect(202);
    assert_eq!(again["events"][0]["duplicate"], true);
    let mut other = long;
    other["data"] = json!(1);
    send(&api, &kind, other.to_string())
        .await
        .problem(409, "event-mismatch");
}

#[tokio::test]
async fn data_of_a_cloudevent_is_json_by_its_media_type() {
    let api = Api::start().await;
    for (id, content_type, data) in [
        ("1", "text/json", json!({"a": 1})),
        (
            "2",
            "application/vnd.x+json; charset=utf-8",
            json!({"a": 1}),
        ),
        ("3", "text/plain; charset=utf-8", json!("{\"a\": 1}")),
    ] {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "/nb"),
            ("ce-type", "created"),
            ("content-type", content_type),
        ];
        let answer = send(&api, &headers, "{\"a\": 1}".to_owned()).await;
        let event = stored(&api, &answer).await;
        assert_eq!(event["context"]["data"], data, "{content_type}");
        assert_eq!(event["context"]["datacontenttype"], content_type);
    }
}

/// A sender whose key may post events and no more.
async fn ingest_key(api: &Api, name: &str) -> String {
    let made = api
        .post("/v1/keys", &json!({"name": name, "scope": "ingest"}))
        .await
        .expect(201);
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_sender_cannot_have_the_events_of_another_taken_for_duplicates() {
    let api = Api::start().await;
    let (one, other) = (
        ingest_key(&api, "one").await,
        ingest_key(&api, "other").await,
    );
    let post = |key: String, data: Value| {
        let event = json!({"specversion": "1.0", "id": "7", "source": "/nb", "type": "created", "data": data});
        let request = api.request(Method::POST, "/v1/events").bearer_auth(key);
        let request = request.header("content-type", "application/cloudevents+json");
        api.send(request.body(event.to_string()))
    };
    post(one, json!("first")).await.expect(202);
    post(other.clone(), json!("second"))
        .await
        .problem(409, "event-mismatch");
    let same = post(other, json!("first")).await.expect(202);
    assert_eq!(same["events"][0]["duplicate"], true);
}

/// As gzip and as zstd.
fn compressed(plain: &[u8]) -> [(&'static str, Vec<u8>); 2] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, plain).unwrap();
    [
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(plain, 3).unwrap()),
    ]
}

async fn send_encoded(
    api: &Api,
    headers: &[(&str, &str)],
    encoding: &str,
    body: Vec<u8>,
) -> Answer {
    let mut request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.header("content-encoding", encoding).body(body))
        .await
}

#[tokio::test]
async fn events_come_compressed_and_with_a_byte_order_mark_in_each_format() {
    let api = Api::start().await;
    let one = event("Oslo").to_string();
    let cloud = |id: usize| json!({"specversion": "1.0", "id": id.to_string(), "source": "/nb", "type": "created"});
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-source", "/nb"),
        ("ce-type", "created"),
        ("ce-id", "binary"),
        ("content-type", "application/json"),
    ];
    for (n, mark) in ["", "\u{feff}"].into_iter().enumerate() {
        for (headers, body) in [
            (vec![("content-type", "application/json")], one.clone()),
            (vec![("content-type", "text/json")], format!("[{one}]")),
            (
                vec![("content-type", "application/x-ndjson")],
                format!("{one}\n"),
            ),
            (
                vec![("content-type", "application/cloudevents+json")],
                cloud(n).to_string(),
            ),
            (
                vec![("content-type", "application/cloudevents-batch+json")],
                json!([cloud(n)]).to_string(),
            ),
            (binary.to_vec(), "{\"name\": \"Oslo\"}".to_owned()),
        ] {
            let body = format!("{mark}{body}");
            send(&api, &headers, body.clone()).await.expect(202);
            for (encoding, body) in compressed(body.as_bytes()) {
                let taken = send_encoded(&api, &headers, encoding, body).await;
                assert_eq!(taken.expect(202)["events"].as_array().unwrap().len(), 1);
            }
        }
    }
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let json = [("content-type", "application/json")];
    let refused = send_encoded(&api, &json, "identity", utf16).await;
    assert!(refused.problem(400, "malformed-body").contains("UTF-16"));
}

#[tokio::test]
async fn a_compressed_request_has_the_limits_of_a_plain_one() {
    let api = Api::start().await;
    let json = [("content-type", "application/json")];
    let spaces = vec![b' '; (8 << 20) + 1];
    for (encoding, body) in compressed(&spaces) {
        assert!(body.len() < 64 << 10);
        let refused = send_encoded(&api, &json, encoding, body).await;
        let detail = refused.problem(413, "too-large");
        assert!(detail.contains("8388608 bytes"), "{detail}");
        let broken = send_encoded(&api, &json, encoding, b"{}".to_vec()).await;
        broken.problem(400, "malformed-body");
    }
    let request = api.request(Method::POST, "/v1/events").bearer_auth(ADMIN);
    let request = request.header("content-encoding", "br").body("{}");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 415);
    assert_eq!(answer.headers()["accept-encoding"], "gzip, zstd");
}
