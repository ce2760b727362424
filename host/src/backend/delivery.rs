//! A delivery and what is asked about it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    ingest::Event,
    model::{DeliveryId, EventId, RuleId, TenantId, Timestamp, WebhookId},
    record::FailureKind,
};

/// A delivery's state, in NetBox's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Started,
    /// Waits for its next try.
    Scheduled,
    /// Delivered.
    Finished,
    /// Given up; can be requeued.
    Failed,
    /// The transformer decided to send nothing.
    Skipped,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Started,
        Self::Scheduled,
        Self::Finished,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// The state's name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Scheduled => "scheduled",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// Whether nothing will happen to it by itself any more.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event for one webhook by one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its id, sent to the receiver as `webhook-id`.
    pub id: DeliveryId,
    /// The owner.
    pub tenant: TenantId,
    /// The event.
    pub event: EventId,
    /// Where it goes.
    pub webhook: WebhookId,
    /// The rule that asked for it.
    pub rule: RuleId,
    /// The event's object type, for finding it.
    pub object_type: String,
    /// The event's type, for finding it.
    pub event_type: String,
    /// Its state.
    pub status: Status,
    /// Attempts settled since it was queued or last requeued.
    pub attempts: u32,
    /// Attempts settled in all.
    pub total_attempts: u32,
    /// Claims since the last settlement.
    pub receives: u32,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed state.
    pub updated: Timestamp,
    /// When it is tried next, if it is `queued` or `scheduled`.
    pub next_attempt: Option<Timestamp>,
    /// One sentence on how the last attempt ended, or why it failed.
    pub last_result: Option<String>,
    /// The kind of the last attempt's error, if it failed.
    pub last_error: Option<String>,
}

/// Proof of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The delivery's owner: with it a backend knows where the delivery lives.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The fencing token: higher than that of every earlier claim of this delivery.
    pub fence: u64,
}

/// A claimed delivery, with what is needed to work on it.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The delivery, as it is after the claim.
    pub delivery: Delivery,
    /// The claim.
    pub token: LeaseToken,
    /// The event; shared when several of its deliveries are claimed together.
    pub event: Arc<Event>,
}

/// Which deliveries are meant. Everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveryFilter {
    /// In this state.
    pub status: Option<Status>,
    /// For this webhook.
    pub webhook: Option<WebhookId>,
    /// By this rule.
    pub rule: Option<RuleId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this object type.
    pub object_type: Option<String>,
    /// Only deliveries whose last attempt failed with an error of this kind.
    #[param(value_type = Option<String>)]
    pub error: Option<FailureKind>,
    /// Accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Accepted before this time.
    pub until: Option<Timestamp>,
}
