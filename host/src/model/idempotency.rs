//! The key by which an event is recognised when it is sent again.

/// The key by which an event is recognised when it is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key. Unique within the tenant.
    pub key: String,
    /// SHA-256 of what was sent under the key, hexadecimal, if the same key with other content shall be
    /// an error; `None` if the key alone decides.
    pub fingerprint: Option<String>,
}
