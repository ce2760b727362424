//! The words that every stage shares: ids, time, tenants, webhooks, event rules and field errors.
//!
//! The types of the stages themselves (an event, a delivery, a rendered, guarded or sent request, an
//! attempt) live with the stage that alone may construct them; see the crate's front page.

mod field_error;
mod id;
mod idempotency;
pub mod json;
mod plugin;
mod rule;
mod secret;
mod time;
mod webhook;

pub use field_error::{FieldError, FieldErrors};
pub use id::{DeliveryId, EventId, RuleId, TenantId, WebhookId, WorkerId};
pub use idempotency::Idempotency;
pub use plugin::{
    Arm, Canary, Choice, Introduction, Plugin, PluginVersion, RolledBack, Tallies, Tally,
    VERSION_DIGITS, VersionError, is_worse, short, split_reference,
};
pub use rule::{EventRule, EventRuleSpec, event_type_slug};
pub use secret::Secret;
pub use time::Timestamp;
pub use webhook::{BodyEscape, HttpMethod, RetryPolicy, Webhook, WebhookSpec, status_is_retryable};
