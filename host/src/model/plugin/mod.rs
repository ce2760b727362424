//! A plugin: a name, and the versions that were uploaded under it.
//!
//! The changes of a plugin, the choice of the version for a delivery, and the judgement of a rollout are pure
//! functions, in one file each.

mod choose;
mod judge;
#[cfg(test)]
mod tests;
mod versions;

pub use choose::{Choice, split_reference};
pub use judge::is_worse;
pub use versions::{Introduction, VERSION_DIGITS, VersionError, short};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Timestamp;

/// A stored plugin. Its components are stored beside it, by content; see
/// [`crate::backend::Registry::put_component`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugin {
    /// Unique within the tenant, and how webhooks name it. It never changes.
    pub name: String,
    /// When its first version was uploaded.
    pub created: Timestamp,
    /// Time of the last change.
    pub updated: Timestamp,
    /// All versions, in the order in which they were uploaded; never empty.
    pub versions: Vec<PluginVersion>,
    /// The digest of the version that runs for webhooks that pin none; one of `versions`.
    pub current: String,
    /// The version that was current before, to which a rollback returns; one of `versions`.
    #[serde(default)]
    pub previous: Option<String>,
    /// The version that a rollout runs for a share of the deliveries; none without a rollout.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// The last rollout that hookbox ended because the new version did worse.
    #[serde(default)]
    pub rolled_back: Option<RolledBack>,
}

/// An immutable version: the SHA-256 of its component is its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginVersion {
    /// SHA-256 of the component, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was uploaded.
    pub uploaded: Timestamp,
    /// Bytes of the component.
    pub component_bytes: u64,
    /// Bytes of the compiled code, on the machine that admitted the version.
    pub compiled_bytes: u64,
    /// Names of the functions and interfaces that the component imports.
    pub imports: Vec<String>,
    /// Fuel that the smoke test at the upload used.
    pub trial_fuel: u64,
    /// Maximum linear memory that the smoke test held at once, in bytes.
    pub trial_peak_memory_bytes: u64,
}

/// The new version in a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Canary {
    /// SHA-256 of the version; one of the plugin's versions, and not the current one.
    pub version: String,
    /// Share of the deliveries that run the version, in percent: 1 to 99.
    pub share: u8,
    /// Start of the rollout. Together with the plugin's name it identifies the rollout and its tallies.
    pub started: Timestamp,
}

/// Attempts of the two versions in a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tallies {
    /// Attempts of the new version.
    pub canary: Tally,
    /// Attempts of the current version in the same time.
    pub current: Tally,
}

/// Numbers of attempts and failures of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tally {
    /// Number of deliveries whose first attempt ran the version.
    pub attempts: u64,
    /// Number of these whose first attempt failed by the fault of the version.
    pub failures: u64,
}

/// The side of a rollout: one of the two versions that it compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The new version.
    Canary,
    /// The current version.
    Current,
}

/// A rollout that hookbox ended because the new version did worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolledBack {
    /// SHA-256 of the new version.
    pub version: String,
    /// Time of the end.
    pub at: Timestamp,
    /// Attempts of both versions up to the end.
    pub tallies: Tallies,
}
