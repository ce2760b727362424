//! `--check`: what NetBox sends beside what hookbox sends.

use hookbox_tests::netbox::{Version, rule, webhook};
use serde_json::{Value, json};

use super::{Ended, file, import, python};

const BODY: &str = include_str!("../../../data/netbox/body-4.6.json");

/// No server is needed for it.
async fn check_with(python: &str, hook: Value, rule: Value) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let objects = json!({"webhooks": [hook], "event_rules": [rule]});
    let objects = file(folder.path(), "netbox.json", &objects);
    let event = file(
        folder.path(),
        "event.json",
        &serde_json::from_str(BODY).unwrap(),
    );
    let arguments = [&objects, "--python", python, "--check", &event];
    import("http://127.0.0.1:1", "", &arguments).await
}

async fn check(change: impl FnOnce(&mut Value, &mut Value)) -> Ended {
    let mut hook = webhook(Version::V4_6, 1, "hook");
    let mut rule = rule(Version::V4_6, 2, "rule", &hook);
    change(&mut hook, &mut rule);
    check_with(python::interpreter().to_str().unwrap(), hook, rule).await
}

#[tokio::test]
async fn what_is_the_same_is_shown_once() {
    let ended = check(|hook, _| {
        hook["additional_headers"] = json!("X-Event: {{ event }}\nAuthorization: Bearer one-token");
        hook["body_template"] = json!("{\"text\": \"{{ data['name'] }}\"}\n");
        hook["payload_url"] = json!("https://receiver.example.com/a b/{{ data.slug }}?q=ü");
        hook["http_method"] = json!("DELETE");
    })
    .await;
    let out = ended.expect(0);
    assert!(out.contains(": the same\n"), "{out}");
    assert!(
        out.contains("DELETE https://receiver.example.com/a%20b/zuerich-nord?q=%C3%BC"),
        "{out}"
    );
    assert!(
        out.contains("x-event: created") && out.contains("authorization: [redacted]"),
        "{out}"
    );
    assert!(!out.contains("one-token"), "{out}");
    // This name holds a quote, and what both send is no JSON.
    assert!(
        out.contains("note: with a quote")
            && out.contains("data.name")
            && out.contains("body_escape"),
        "{out}"
    );
    assert!(out.ends_with("1 compared, 0 differ\n"), "{out}");
}

#[tokio::test]
async fn the_default_body_is_the_same() {
    check(|_, _| {}).await.expect(0);
}

#[tokio::test]
async fn action_data_stands_under_data_on_both_sides() {
    let ended = check(|hook, rule| {
        rule["action_data"] = json!({"channel": "#net", "name": "not this"});
        hook["body_template"] =
            json!("{{ data.channel }} {{ data.slug }} {{ data.name == 'not this' }}");
    })
    .await;
    assert!(
        ended.expect(0).contains("#net zuerich-nord False"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn environment_variables_are_the_same_unknown_on_both_sides() {
    let ended = check(|hook, _| {
        hook["additional_headers"] =
            json!("Authorization: Bearer {{ 'API_KEY'|env }}\nX-Zone: {{ \"ZONE\" | env }}");
        hook["payload_url"] = json!("https://{{ 'ZONE'|env }}.example.com/{{ 'API_KEY'|env }}");
        hook["body_template"] = json!("{{ 'ZONE'|env }}");
    })
    .await;
    let out = ended.expect(0);
    assert!(
        out.contains("https://value-of-zone.example.com/value-of-API_KEY\n"),
        "{out}"
    );
    assert!(out.contains("x-zone: value-of-ZONE\n"), "{out}");
    assert!(out.contains("authorization: [redacted]\n"), "{out}");
}

#[tokio::test]
async fn a_difference_is_shown_from_both_sides_and_is_a_failure() {
    let ended = check(|hook, _| {
        // NetBox makes a header of what follows a line break in data; hookbox does not.
        hook["additional_headers"] = json!("X-Comment: {{ data.comments[:16] }}: x");
    })
    .await;
    let out = ended.expect(1);
    assert!(out.contains(": different\n"), "{out}");
    assert!(out.contains("  - x-comment: line one\n"), "{out}");
    assert!(out.contains("  + x-comment: line oneline t"), "{out}");
    assert!(ended.err.contains("1 of 1 differ"), "{}", ended.err);
}

#[tokio::test]
async fn a_template_that_only_one_side_can_render_is_a_difference_and_a_runaway_one_ends() {
    let ended = check(|hook, _| {
        // NetBox has this filter in the headers alone.
        hook["body_template"] = json!("{{ data.slug|header_safe }}");
    })
    .await;
    assert!(
        ended.expect(1).contains("- nothing is sent: body_template"),
        "{}",
        ended.out
    );

    let ended = check(|hook, _| {
        hook["body_template"] = json!("{% for i in range(99999) %}{% for j in range(99999) %}{{ 'x' * 9999 }}{% endfor %}{% endfor %}");
    })
    .await;
    // Neither side sends anything.
    let out = ended.expect(0);
    assert!(
        out.contains("- nothing is sent:") && out.contains("+ nothing is sent:"),
        "{out}"
    );
}

#[tokio::test]
async fn without_a_rule_or_a_python_nothing_is_claimed() {
    let ended = check(|_, rule| rule["object_types"] = json!(["dcim.device"])).await;
    assert!(ended.expect(1).contains("no rule runs a webhook for it"));

    let hook = webhook(Version::V4_6, 1, "hook");
    let rule = rule(Version::V4_6, 2, "rule", &hook);
    for (python, why) in [
        ("/nonexistent/python", "pip install jinja2 requests"),
        ("/bin/true", "no JSON"),
    ] {
        let ended = check_with(python, hook.clone(), rule.clone()).await;
        ended.expect(1);
        assert!(ended.err.contains(why), "{}", ended.err);
    }
}
