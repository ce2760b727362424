//! Ids: short, sortable by time, and each kind a type of its own so that they cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("A new id: `", $prefix, "` and a UUIDv7, so that ids sort by creation.")]
            #[must_use]
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), uuid::Uuid::now_v7().simple()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            /// Takes any text: an id that names nothing is found missing where it is looked up.
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A stored event.
    EventId,
    "evt_"
);
id!(
    /// One event for one webhook by one rule. Sent to the receiver as `webhook-id`, the same on every
    /// attempt, so that it can recognise duplicates.
    DeliveryId,
    "dlv_"
);
id!(
    /// A webhook.
    WebhookId,
    "whk_"
);
id!(
    /// An event rule.
    RuleId,
    "rul_"
);
id!(
    /// A worker, for the time of one process.
    WorkerId,
    "wrk_"
);
id!(
    /// A tenant, by its slug.
    TenantId,
    "ten_"
);

impl TenantId {
    /// The tenant that exists from the first start.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }
}
