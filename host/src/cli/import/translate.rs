//! From NetBox's objects to hookbox's, with everything that is lost or different on the way. Pure.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::outcome::{Kind, Left};
use crate::{
    cli::terminal::{one_line, shortened},
    config::Config,
    model::{EventRule, FieldErrors, RuleId, Secret, Timestamp, Webhook, WebhookId},
    registry::validate::{self, Draft},
};

/// Event types that NetBox itself knows; further ones come from its plugins.
const EVENT_TYPES: [&str; 7] = [
    "object_created",
    "object_updated",
    "object_deleted",
    "job_started",
    "job_completed",
    "job_failed",
    "job_errored",
];

/// How event types were written before NetBox 4.1.
const OLD_EVENT_TYPES: [(&str, &str); 5] = [
    ("type_create", "object_created"),
    ("type_update", "object_updated"),
    ("type_delete", "object_deleted"),
    ("type_job_start", "job_started"),
    ("type_job_end", "job_completed"),
];

/// One of NetBox's objects as hookbox would have it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// NetBox's id.
    pub(super) external_id: Option<i64>,
    /// The fields for hookbox's API. A rule's webhooks are missing: see [`Item::webhook`].
    pub(super) fields: Map<String, Value>,
    /// A webhook's secret, if NetBox shows one.
    pub(super) secret: Option<Secret>,
    /// The webhook that a rule runs: its place among the items.
    pub(super) webhook: Option<usize>,
    /// What is lost or different, one sentence each.
    pub(super) notes: Vec<String>,
}

/// All of NetBox's objects as hookbox would have them.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// Webhooks first.
    pub(super) items: Vec<Item>,
    /// What cannot be carried over.
    pub(super) left: Vec<Left>,
    /// The webhooks and rules as the engine takes them; their ids are their places among the items.
    pub(super) webhooks: Vec<Webhook>,
    pub(super) rules: Vec<EventRule>,
    /// Whether the rules came without the field for action data, as NetBox's REST API shows them.
    pub(super) action_data_unseen: bool,
}

/// The id by which the engine's webhooks and rules are found again.
pub(super) fn place_id(place: usize) -> String {
    format!("item_{place}")
}

/// Takes over what can be taken over.
pub(super) fn translate(webhooks: &[Value], rules: &[Value], config: &Config) -> Translated {
    let mut all = Translated::default();
    let mut names = HashSet::new();
    for input in webhooks {
        if let Some((object, name)) = named(input, Kind::Webhook, &mut names, &mut all.left) {
            match webhook(object, all.items.len(), config) {
                Ok((item, webhook)) => {
                    all.items.push(item);
                    all.webhooks.push(webhook);
                }
                Err(why) => all.left.push(Left::fault(Kind::Webhook, name, why)),
            }
        }
    }
    names.clear();
    for input in rules {
        if let Some((object, name)) = named(input, Kind::Rule, &mut names, &mut all.left) {
            all.action_data_unseen |= !object.contains_key("action_data");
            match rule(object, &all, config) {
                Ok((item, rule)) => {
                    all.items.push(item);
                    all.rules.push(rule);
                }
                Err(Refused::OutOfScope(why)) => {
                    all.left.push(Left::out_of_scope(Kind::Rule, name, why));
                }
                Err(Refused::Fault(why)) => all.left.push(Left::fault(Kind::Rule, name, why)),
            }
        }
    }
    all
}

/// The object and its name, if it has one that none before it had.
fn named<'a>(
    input: &'a Value,
    kind: Kind,
    names: &mut HashSet<String>,
    left: &mut Vec<Left>,
) -> Option<(&'a Map<String, Value>, &'a str)> {
    let name = input
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let why = match input.as_object() {
        Some(_) if name.trim().is_empty() => "it has no name",
        Some(object) if names.insert(name.trim().to_owned()) => return Some((object, name)),
        Some(_) => "its name is there twice, and the first one counts",
        None => "it is no object",
    };
    left.push(Left::fault(kind, name, why));
    None
}

fn webhook(
    object: &Map<String, Value>,
    place: usize,
    config: &Config,
) -> Result<(Item, Webhook), String> {
    let mut notes = dropped(object);
    let mut input = Map::new();
    for key in [
        "id",
        "name",
        "description",
        "payload_url",
        "http_method",
        "http_content_type",
        "additional_headers",
        "body_template",
        "ssl_verification",
        "ca_file_path",
        "timeout",
    ] {
        match object.get(key) {
            None | Some(Value::Null) => {}
            Some(value) => {
                input.insert(key.to_owned(), value.clone());
            }
        }
    }
    let url = object.get("payload_url").and_then(Value::as_str);
    if url.is_some_and(is_feed) {
        return Err(
            "it sends to /v1/events, which is how events come to hookbox: importing it would send each \
                    event in a circle"
                .to_owned(),
        );
    }
    let validated = |input: &Map<String, Value>| validate::webhook(input, Draft::default(), config);
    let draft = validated(&input).or_else(|errors| {
        for field in ["ca_file_path", "timeout"] {
            if let Some(error) = errors.0.iter().find(|e| e.field == field)
                && let Some(value) = input.remove(field)
            {
                notes.push(format!(
                    "{field} {} is left out: it {}",
                    shortened(&value.to_string(), 80),
                    error.message
                ));
            }
        }
        validated(&input)
    });
    let draft = draft.map_err(|errors| sentence(&errors))?;
    let spec = draft.spec;
    let secret = match object.get("secret") {
        Some(Value::String(secret)) if !secret.is_empty() => Some(Secret::new(secret.as_str())),
        Some(Value::String(_)) => None,
        _ => {
            notes.push(
                "its secret was not shown, so whether it has one is not known; if it signs, set the secret with \
                 PATCH /v1/webhooks"
                    .to_owned(),
            );
            None
        }
    };
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("name", json!(spec.name));
    set("description", json!(spec.description));
    set("payload_url", json!(spec.payload_url));
    set("http_method", json!(spec.http_method));
    set("http_content_type", json!(spec.http_content_type));
    set("additional_headers", json!(spec.additional_headers));
    set("body_template", json!(spec.body_template));
    set("ssl_verification", json!(spec.ssl_verification));
    set("ca_file_path", json!(spec.ca_file_path));
    if object.contains_key("timeout") {
        set("timeout", json!(spec.timeout));
    }
    set("external_id", json!(draft.external_id));
    let item = Item {
        kind: Kind::Webhook,
        name: spec.name.clone(),
        external_id: draft.external_id,
        fields,
        secret,
        webhook: None,
        notes,
    };
    let webhook = Webhook {
        id: WebhookId::from(place_id(place)),
        external_id: draft.external_id,
        spec,
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    };
    Ok((item, webhook))
}

/// Whether a URL is the one under which hookbox takes events.
fn is_feed(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.trim().trim_end_matches('/').ends_with("/v1/events")
}

enum Refused {
    /// It is no webhook's rule: hookbox was never meant to run it.
    OutOfScope(String),
    Fault(String),
}

fn rule(
    object: &Map<String, Value>,
    all: &Translated,
    config: &Config,
) -> Result<(Item, EventRule), Refused> {
    let fault = |why: String| Refused::Fault(why);
    match choice(object.get("action_type")) {
        Some("webhook") => {}
        Some("script") => {
            return Err(Refused::OutOfScope(
                "it runs a script in NetBox, and goes on doing so there".to_owned(),
            ));
        }
        Some("notification") => {
            return Err(Refused::OutOfScope(
                "it notifies users in NetBox, and goes on doing so there".to_owned(),
            ));
        }
        Some(other) => {
            return Err(Refused::OutOfScope(format!(
                "its action type {:?} belongs to a plugin of NetBox",
                shortened(other, 80)
            )));
        }
        None => return Err(fault("it has no action_type".to_owned())),
    }
    let place = webhook_of(object, all).map_err(fault)?;

    let mut notes = dropped(object);
    if object
        .get("comments")
        .and_then(Value::as_str)
        .is_some_and(|c| !c.is_empty())
    {
        notes.push("its comments are left out".to_owned());
    }
    let mut input = Map::new();
    for key in ["id", "name", "description", "enabled", "action_data"] {
        if let Some(value) = object.get(key) {
            input.insert(key.to_owned(), value.clone());
        }
    }
    let object_types = object
        .get("object_types")
        .or_else(|| object.get("content_types"));
    input.insert(
        "object_types".to_owned(),
        object_types.cloned().unwrap_or_default(),
    );
    input.insert("event_types".to_owned(), event_types(object));
    // To NetBox, every falsy value means that there are none.
    let conditions = object.get("conditions").filter(|c| !is_falsy(c));
    input.insert(
        "conditions".to_owned(),
        conditions.cloned().unwrap_or_default(),
    );
    input.insert("webhooks".to_owned(), json!([place_id(place)]));
    let draft = validate::event_rule(&input, Draft::default(), &all.webhooks, config)
        .map_err(|errors| fault(sentence(&errors)))?;
    let spec = draft.spec;
    for event_type in &spec.event_types {
        let name = one_line(event_type);
        if ["job_failed", "job_errored"].contains(&name.as_str()) {
            notes.push(format!(
                "{name} is carried over, but NetBox sends it to no rule: every job that ends is job_completed"
            ));
        } else if name != "*" && !EVENT_TYPES.contains(&name.as_str()) {
            notes.push(format!(
                "{name} is an event type of a plugin: name it in the rule that feeds hookbox, too"
            ));
        }
    }
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("name", json!(spec.name));
    set("description", json!(spec.description));
    set("enabled", json!(spec.enabled));
    set("object_types", json!(spec.object_types));
    set("event_types", json!(spec.event_types));
    set("conditions", json!(spec.conditions));
    if object.contains_key("action_data") {
        set("action_data", json!(spec.action_data));
    }
    set("external_id", json!(draft.external_id));
    let item = Item {
        kind: Kind::Rule,
        name: spec.name.clone(),
        external_id: draft.external_id,
        fields,
        secret: None,
        webhook: Some(place),
        notes,
    };
    let rule = EventRule {
        id: RuleId::from(place_id(all.items.len())),
        external_id: draft.external_id,
        spec,
        created: Timestamp::from_millis(0),
        updated: Timestamp::from_millis(0),
    };
    Ok((item, rule))
}

/// Which of the items is the webhook that a rule runs.
fn webhook_of(object: &Map<String, Value>, all: &Translated) -> Result<usize, String> {
    let number = object.get("action_object_id").and_then(Value::as_i64);
    let nested = object.get("action_object");
    let nested_number = nested.and_then(|o| o.get("id")).and_then(Value::as_i64);
    let name = nested.and_then(|o| o.get("name")).and_then(Value::as_str);
    let number = number.or(nested_number);
    let found = all.items.iter().position(|item| {
        item.kind == Kind::Webhook
            && match number {
                Some(number) if item.external_id.is_some() => item.external_id == Some(number),
                _ => name.is_some_and(|name| name.trim() == item.name),
            }
    });
    found.ok_or_else(|| {
        let which = match (name, number) {
            (Some(name), _) => format!("{:?}", shortened(name, 80)),
            (None, Some(number)) => format!("with the id {number}"),
            (None, None) => return "it names no webhook".to_owned(),
        };
        format!(
            "its webhook {which} is not carried over, or the token may not see it; without that the rule has \
             nothing to run"
        )
    })
}

fn event_types(object: &Map<String, Value>) -> Value {
    if let Some(types) = object.get("event_types") {
        return types.clone();
    }
    OLD_EVENT_TYPES
        .iter()
        .filter(|(key, _)| object.get(*key) == Some(&Value::Bool(true)))
        .map(|(_, slug)| json!(slug))
        .collect()
}

/// What hookbox has no place for.
fn dropped(object: &Map<String, Value>) -> Vec<String> {
    let custom_fields = object.get("custom_fields").and_then(Value::as_object);
    let mut dropped = Vec::new();
    if custom_fields.is_some_and(|fields| fields.values().any(|v| !v.is_null())) {
        dropped.push("custom fields");
    }
    let is_given = |key: &str| object.get(key).is_some_and(|v| !is_falsy(v));
    for key in ["tags", "owner"] {
        if is_given(key) {
            dropped.push(key);
        }
    }
    match dropped.as_slice() {
        [] => Vec::new(),
        words => vec![format!("left out: {}", words.join(", "))],
    }
}

/// A choice's value, alone or with its label.
fn choice(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    value.get("value").unwrap_or(value).as_str()
}

/// As Python sees it.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

fn sentence(errors: &FieldErrors) -> String {
    one_line(&errors.to_string())
}

#[cfg(test)]
mod tests {
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
}
