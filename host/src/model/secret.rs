//! Text that must never be seen.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret value: an HMAC key or a token. It prints as `[secret]`, so that it cannot reach a log, a
/// record, an error or a metric by accident; [`Secret::expose`] marks the few places that use it.
///
/// It serialises as its value, because the backend has to store it. No type that the API returns may
/// hold one.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for signing, sending or storing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is no value; an empty secret means none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
