//! Plugins that are not ready to run: what has to wait for them, what is lost by that, and who pays.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use hookbox::{config::Config, engine::Engine, telemetry::Exposition, worker};
use hookbox_tests::{api::Api, process::program, server::netbox_event, sink::Sink};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{big::with_code, event, says, sender};

/// A worker on the store of an API, with another compiler and an empty cache.
struct Worker {
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Worker {
    async fn start(api: &Api, cache: PathBuf, compiler: PathBuf) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = Config::defaults();
        config.guard.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.storage.cache_dir = cache;
        let backend = Arc::clone(&api.backend);
        let engine = Engine::open_with_compiler(config, backend, compiler)
            .await
            .unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(worker::run(Arc::clone(&engine), stopped));
        Self { engine, stop, task }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn delivery_until(api: &Api, id: &str, done: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let delivery = api.get(&format!("/v1/deliveries/{id}")).await.expect(200);
        if done(&delivery) {
            return delivery;
        }
        assert!(tokio::time::Instant::now() < deadline, "{delivery:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_whose_plugin_cannot_be_loaded_on_a_machine_is_not_lost_there() {
    let (api, sink) = (Api::start().await, Sink::start().await);
    api.upload("name=mine", says(&sink.url(), "x"))
        .await
        .expect(201);
    let webhook = json!({
        "name": "w", "payload_url": "https://unused.example", "plugin": "mine", "retry": {"schedule": []},
    });
    let hook = api.create("/v1/webhooks", &webhook).await;
    let rule =
        json!({"name": "r", "object_types": ["*"], "event_types": ["*"], "webhooks": [hook]});
    api.create("/v1/event-rules", &rule).await;
    let accepted = api.post("/v1/events", &event()).await.expect(202);
    let id = accepted["events"][0]["deliveries"][0].as_str().unwrap();

    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("cache");
    let broken = Worker::start(&api, folder.clone(), "/nowhere/hookbox".into()).await;
    let says_why = |delivery: &Value| {
        let why = delivery["last_result"].as_str().unwrap_or_default();
        why.contains("could not be loaded")
    };
    let waiting = delivery_until(&api, id, says_why).await;
    assert_eq!(waiting["status"], "queued", "{waiting:#}");
    assert_eq!(
        (&waiting["attempts"], &waiting["total_attempts"]),
        (&json!([]), &json!(0))
    );
    let metrics = broken.engine.metrics().encode(Exposition::OpenMetrics);
    assert!(
        metrics.contains("hookbox_deliveries_put_off_total{reason=\"machine\"} 1"),
        "{metrics}"
    );
    // Otherwise the worker would ask again and again.
    let queue = api.get("/v1/queue").await.expect(200);
    assert_eq!(queue["paused"][0]["webhook"], hook, "{queue:#}");
    broken.stop().await;

    // A changed webhook is tried at once.
    let path = format!("/v1/webhooks/{hook}");
    api.call_as(
        hookbox_tests::api::ADMIN,
        Method::PATCH,
        &path,
        Some(&json!({"timeout": 7})),
    )
    .await
    .expect(200);
    let sound = Worker::start(&api, folder, program()).await;
    let delivered = delivery_until(&api, id, |delivery| delivery["status"] == "finished").await;
    assert_eq!(delivered["total_attempts"], 1, "{delivered:#}");
    assert_eq!(sink.arrived(), 1);
    sound.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_take_few_of_the_places_in_which_a_plugin_is_waited_for() {
    const RUNS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let api = Api::start_with(|config| config.storage.cache_dir = cache.clone()).await;
    let body = format!("another in every run, {}", api.url);
    let plugin = with_code(says("https://example.com/", &body), 4 << 20);
    api.upload("name=mine", plugin).await.expect(201);
    // As in a process that has just been started on another machine.
    for file in std::fs::read_dir(&cache).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let api = api.beside().await;
    let render = json!({
        "webhook": {"payload_url": "https://example.com/", "plugin": "mine"}, "event": netbox_event(),
    });
    let reports = join_all((0..RUNS).map(|_| api.post("/v1/render", &render))).await;
    let (mut rendered, mut refused) = (0, 0);
    for report in reports {
        if report.status == 503 {
            let why = report.problem(503, "busy");
            assert!(why.contains("dry runs under way"), "{why}");
            refused += 1;
        } else if report.json()["request"]["body"] == body {
            rendered += 1;
        } else {
            let report = report.expect(200);
            let why = report["error"]["message"].as_str().unwrap();
            assert!(why.contains("too many others wait for it"), "{report:#}");
            refused += 1;
        }
    }
    assert!(rendered > 0, "some waited and had what they waited for");
    assert!(refused > RUNS / 2, "{refused} of {RUNS} were sent away");
}

#[tokio::test]
async fn a_plugin_that_is_refused_leaves_nothing_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let api = Api::start_with(|config| config.storage.cache_dir = cache.clone()).await;
    let artifacts = || {
        let files = std::fs::read_dir(&cache).unwrap();
        files
            .filter(|file| file.as_ref().unwrap().path().extension().is_some())
            .count()
    };
    let before = artifacts();
    let fails = sender("https://example.com/", "x", "(unreachable)");
    api.upload("name=fails", fails)
        .await
        .problem(422, "plugin-refused");
    assert_eq!(artifacts(), before);
    api.upload("name=mine", says("https://example.com/", "x"))
        .await
        .expect(201);
    assert_eq!(artifacts(), before + 1);
}
