//! What `/metrics` shows of each role, beside what the documentation says and as Prometheus' own parsers read it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use hookbox_tests::{
    python::Script,
    redis::{Options, RedisServer, free_port},
    server::{Server, netbox_event},
    sink::Sink,
};
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::scene::fleet;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0, text/plain; q=0.5";

/// The metrics that the documentation lists for processes with these parts: name and type.
fn documented(parts: &[&str]) -> BTreeSet<(String, String)> {
    let text = include_str!("../../../../docs/operations.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, part, kind, ..] = cells.as_slice() else {
            return None;
        };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let is_metric = name.starts_with("hookbox_") || name.starts_with("process_");
        let is_here = *part == "both" || parts.contains(part);
        (is_metric && is_here).then(|| (name.to_owned(), (*kind).to_owned()))
    });
    let rows: BTreeSet<_> = rows.collect();
    assert!(rows.len() > 10, "{rows:?}");
    rows
}

/// Its metrics as whoever accepts this gets them: content type and text.
async fn scrape(url: &str, accept: &str) -> (String, String) {
    let request = Client::new()
        .get(format!("{url}/metrics"))
        .header(header::ACCEPT, accept);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let content_type = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
    (content_type.to_owned(), answer.text().await.unwrap())
}

/// The families of a text in the older format: name and type.
fn families(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Prometheus' own parsers in Python: the samples as `name{labels}` with their values.
const PARSERS: &str = r#"
import json, sys
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_metrics
for line in sys.stdin:
    asked = json.loads(line)
    read = open_metrics if asked["open_metrics"] else parser
    found = {}
    try:
        for family in read.text_string_to_metric_families(asked["text"]):
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
                found[sample.name + "{" + labels + "}"] = sample.value
    except Exception as error:
        found = {"error": repr(error)}
    print(json.dumps(found), flush=True)
"#;

fn series(samples: &Value) -> BTreeSet<&String> {
    samples.as_object().unwrap().keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_shows_what_is_documented_and_both_formats_are_read_alike() {
    let redis = RedisServer::start(Options::default());
    let fleet = fleet(redis.url());
    let api = fleet.api().await;
    let port = free_port();
    let worker_url = format!("http://127.0.0.1:{port}");
    let _worker = fleet.monitored_worker(port);
    let dir = tempfile::tempdir().unwrap();
    let whole = Server::start(dir.path());
    for server in [&api, &whole] {
        let sink = Sink::start().await;
        let closed = Sink::start().await.url();
        for (name, url) in [("good", sink.url()), ("closed", closed)] {
            let hook = json!({"name": name, "payload_url": url, "retry": {"schedule": []}});
            server.webhook(hook).await;
        }
        server.post("/v1/events", &netbox_event()).await;
        let ended = |queue: &Value| queue["finished"] == 1 && queue["failed"] == 1;
        server.wait_until("/v1/queue", ended).await;
    }
    let mut parsers = Script::start(PARSERS);
    for (url, parts) in [
        (&api.url, &["server"][..]),
        (&worker_url, &["worker"]),
        (&whole.url, &["server", "worker"]),
    ] {
        let (content_type, text) = scrape(url, "text/plain").await;
        assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
        assert!(!text.contains("# EOF"), "{text}");
        assert_eq!(families(&text), documented(parts), "{parts:?}");
        let samples = parsers.ask(&json!({"open_metrics": false, "text": text}));
        assert_eq!(
            samples["hookbox_build_info{version=0.1.0}"], 1.0,
            "{samples:#}"
        );

        let (content_type, text) = scrape(url, OPEN_METRICS).await;
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(content_type, expected);
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let again = parsers.ask(&json!({"open_metrics": true, "text": text}));
        assert_eq!(again["error"], Value::Null, "{again:#}\n{text}");
        // The first scrape is a request too.
        let first = |name: &&&String| !name.starts_with("hookbox_http_requests_total{");
        let (samples_of, again_of) = (series(&samples), series(&again));
        assert_eq!(
            samples_of.iter().filter(first).collect::<Vec<_>>(),
            again_of.iter().filter(first).collect::<Vec<_>>()
        );

        if parts.contains(&"server") {
            let requests =
                |labels: &str| samples[format!("hookbox_http_requests_total{{{labels}}}")].clone();
            assert_eq!(
                requests("method=POST,route=/v1/events,status=202"),
                1.0,
                "{samples:#}"
            );
            assert_eq!(requests("method=POST,route=/v1/webhooks,status=201"), 2.0);
            assert_eq!(samples["hookbox_queue_deliveries{status=failed}"], 1.0);
            assert_eq!(samples["hookbox_queue_oldest_seconds{}"], 0.0);
        }
        if parts.contains(&"worker") {
            assert_eq!(
                samples["hookbox_deliveries_failed_total{kind=connect}"],
                1.0
            );
            assert_eq!(
                samples["hookbox_deliveries_failed_total{kind=blocked}"],
                0.0
            );
            assert_eq!(samples["hookbox_attempts_total{result=delivered}"], 1.0);
            assert_eq!(samples["hookbox_queue_wait_seconds_count{}"], 2.0);
        }
    }
}

/// On both stores, and of all tenants.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_delivery_that_waits_is_seen_to_grow_older() {
    let redis = RedisServer::start(Options::default());
    let api = fleet(redis.url()).api().await;
    let dir = tempfile::tempdir().unwrap();
    let embedded = Server::start_with(dir.path(), &["--no-worker"]);
    for server in [&api, &embedded] {
        let age = async || {
            let (_, text) = scrape(&server.url, "").await;
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("hookbox_queue_oldest_seconds "));
            line.unwrap().parse::<f64>().unwrap()
        };
        assert_eq!(age().await, 0.0);
        server
            .webhook(json!({"payload_url": "http://127.0.0.1:1"}))
            .await;
        server.send(&netbox_event()).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while age().await < 1.0 {
            assert!(Instant::now() < deadline, "it does not grow older");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
