//! From NetBox's objects to hookbox's, with everything that is lost or different on the way. Pure.

mod rule;
mod webhook;

use std::collections::HashSet;

use serde_json::{Map, Value};

use self::{
    rule::{Refused, rule},
    webhook::webhook,
};
use super::outcome::{Kind, Left};
use crate::{
    cli::terminal::one_line,
    config::Config,
    model::{EventRule, FieldErrors, Secret, Webhook},
    rules::truthy,
};

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
    /// The losses and differences, one sentence each.
    pub(super) notes: Vec<String>,
}

/// All of NetBox's objects as hookbox would have them.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// Webhooks first.
    pub(super) items: Vec<Item>,
    /// The objects that cannot be carried over.
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

/// The fields that hookbox has no place for.
fn dropped(object: &Map<String, Value>) -> Vec<String> {
    let custom_fields = object.get("custom_fields").and_then(Value::as_object);
    let mut dropped = Vec::new();
    if custom_fields.is_some_and(|fields| fields.values().any(|v| !v.is_null())) {
        dropped.push("custom fields");
    }
    let is_given = |key: &str| object.get(key).is_some_and(truthy);
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

fn sentence(errors: &FieldErrors) -> String {
    one_line(&errors.to_string())
}

#[cfg(test)]
mod tests;
