//! Changes of a plugin's versions. Pure: the caller stores the changed plugin.

use super::{Canary, Plugin, PluginVersion, RolledBack, Tallies};
use crate::model::Timestamp;

/// The fewest hexadecimal digits by which a version can be named.
pub const VERSION_DIGITS: usize = 8;

/// The use of a version after its upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// Webhooks that follow the plugin run it from now on.
    Current,
    /// A rollout runs it for this share of the deliveries, in percent.
    Canary(u8),
    /// It is stored, and runs only where it is pinned.
    Hold,
}

/// The reason why a change of a plugin's versions is refused. The texts are for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not 8 to 64 hexadecimal digits.
    #[error(
        "{0:?} is not a version; give the first {VERSION_DIGITS} or more hexadecimal digits of its SHA-256"
    )]
    NotAVersion(String),
    /// No version begins with these digits.
    #[error("the plugin {plugin:?} has no version {version:?}")]
    Unknown {
        /// The plugin.
        plugin: String,
        /// The digits in the request.
        version: String,
    },
    /// Several versions begin with these digits.
    #[error(
        "the plugin {plugin:?} has several versions that begin with {version:?}; give more digits"
    )]
    Ambiguous {
        /// The plugin.
        plugin: String,
        /// The digits in the request.
        version: String,
    },
    /// A share outside 1 to 99 percent.
    #[error("the share of a canary must be 1 to 99 percent, not {0}")]
    Share(u8),
    /// The current version cannot be the canary.
    #[error("version {0} is the current version and cannot be a canary; choose another version")]
    IsCurrent(String),
    /// There is nothing to roll back to.
    #[error(
        "the plugin {0:?} has no rollout to end and no earlier version to return to; promote the version that should run"
    )]
    NothingBefore(String),
    /// The version is needed.
    #[error("version {version} {why}")]
    InUse {
        /// The version.
        version: String,
        /// The use that needs it, and what to do.
        why: String,
    },
}

/// The version of a `NAME@VERSION` as it is shown: enough digits to tell versions apart.
#[must_use]
pub fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

impl Plugin {
    /// A plugin with one version, which is current. (A first version cannot be held or a canary: there is no other
    /// version to run.)
    #[must_use]
    pub fn new(name: String, first: PluginVersion, now: Timestamp) -> Self {
        Self {
            name,
            created: now,
            updated: now,
            current: first.sha256.clone(),
            versions: vec![first],
            previous: None,
            canary: None,
            rolled_back: None,
        }
    }

    /// The version whose digest begins with these digits, in either case.
    ///
    /// # Errors
    /// If they are too few, no version's or several versions'.
    pub fn version(&self, prefix: &str) -> Result<&PluginVersion, VersionError> {
        let is_digits = prefix.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_digits || !(VERSION_DIGITS..=64).contains(&prefix.len()) {
            let shown = prefix.chars().filter(|c| !c.is_control()).take(80);
            return Err(VersionError::NotAVersion(shown.collect()));
        }
        let wanted = prefix.to_ascii_lowercase();
        let mut found = self
            .versions
            .iter()
            .filter(|version| version.sha256.starts_with(&wanted));
        let plugin = || self.name.clone();
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version),
            (None, _) => Err(VersionError::Unknown {
                plugin: plugin(),
                version: wanted.clone(),
            }),
            (Some(_), Some(_)) => Err(VersionError::Ambiguous {
                plugin: plugin(),
                version: wanted.clone(),
            }),
        }
    }

    /// Adds an uploaded version and returns true. If the version is there already, returns false and changes nothing.
    ///
    /// # Errors
    /// [`VersionError::Share`].
    pub fn add(
        &mut self,
        version: PluginVersion,
        introduction: Introduction,
        now: Timestamp,
    ) -> Result<bool, VersionError> {
        if self.versions.iter().any(|v| v.sha256 == version.sha256) {
            return Ok(false);
        }
        let sha256 = version.sha256.clone();
        let mut changed = self.clone();
        changed.versions.push(version);
        match introduction {
            Introduction::Current => changed.make_current(sha256, now),
            Introduction::Canary(share) => changed.begin_rollout(sha256, share, now)?,
            Introduction::Hold => changed.updated = now,
        }
        *self = changed;
        Ok(true)
    }

    /// Makes this version current. A rollout that runs ends.
    ///
    /// # Errors
    /// If there is no such version.
    pub fn promote(&mut self, version: &str, now: Timestamp) -> Result<(), VersionError> {
        let sha256 = self.version(version)?.sha256.clone();
        self.make_current(sha256, now);
        Ok(())
    }

    /// Starts the rollout of a version for `share` percent of the deliveries. It replaces a rollout that runs.
    ///
    /// # Errors
    /// If there is no such version, if it is current, or if `share` is not 1 to 99.
    pub fn start_rollout(
        &mut self,
        version: &str,
        share: u8,
        now: Timestamp,
    ) -> Result<(), VersionError> {
        let sha256 = self.version(version)?.sha256.clone();
        self.begin_rollout(sha256, share, now)
    }

    /// Ends the rollout, if one runs; otherwise makes the version before the current one current again. That can be
    /// done once: to return to the later version, promote it.
    ///
    /// # Errors
    /// [`VersionError::NothingBefore`].
    pub fn roll_back(&mut self, now: Timestamp) -> Result<(), VersionError> {
        if self.canary.take().is_none() {
            let previous = self.previous.take();
            self.current =
                previous.ok_or_else(|| VersionError::NothingBefore(self.name.clone()))?;
        }
        self.updated = now;
        Ok(())
    }

    /// Ends the rollout that started then, because its version did worse. Returns false and changes nothing if that
    /// rollout is over already.
    pub fn end_rollout(&mut self, started: Timestamp, seen: Tallies, now: Timestamp) -> bool {
        let Some(canary) = self.canary.take_if(|canary| canary.started == started) else {
            return false;
        };
        self.rolled_back = Some(RolledBack {
            version: canary.version,
            at: now,
            tallies: seen,
        });
        self.updated = now;
        true
    }

    /// Removes a version. `pins` are the webhooks that name this plugin with a version: name and version.
    ///
    /// # Errors
    /// If there is no such version, or as long as it is needed: as the current one, as the one to which a
    /// rollback returns, in a rollout, or by a webhook.
    pub fn remove<'a>(
        &mut self,
        version: &str,
        pins: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: Timestamp,
    ) -> Result<(), VersionError> {
        let sha256 = self.version(version)?.sha256.clone();
        if let Some(why) = self.needed(&sha256, pins) {
            return Err(VersionError::InUse {
                version: short(&sha256).to_owned(),
                why,
            });
        }
        self.drop_versions(&[sha256]);
        self.updated = now;
        Ok(())
    }

    /// Removes old versions, except those that are needed ([`Plugin::remove`] refuses to remove them) and the newest
    /// `keep` of the others. Returns the digests of the removed versions, oldest first. `pins` as in
    /// [`Plugin::remove`].
    pub fn prune(&mut self, keep: usize, pins: &[(&str, &str)], now: Timestamp) -> Vec<String> {
        let mut gone: Vec<String> = self
            .versions
            .iter()
            .map(|version| &version.sha256)
            .filter(|sha256| self.needed(sha256, pins.iter().copied()).is_none())
            .cloned()
            .collect();
        gone.truncate(gone.len().saturating_sub(keep));
        if !gone.is_empty() {
            self.drop_versions(&gone);
            self.updated = now;
        }
        gone
    }

    /// The reason why a version cannot be removed, and what to do. None if it can be.
    fn needed<'a>(
        &self,
        sha256: &str,
        pins: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Option<String> {
        if self.current == sha256 {
            return Some(
                "is the current version; promote another version first, or delete the plugin"
                    .to_owned(),
            );
        }
        if self.canary.as_ref().is_some_and(|c| c.version == sha256) {
            return Some("is being rolled out; end the rollout first (rollback)".to_owned());
        }
        if self.previous.as_deref() == Some(sha256) {
            return Some(
                "is the version to which a rollback returns; remove it after the next promotion"
                    .to_owned(),
            );
        }
        // A pin that fits several versions protects all of them: removing one must not decide which one it means.
        let mut pins = pins.into_iter();
        let (webhook, _) = pins.find(|(_, pin)| sha256.starts_with(&pin.to_ascii_lowercase()))?;
        Some(format!(
            "is pinned by the webhook {webhook:?}; change or delete the webhook first"
        ))
    }

    fn drop_versions(&mut self, gone: &[String]) {
        self.versions.retain(|v| !gone.contains(&v.sha256));
        let ended = self.rolled_back.as_ref();
        if ended.is_some_and(|ended| gone.contains(&ended.version)) {
            self.rolled_back = None;
        }
    }

    fn make_current(&mut self, sha256: String, now: Timestamp) {
        if self.current != sha256 {
            self.previous = Some(std::mem::replace(&mut self.current, sha256));
        }
        self.canary = None;
        self.updated = now;
    }

    fn begin_rollout(
        &mut self,
        sha256: String,
        share: u8,
        now: Timestamp,
    ) -> Result<(), VersionError> {
        if !(1..=99).contains(&share) {
            return Err(VersionError::Share(share));
        }
        if self.current == sha256 {
            return Err(VersionError::IsCurrent(short(&sha256).to_owned()));
        }
        // The start identifies the rollout, so it must differ from the start of the rollout before.
        let after = self
            .canary
            .as_ref()
            .map(|c| c.started.as_millis().saturating_add(1));
        let started = now.as_millis().max(after.unwrap_or(i64::MIN));
        self.canary = Some(Canary {
            version: sha256,
            share,
            started: Timestamp::from_millis(started),
        });
        self.updated = now;
        Ok(())
    }
}
