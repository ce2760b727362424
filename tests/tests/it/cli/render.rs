//! `hookbox render`: what a webhook would send, without a server.

use std::{fs, path::PathBuf, process::Output};

use hookbox_tests::process::{hookbox, stderr, stdout};
use serde_json::{Value, json};

fn example(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/netbox")).join(name)
}

/// Renders this webhook on the example event.
fn render(webhook: &Value, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("webhook.json");
    fs::write(&file, webhook.to_string()).unwrap();
    hookbox()
        .args(["render", "--webhook"])
        .arg(&file)
        .arg("--event")
        .arg(example("event.json"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_example_of_netbox_is_rendered() {
    let output = hookbox()
        .args(["render", "--webhook"])
        .arg(example("webhooks.json"))
        .arg("--event")
        .arg(example("event.json"))
        .output()
        .unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(
        text.starts_with("POST https://hooks.slack.com/services/"),
        "{text}"
    );
    assert!(text.contains("\nX-Event: created\n"), "{text}");
    assert!(
        text.contains("\n  {\"text\": \"IP address 192.0.2.10/24 was created by jstretch!\"}\n"),
        "{text}"
    );
    assert!(text.contains("\nSandbox: "), "{text}");
}

#[test]
fn the_report_says_whether_the_destination_would_be_allowed() {
    let webhook = json!({"payload_url": "http://127.0.0.1:9/x", "body_template": "x"});
    let verdict = |arguments: &[&str]| {
        let output = render(&webhook, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["outcome"], "request");
        assert!(report["fuel"].as_u64().unwrap() > 0);
        report["guard"]["allowed"].clone()
    };
    assert_eq!(verdict(&["--json"]), false);
    assert_eq!(verdict(&["--json", "--allow-network", "127.0.0.0/8"]), true);
}

#[test]
fn an_error_names_field_and_line_and_quotes_the_template() {
    let webhook = json!({"payload_url": "http://example.com/", "body_template": "a\n{{ data.nope.deeper }}\n"});
    let output = render(&webhook, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("\n  2 | {{ data.nope.deeper }}\n"),
        "{}",
        stdout(&output)
    );
    let error = stderr(&output);
    assert!(
        error.starts_with("hookbox: template_runtime in body_template line 2: "),
        "{error}"
    );
}

#[test]
fn a_webhook_with_an_unknown_field_is_refused_by_name() {
    let output = render(
        &json!({"payload_url": "http://example.com/", "body_tmplate": ""}),
        &[],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("body_tmplate"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_secret_that_is_said_to_be_there_shows_by_its_name() {
    let webhook = json!({
        "payload_url": "http://example.com/{{ secret('path') }}",
        "additional_headers": "X-Note: Bearer {{ secret('token') }}",
    });
    let output = render(&webhook, &["--secret", "token", "--secret", "path"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = stdout(&output);
    assert!(
        shown.contains("http://example.com/[secret:path]"),
        "{shown}"
    );
    assert!(shown.contains("X-Note: Bearer [secret:token]"), "{shown}");
    let output = render(&webhook, &["--secret", "path"]);
    assert!(stderr(&output).contains("token"), "{}", stderr(&output));
}

/// Its templates are not what a server would render, and a body that looks right would hide it.
#[test]
fn a_webhook_that_runs_a_plugin_is_not_rendered_without_its_component() {
    let of = |plugin: &str| {
        let output = render(
            &json!({"payload_url": "http://example.com/", "plugin": plugin}),
            &[],
        );
        (output.status.code(), stdout(&output), stderr(&output))
    };
    for plugin in ["mine", "mine@0123456789ab"] {
        let (code, shown, error) = of(plugin);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{error}");
        for words in [
            "webhook.json: ",
            plugin,
            "--plugin FILE",
            "dist/mine.wasm",
            "--delivery",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    let (code, _, error) = of("jinja");
    assert_eq!(code, Some(0), "the built-in one is here: {error}");
}

#[test]
fn a_plugin_that_is_no_component_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plugin.wasm");
    fs::write(&file, "not wasm").unwrap();
    let webhook = json!({"payload_url": "http://example.com/"});
    let output = render(&webhook, &["--plugin", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("plugin.wasm: "),
        "{}",
        stderr(&output)
    );
}
