//! Rollouts.

use hookbox_tests::{
    server::Server,
    sink::{Answer, Sink},
};
use serde_json::{Value, json};

use super::{event, says, traps, upload};

/// Posts events until `done`, which is asked after each ten and once all of these have ended; how many.
async fn events_until(server: &Server, most: usize, done: impl Fn(&Value) -> bool) -> usize {
    for sent in (10..=most).step_by(10) {
        let batch: Vec<Value> = (0..10).map(|_| event()).collect();
        server.post("/v1/events", &Value::Array(batch)).await;
        server
            .wait_until("/v1/queue", |q| {
                q["queued"] == 0 && q["started"] == 0 && q["scheduled"] == 0
            })
            .await;
        if done(&server.get("/v1/plugins/mine").await) {
            return sent;
        }
    }
    panic!(
        "not after {most} events: {:#}",
        server.get("/v1/plugins/mine").await
    );
}

async fn server_with(dir: &std::path::Path, sink: &Sink) -> (Server, String) {
    let server = Server::start(dir);
    let first = upload(&server, "name=mine", says(&sink.url(), "good")).await;
    server
        .webhook(
            json!({"payload_url": "https://unused.example", "plugin": "mine", "max_in_flight": 8}),
        )
        .await;
    (server, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_is_rolled_back_and_the_current_one_runs_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    let (server, first) = server_with(dir.path(), &sink).await;
    let second = upload(&server, "name=mine&canary=50", traps(&sink.url(), "bad")).await;
    let plugin = server.get("/v1/plugins/mine").await;
    assert_eq!(
        plugin["version"], first,
        "a rollout changes nothing for the others"
    );
    assert_eq!(plugin["canary"]["version"], second);

    events_until(&server, 300, |plugin| plugin["canary"].is_null()).await;
    let plugin = server.get("/v1/plugins/mine").await;
    assert_eq!(plugin["version"], first);
    let ended = &plugin["rolled_back"];
    assert_eq!(ended["version"], second, "{plugin:#}");
    assert_eq!(
        ended["tallies"]["canary"]["attempts"],
        ended["tallies"]["canary"]["failures"]
    );
    assert_eq!(ended["tallies"]["current"]["failures"], 0);

    let before = sink.arrived();
    let batch: Vec<Value> = (0..20).map(|_| event()).collect();
    server.post("/v1/events", &Value::Array(batch)).await;
    sink.wait_for(before + 20).await;
    assert!(
        sink.received()[before..]
            .iter()
            .all(|r| &r.body[..] == b"good")
    );
    let metrics = reqwest::get(format!("{}/metrics", server.url))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("hookbox_plugin_trials_ended_total 1"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_requests_receivers_refuse_is_rolled_back_too() {
    let dir = tempfile::tempdir().unwrap();
    let (good, refusing) = (Sink::start().await, Sink::start().await);
    refusing.answer(Answer {
        status: 400,
        ..Answer::default()
    });
    let (server, _) = server_with(dir.path(), &good).await;
    upload(&server, "name=mine&canary=30", says(&refusing.url(), "bad")).await;
    events_until(&server, 300, |plugin| plugin["rolled_back"].is_object()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_version_goes_on_until_somebody_promotes_it() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    let (server, _) = server_with(dir.path(), &sink).await;
    let second = upload(&server, "name=mine&canary=50", says(&sink.url(), "better")).await;
    let seen = |plugin: &Value, pointer: &str| {
        plugin.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
    };
    events_until(&server, 300, |plugin| {
        seen(plugin, "/tallies/canary/attempts") >= 20
            && seen(plugin, "/tallies/current/attempts") >= 20
    })
    .await;
    // Each is counted when it has been stored, so the last one perhaps not yet.
    let all = sink.arrived() as u64;
    let plugin = server
        .wait_until("/v1/plugins/mine", |plugin| {
            seen(plugin, "/tallies/canary/attempts") + seen(plugin, "/tallies/current/attempts")
                == all
        })
        .await;
    assert_eq!(plugin["canary"]["version"], second, "{plugin:#}");
    assert_eq!(seen(&plugin, "/tallies/canary/failures"), 0);
    let bodies = |body: &[u8]| {
        sink.received()
            .iter()
            .filter(|r| &r.body[..] == body)
            .count() as u64
    };
    assert_eq!(bodies(b"better"), seen(&plugin, "/tallies/canary/attempts"));
    assert_eq!(bodies(b"good"), seen(&plugin, "/tallies/current/attempts"));
    let promoted = server
        .post("/v1/plugins/mine/promote", &json!({"version": second}))
        .await;
    assert_eq!(
        (&promoted["version"], &promoted["canary"]),
        (&json!(second), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_not_stored_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    let (server, _) = server_with(dir.path(), &sink).await;
    upload(&server, "name=mine&canary=50", says(&sink.url(), "better")).await;
    let counted = async || {
        let plugin = server.get("/v1/plugins/mine").await;
        let of = |arm: &str| plugin["tallies"][arm]["attempts"].as_u64().unwrap_or(0);
        of("canary") + of("current")
    };
    sink.admit(0);
    server.send(&event()).await;
    sink.wait_for(1).await;
    // As if another worker had taken it over.
    let conn = rusqlite::Connection::open(dir.path().join("hookbox.db")).unwrap();
    conn.execute("UPDATE deliveries SET fence = fence + 1", [])
        .unwrap();
    sink.admit(usize::MAX);
    let metrics = async || {
        let url = format!("{}/metrics", server.url);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    };
    while !metrics().await.contains("hookbox_in_flight 0") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(counted().await, 0);

    server.send(&event()).await;
    sink.wait_for(2).await;
    server
        .wait_until("/v1/plugins/mine", |plugin| {
            plugin["tallies"].to_string().contains("\"attempts\":1")
        })
        .await;
    assert_eq!(counted().await, 1);
}
