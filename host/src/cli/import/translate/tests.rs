//! Tests of the translation.

use serde_json::json;

use super::*;

fn run(webhooks: Value, rules: Value) -> Translated {
    let list = |v: Value| v.as_array().unwrap().clone();
    translate(&list(webhooks), &list(rules), &Config::defaults())
}

fn slack() -> Value {
    json!({"id": 3, "name": "Slack", "payload_url": "https://x.example/", "secret": "s3cret"})
}

fn sites() -> Value {
    json!({"id": 7, "name": "Sites", "object_types": ["dcim.site"], "event_types": ["object_created"],
        "action_type": {"value": "webhook", "label": "Webhook"}, "action_object_type": "extras.webhook",
        "action_object_id": 3, "conditions": {}, "enabled": true})
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

#[test]
fn a_rule_finds_its_webhook_by_number() {
    let all = run(json!([slack()]), json!([sites()]));
    assert!(all.left.is_empty(), "{:?}", all.left);
    assert_eq!(all.items[1].webhook, Some(0));
    assert_eq!(all.items[1].fields["conditions"], Value::Null);
    assert_eq!(all.items[0].fields["external_id"], 3);
    assert!(!format!("{all:?}").contains("s3cret"));
}

#[test]
fn what_is_not_for_hookbox_is_told_from_what_is_wrong() {
    let other = |key: &str, value: Value| {
        let all = run(json!([slack()]), json!([with(sites(), key, value)]));
        assert_eq!(all.left.len(), 1, "{key}: {:?}", all.items);
        (all.left[0].fault, all.left[0].why.clone())
    };
    for action in ["script", "notification", "my_plugin.do"] {
        assert!(
            !other("action_type", json!({"value": action})).0,
            "{action}"
        );
    }
    for (key, value, why) in [
        ("action_object_id", json!(4), "with the id 4"),
        ("name", json!(""), "no name"),
        (
            "conditions",
            json!({"attr": "a", "op": "regex", "value": "["}),
            "conditions",
        ),
        ("event_types", json!([]), "event_types"),
    ] {
        let (fault, text) = other(key, value);
        assert!(fault && text.contains(why), "{text}");
    }
    let twice = run(json!([slack(), slack()]), json!([]));
    assert!(twice.left[0].why.contains("twice"));
}

#[test]
fn the_feed_itself_is_not_imported() {
    for url in [
        "https://hookbox.example/v1/events",
        "http://x/hookbox/v1/events/?a",
    ] {
        let all = run(json!([with(slack(), "payload_url", json!(url))]), json!([]));
        assert!(all.left[0].why.contains("circle"), "{url}");
    }
}

#[test]
fn a_certificate_file_that_is_not_allowed_is_left_out_with_a_note() {
    let all = run(
        json!([with(slack(), "ca_file_path", json!("/home/me/own.pem"))]),
        json!([]),
    );
    assert_eq!(all.items[0].fields["ca_file_path"], Value::Null);
    assert!(all.items[0].notes[0].contains("delivery.ca_directories"));
}

#[test]
fn rules_from_before_4_1_have_their_event_types_in_fields_of_their_own() {
    let mut old = sites();
    old.as_object_mut().unwrap().remove("event_types");
    let old = with(
        with(old, "type_create", json!(true)),
        "type_job_end",
        json!(true),
    );
    let all = run(json!([slack()]), json!([old]));
    assert_eq!(
        all.items[1].fields["event_types"],
        json!(["object_created", "job_completed"])
    );
}

#[test]
fn what_has_no_place_here_is_named() {
    let rule = with(sites(), "tags", json!([{"slug": "x"}]));
    let rule = with(
        rule,
        "event_types",
        json!(["job_failed", "plugin.thing", "object_created"]),
    );
    let notes = run(json!([slack()]), json!([rule]))
        .items
        .remove(1)
        .notes
        .join("\n");
    for word in [
        "left out: tags",
        "job_failed is carried over",
        "plugin.thing is an event type",
    ] {
        assert!(notes.contains(word), "{notes}");
    }
    let mut hidden = slack();
    hidden.as_object_mut().unwrap().remove("secret");
    assert!(run(json!([hidden]), json!([])).items[0].notes[0].contains("secret was not shown"));
}
