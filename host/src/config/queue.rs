//! The limits of the queue, and how long it keeps ended deliveries.

use std::time::Duration;

/// The limits that the queue enforces by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Claims of a delivery without a settlement before it counts as poisonous and fails.
    pub max_receives: u32,
    /// Deliveries under way at once for a webhook that sets no limit of its own.
    pub max_in_flight: u32,
    /// Time for which an idempotency key is remembered.
    pub idempotency_window: Duration,
}

/// Times for which ended deliveries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `finished`, `skipped` and `cancelled` ones.
    pub finished: Duration,
    /// `failed` ones.
    pub failed: Duration,
}
