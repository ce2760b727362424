//! Where everything is stored: the two contracts, and the two backends that keep them.
//!
//! [`Registry`] holds what tenants configured, [`Queue`] holds events, deliveries and attempts. [`sqlite`] keeps
//! both in one file for one process, [`redis`] in one Redis for any number of processes. One contract suite checks
//! both backends. Nothing outside the two folders names a database.

mod delivery;
mod error;
pub(crate) mod outage;
mod page;
mod queue;
pub mod redis;
mod registry;
pub(crate) mod schedule;
pub mod sqlite;

pub use delivery::{Delivery, DeliveryFilter, LeaseToken, Leased, Status};
pub use error::BackendError;
pub use page::Page;
pub(crate) use page::{Cursor, MAX_PAGE};
pub use queue::{
    Claim, Enqueued, KEPT_ATTEMPTS, LostLease, NewDelivery, NewEvent, PAGE_ROWS, PausedWebhook,
    Queue, QueueOverview, Settled, Settlement, StoredEvent, TransitionError, Usage, WorkerInfo,
};
pub use registry::{ApiKey, KeyScope, Registry, SecretInfo, TenantConfig};

/// A registry and a queue that live together.
pub trait Backend: Registry + Queue {}
impl<T: Registry + Queue> Backend for T {}
