//! The cost of the sandbox: an instance alone, and the Slack webhook rendered in a fresh instance with all
//! limits on, compared with the same code run natively, in the same run.
//!
//! `cargo bench -p hookbox --bench render` prints the usual figures and, last, the ratio.

#![expect(
    clippy::expect_used,
    reason = "a benchmark: nobody calls it, and it may stop"
)]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::Criterion;
use hookbox::{
    config::Config,
    sandbox::{JINJA, Output, RenderJob, Sandbox, SecretHandles},
};
use hookbox_guest::{Event, Webhook};
use serde_json::json;

/// Number of runs over which the printed ratio is measured.
const RUNS: u32 = 5000;

fn main() {
    let event: Arc<str> = json!({
        "event": "created",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "object_type": "ipam.ipaddress",
        "username": "admin",
        "request_id": "17af32f0-852a-46ca-a7d4-33ecd0c13de6",
        "data": { "id": 1, "address": "192.0.2.1/24", "status": { "value": "active", "label": "Active" },
                  "tags": ["a", "b"], "custom_fields": { "site": null } },
        "snapshots": { "prechange": null, "postchange": { "address": "192.0.2.1/24" } }
    })
    .to_string()
    .into();
    let webhook: Arc<str> = json!({
        "name": "slack",
        "payload_url": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "http_method": "POST",
        "http_content_type": "application/json",
        "additional_headers": "X-Event: {{ event }}",
        "body_template": r#"{"text": "IP address {{ data['address'] }} was created by {{ username }}!"}"#,
        "body_escape": "none",
        "settings": null
    })
    .to_string()
    .into();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let sandbox = Sandbox::new(&Config::defaults().sandbox, None).expect("a sandbox");
    let jinja = sandbox
        .load("jinja", JINJA)
        .expect("the built-in transformer");
    let job = || RenderJob {
        event: Arc::clone(&event),
        webhook: Arc::clone(&webhook),
        secrets: Arc::new(SecretHandles::default()),
        owner: Arc::default(),
    };
    let sandboxed = || runtime.block_on(sandbox.render(&jinja, job()));
    let native = || {
        let webhook = Webhook::from_text(&webhook).expect("a webhook");
        hookbox_jinja::transform(&Event::from_text(&*event), &webhook).expect("a decision")
    };
    let first = sandboxed();
    assert!(matches!(first.output, Output::Request(_)), "{first:?}");

    let mut criterion = Criterion::default().configure_from_args();
    criterion.bench_function("instantiate", |b| {
        b.iter(|| black_box(sandbox.instantiate(&jinja).expect("an instance")));
    });
    criterion.bench_function("sandboxed", |b| b.iter(|| black_box(sandboxed())));
    criterion.bench_function("native", |b| b.iter(|| black_box(native())));
    criterion.final_summary();

    let (mut inside, started) = (0, Instant::now());
    for _ in 0..RUNS {
        inside += sandboxed().cost.elapsed_us;
    }
    let with_handover = started.elapsed() / RUNS;
    let started = Instant::now();
    for _ in 0..RUNS {
        black_box(native());
    }
    let native = started.elapsed() / RUNS;
    let inside = Duration::from_micros(inside) / RUNS;
    let ratio = |time: Duration| time.as_secs_f64() / native.as_secs_f64();
    println!(
        "native {native:?}; sandboxed {inside:?} ({:.1} x native), with the way to the render thread and \
         back {with_handover:?} ({:.1} x); {} fuel, {} KiB",
        ratio(inside),
        ratio(with_handover),
        first.cost.fuel,
        first.cost.peak_memory_bytes / 1024
    );
}
