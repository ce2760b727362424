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

use crate::{deliver::SendError, guard::GuardError, sandbox::ErrorKind};

/// A kind of error that an attempt can end in, such as `blocked`: what [`crate::record::AttemptError::kind`]
/// holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureKind(&'static str);

/// The kinds that no stage of the attempt gives: a status other than 2xx, a webhook that was deleted meanwhile, and
/// a worker that did not come back.
const OTHERS: [&str; 3] = ["status", "webhook_missing", "worker_lost"];

impl FailureKind {
    /// All there are, sorted.
    #[must_use]
    pub fn all() -> Vec<&'static str> {
        let renders = ErrorKind::ALL.map(ErrorKind::as_str);
        let mut all: Vec<_> = renders
            .into_iter()
            .chain(GuardError::KINDS)
            .chain(SendError::KINDS)
            .chain(OTHERS)
            .collect();
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
