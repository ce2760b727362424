//! A plugin: a name, and the versions that were uploaded under it.
//!
//! What may be done with them, which of them a delivery runs and when a trial has failed are pure decisions,
//! one file each.

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
    /// When it was last changed.
    pub updated: Timestamp,
    /// All versions, in the order in which they were uploaded; never empty.
    pub versions: Vec<PluginVersion>,
    /// The digest of the version that webhooks run which follow the latest; one of `versions`.
    pub current: String,
    /// The one before, to which a roll-back returns; one of `versions`.
    #[serde(default)]
    pub previous: Option<String>,
    /// The version that runs on trial for a share of the deliveries, if one does.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// How the last trial ended that hookbox itself ended.
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
    /// Bytes of what it compiles to on the machine that took it in.
    pub compiled_bytes: u64,
    /// What it imports.
    pub imports: Vec<String>,
    /// Fuel of its trial render.
    pub trial_fuel: u64,
    /// The most linear memory that its trial render held.
    pub trial_peak_memory_bytes: u64,
}

/// A version on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Canary {
    /// Its digest; one of the plugin's versions and not the current one.
    pub version: String,
    /// The share of deliveries that run it, in percent: 1 to 99.
    pub share: u8,
    /// Since when. Together with the plugin's name this identifies the trial, and its tallies.
    pub started: Timestamp,
}

/// What two versions did during a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tallies {
    /// The version on trial.
    pub canary: Tally,
    /// The current one, in the same time.
    pub current: Tally,
}

/// How often something was tried and how often it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tally {
    /// Deliveries whose first attempt ran it.
    pub attempts: u64,
    /// Those whose first attempt failed in a way that it can be blamed for.
    pub failures: u64,
}

/// Which of the two versions of a trial an attempt ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The one on trial.
    Canary,
    /// The current one.
    Current,
}

/// The end of a trial that hookbox ended because the new version did worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolledBack {
    /// The version that was on trial.
    pub version: String,
    /// When it ended.
    pub at: Timestamp,
    /// What was seen by then.
    pub tallies: Tallies,
}
