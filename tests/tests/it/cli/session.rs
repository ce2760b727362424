//! The client commands against a real server: configure, send, look, send again.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
};

use hookbox_tests::process::{Running, hookbox, run, stderr, stdout};
use serde_json::{Value, json};

const KEY: &str = "hb_session_tests_admin_key_0123456789";

/// A server and a way to run client commands against it.
struct Session {
    _server: Running,
    folder: tempfile::TempDir,
    url: String,
}

impl Session {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Running::start(
            hookbox()
                .args([
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--allow-network",
                    "127.0.0.0/8",
                ])
                .arg("--data-dir")
                .arg(folder.path().join("data"))
                .env("HOOKBOX_ADMIN_KEY", KEY),
        );
        let url = format!("http://127.0.0.1:{}", server.port());
        Self {
            _server: server,
            folder,
            url,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        hookbox()
            .args(arguments)
            .env("HOOKBOX_URL", &self.url)
            .env("HOOKBOX_KEY", KEY)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Stdout of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    }

    fn file(&self, name: &str, content: &Value) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn configuration(port: u16) -> Value {
    json!({
        "webhooks": [{
            "name": "slack",
            "payload_url": format!("http://127.0.0.1:{port}/hook"),
            "body_template": "{\"text\": \"{{ data.name }}\"}",
            "secret": "s3cret",
            "retry": {"schedule": []},
        }],
        "event_rules": [{
            "name": "sites",
            "object_types": ["dcim.site"],
            "event_types": ["object_created"],
            "conditions": {"attr": "status.value", "value": "active"},
            "webhooks": ["slack"],
        }],
    })
}

fn event(status: &str) -> Value {
    json!({"event": "created", "object_type": "dcim.site", "username": "jstretch",
        "data": {"name": "DM-Camden", "status": {"value": status, "label": "x"}}})
}

#[test]
fn a_webhook_is_applied_run_looked_at_and_run_again() {
    let session = Session::start();
    let receiver =
        Running::start(hookbox().args(["receiver", "--port", "0", "--json", "--secret", "s3cret"]));
    let file = session.file("webhooks.json", &configuration(receiver.port()));

    assert_eq!(
        session.ok(&["apply", "-f", &file, "--dry-run"]),
        "webhook slack: would be created\nevent rule sites: would be created\n"
    );
    assert_eq!(
        session.ok(&["apply", "-f", &file]),
        "webhook slack: created\nevent rule sites: created\n"
    );
    assert_eq!(
        session.ok(&["apply", "-f", &file]),
        "webhook slack: updated (secret set again)\nevent rule sites: unchanged\n"
    );

    let sent = session.ok(&[
        "send",
        "--wait",
        &session.file("event.json", &event("active")),
    ]);
    assert!(sent.contains(" finished slack: "), "{sent}");
    let received: Value = serde_json::from_str(&receiver.line().unwrap()).unwrap();
    assert_eq!(received["body"], r#"{"text": "DM-Camden"}"#);
    assert_eq!(
        received["signatures"],
        json!({"X-Hook-Signature": "valid", "webhook-signature": "valid"})
    );

    let list = session.ok(&[
        "deliveries",
        "list",
        "--webhook",
        "slack",
        "--status",
        "finished",
    ]);
    let mut lines = list.lines();
    assert!(lines.next().unwrap().starts_with("ID "), "{list}");
    let id = lines.next().unwrap().split_whitespace().next().unwrap();
    let story = session.ok(&["deliveries", "show", id]);
    for part in [
        "Rule          sites",
        "status.value",
        "Attempt 1",
        "fuel",
        "{\"text\": \"DM-Camden\"}",
        "Webhook received!",
    ] {
        assert!(story.contains(part), "{part}: {story}");
    }
    assert!(!story.contains("s3cret"), "{story}");

    assert_eq!(
        session.ok(&["deliveries", "requeue", id]),
        format!("{id} queued\n")
    );
    assert!(receiver.line().is_some());
    let refused = session.run(&["deliveries", "cancel", "dlv_none"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(stderr(&refused).lines().count(), 1, "{}", stderr(&refused));
}

#[test]
fn headers_that_were_sent_and_not_recorded_are_told() {
    let session = Session::start();
    let receiver = Running::start(hookbox().args(["receiver", "--port", "0", "--json"]));
    let mut wide = configuration(receiver.port());
    let headers: Vec<String> = (0..8)
        .map(|n| format!("X-Long-{n}: {{{{ 'y' * 7000 }}}}"))
        .collect();
    wide["webhooks"][0]["additional_headers"] = headers.join("\n").into();
    session.ok(&["apply", "-f", &session.file("webhooks.json", &wide)]);
    let event = session.file("event.json", &event("active"));
    session.ok(&["send", "--wait", &event]);
    let list = session.ok(&["deliveries", "list"]);
    let id = list.lines().nth(1).unwrap();
    let id = id.split_whitespace().next().unwrap();
    let story = session.ok(&["deliveries", "show", id]);
    let told = story.lines().find(|line| line.contains("not recorded"));
    assert_eq!(
        told,
        Some("    … (and 4 more, which were not recorded)"),
        "{story}"
    );
}

#[test]
fn an_export_applied_again_changes_nothing_and_holds_no_secret() {
    let session = Session::start();
    let file = session.file("webhooks.json", &configuration(9));
    session.ok(&["apply", "-f", &file]);
    let export = session.run(&["export"]);
    let text = stdout(&export);
    assert!(
        !text.contains("s3cret") && !text.contains("whk_") && !text.contains("rul_"),
        "{text}"
    );
    assert_eq!(stderr(&export), "not included: the secrets of slack\n");
    let file = session.file("export.json", &serde_json::from_str(&text).unwrap());
    assert_eq!(
        session.ok(&["apply", "-f", &file]),
        "webhook slack: unchanged\nevent rule sites: unchanged\n"
    );
}

#[test]
fn an_event_that_sets_nothing_off_says_why() {
    let session = Session::start();
    session.ok(&[
        "apply",
        "-f",
        &session.file("webhooks.json", &configuration(9)),
    ]);
    let sent = session.ok(&["send", &session.file("event.json", &event("planned"))]);
    assert!(sent.contains("no delivery"), "{sent}");
    assert!(
        sent.contains("sites: ") && sent.contains("planned"),
        "{sent}"
    );
}

#[test]
fn a_delivery_that_fails_makes_waiting_fail() {
    let session = Session::start();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    session.ok(&[
        "apply",
        "-f",
        &session.file("webhooks.json", &configuration(port)),
    ]);
    let sent = session.run(&[
        "send",
        "--wait",
        &session.file("event.json", &event("active")),
    ]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(
        stderr(&sent).starts_with("hookbox: 1 of 1 deliveries did not succeed"),
        "{}",
        stderr(&sent)
    );
    let requeued = session.ok(&[
        "deliveries",
        "requeue",
        "--all-matching",
        "--webhook",
        "slack",
    ]);
    assert_eq!(requeued, "requeued 1 deliveries\n");
}

#[test]
fn what_is_refused_of_an_applied_file_is_said_once_and_the_rest_is_done() {
    let session = Session::start();
    let mut file = configuration(9);
    file["webhooks"][0]["body_template"] = json!("a\n{{ b");
    let other = json!({"name": "other", "payload_url": "http://127.0.0.1:9/"});
    file["webhooks"].as_array_mut().unwrap().push(other);
    let output = session.run(&["apply", "-f", &session.file("webhooks.json", &file)]);
    assert_eq!(output.status.code(), Some(1));
    let out = stdout(&output);
    let [broken, done, rule] = out.lines().collect::<Vec<_>>()[..] else {
        panic!("{out}");
    };
    assert!(broken.starts_with("webhook slack: failed: "), "{out}");
    assert_eq!(broken.matches("body_template (line 2)").count(), 1, "{out}");
    assert_eq!(broken.matches("syntax error").count(), 1, "{out}");
    assert_eq!(done, "webhook other: created");
    assert!(
        rule.starts_with("event rule sites: failed: ") && rule.contains("slack"),
        "{out}"
    );
    assert!(
        stderr(&output).contains("2 of them failed"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_missing_or_wrong_key_is_said_in_one_line() {
    let session = Session::start();
    let with = |key: Option<&str>| {
        let mut command = hookbox();
        command
            .args(["deliveries", "list"])
            .env("HOOKBOX_URL", &session.url);
        if let Some(key) = key {
            command.env("HOOKBOX_KEY", key);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        stderr(&output)
    };
    assert!(with(None).contains("set HOOKBOX_KEY"), "{}", with(None));
    let wrong = with(Some("hb_wrong_wrong_wrong_wrong_wrong"));
    assert!(wrong.contains("does not know the API key"), "{wrong}");
    assert!(!wrong.contains("hb_wrong"), "{wrong}");
}

#[test]
fn the_first_start_prints_the_admin_key_once_and_sigterm_is_success() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |data: &Path| {
        Running::start(
            hookbox()
                .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(data),
        )
    };
    let mut first = serve(&data);
    let lines = first.lines_until("HOOKBOX_KEY");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("Admin key, shown only this once: hb_")),
        "{lines:?}"
    );
    first.signal("TERM");
    assert_eq!(first.wait(), Some(0));
    while first.line().is_some() {}

    let mut second = serve(&data);
    let _ = second.port();
    second.signal("INT");
    assert_eq!(second.wait(), Some(0));
    assert_eq!(second.line(), None, "no key is printed again");
}

#[test]
fn a_server_that_cannot_start_says_why_in_one_line() {
    let session = Session::start();
    let data = session.folder.path().join("data");
    let address = session.url.strip_prefix("http://").unwrap();
    let fails = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = stderr(&output);
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    let other = session.folder.path().join("other");
    let in_use = fails(&[
        "serve",
        "--listen",
        address,
        "--data-dir",
        other.to_str().unwrap(),
    ]);
    assert!(in_use.contains(&format!("{address} is in use")), "{in_use}");
    let locked = fails(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert!(locked.contains(data.to_str().unwrap()), "{locked}");
    let no_folder = fails(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "/dev/null/x",
    ]);
    assert!(no_folder.contains("/dev/null/x"), "{no_folder}");
    let config = fails(&["serve", "--config", "/does/not/exist.toml"]);
    assert!(config.contains("/does/not/exist.toml"), "{config}");
}
