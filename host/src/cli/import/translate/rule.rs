//! An event rule of NetBox.

use serde_json::{Map, Value, json};

use super::{Item, Translated, dropped, place_id, sentence};
use crate::{
    cli::{
        import::outcome::Kind,
        terminal::{one_line, shortened},
    },
    config::Config,
    model::{EventRule, RuleId, Timestamp},
    tenant::validate::{self, Draft},
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

/// Why a rule cannot be carried over.
pub(super) enum Refused {
    /// It is no webhook's rule: hookbox was never meant to run it.
    OutOfScope(String),
    Fault(String),
}

/// The rule, and the engine's, with the webhook that it runs among those of `all`.
pub(super) fn rule(
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
    for key in [
        "id",
        "name",
        "description",
        "enabled",
        "object_types",
        "event_types",
        "conditions",
        "action_data",
    ]
    .iter()
    .chain(validate::OLD_RULE_FIELDS)
    {
        if let Some(value) = object.get(*key) {
            input.insert((*key).to_owned(), value.clone());
        }
    }
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

/// A choice's value, alone or with its label.
fn choice(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    value.get("value").unwrap_or(value).as_str()
}
