//! The client commands against a real server: configure, send, look, send again.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
};

use hookbox_tests::{
    process::{Running, hookbox, run, stderr, stdout},
    server::Server,
};
use reqwest::Method;
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
        Self::start_with(&[])
    }

    /// A server with these variables.
    fn start_with(environment: &[(&str, &str)]) -> Self {
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
                .env("HOOKBOX_ADMIN_KEY", KEY)
                .envs(environment.iter().copied()),
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

#[tokio::test]
async fn a_key_that_may_only_send_sends_and_is_told_what_it_may_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let key = json!({"name": "NetBox", "scope": "ingest"});
    let (_, made) = server.request(Method::POST, "/v1/keys", Some(&key)).await;
    let as_sender = |arguments: &[&str]| {
        hookbox()
            .args(arguments)
            .env("HOOKBOX_URL", &server.url)
            .env("HOOKBOX_KEY", made["key"].as_str().unwrap())
            .output()
            .unwrap()
    };
    let file = folder.path().join("event.json");
    fs::write(&file, event("planned").to_string()).unwrap();
    // The reason why no rule matched is for keys that may read.
    let sent = as_sender(&["send", file.to_str().unwrap()]);
    assert_eq!(sent.status.code(), Some(0), "{}", stderr(&sent));
    assert!(
        stdout(&sent).ends_with("\n  no delivery\n"),
        "{}",
        stdout(&sent)
    );
    let shown = as_sender(&["deliveries", "show", "dlv_1"]);
    assert_eq!(shown.status.code(), Some(1));
    let says = stderr(&shown);
    assert!(says.contains("This API key may not do this"), "{says}");
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

/// The ids of events that `send` printed, with whether each was known.
fn sent(output: &str) -> Vec<(String, bool)> {
    let events = output.lines().filter(|line| line.starts_with("evt_"));
    events
        .map(|line| {
            let (id, note) = line.split_once(' ').unwrap_or((line, ""));
            (id.to_owned(), note.contains("accepted before"))
        })
        .collect()
}

fn many_events(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| json!({"event": "created", "object_type": format!("a.t{n}"), "data": {}}))
        .collect()
}

#[test]
fn more_events_than_a_server_takes_at_once_are_sent_in_several_requests_in_order() {
    // The client does not know of the server's limit.
    let session = Session::start_with(&[("HOOKBOX__INGEST__MAX_BATCH", "300")]);
    let mut hooks = configuration(1);
    hooks["event_rules"][0] =
        json!({"name": "all", "object_types": ["*"], "event_types": ["*"], "webhooks": ["slack"]});
    let hooks = session.file("webhooks.json", &hooks);
    session.ok(&["apply", "-f", &hooks]);
    let all = many_events(1300);
    let array = session.file("array.json", &json!(all));
    let ids = sent(&session.ok(&["send", &array]));
    assert_eq!(ids.len(), 1300);
    let listed = session.ok(&["deliveries", "list", "--json", "--limit", "2000"]);
    let mut listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    listed.reverse();
    assert_eq!(listed.len(), 1300);
    for ((delivery, (event, _)), n) in listed.iter().zip(&ids).zip(0..) {
        assert_eq!(delivery["object_type"], format!("a.t{n}"));
        assert_eq!(delivery["event"], **event);
    }

    let lines: String = all.iter().map(|event| format!("{event}\n")).collect();
    let path = session.folder.path().join("lines.ndjson");
    fs::write(&path, lines).unwrap();
    let path = path.to_str().unwrap();
    let answer = session.ok(&["send", "--json", path]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["events"].as_array().unwrap().len(), 1300);

    // With a key all of it is known again.
    let again = ["send", "--idempotency-key", "K", &array];
    let first = sent(&session.ok(&again));
    assert!(first.iter().all(|(_, known)| !known));
    let second = sent(&session.ok(&again));
    assert!(second.iter().all(|(_, known)| *known));
    let ids = |sent: &[(String, bool)]| sent.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), ids(&second));
}

#[test]
fn sending_that_ends_midway_says_how_far_it_came_and_is_taken_up_again() {
    let session = Session::start_with(&[("HOOKBOX__INGEST__MAX_BATCH", "1000")]);
    let mut all = many_events(2500);
    all[2100] = json!({"object_type": "a.b", "data": {}});
    let file = session.file("events.json", &json!(all));
    let output = session.run(&["send", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(sent(&stdout(&output)).len(), 2000);
    let told = stderr(&output);
    assert!(told.contains("[100].event"), "{told}");
    assert!(
        told.contains("2000 of 2500 events had been accepted"),
        "{told}"
    );
    let key = told.split("--idempotency-key ").nth(1).unwrap();
    let key = key.split_whitespace().next().unwrap();

    all[2100] = all[0].clone();
    let file = session.file("events.json", &json!(all));
    let ids = sent(&session.ok(&["send", "--idempotency-key", key, &file]));
    assert_eq!(ids.len(), 2500);
    for ((_, known), n) in ids.iter().zip(0..) {
        assert_eq!(*known, n < 2000, "{n}");
    }
}

#[test]
fn the_servers_url_may_have_the_apis_own_path() {
    let session = Session::start();
    for path in ["", "/", "/v1", "/v1/"] {
        let mut command = hookbox();
        command.args(["deliveries", "list"]).env("HOOKBOX_KEY", KEY);
        command.env("HOOKBOX_URL", format!("{}{path}", session.url));
        assert_eq!(
            stdout(&command.output().unwrap()),
            "no deliveries\n",
            "{path}"
        );
    }
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
    for (key, says) in [
        ("hb_wrong_wrong_wrong_wrong_wrong", "is not known here"),
        ("hb_wrong", "8 characters, and none has fewer than 24"),
        ("wrong_wrong_wrong_wrong_wrong_wrong", "begins with hb_"),
    ] {
        let wrong = with(Some(key));
        assert!(wrong.contains(says), "{wrong}");
        assert!(!wrong.contains(key), "{wrong}");
        assert_eq!(wrong.trim().lines().count(), 1, "{wrong}");
    }
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
