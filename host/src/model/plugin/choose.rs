//! The choice of the version of a plugin that a delivery runs.

use sha2::{Digest, Sha256};

use super::{Arm, Canary, Plugin, VersionError};
use crate::model::{DeliveryId, Timestamp};

/// The version that a delivery runs, and the rollout in which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The version's digest.
    pub sha256: &'a str,
    /// The rollout's start and this delivery's side of it. None without a rollout, or if the webhook pins a version.
    pub rollout: Option<(Timestamp, Arm)>,
}

/// A webhook's `plugin`: a name, and the version if one is pinned.
#[must_use]
pub fn split_reference(plugin: &str) -> (&str, Option<&str>) {
    match plugin.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (plugin, None),
    }
}

impl Plugin {
    /// The version that a delivery runs: the pinned one, or else the current one. During a rollout the canary's share
    /// of the deliveries runs the canary instead. Without a delivery (a dry run) it is the current one.
    ///
    /// The side is drawn by a hash of the delivery's id and the rollout. So all attempts of a delivery run the same
    /// version while the rollout lasts, every worker draws the same side, and each rollout draws anew.
    ///
    /// # Errors
    /// If the pin names no version, or several.
    pub fn choose(
        &self,
        pin: Option<&str>,
        delivery: Option<&DeliveryId>,
    ) -> Result<Choice<'_>, VersionError> {
        if let Some(pin) = pin {
            return Ok(Choice {
                sha256: &self.version(pin)?.sha256,
                rollout: None,
            });
        }
        let Some((canary, delivery)) = self.canary.as_ref().zip(delivery) else {
            return Ok(Choice {
                sha256: &self.current,
                rollout: None,
            });
        };
        let (arm, sha256) = if draw(&self.name, canary, delivery) < canary.share {
            (Arm::Canary, &canary.version)
        } else {
            (Arm::Current, &self.current)
        };
        Ok(Choice {
            sha256,
            rollout: Some((canary.started, arm)),
        })
    }
}

/// A number from 0 to 99, evenly (but for one part in 10^17).
fn draw(plugin: &str, canary: &Canary, delivery: &DeliveryId) -> u8 {
    let digest = Sha256::new()
        .chain_update(canary.started.as_millis().to_be_bytes())
        .chain_update((plugin.len() as u64).to_be_bytes())
        .chain_update(plugin)
        .chain_update(delivery.as_str())
        .finalize();
    let number = digest
        .first_chunk::<8>()
        .map_or(0, |head| u64::from_be_bytes(*head));
    u8::try_from(number % 100).unwrap_or(0)
}
