//! A component as large as those of the JavaScript and Python toolchains is taken in and loaded while others'
//! deliveries go on.

use std::time::{Duration, Instant};

use hookbox_tests::{
    fleet::Fleet,
    redis::{Options, RedisServer},
    server::Server,
    sink::Sink,
};
use serde_json::{Value, json};

use super::{event, ran, says, upload};

/// Unsigned LEB128.
fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// The component with a further core module in it, of at least this many bytes of code, of which nothing can be
/// left out: real work for the compiler, as an interpreter is.
pub(super) fn with_code(mut component: Vec<u8>, bytes: usize) -> Vec<u8> {
    const BODY: usize = 8192;
    let functions = bytes.div_ceil(BODY - 16);
    // (func (param i64) (result i64)): adds and rotates a number by constants
    let types = [&[1, 0x60, 1, 0x7e, 1, 0x7e][..]].concat();
    let mut declared = leb(functions);
    let mut code = leb(functions);
    for n in 0..functions {
        declared.push(0);
        let mut body = vec![0, 0x20, 0];
        let mut k = n;
        while body.len() < BODY - 16 {
            k = k.wrapping_mul(25_214_903_917).wrapping_add(11);
            // i64.const (5 bytes, positive), i64.xor or i64.mul, i64.const, i64.rotl
            body.extend([
                0x42,
                0x80 | (k >> 16) as u8,
                0x80 | (k >> 24) as u8,
                0x80 | (k >> 32) as u8,
                0x01,
            ]);
            body.push(if k & (1 << 17) == 0 { 0x85 } else { 0x7e });
            body.extend([0x42, 0x07, 0x89]);
        }
        body.push(0x0b);
        code.extend(leb(body.len()));
        code.extend(body);
    }
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &types),
        section(3, &declared),
        section(7, &[&[1, 1, b'f', 0, 0][..]].concat()),
        section(10, &code),
    ]
    .concat();
    component.extend(section(1, &module));
    component
}

/// Sends one event after the other and takes the time until each has arrived, at least so many and until
/// `stop`; the 99th percentile, and how many.
async fn p99(
    server: &Server,
    sink: &Sink,
    least: usize,
    stop: impl Fn() -> bool,
) -> (Duration, usize) {
    let mut times = Vec::new();
    while times.len() < least || !stop() {
        let before = sink.arrived();
        let begun = Instant::now();
        server.post("/v1/events", &event()).await;
        sink.wait_for(before + 1).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[times.len() * 99 / 100], times.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_12_megabytes_compiles_without_stalling_deliveries_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (server, sink, other) = (
        Server::start(dir.path()),
        Sink::start().await,
        Sink::start().await,
    );
    server
        .webhook(json!({"name": "neighbour", "payload_url": sink.url(), "body_template": "{{ data.name }}"}))
        .await;
    // In every run another component, so that it is compiled.
    let body = format!("big, {}", other.addr);
    let big = with_code(says(&other.url(), &body), 12 << 20);
    assert!(big.len() > 12 << 20);

    let (before, n) = p99(&server, &sink, 300, || true).await;
    println!("p99 of a neighbour alone: {before:?} ({n} deliveries)");
    let done = std::sync::atomic::AtomicBool::new(false);
    let begun = Instant::now();
    let uploading = async {
        let version = upload(&server, "name=big", big.clone()).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        (version, begun.elapsed())
    };
    let meanwhile = p99(&server, &sink, 100, || {
        done.load(std::sync::atomic::Ordering::Relaxed)
    });
    let ((version, took), (during, n)) = tokio::join!(uploading, meanwhile);
    println!(
        "p99 while {} bytes are taken in, in {took:?}: {during:?} ({n} deliveries)",
        big.len()
    );
    // What this guards against is a delivery that waits for the compiler, which takes seconds. It has one of
    // few cores meanwhile, at a lower priority.
    assert!(
        during < before * 5 + Duration::from_millis(250),
        "{before:?}, then {during:?}"
    );
    assert!(during < took / 4, "{during:?} of {took:?}");

    server
        .webhook(json!({"name": "big", "payload_url": "https://unused.example", "plugin": "big"}))
        .await;
    let deliveries = server.post("/v1/events", &event()).await;
    let ids = deliveries["events"][0]["deliveries"]
        .as_array()
        .unwrap()
        .clone();
    other.wait_for(1).await;
    assert_eq!(other.received()[0].body, body);
    let mut labels = Vec::new();
    for id in &ids {
        labels.push(ran(&server.delivery(id.as_str().unwrap(), "finished").await).to_owned());
    }
    assert!(
        labels.contains(&format!("big@{}", &version[..12])),
        "{labels:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_to_compile_a_plugin_delivers_what_needs_none_meanwhile() {
    const HOOKS: usize = 6;
    let redis = RedisServer::start(Options::default());
    let (sink, other) = (Sink::start().await, Sink::start().await);
    // Two deliveries of a tenant may wait for a plugin, and a webhook may have two under way.
    let fleet = Fleet::new(redis.url()).with("worker.concurrency", 8);
    let server = fleet.api().await;
    let big = with_code(says(&other.url(), &format!("big, {}", other.addr)), 6 << 20);
    upload(&server, "name=big", big).await;
    let only = |kind: &str, webhook: &Value| json!({"name": webhook["name"], "object_types": [kind], "event_types": ["*"], "webhooks": [webhook["id"]]});
    for n in 0..HOOKS {
        let hook = json!({
            "name": format!("big {n}"), "payload_url": "https://unused.example", "plugin": "big",
            "retry": {"schedule": []},
        });
        let hook = server.post("/v1/webhooks", &hook).await;
        server.post("/v1/event-rules", &only("a.big", &hook)).await;
    }
    let hook = json!({"name": "small", "payload_url": sink.url(), "body_template": "x"});
    let hook = server.post("/v1/webhooks", &hook).await;
    server
        .post("/v1/event-rules", &only("a.small", &hook))
        .await;

    let answer = server
        .post(
            "/v1/events",
            &json!({"event": "created", "object_type": "a.big"}),
        )
        .await;
    let waiting = answer["events"][0]["deliveries"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(waiting.len(), HOOKS);
    let cache = tempfile::tempdir().unwrap();
    let _worker = fleet.worker_with_cache(cache.path());
    let (mut meanwhile, mut defer) = (0, 0);
    while other.arrived() == 0 {
        server
            .post(
                "/v1/events",
                &json!({"event": "created", "object_type": "a.small"}),
            )
            .await;
        meanwhile += 1;
        sink.wait_for(meanwhile).await;
        let list = server.get("/v1/deliveries?object_type=a.big").await;
        let list = list["results"].as_array().unwrap();
        let why = |d: &Value| d["last_result"].as_str().unwrap_or_default().to_owned();
        let now = list.iter().filter(|d| why(d).contains("is being loaded"));
        defer = defer.max(now.count());
    }
    assert!(
        meanwhile > 20,
        "{meanwhile} deliveries were made while the plugin was compiled"
    );

    // None of them may be tried twice.
    for id in &waiting {
        let delivery = server.delivery(id.as_str().unwrap(), "finished").await;
        assert_eq!(delivery["total_attempts"], 1, "{delivery:#}");
    }
    assert!(defer > 0, "more would have waited than may");
    let artifacts = std::fs::read_dir(cache.path()).unwrap().count();
    assert_eq!(
        artifacts, 3,
        "the cache's key, jinja, and the plugin, compiled once"
    );
}
