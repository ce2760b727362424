//! A webhook: request, receiver and delivery policy. The fields have NetBox's own names.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Secret, Timestamp, WebhookId};

/// A stored webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// hookbox's own id.
    pub id: WebhookId,
    /// The number it had where it came from (NetBox's `id`), by which a rule's `action_object_id`
    /// finds it.
    #[serde(default)]
    pub external_id: Option<i64>,
    /// The webhook as its owner defined it.
    pub spec: WebhookSpec,
    /// Possible faults that were found when the webhook was last saved, one sentence each. Empty also if it was saved
    /// by a version of hookbox that did not look for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Time of creation.
    pub created: Timestamp,
    /// Time of the last change.
    pub updated: Timestamp,
}

/// A webhook as its owner defines it. Constructed by [`crate::tenant::validate`] from untrusted
/// JSON; its limits are checked there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookSpec {
    /// The name. Unique within the tenant.
    pub name: String,
    /// A description: free text.
    pub description: String,
    /// A disabled webhook takes no new deliveries; those that are queued wait.
    pub enabled: bool,
    /// Template of the URL.
    pub payload_url: String,
    /// The method.
    pub http_method: HttpMethod,
    /// The `Content-Type` header. It does not choose the body's format.
    pub http_content_type: String,
    /// Template whose lines `Name: value` become headers.
    pub additional_headers: String,
    /// Template of the body; when empty the body is the whole context as JSON.
    pub body_template: String,
    /// Key of both signatures; empty for none.
    pub secret: Secret,
    /// Whether the receiver's certificate is verified.
    pub ssl_verification: bool,
    /// A file of CA certificates (PEM) on the worker, trusted instead of the system's.
    pub ca_file_path: Option<String>,
    /// Seconds for one whole attempt; the configured default otherwise.
    pub timeout: Option<u32>,
    /// When to try again; the configured default otherwise.
    pub retry: Option<RetryPolicy>,
    /// Requests per second at most; no limit otherwise.
    pub rate_limit: Option<f64>,
    /// Requests under way at once; the configured default otherwise.
    pub max_in_flight: Option<u32>,
    /// The escaping of values in a JSON body.
    pub body_escape: BodyEscape,
    /// The transformer, by name and perhaps `@version`; the built-in `jinja` otherwise.
    pub plugin: Option<String>,
    /// Settings for the transformer, which gets them unchanged.
    pub settings: serde_json::Value,
}

impl Default for WebhookSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            enabled: true,
            payload_url: String::new(),
            http_method: HttpMethod::Post,
            http_content_type: "application/json".to_owned(),
            additional_headers: String::new(),
            body_template: String::new(),
            secret: Secret::default(),
            ssl_verification: true,
            ca_file_path: None,
            timeout: None,
            retry: None,
            rate_limit: None,
            max_in_flight: None,
            body_escape: BodyEscape::None,
            plugin: None,
            settings: serde_json::Value::Null,
        }
    }
}

/// HTTP methods, as in NetBox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl HttpMethod {
    /// All of them, in NetBox's order.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method as it stands in a request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of exactly this upper-case name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

impl fmt::Display for HttpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The escaping of values in a JSON body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyEscape {
    /// No escaping: Jinja2's behaviour.
    #[default]
    None,
    /// Inside a JSON string literal as text for it, elsewhere as a JSON value.
    Json,
}

/// The retry policy of failed deliveries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetryPolicy {
    /// Waits in seconds: after the first failure, the second, and so on. After the last one the delivery has failed. An
    /// empty list means one attempt.
    pub schedule: Vec<u32>,
    /// Jitter, from 0 to 1: each wait is lengthened at random by up to this share of it, so that a receiver that
    /// recovers does not get all retries at once.
    #[serde(default = "RetryPolicy::default_jitter")]
    pub jitter: f64,
    /// Further statuses, from 300 to 999, after which a delivery is retried, besides 408, 425, 429 and 5xx. For
    /// receivers that answer with such a status, for example 404 or 423, although they may accept the same request
    /// later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<u16>,
}

impl RetryPolicy {
    /// The jitter of a policy that names none.
    #[must_use]
    pub fn default_jitter() -> f64 {
        0.1
    }

    /// Whether a delivery is tried again after an answer with this status, if the schedule has a wait left.
    #[must_use]
    pub fn tries_again_after(&self, status: u16) -> bool {
        status_is_retryable(status) || self.statuses.contains(&status)
    }
}

/// Whether a status is retryable for every receiver: 408, 425, 429 and 5xx.
#[must_use]
pub const fn status_is_retryable(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statuses_that_can_change_are_tried_again_and_those_that_the_policy_names() {
        let policy = |statuses: &[u16]| RetryPolicy {
            schedule: vec![1],
            jitter: 0.0,
            statuses: statuses.to_vec(),
        };
        let tried = |policy: &RetryPolicy| -> Vec<u16> {
            (100..1000)
                .filter(|s| policy.tries_again_after(*s))
                .collect()
        };
        let always = [408, 425, 429].into_iter().chain(500..600);
        assert_eq!(tried(&policy(&[])), always.clone().collect::<Vec<_>>());
        let mut more: Vec<u16> = always.chain([404, 423]).collect();
        more.sort_unstable();
        assert_eq!(tried(&policy(&[423, 404, 500])), more);
    }
}
