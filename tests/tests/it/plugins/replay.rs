//! `hookbox render --delivery`: a recorded attempt, rendered again.

use std::process::Output;

use hookbox_tests::{
    process::{hookbox, stderr, stdout},
    server::{KEY, Server},
    sink::Sink,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{event, says, upload};

async fn replay(server: &Server, arguments: &[&str]) -> Output {
    let mut command = hookbox();
    command
        .args(["render", "--delivery"])
        .args(arguments)
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_makes_the_same_request_and_another_shows_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    upload(&server, "name=mine", says(&sink.url(), "one")).await;
    server
        .webhook(json!({"payload_url": "https://unused.example", "plugin": "mine"}))
        .await;
    let id = server.send(&event()).await;
    server.delivery(&id, "finished").await;
    // The same version although another is current by now.
    let second = upload(&server, "name=mine", says(&sink.url(), "two")).await;
    let same = replay(&server, &[&id]).await;
    let text = stdout(&same);
    assert_eq!(same.status.code(), Some(0), "{text}{}", stderr(&same));
    let fuel: Vec<&str> = text
        .lines()
        .take(2)
        .filter_map(|l| l.split(" fuel").next()?.rsplit(' ').next())
        .collect();
    assert_eq!(fuel.len(), 2);
    assert_eq!(fuel[0], fuel[1], "{text}");

    let pinned = format!("mine@{}", &second[..12]);
    for plugin in ["mine", &pinned] {
        let other = replay(&server, &[&id, "--plugin", plugin]).await;
        let text = stdout(&other);
        assert_eq!(other.status.code(), Some(1), "{text}{}", stderr(&other));
        assert!(text.contains("\n-   one\n+   two\n"), "{text}");
    }
    let file = dir.path().join("three.wasm");
    std::fs::write(&file, says(&sink.url(), "three")).unwrap();
    let other = replay(
        &server,
        &[
            &id,
            "--attempt",
            "1",
            "--plugin",
            file.to_str().unwrap(),
            "--json",
        ],
    )
    .await;
    assert_eq!(other.status.code(), Some(1), "{}", stderr(&other));
    let report: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(report["same"], false);
    assert_eq!(report["now"]["request"]["body"], "three");
    for (arguments, words) in [
        (vec!["dlv_nope"], "no delivery"),
        (vec![id.as_str(), "--attempt", "7"], "no such attempt"),
        (vec![id.as_str(), "--plugin", "nope"], "no plugin"),
    ] {
        let failed = replay(&server, &arguments).await;
        assert_eq!(failed.status.code(), Some(1));
        assert!(stderr(&failed).contains(words), "{}", stderr(&failed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_rules_data_and_secrets_are_replayed_and_no_secret_leaves_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    for (name, value) in [("token", "t0p-s3cret"), ("unused", "0ther-s3cret")] {
        let (path, body) = (format!("/v1/secrets/{name}"), json!({"value": value}));
        let (status, _) = server.request(Method::PUT, &path, Some(&body)).await;
        assert!(status.is_success());
    }
    let webhook = server
        .post(
            "/v1/webhooks",
            &json!({
                "name": "w", "payload_url": sink.url(), "secret": "signs",
                "additional_headers": "X-Token: {{ secret('token') }}",
                "body_template": "{{ data.name }} {{ data.extra }} {{ secret('token') }}",
            }),
        )
        .await;
    let rule = json!({
        "name": "r", "object_types": ["*"], "event_types": ["*"], "webhooks": [webhook["id"]],
        "action_data": {"extra": 7},
    });
    server.post("/v1/event-rules", &rule).await;
    let id = server.send(&event()).await;
    let delivery = server.delivery(&id, "finished").await;
    assert!(
        delivery["attempts"][0]["render"].get("input").is_none(),
        "{delivery:#}"
    );

    // What the webhook is now does not matter.
    let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    let (status, _) = server
        .request(
            Method::PATCH,
            &path,
            Some(&json!({"body_template": "changed"})),
        )
        .await;
    assert!(status.is_success());
    let same = replay(&server, &[&id]).await;
    let text = stdout(&same);
    assert_eq!(same.status.code(), Some(0), "{text}{}", stderr(&same));
    assert!(text.contains("  x 7 [secret:token]"), "{text}");
    assert!(!text.contains("t0p"), "{text}");

    let input = server
        .get(&format!("/v1/deliveries/{id}/attempts/1/input"))
        .await;
    assert_eq!(input["secrets"], json!(["token"]));
    let shown = input.to_string();
    assert!(
        !shown.contains("t0p") && !shown.contains("hbs_") && !shown.contains("signs"),
        "{shown}"
    );
    for missing in ["attempts/2/input", "attempts/0/input", "attempts/x/input"] {
        let (status, _) = server
            .request(Method::GET, &format!("/v1/deliveries/{id}/{missing}"), None)
            .await;
        assert_eq!(status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_to_be_kept_is_left_out_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (server, sink) = (Server::start(dir.path()), Sink::start().await);
    server
        .webhook(json!({"payload_url": sink.url(), "settings": {"x": "x".repeat(70_000)}}))
        .await;
    let id = server.send(&event()).await;
    server.delivery(&id, "finished").await;
    let failed = replay(&server, &[&id]).await;
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        stderr(&failed).contains("at most 65536 bytes are stored"),
        "{}",
        stderr(&failed)
    );
}
