//! What `hookbox plugin upload` says of what it did.

use std::path::Path;

use hookbox_tests::{
    process::{hookbox, program, stderr, stdout},
    server::{KEY, Server},
};

use serde_json::json;

use super::says;
use crate::contract::components::digest;

/// The exit code, the first line, and all errors.
fn upload(server: &Server, file: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = hookbox()
        .args(["plugin", "upload", "--name", "mine"])
        .arg(file)
        .args(arguments)
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY)
        .output()
        .unwrap();
    let first = stdout(&output)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    (output.status.code(), first, stderr(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_not_what_was_asked_for_is_a_failure_that_says_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let [one, two] = ["one", "two"].map(|name| {
        let file = dir.path().join(name);
        std::fs::write(&file, says("https://example.com/", name)).unwrap();
        let version = digest(&std::fs::read(&file).unwrap());
        (file, version[..12].to_owned())
    });
    let done = |version: &str, what: &str| {
        (
            Some(0),
            format!("uploaded {version}: {what}"),
            String::new(),
        )
    };
    let known = |version: &str, what: &str| {
        format!("{version} is here already, {what}; nothing has changed")
    };

    let up = |(file, _): &(std::path::PathBuf, String), arguments: &[&str]| {
        upload(&server, file, arguments)
    };
    assert_eq!(up(&one, &[]), done(&one.1, "the current version"));
    assert_eq!(
        up(&two, &["--canary", "10"]),
        done(&two.1, "the canary of a rollout")
    );

    let unchanged = known(&one.1, "the current version");
    assert_eq!(
        up(&one, &["--canary", "10"]),
        (Some(0), unchanged, String::new())
    );
    assert_eq!(up(&two, &["--canary", "10"]).0, Some(0));
    // Who means to put it in force has only a part of the deliveries run it.
    let (code, first, error) = up(&two, &[]);
    assert_eq!(
        (code, first),
        (Some(1), known(&two.1, "the canary of a rollout"))
    );
    let promote = format!("`hookbox plugin promote mine {}` runs it", two.1);
    assert!(error.contains(&promote), "{error}");

    let promoted = json!({"version": two.1});
    server.post("/v1/plugins/mine/promote", &promoted).await;
    let held = known(&one.1, "not the current version");
    let (code, first, error) = up(&one, &["--canary", "10"]);
    assert_eq!((code, first), (Some(1), held));
    let promote = format!(
        "`hookbox plugin promote mine {} --canary 10` runs it",
        one.1
    );
    assert!(error.contains(&promote), "{error}");
    assert_eq!(up(&one, &["--hold"]).0, Some(0));
}

/// Compiling takes as long as it takes; whoever waits must see that it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_shows_on_a_terminal_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let file = dir.path().join("mine.wasm");
    std::fs::write(&file, says("https://example.com/", "shown")).unwrap();
    // util-linux's script runs it on a terminal of its own
    let upload = format!("{} plugin upload {}", program().display(), file.display());
    let output = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &upload, "/dev/null"])
        .env("HOOKBOX_URL", &server.url)
        .env("HOOKBOX_KEY", KEY)
        .env("TERM", "xterm")
        .output()
        .unwrap();
    let shown = stdout(&output);
    assert!(output.status.success(), "{shown}");
    let (before, after) = shown.split_once("uploaded ").expect("what came of it");
    assert!(before.contains("sending "), "{shown:?}");
    assert!(!after.contains("sending "), "{shown:?}");
}
