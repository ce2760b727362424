//! Objects as NetBox's REST API answers them.

use serde_json::{Value, json};

/// A release whose shapes differ from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Object types are `content_types`, and objects have no page of their own in `display_url`.
    V3_7,
    /// Without `owner`; event types in fields of their own.
    V4_0,
    /// The first with `owner`.
    V4_5,
    /// As 4.5.
    V4_6,
    /// With a timeout of each webhook's own.
    V4_7,
}

/// A webhook that posts to an address of the documentation network, with a secret.
#[must_use]
pub fn webhook(version: Version, id: i64, name: &str) -> Value {
    let mut webhook = json!({
        "id": id,
        "url": format!("http://netbox.example.com/api/extras/webhooks/{id}/"),
        "display_url": format!("http://netbox.example.com/extras/webhooks/{id}/"),
        "display": name,
        "name": name,
        "description": "",
        "payload_url": format!("https://receiver.example.com/hooks/{id}"),
        "http_method": "POST",
        "http_content_type": "application/json",
        "additional_headers": "",
        "body_template": "",
        "secret": "s3cr3t-of-netbox",
        "ssl_verification": true,
        "ca_file_path": null,
        "custom_fields": {},
        "owner": null,
        "tags": [],
        "created": "2026-03-06T15:11:23.503186Z",
        "last_updated": "2026-03-06T15:11:23.503200Z",
    });
    if version < Version::V4_5 {
        remove(&mut webhook, "owner");
    }
    if version < Version::V4_0 {
        remove(&mut webhook, "display_url");
    }
    if version >= Version::V4_7 {
        webhook["timeout"] = Value::Null;
    }
    webhook
}

/// A rule for new sites that runs a webhook.
#[must_use]
pub fn rule(version: Version, id: i64, name: &str, webhook: &Value) -> Value {
    let mut rule = json!({
        "id": id,
        "url": format!("http://netbox.example.com/api/extras/event-rules/{id}/"),
        "display_url": format!("http://netbox.example.com/extras/event-rules/{id}/"),
        "display": name,
        "object_types": ["dcim.site"],
        "name": name,
        "enabled": true,
        "event_types": ["object_created"],
        "conditions": null,
        "action_type": {"value": "webhook", "label": "Webhook"},
        "action_object_type": "extras.webhook",
        "action_object_id": webhook["id"],
        "action_object": {
            "id": webhook["id"],
            "url": webhook["url"],
            "display": webhook["display"],
            "name": webhook["name"],
            "description": webhook["description"],
        },
        "description": "",
        "custom_fields": {},
        "owner": null,
        "tags": [],
        "created": "2026-03-06T15:11:23.503186Z",
        "last_updated": "2026-03-06T15:11:23.503200Z",
    });
    if version < Version::V4_5 {
        remove(&mut rule, "owner");
        remove(&mut rule, "event_types");
        for (key, value) in [
            ("type_create", true),
            ("type_update", false),
            ("type_delete", false),
            ("type_job_start", false),
            ("type_job_end", false),
        ] {
            rule[key] = json!(value);
        }
    }
    if version < Version::V4_0 {
        rule["content_types"] = rule["object_types"].take();
        remove(&mut rule, "object_types");
        remove(&mut rule, "display_url");
    }
    rule
}

fn remove(object: &mut Value, key: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(key);
    }
}
