//! A tenant's configuration: the validation of webhooks and rules, and the compiled snapshot.
//!
//! [`SnapshotCache`] keeps a compiled [`Snapshot`] of each tenant that is in use, so that neither ingest nor workers
//! ask the backend for configuration.

mod changes;
mod handles;
pub mod keys;
pub(crate) mod limiter;
pub mod snapshot;
pub mod validate;

pub(crate) use changes::{Changes, Item};
pub use handles::{RenderFor, WebhookSecrets};
pub use snapshot::{CompiledWebhook, Snapshot, SnapshotCache};
