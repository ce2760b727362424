//! From a NetBox's objects to hookbox's.

use hookbox_tests::netbox::{NetBox, TOKEN, TOKEN_V2, Version, rule, webhook};
use serde_json::{Value, json};

use reqwest::Method;

use super::{KEY, Session};

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

/// Five webhooks and five rules, so that each list has several pages.
fn inventory(version: Version) -> (Vec<Value>, Vec<Value>) {
    let webhooks: Vec<Value> = (1..=5)
        .map(|id| webhook(version, id, &format!("hook {id}")))
        .collect();
    let rules = webhooks
        .iter()
        .zip(11..)
        .map(|(webhook, id)| rule(version, id, &format!("rule {id}"), webhook))
        .collect();
    (webhooks, rules)
}

#[tokio::test]
async fn every_version_comes_over_and_a_second_run_finds_nothing_to_do() {
    let session = Session::start();
    for version in [
        Version::V3_7,
        Version::V4_0,
        Version::V4_5,
        Version::V4_6,
        Version::V4_7,
    ] {
        let (mut webhooks, rules) = inventory(version);
        webhooks[1]["additional_headers"] = json!("X-Event: {{ event }}");
        webhooks[1]["body_template"] = json!("{{ data.name }}\r\n");
        webhooks[1]["http_method"] = json!("PUT");
        let netbox = NetBox::start(webhooks, rules).await;

        let first = session.import_from(&netbox).await;
        assert!(first.expect(0).contains("0 not carried over"), "{first:#?}");
        let stored = session.stored("webhooks", "hook 2").await;
        assert_eq!(stored["external_id"], 2);
        assert_eq!(stored["http_method"], "PUT");
        assert_eq!(stored["additional_headers"], "X-Event: {{ event }}");
        assert_eq!(stored["secret_set"], true);
        let rule = session.stored("event-rules", "rule 12").await;
        assert_eq!(rule["webhooks"], json!([stored["id"]]));
        assert_eq!(rule["external_id"], 12);
        assert_eq!(rule["event_types"], json!(["object_created"]));

        let second = session.import_from(&netbox).await;
        assert!(
            second
                .expect(0)
                .contains("0 to create, 0 to update, 10 as they are"),
            "{version:?} {second:#?}"
        );
        assert_eq!(session.count("webhooks").await, 5);
        // Three pages of each list.
        let pages = netbox.requests().len();
        assert_eq!(pages, 2 * 6, "{:?}", netbox.requests());
    }
}

#[tokio::test]
async fn a_dry_run_and_a_run_without_anybody_to_ask_change_nothing() {
    let session = Session::start();
    let (webhooks, rules) = inventory(Version::V4_6);
    let netbox = NetBox::start(webhooks, rules).await;
    let planned = session.import(&["--url", &netbox.url, "--dry-run"]).await;
    assert!(planned.expect(0).contains("webhook \"hook 3\": create"));
    assert!(planned.out.contains("10 to create"));

    let unasked = session.import(&["--url", &netbox.url]).await;
    unasked.expect(2);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    assert_eq!(session.count("webhooks").await, 0);
    assert_eq!(session.count("event-rules").await, 0);
}

#[tokio::test]
async fn a_change_in_netbox_is_the_only_thing_that_a_later_run_sends() {
    let session = Session::start();
    let (webhooks, rules) = inventory(Version::V4_6);
    let netbox = NetBox::start(webhooks, rules).await;
    session.import_from(&netbox).await.expect(0);

    // Policy that NetBox does not know, set here in between.
    let id = session.stored("webhooks", "hook 1").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let policy = json!({"retry": {"schedule": [5, 50], "jitter": 0.5}});
    let path = format!("/v1/webhooks/{id}");
    let (status, _) = session
        .server
        .request(Method::PATCH, &path, Some(&policy))
        .await;
    assert!(status.is_success());
    netbox.change(|webhooks, rules| {
        webhooks[0]["name"] = json!("renamed");
        // As in the switch-over: NetBox's own delivery ends.
        rules[0]["enabled"] = json!(false);
        rules[1]["conditions"] = json!({"attr": "status.value", "value": "active"});
    });
    let second = session.import_from(&netbox).await;
    let out = second.expect(0);
    assert!(out.contains("webhook \"renamed\": update (name)"), "{out}");
    assert!(
        out.contains("event rule \"rule 12\": update (conditions)"),
        "{out}"
    );
    assert!(
        out.contains("0 to create, 2 to update, 8 as they are"),
        "{out}"
    );
    let renamed = session.stored("webhooks", "renamed").await;
    assert_eq!(renamed["id"], json!(id));
    assert_eq!(renamed["retry"]["schedule"], json!([5, 50]));
    let rule = session.stored("event-rules", "rule 11").await;
    assert_eq!(
        rule["enabled"], true,
        "a second import does not stop deliveries"
    );
}

#[tokio::test]
async fn the_plan_says_what_cannot_come_over_and_what_differs() {
    let session = Session::start();
    let v = Version::V4_7;
    let broken = with(
        webhook(v, 1, "broken"),
        "body_template",
        json!("{{ a }}\n{% if %}"),
    );
    let own_ca = with(
        webhook(v, 2, "own ca"),
        "ca_file_path",
        json!("/home/me/ca.pem"),
    );
    let own_filter = with(
        webhook(v, 3, "own filter"),
        "body_template",
        json!("{{ data|my_filter }}"),
    );
    let env = with(
        webhook(v, 4, "env"),
        "additional_headers",
        json!("Authorization: Bearer {{ 'API_KEY' | env }}\nX-Name: {{ data.name }}"),
    );
    let inside = with(
        webhook(v, 5, "inside"),
        "payload_url",
        json!("http://10.1.2.3:8080/{{ event }}"),
    );
    let feed = with(
        webhook(v, 6, "feed"),
        "payload_url",
        json!("https://hookbox.example/v1/events"),
    );
    let tagged = with(
        with(
            webhook(v, 7, "tagged"),
            "tags",
            json!([{"id": 1, "slug": "x"}]),
        ),
        "custom_fields",
        json!({"team": "net"}),
    );
    let script = with(
        rule(v, 21, "script", &env),
        "action_type",
        json!({"value": "script", "label": "Script"}),
    );
    let notify = with(
        rule(v, 22, "notify", &env),
        "action_type",
        json!({"value": "notification", "label": "Notification"}),
    );
    let plugin = with(
        rule(v, 23, "plugin action", &env),
        "action_type",
        json!({"value": "my_plugin.page", "label": "Page"}),
    );
    let of_broken = rule(v, 24, "of broken", &broken);
    let bad = with(
        rule(v, 25, "bad regex", &env),
        "conditions",
        json!({"and": [{"attr": "name", "op": "regex", "value": "["}]}),
    );
    let nested = with(
        rule(v, 26, "nested AND", &env),
        "conditions",
        json!({"or": [{"AND": [{"attr": "name", "value": "x"}]}]}),
    );
    let jobs = with(
        rule(v, 27, "jobs", &env),
        "event_types",
        json!(["job_failed", "my_plugin.saved"]),
    );
    let twice = with(
        rule(v, 28, "jobs", &env),
        "event_types",
        json!(["object_deleted"]),
    );
    let netbox = NetBox::start(
        vec![broken, own_ca, own_filter, env, inside, feed, tagged],
        vec![script, notify, plugin, of_broken, bad, nested, jobs, twice],
    )
    .await;
    let ended = session.import_from(&netbox).await;
    let out = ended.expect(1);
    for part in [
        "webhook \"broken\": not carried over: its body_template (line 2) does not compile here",
        "webhook \"own ca\": create\n    note: ca_file_path \"/home/me/ca.pem\" is left out",
        "note: the filter my_filter is not there",
        "note: a line break in a value that a header is made of",
        "curl -X PUT",
        "/v1/secrets/API_KEY'",
        "note: its receiver 10.1.2.3 is not public",
        "webhook \"feed\": not carried over: it sends to /v1/events",
        "note: left out: custom fields, tags",
        "event rule \"script\": not carried over: it runs a script",
        "event rule \"notify\": not carried over: it notifies users",
        "event rule \"plugin action\": not carried over: its action type \"my_plugin.page\"",
        "event rule \"of broken\": not carried over: its webhook is not carried over",
        "event rule \"bad regex\": not carried over: conditions.and[0].value",
        "event rule \"nested AND\": not carried over: conditions.or[0]",
        "note: job_failed is carried over, but NetBox sends it to no rule",
        "note: my_plugin.saved is an event type of a plugin",
        "event rule \"jobs\": not carried over: its name is there twice",
        "REST API does not show the action data",
    ] {
        assert!(out.contains(part), "missing: {part}\n{out}");
    }
    assert!(
        ended
            .err
            .contains("6 of the things in NetBox are not carried over"),
        "{}",
        ended.err
    );
    assert_eq!(session.stored("webhooks", "broken").await, Value::Null);
    assert_eq!(
        session.stored("webhooks", "own ca").await["ca_file_path"],
        Value::Null
    );
    assert_eq!(
        session.stored("webhooks", "own ca").await["ssl_verification"],
        true
    );
    assert_ne!(session.stored("event-rules", "jobs").await, Value::Null);
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let session = Session::start();
    let v = Version::V4_6;
    let hook = with(
        webhook(v, 1, "hook"),
        "additional_headers",
        json!("Authorization: Bearer very-secret-value"),
    );
    let rule = rule(v, 2, "rule", &hook);
    let netbox = NetBox::start(vec![hook], vec![rule]).await;
    for arguments in [
        vec!["--url", &netbox.url, "--dry-run"],
        vec!["--url", &netbox.url, "--yes"],
        vec!["--url", &netbox.url, "--yes", "--set-secrets"],
        vec!["--url", &netbox.url, "--yes", "--token", TOKEN],
        vec!["--url", "http://127.0.0.1:1", "--yes"],
    ] {
        let ended = session.import(&arguments).await;
        let all = format!("{}{}", ended.out, ended.err);
        for secret in [TOKEN, "very-secret-value", "s3cr3t-of-netbox", KEY] {
            assert!(!all.contains(secret), "{arguments:?}: {all}");
        }
    }
    let ended = session
        .import(&["--url", &netbox.url, "--yes", "--set-secrets"])
        .await;
    assert!(ended.expect(0).contains("update (secret)"), "{}", ended.out);
}

#[tokio::test]
async fn a_token_of_the_second_kind_goes_as_bearer() {
    let session = Session::start();
    let netbox = NetBox::start(vec![], vec![]).await;
    let arguments = ["--url", &netbox.url, "--yes"];
    session
        .import_with_token(TOKEN_V2, &arguments)
        .await
        .expect(0);
    assert_eq!(netbox.requests()[0].1, format!("Bearer {TOKEN_V2}"));
    let refused = session.import_with_token("wrong", &arguments).await;
    refused.expect(1);
    assert!(refused.err.contains("Invalid v1 token"), "{}", refused.err);
    assert!(!refused.err.contains("wrong"));
}

#[tokio::test]
async fn a_rule_that_was_imported_runs_its_webhook() {
    let session = Session::start();
    let sink = hookbox_tests::sink::Sink::start().await;
    let hook = with(
        webhook(Version::V4_6, 1, "hook"),
        "payload_url",
        json!(sink.url()),
    );
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    let netbox = NetBox::start(vec![hook], vec![rule]).await;
    session.import_from(&netbox).await.expect(0);
    let body = include_str!("../../../data/netbox/body-4.6.json");
    session
        .server
        .send(&serde_json::from_str(body).unwrap())
        .await;
    sink.wait_for(1).await;
    let received = sink.received();
    // The default body is what NetBox sent, byte for byte.
    assert_eq!(received[0].body, body.trim_end());
    assert_eq!(received[0].header("x-hook-signature").len(), 128);
}

#[tokio::test]
async fn a_template_whose_json_a_quote_breaks_is_told_in_the_plan() {
    let session = Session::start();
    let hook = with(
        webhook(Version::V4_6, 1, "slack"),
        "body_template",
        json!("{\"text\": \"{{ data['name'] }}\"}"),
    );
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    let netbox = NetBox::start(vec![hook], vec![rule]).await;
    for arguments in [["--dry-run"], ["--yes"]] {
        let ended = session
            .import(&[&["--url", &netbox.url], &arguments[..]].concat())
            .await;
        let out = ended.expect(0);
        assert!(
            out.contains("note: with a quote") && out.contains("set body_escape to \"json\""),
            "{out}"
        );
    }
    let stored = session.stored("webhooks", "slack").await;
    assert_eq!(stored["warnings"].as_array().unwrap().len(), 1);
}
