use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    config::Config,
    model::{EventRuleSpec, FieldErrors, Secret, Timestamp, Webhook, WebhookId, WebhookSpec},
};

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/data/validate/", $name))
    };
}

#[derive(Deserialize)]
struct Refused {
    because: String,
    input: Map<String, Value>,
    errors: Map<String, Value>,
}

fn refused(corpus: &str, validate: impl Fn(&Map<String, Value>) -> Result<(), FieldErrors>) {
    let cases: Vec<Refused> = serde_json::from_str(corpus).unwrap();
    for case in cases {
        let because = case.because;
        let found = validate(&case.input).expect_err(&because);
        assert_eq!(found.0.len(), case.errors.len(), "{because}: found {found}");
        for (field, message) in case.errors {
            let message = message.as_str().unwrap();
            assert!(
                found
                    .0
                    .iter()
                    .any(|e| e.field == field && e.message.contains(message)),
                "{because}: {field} should say {message:?}; found {found}"
            );
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn stored(name: &str, external_id: Option<i64>) -> Webhook {
    Webhook {
        id: WebhookId::from(format!("whk_{name}")),
        external_id,
        spec: WebhookSpec {
            name: name.to_owned(),
            ..WebhookSpec::default()
        },
        warnings: Vec::new(),
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    }
}

fn rule(input: &Map<String, Value>) -> Result<Draft<EventRuleSpec>, FieldErrors> {
    let known = [stored("Slack", Some(3)), stored("Other", None)];
    event_rule(input, Draft::default(), &known, &Config::defaults())
}

#[test]
fn webhooks_that_are_not_right_are_refused_with_every_field_named() {
    refused(data!("webhooks-refused.json"), |input| {
        webhook(input, Draft::default(), &Config::defaults()).map(drop)
    });
}

#[test]
fn rules_that_are_not_right_are_refused_with_every_field_named() {
    refused(data!("rules-refused.json"), |input| rule(input).map(drop));
}

#[test]
fn what_netbox_returns_for_a_webhook_is_accepted_as_it_is() {
    let input = serde_json::from_str(data!("netbox-webhook.json")).unwrap();
    let draft = webhook(&input, Draft::default(), &Config::defaults()).unwrap();
    assert_eq!(draft.external_id, Some(3));
    assert_eq!(draft.spec.name, "Slack");
    assert_eq!(draft.spec.secret.expose(), "s3cret");
    assert_eq!(draft.spec.additional_headers, "X-Event: {{ event }}");
}

#[test]
fn what_netbox_returns_for_a_rule_is_accepted_and_finds_its_webhook_by_number() {
    let mut input: Map<String, Value> =
        serde_json::from_str(data!("netbox-event-rule.json")).unwrap();
    let draft = rule(&input).unwrap();
    assert_eq!(draft.external_id, Some(7));
    assert_eq!(draft.spec.webhooks, [WebhookId::from("whk_Slack")]);
    assert_eq!(
        draft.spec.event_types,
        ["object_created"],
        "short forms are the slugs"
    );
    assert_eq!(draft.spec.conditions.as_ref(), input.get("conditions"));

    input.insert("action_object_id".to_owned(), json!(44));
    let draft = rule(&input).unwrap();
    assert_eq!(
        draft.spec.webhooks,
        [WebhookId::from("whk_Slack")],
        "a number that is not known falls back to the name"
    );
}

#[test]
fn webhooks_are_found_by_id_name_and_number_and_named_once() {
    let input = object(json!({
        "name": "r", "object_types": ["*"], "event_types": ["*"],
        "webhooks": ["Other", "whk_Slack", 3, "Slack"],
    }));
    let ids = rule(&input).unwrap().spec.webhooks;
    assert_eq!(
        ids,
        [WebhookId::from("whk_Other"), WebhookId::from("whk_Slack")]
    );
}

#[test]
fn empty_conditions_are_none() {
    for none in [json!(null), json!({}), json!("")] {
        let input = object(json!({
            "name": "r", "object_types": ["*"], "event_types": ["*"], "webhooks": ["Slack"],
            "conditions": none,
        }));
        assert_eq!(rule(&input).unwrap().spec.conditions, None);
    }
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_an_empty_secret_removes_it() {
    let base = || Draft {
        external_id: Some(3),
        spec: WebhookSpec {
            secret: Secret::new("s3cret"),
            payload_url: "https://example.com".to_owned(),
            ..stored("Slack", None).spec
        },
    };
    let config = Config::defaults();
    let kept = webhook(&object(json!({"timeout": 5})), base(), &config).unwrap();
    assert_eq!(kept.spec.timeout, Some(5));
    assert_eq!(kept.spec.secret.expose(), "s3cret");
    assert_eq!(kept.external_id, Some(3));

    let removed = webhook(&object(json!({"secret": ""})), base(), &config).unwrap();
    assert!(removed.spec.secret.is_empty());
}

#[test]
fn urls_that_are_templates_or_name_a_host_are_accepted() {
    for url in [
        "https://example.com",
        "HTTP://localhost:9000/x?y=1",
        "http://under_score/",
        "http://[::1]:8080/",
        "{{ data.url }}",
        "https://{{ data.host }}/x",
        "{% if x %}http{% endif %}://example.com",
    ] {
        let input = object(json!({"name": "a", "payload_url": url}));
        webhook(&input, Draft::default(), &Config::defaults())
            .unwrap_or_else(|e| panic!("{url}: {e}"));
    }
}

#[test]
fn statuses_that_are_tried_again_are_those_of_answers_that_are_no_success() {
    let read = |statuses: Value| {
        let retry = json!({"schedule": [1], "statuses": statuses});
        let input = object(json!({"name": "a", "payload_url": "http://a.example", "retry": retry}));
        webhook(&input, Draft::default(), &Config::defaults())
    };
    let draft = read(json!([404, 423, 300, 999])).unwrap();
    assert_eq!(draft.spec.retry.unwrap().statuses, [404, 423, 300, 999]);
    for (wrong, field) in [
        (json!([200]), "retry.statuses[0]"),
        (json!([404, 1000]), "retry.statuses[1]"),
        (json!(["5xx"]), "retry.statuses[0]"),
        (json!(404), "retry.statuses"),
        (json!(vec![404; 101]), "retry.statuses"),
    ] {
        let errors = read(wrong).unwrap_err();
        assert_eq!(errors.0[0].field, field);
    }
}

#[test]
fn sizes_are_bounded_and_the_errors_of_hostile_input_too() {
    let config = Config::defaults();
    let input = object(json!({
        "name": "n".repeat(151),
        "payload_url": format!("https://example.com/{}", "x".repeat(config.sandbox.url_bytes)),
        "body_template": "x".repeat(config.limits.template_bytes + 1),
        "settings": "x".repeat(config.limits.template_bytes),
        "retry": {"schedule": vec![1; 51]},
    }));
    let errors = webhook(&input, Draft::default(), &config).unwrap_err();
    let fields: Vec<_> = errors.0.iter().map(|e| e.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "payload_url",
            "body_template",
            "retry.schedule",
            "settings"
        ]
    );

    let many: Map<String, Value> = (0..10_000).map(|i| (format!("k{i}"), json!(1))).collect();
    let errors = webhook(&many, Draft::default(), &config).unwrap_err();
    assert_eq!(errors.0.len(), 50);
    let long = object(json!({"k".repeat(100_000): 1}));
    assert!(
        webhook(&long, Draft::default(), &config)
            .unwrap_err()
            .to_string()
            .len()
            < 1000
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("value|schedule|jitter|\\PC{0,4}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever the JSON: no panic, and what passes passes again as it was stored.
    #[test]
    fn validation_never_panics_and_accepts_its_own_outcome(
        values in proptest::collection::vec((0usize..24, any_json()), 0..8),
    ) {
        let keys = [
            "id", "external_id", "description", "enabled", "payload_url", "http_method",
            "http_content_type", "additional_headers", "body_template", "secret", "ssl_verification",
            "ca_file_path", "timeout", "retry", "rate_limit", "max_in_flight", "body_escape", "plugin",
            "settings", "object_types", "event_types", "conditions", "action_data", "webhooks",
        ];
        let mut input = object(json!({
            "name": "a", "payload_url": "https://example.com",
        }));
        for (key, value) in values {
            input.insert(keys[key].to_owned(), value);
        }
        let config = Config::defaults();
        let _ = rule(&input);
        if let Ok(draft) = webhook(&input, Draft::default(), &config) {
            let again = object(serde_json::to_value(&draft.spec).unwrap());
            let base = Draft { external_id: draft.external_id, ..Draft::default() };
            prop_assert_eq!(webhook(&again, base, &config).unwrap(), draft);
        }
    }
}
