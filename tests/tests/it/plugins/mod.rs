//! Uploaded plugins: taken in or refused, run, tried, rolled back, rendered again.

mod big;
mod canary;
mod kept;
mod languages;
mod not_ready;
mod redis;
mod refused;
mod replay;
mod slow;
mod told;
mod versions;

use hookbox_tests::server::Server;
use serde_json::{Value, json};

use hookbox_tests::guest::assemble;

/// A plugin that sends `body` to `url`, after doing `first`, which sees the event as `$event` and
/// `$event-len`.
fn sender(url: &str, body: &str, first: &str) -> Vec<u8> {
    let escape = |text: &str| text.replace('\\', "\\5c").replace('"', "\\22");
    let main = format!(
        r#"(data (i32.const 4096) "{}")
           (data (i32.const 6144) "{}")
           (func (export "transform") (param $event i32) (param $event-len i32) (param i32 i32) (result i32)
             {first}
             (drop (call $send (i32.const 0) (i32.const 0) (i32.const 6144) (i32.const {})))
             (i32.store (i32.const 2064) (i32.const 4096))
             (i32.store (i32.const 2068) (i32.const {}))
             (i32.const 2048))"#,
        escape(url),
        escape(body),
        body.len(),
        url.len()
    );
    assemble("sender", &main)
}

/// A plugin that sends `body` to `url`.
fn says(url: &str, body: &str) -> Vec<u8> {
    sender(url, body, "")
}

/// The same, but it traps on any event that is shorter than the sample of the smoke test.
fn traps(url: &str, body: &str) -> Vec<u8> {
    let trap = "(if (i32.lt_u (local.get $event-len) (i32.const 1000)) (then (unreachable)))";
    sender(url, body, trap)
}

fn event() -> Value {
    json!({"event": "created", "object_type": "dcim.site", "data": {"name": "x"}})
}

/// The version of an uploaded plugin: its digest.
async fn upload(server: &Server, query: &str, wasm: Vec<u8>) -> String {
    let (status, plugin) = server.upload(query, wasm).await;
    assert_eq!(status, 201, "{plugin:#}");
    let versions = plugin["versions"].as_array().expect("versions");
    let last = versions.last().expect("a version");
    last["sha256"].as_str().expect("a digest").to_owned()
}

/// Which transformer ran in the last attempt of a delivery.
fn ran(delivery: &Value) -> &str {
    let attempts = delivery["attempts"].as_array().expect("attempts");
    let last = attempts.last().expect("an attempt");
    last["render"]["transformer"].as_str().expect("a label")
}
