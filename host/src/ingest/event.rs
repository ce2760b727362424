//! The event: one change, as received, in a form that every later stage can rely on.

use std::sync::Arc;

use crate::model::{EventId, TenantId, Timestamp};

/// One validated event. Only this module makes one from outside data ([`super::parse`]); a backend
/// gives back what it was given, through [`Event::from_stored`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: EventId,
    tenant: TenantId,
    event_type: String,
    object_type: String,
    received: Timestamp,
    context: Arc<str>,
}

impl Event {
    pub(super) fn new(
        id: EventId,
        tenant: TenantId,
        event_type: String,
        object_type: String,
        received: Timestamp,
        context: Arc<str>,
    ) -> Self {
        Self {
            id,
            tenant,
            event_type,
            object_type,
            received,
            context,
        }
    }

    /// An event as a backend stored it. For backends alone: nothing is checked.
    pub(crate) fn from_stored(
        id: EventId,
        tenant: TenantId,
        event_type: String,
        object_type: String,
        received: Timestamp,
        context: Arc<str>,
    ) -> Self {
        Self {
            id,
            tenant,
            event_type,
            object_type,
            received,
            context,
        }
    }

    /// hookbox's id of it.
    #[must_use]
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The owner.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The type as a slug, such as `object_created`: what rules match on.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Such as `dcim.site`; empty if the sender named none.
    #[must_use]
    pub fn object_type(&self) -> &str {
        &self.object_type
    }

    /// When it was accepted.
    #[must_use]
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// What templates see: the text of one JSON object, its keys in the sender's order.
    #[must_use]
    pub fn context(&self) -> &Arc<str> {
        &self.context
    }
}
