//! The kinds of error that attempts end in, by which deliveries are found.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{ObjectBuilder, Schema, Type},
    },
};

use crate::sandbox::ErrorKind;

/// A kind of error that an attempt can end in, such as `blocked`: what [`crate::record::AttemptError::kind`]
/// holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureKind(&'static str);

/// The kinds that do not come from the sandbox, each with its name.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)+) => {
        impl FailureKind {
            $($(#[$doc])*
            pub const $kind: Self = Self($name);)+

            const NOT_OF_A_RENDER: [&'static str; [$($name),+].len()] = [$($name),+];
        }
    };
}

kinds! {
    /// The guard refused the destination.
    BLOCKED = "blocked";
    /// The host's name has no address.
    DNS = "dns";
    /// There was no connection to the receiver.
    CONNECT = "connect";
    /// The proxy refused or failed.
    PROXY = "proxy";
    /// The TLS handshake failed, or the webhook's CA file cannot be used.
    TLS = "tls";
    /// The attempt took longer than it may.
    TIMEOUT = "timeout";
    /// The receiver's answer was not HTTP.
    PROTOCOL = "protocol";
    /// hookbox itself failed.
    INTERNAL = "internal";
    /// The receiver answered with a status other than 2xx.
    STATUS = "status";
    /// The webhook was deleted before the attempt.
    WEBHOOK_MISSING = "webhook_missing";
    /// The worker stopped, or lost its lease, before it stored the attempt.
    WORKER_LOST = "worker_lost";
}

impl FailureKind {
    /// The names of all kinds, sorted.
    #[must_use]
    pub fn all() -> Vec<&'static str> {
        let renders = ErrorKind::ALL.map(ErrorKind::as_str);
        let mut all: Vec<_> = renders.into_iter().chain(Self::NOT_OF_A_RENDER).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// One sentence that lists all kinds, if there is none of this name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let all = Self::all();
        let found = all.iter().find(|kind| **kind == name);
        found
            .map(|kind| Self(kind))
            .ok_or_else(|| format!("must be one of {}", all.join(", ")))
    }

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for FailureKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for FailureKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::parse(&name).map_err(serde::de::Error::custom)
    }
}

impl PartialSchema for FailureKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::all()))
            .into()
    }
}

impl ToSchema for FailureKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_name_and_no_other_is_taken() {
        for kind in FailureKind::all() {
            assert_eq!(FailureKind::parse(kind).map(FailureKind::as_str), Ok(kind));
        }
        let told = FailureKind::parse("blokced").unwrap_err();
        assert!(told.contains("blocked, connect, dns"), "{told}");
    }
}
