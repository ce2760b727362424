//! An event rule: which events run which webhooks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{RuleId, Timestamp, WebhookId};

/// A stored event rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRule {
    /// hookbox's own id.
    pub id: RuleId,
    /// The rule's number where it was imported from (NetBox's `id`).
    #[serde(default)]
    pub external_id: Option<i64>,
    /// The rule as its owner defined it.
    pub spec: EventRuleSpec,
    /// Time of creation.
    pub created: Timestamp,
    /// Time of the last change.
    pub updated: Timestamp,
}

/// A rule as its owner defines it. Constructed by [`crate::tenant::validate`] from untrusted JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRuleSpec {
    /// Unique within the tenant. Rules are looked at in the order of their names, as in NetBox.
    pub name: String,
    /// A description: free text.
    pub description: String,
    /// A disabled rule matches nothing.
    pub enabled: bool,
    /// Object types, such as `dcim.site`; `*` stands for all.
    pub object_types: Vec<String>,
    /// Event types as NetBox's slugs, such as `object_created`; `*` stands for all.
    pub event_types: Vec<String>,
    /// Conditions in NetBox's condition language; null for none.
    pub conditions: Option<Value>,
    /// An object that is merged under the event's `data`.
    pub action_data: Option<Map<String, Value>>,
    /// The webhooks to run.
    pub webhooks: Vec<WebhookId>,
}

impl Default for EventRuleSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            enabled: true,
            object_types: Vec::new(),
            event_types: Vec::new(),
            conditions: None,
            action_data: None,
            webhooks: Vec::new(),
        }
    }
}

/// NetBox's slug for an event type or its short form: `created` and `object_created` mean the same.
/// Any other text stands for itself; plugins register types of their own.
#[must_use]
pub fn event_type_slug(text: &str) -> &str {
    match text {
        "created" => "object_created",
        "updated" => "object_updated",
        "deleted" => "object_deleted",
        "job_ended" => "job_completed",
        other => other,
    }
}
