//! How a backend fails.

use std::time::Duration;

/// A backend's failure. The texts are for operators (logs, the command line); the API answers tenants by
/// kind and keeps the texts to itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It cannot be reached, is busy or is read-only just now; later may be better.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What it said.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It has no room (a full disk, Redis at its memory limit).
    #[error("the store is full: {0}")]
    Full(String),
    /// What it holds is damaged; an operator has to look.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// A name is taken, or something is still in use.
    #[error("{message}")]
    Conflict {
        /// The field at fault.
        field: String,
        /// The obstacle.
        message: String,
    },
    /// The tenant has been changed since the state that the step was decided on; nothing was stored. Read
    /// and decide again.
    #[error("the tenant has been changed meanwhile")]
    RevisionMismatch,
    /// There are as many as there may be; nothing was stored.
    #[error("there are at least {limit} {what} already, and no more are allowed")]
    LimitReached {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The components that a tenant has would be more than they may be; nothing was stored.
    #[error("the components stored have {stored} bytes; with this one there may be {limit}")]
    TooManyBytes {
        /// Bytes of those that are stored, or being stored.
        stored: u64,
        /// How many there may be.
        limit: u64,
    },
    /// The same idempotency key came with other content.
    #[error("the idempotency key {key:?} was used before with other content")]
    IdempotencyMismatch {
        /// The key.
        key: String,
    },
    /// A cursor that no list gave out.
    #[error("this cursor is not one that a list gave out")]
    BadCursor,
    /// Anything else: a defect.
    #[error("the store failed: {0}")]
    Internal(String),
}

impl BackendError {
    /// Whether the same call may succeed later although nobody changes anything that is stored.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full(_))
    }
}
