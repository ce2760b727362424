//! The HTTP API as a client meets it: over TCP, on a real store, with the real sandbox.

mod access;
mod changes;
mod deliveries;
mod event_rules;
mod events;
mod problems;
mod shares;
mod webhooks;

use serde_json::{Value, json};

fn webhook(name: &str) -> Value {
    json!({"name": name, "payload_url": "https://example.com/{{ event }}"})
}

fn every_event_to(webhook: &str) -> Value {
    json!({"name": format!("all to {webhook}"), "object_types": ["*"], "event_types": ["*"], "webhooks": [webhook]})
}

fn event(name: &str) -> Value {
    json!({"event": "created", "object_type": "dcim.site", "data": {"name": name, "status": {"value": "active"}}})
}
