//! `hookbox demo` and `hookbox bench`: whole runs.

use hookbox_tests::process::{run, stderr, stdout};
use serde_json::Value;

#[test]
fn the_demo_delivers_stops_the_hostile_template_and_delivers_again() {
    let output = run(&["demo"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", stderr(&output));
    for line in [
        r#"{"text": "IP address 192.0.2.10/24 was created by jstretch!"}"#,
        "Signature: valid (X-Hook-Signature, webhook-signature)",
        "stopped: ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn the_benchmark_delivers_everything_and_reports() {
    let output = run(&[
        "bench",
        "--deliveries",
        "200",
        "--concurrency",
        "8",
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["deliveries"], 200);
    let embedded = &report["embedded"];
    assert!(embedded["per_second"].as_f64().unwrap() > 0.0);
    assert!(embedded["single_delivery_p99_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(report.get("redis"), None);
}
