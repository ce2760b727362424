//! A webhook of NetBox.

use serde_json::{Map, Value, json};

use super::{Item, dropped, place_id, sentence};
use crate::{
    cli::{import::outcome::Kind, terminal::shortened},
    config::Config,
    model::{Secret, Timestamp, Webhook, WebhookId},
    tenant::validate::{self, Draft},
};

/// The webhook, and the engine's, whose id says its place among the items; or why it cannot be carried over.
pub(super) fn webhook(
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
        warnings: Vec::new(),
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
