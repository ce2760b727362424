//! Webhooks, events and requests written by somebody who means harm.

use std::time::{Duration, Instant};

use hookbox_tests::{
    server::{KEY, Server, netbox_event},
    sink::Sink,
};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_templates_end_as_their_own_error_kind_and_harm_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    for (template, kind) in [
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "out_of_fuel",
        ),
        (
            "{% set ns = namespace(s='x' * 1000) %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "out_of_memory",
        ),
        ("{{ 'x' * 1100000 }}", "output_too_large"),
        (
            "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
            "template_runtime",
        ),
    ] {
        let begun = Instant::now();
        let report = server
            .post(
                "/v1/render",
                &json!({
                    "webhook": {"name": "w", "payload_url": sink.url(), "body_template": template},
                    "event": netbox_event(),
                }),
            )
            .await;
        assert_eq!(report["outcome"], "error", "{template}: {report:#}");
        assert_eq!(report["error"]["kind"], kind, "{template}: {report:#}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{template}: {:?}",
            begun.elapsed()
        );

        let name = format!("hostile {kind}");
        let hook = json!({"name": name, "payload_url": sink.url(), "body_template": template});
        let webhook = server.webhook(hook).await;
        let delivery = server.send(&netbox_event()).await;
        let failed = server.delivery(&delivery, "failed").await;
        assert_eq!(failed["attempts"][0]["error"]["kind"], kind, "{failed:#}");
        assert_eq!(
            failed["total_attempts"], 1,
            "a budget that is used up is not tried again"
        );
        let (status, _) = server
            .request(
                Method::PATCH,
                &format!("/v1/webhooks/{webhook}"),
                Some(&json!({"enabled": false})),
            )
            .await;
        assert!(status.is_success());
    }
    server
        .webhook(json!({"name": "good", "payload_url": sink.url()}))
        .await;
    let id = server.send(&netbox_event()).await;
    server.delivery(&id, "finished").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_does_not_parse_is_refused_on_save_with_field_and_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    for field in ["payload_url", "additional_headers", "body_template"] {
        let mut webhook = json!({"name": "w", "payload_url": "http://example.com/"});
        let broken = if field == "payload_url" {
            "http://example.com/{{ a"
        } else {
            "fine\n{% if %}"
        };
        webhook[field] = broken.into();
        let (status, problem) = server.refuse("/v1/webhooks", &webhook).await;
        assert_eq!(status, 422, "{problem:#}");
        let error = &problem["errors"][0];
        assert_eq!(error["field"], field, "{problem:#}");
        assert_eq!(
            error["line"],
            if field == "payload_url" { 1 } else { 2 },
            "{problem:#}"
        );
        assert!(
            error["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{problem:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_cannot_add_headers() {
    let dir = tempfile::tempdir().expect("a folder");
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server
        .webhook(json!({
            "payload_url": sink.url(),
            "additional_headers": "X-Name: {{ data.name }}\n{% for t in data.tags %}X-Tag-{{ loop.index }}: {{ t }}\n{% endfor %}",
        }))
        .await;
    server
        .send(&json!({"event": "created", "data": {
            "name": "a\r\nX-Evil: 1\u{2028}X-Evil: 2\u{85}X-Evil: 3", "tags": ["one", "two\nX-Evil: 4"],
        }}))
        .await;
    sink.wait_for(1).await;
    let request = &sink.received()[0];
    assert!(
        request.headers.get("x-evil").is_none(),
        "{:?}",
        request.headers
    );
    assert_eq!(request.header("x-tag-1"), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_to_a_private_address_is_blocked_and_not_tried_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    for url in [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
    ] {
        let id = server
            .webhook(json!({"name": url, "payload_url": url}))
            .await;
        let delivery = server.send(&netbox_event()).await;
        let failed = server.delivery(&delivery, "failed").await;
        assert_eq!(
            failed["attempts"][0]["error"]["kind"], "blocked",
            "{failed:#}"
        );
        assert_eq!(failed["total_attempts"], 1);
        server
            .request(
                Method::PATCH,
                &format!("/v1/webhooks/{id}"),
                Some(&json!({"enabled": false})),
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_get_a_problem_that_names_the_fault_and_the_server_lives() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let client = reqwest::Client::new();
    let post = |path: &str, body: String| {
        let request = client
            .post(format!("{}{path}", server.url))
            .bearer_auth(KEY);
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let deep = format!(
        "{{\"event\": \"x\", \"data\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let cases: [(&str, String, u16, &str); 9] = [
        ("/v1/events", "{\"event\": ".to_owned(), 400, "line 1"),
        ("/v1/events", "{\"event\": 7}".to_owned(), 422, "event"),
        ("/v1/events", deep, 400, "recursion"),
        ("/v1/events", format!("{{\"event\": \"x\", \"data\": \"{}\"}}", "x".repeat(2 << 20)), 413, "limit"),
        ("/v1/webhooks", "{\"name\": \"w\", \"payload_ulr\": \"http://x.example/\"}".to_owned(), 422, "payload_url"),
        ("/v1/webhooks", "{\"name\": \"w\", \"payload_url\": \"ftp://x.example/\"}".to_owned(), 422, "http"),
        ("/v1/webhooks", "{\"name\": \"w\", \"payload_url\": \"http://x.example/\", \"timeout\": \"soon\"}".to_owned(), 422, "timeout"),
        ("/v1/event-rules", "{\"name\": \"r\", \"object_types\": [\"*\"], \"event_types\": [\"*\"], \"webhooks\": [\"no such\"]}".to_owned(), 422, "no such"),
        ("/v1/event-rules/evaluate", "{\"conditions\": {\"attr\": \"a\", \"op\": \"regex\", \"value\": \"(\"}, \"event\": {\"event\": \"x\"}}".to_owned(), 422, "group"),
    ];
    for (path, body, status, part) in cases {
        let shown: String = body.chars().take(100).collect();
        let response = post(path, body).await.expect("an answer");
        assert_eq!(response.status(), status, "{path} {shown}");
        let kind = response.headers()["content-type"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(kind, "application/problem+json");
        let problem: Value = response.json().await.expect("JSON");
        assert!(
            problem.to_string().contains(part),
            "{path} {shown}: {problem:#}"
        );
    }
    let anonymous = client
        .get(format!("{}/v1/webhooks", server.url))
        .send()
        .await
        .expect("an answer");
    assert_eq!(anonymous.status(), 401);
    server.get("/v1/webhooks").await;
}

/// The JSON parser gives objects with this key a meaning of its own, by which nesting could go on without
/// end and past every limit.
#[tokio::test(flavor = "multi_thread")]
async fn nesting_that_hides_in_the_parsers_own_keys_is_refused_everywhere() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let mut bomb = "1".to_owned();
    for _ in 0..10 {
        let inner = Value::from(bomb).to_string();
        bomb = format!(
            "{}{{\"$serde_json::private::RawValue\": {inner}}}{}",
            "[".repeat(50),
            "]".repeat(50)
        );
        if bomb.len() > 500_000 {
            break;
        }
    }
    let client = reqwest::Client::new();
    for (path, body) in [
        (
            "/v1/events",
            format!("{{\"event\": \"x\", \"data\": {bomb}}}"),
        ),
        (
            "/v1/events",
            format!("[{{\"event\": \"x\", \"data\": {bomb}}}]"),
        ),
        (
            "/v1/event-rules",
            format!(
                "{{\"name\": \"r\", \"object_types\": [\"*\"], \"event_types\": [\"*\"], \"webhooks\": [], \"action_data\": {{\"a\": {bomb}}}}}"
            ),
        ),
        (
            "/v1/webhooks",
            format!(
                "{{\"name\": \"w\", \"payload_url\": \"http://x.example/\", \"settings\": {bomb}}}"
            ),
        ),
        (
            "/v1/event-rules/evaluate",
            format!("{{\"conditions\": null, \"event\": {{\"event\": \"x\", \"data\": {bomb}}}}}"),
        ),
    ] {
        let response = client
            .post(format!("{}{path}", server.url))
            .bearer_auth(KEY)
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert!(
            response.status().is_client_error(),
            "{path}: {}",
            response.status()
        );
    }
    assert_eq!(server.get("/v1/event-rules").await["results"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_can_neither_forge_a_signature_nor_reach_a_secret() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let token = json!({"value": "s3cr3tvalue"});
    server
        .request(Method::PUT, "/v1/secrets/token", Some(&token))
        .await;
    let id = server
        .webhook(json!({"payload_url": "http://x.invalid/", "secret": "signing-key"}))
        .await;
    let key = server
        .post("/v1/keys", &json!({"name": "viewer", "scope": "read"}))
        .await;
    let key = key["key"].as_str().expect("the key").to_owned();
    let client = reqwest::Client::new();
    let render = |body: Value| {
        let request = client
            .post(format!("{}/v1/render", server.url))
            .bearer_auth(&key);
        request.json(&body).send()
    };
    for webhook in [
        json!({"body_template": "a body of the viewer's choice"}),
        json!({"payload_url": "http://{{ secret('token') }}.invalid/"}),
    ] {
        let body = json!({"webhook_id": id, "webhook": webhook, "event": {"event": "x"}});
        let report: Value = render(body)
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let text = report.to_string();
        assert_eq!(report["outcome"], "request", "{report:#}");
        assert!(!text.contains("s3cr3tvalue"), "{report:#}");
        assert!(
            text.contains("[signature]") && !text.contains("v1,"),
            "{report:#}"
        );
    }
}
