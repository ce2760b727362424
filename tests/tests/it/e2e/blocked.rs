//! A server that was started again without `--allow-network`: what that costs is seen, and is made good.

use std::{fs, path::Path, process::Output};

use hookbox_tests::{
    process::{hookbox, stderr, stdout},
    server::{KEY, Server, netbox_event},
    sink::Sink,
};
use reqwest::Method;
use serde_json::json;
use tokio::task::block_in_place;

fn command(server: &Server, arguments: &[&str]) -> Output {
    let mut command = hookbox();
    command
        .args(arguments)
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY);
    block_in_place(|| command.output().unwrap())
}

/// Its output; it must succeed.
fn ok(server: &Server, arguments: &[&str]) -> String {
    let output = command(server, arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn warnings(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    text.lines()
        .filter(|line| line.contains("are blocked and fail without another try"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_refused_is_logged_once_found_and_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let log = dir.path().join("log");
    let mut server = Server::start_logged(&data, &[], &log);
    let sink = Sink::start().await;
    let mut hooks = Vec::new();
    for name in ["one", "two"] {
        let hook = json!({"name": name, "payload_url": sink.url(), "retry": {"schedule": []}});
        hooks.push(server.webhook(hook).await);
    }
    let send = async |n: usize| {
        for _ in 0..n {
            server.post("/v1/events", &netbox_event()).await;
        }
    };
    let failed = async |n: u64| {
        server
            .wait_until("/v1/queue", |queue| queue["failed"] == n)
            .await;
    };
    send(5).await;
    failed(10).await;
    let told = warnings(&log);
    assert_eq!(told.len(), 2, "{told:#?}");
    for hook in &hooks {
        let line = told.iter().find(|line| line.contains(hook.as_str()));
        let line = line.expect("each webhook has a line");
        for part in [
            "WARN",
            "--allow-network 127.0.0.0/8",
            "guard.allow_networks",
            "requeue --error blocked",
        ] {
            assert!(line.contains(part), "{hook}: {line}");
        }
    }
    // A change of the configuration may be one of this: it is said again.
    let change = json!({"http_content_type": "text/plain"});
    let path = format!("/v1/webhooks/{}", hooks[0]);
    server.request(Method::PATCH, &path, Some(&change)).await;
    send(1).await;
    failed(12).await;
    assert_eq!(warnings(&log).len(), 4, "{:#?}", warnings(&log));

    let listed = ok(&server, &["deliveries", "list", "--error", "blocked"]);
    assert_eq!(listed.matches("failed").count(), 12, "{listed}");
    let none = ok(&server, &["deliveries", "list", "--error", "dns"]);
    assert_eq!(none, "no deliveries\n");
    assert!(server.terminate().success());

    let allowed = [("HOOKBOX__GUARD__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#)];
    let server = Server::start_logged(&data, &allowed, &log);
    let since = ["--error", "blocked", "--since", "1h"];
    let one = [&["deliveries", "requeue", "--webhook", "one"][..], &since].concat();
    assert_eq!(ok(&server, &one), "requeued 6 deliveries\n");
    sink.wait_for(6).await;
    let all = [&["deliveries", "requeue"][..], &since].concat();
    assert_eq!(ok(&server, &all), "requeued 6 deliveries\n");
    sink.wait_for(12).await;
    server
        .wait_until("/v1/queue", |queue| queue["finished"] == 12)
        .await;
    assert_eq!(ok(&server, &all), "requeued 0 deliveries\n");
    assert_eq!(warnings(&log), Vec::<String>::new());
}

/// Nothing is moved by a command that may mean something else.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_named_or_filtered_and_not_both() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for (arguments, says) in [
        (&["requeue"][..], "--all-matching"),
        (&["cancel"], "--webhook, --error, --since"),
        (&["requeue", "dlv_1", "--error", "blocked"], "not both"),
        (&["cancel", "dlv_1", "--since", "1h"], "not both"),
        (&["list", "--error", "blokced"], "blocked, connect, dns"),
        (&["list", "--since", "soon"], "2h or 7d"),
    ] {
        let output = command(&server, &[&["deliveries"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}
