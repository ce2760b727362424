//! The storing of an upload: limits, the new version in its plugin, and the removal of old versions.

use std::collections::HashSet;

use super::{AdmitError, Timestamp, Transformers};
use crate::{
    backend::{Backend, BackendError, TenantConfig},
    config::TenantLimits,
    model::{
        Introduction, Plugin, PluginVersion, TenantId, VersionError, Webhook, split_reference,
    },
    tenant::Item,
};

/// The outcome of an upload.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The plugin with the version in it.
    pub(crate) plugin: Plugin,
    /// The version's digest.
    pub(crate) sha256: String,
    /// Whether the version is new there.
    pub(crate) is_new: bool,
    /// The old versions that were removed for it.
    pub(crate) pruned: Vec<PluginVersion>,
}

/// Why an upload is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A first version cannot be held back or get a share of the deliveries.
    #[error("the plugin {0:?} has no version yet; upload the first one without canary and hold")]
    First(String),
    /// The tenant, or the plugin, has as much as it may have.
    #[error("{0}")]
    LimitReached(String),
    /// The version cannot be introduced in this way.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// It is not admitted.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Stored {
    /// Bytes of the components that were removed.
    fn freed(&self) -> u64 {
        let bytes = self.pruned.iter().map(|version| version.component_bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

impl Item for Stored {
    async fn put(
        &self,
        backend: &dyn Backend,
        tenant: &TenantId,
        expected_revision: u64,
    ) -> Result<(), BackendError> {
        let revision = Some(expected_revision);
        backend.put_plugin(tenant, &self.plugin, revision).await
    }
}

impl Transformers {
    /// Admits an uploaded component and stores it as a version of the tenant's plugin of this name. Old versions that
    /// nothing needs are removed in the same step. A version that is there already stays as it is.
    ///
    /// # Errors
    /// Why it is not stored. The component of a refused version is removed again.
    pub(crate) async fn store(
        &self,
        tenant: &TenantId,
        name: &str,
        introduction: Introduction,
        wasm: Vec<u8>,
    ) -> Result<Stored, StoreError> {
        let limits = &self.config.limits;
        // The limits are checked before anything is compiled in vain, again before the component is stored, as
        // admission may have taken a minute, and finally in the change itself.
        let existing = self.backend.tenant(tenant).await?;
        let sha256 = hex::encode(crate::sandbox::digest(&wasm));
        let unknown = not_admitted(sha256, wasm.len() as u64);
        with_version(existing, name, unknown, introduction, limits)?;

        let admitted = self.admit(tenant, name, wasm).await?;
        let (version, component) = (admitted.version, admitted.component);
        let sha256 = version.sha256.clone();
        let decide = |existing: TenantConfig| {
            with_version(existing, name, version.clone(), introduction, limits)
        };
        // Old versions are removed only once the new one is stored, so for a moment both are there.
        let freed = decide(self.backend.tenant(tenant).await?)?.freed();
        let most = Some(limits.plugin_bytes.saturating_add(freed));
        let put = self
            .backend
            .put_component(tenant, &sha256, &component, most);
        let stored = match put.await {
            Ok(()) => self.changes.apply(tenant, decide).await,
            Err(error) => Err(error.into()),
        };
        drop(component);
        if !matches!(&stored, Ok(Stored { is_new: true, .. })) {
            // It was refused after all, or it was there already: a component that no version names is removed at once.
            if let Err(error) = self.backend.release_component(tenant, &sha256).await {
                tracing::warn!(%error, "a component that no version names is not removed yet");
            }
        }
        let stored = stored?;
        if !stored.pruned.is_empty() {
            tracing::info!(%tenant, plugin = name, versions = stored.pruned.len(), "old versions were removed");
        }
        Ok(stored)
    }
}

/// A version before its admission: only the values that the limits look at are known.
fn not_admitted(sha256: String, component_bytes: u64) -> PluginVersion {
    PluginVersion {
        sha256,
        uploaded: Timestamp::now(),
        component_bytes,
        compiled_bytes: 0,
        imports: Vec::new(),
        trial_fuel: 0,
        trial_peak_memory_bytes: 0,
    }
}

/// The plugin with the version in it and without old ones that nothing needs, within the limits.
fn with_version(
    mut existing: TenantConfig,
    name: &str,
    version: PluginVersion,
    introduction: Introduction,
    limits: &TenantLimits,
) -> Result<Stored, StoreError> {
    let now = Timestamp::now();
    let sha256 = version.sha256.clone();
    let place = existing.plugins.iter().position(|p| p.name == name);
    let Some(mut plugin) = place.map(|place| existing.plugins.swap_remove(place)) else {
        if introduction != Introduction::Current {
            return Err(StoreError::First(name.to_owned()));
        }
        let (count, limit) = (existing.plugins.len(), limits.plugins);
        if count >= limit {
            return Err(StoreError::LimitReached(format!(
                "there are {count} plugins (limits.plugins), and at most {limit} are allowed"
            )));
        }
        let plugin = Plugin::new(name.to_owned(), version, now);
        check_bytes(&existing.plugins, &plugin, limits)?;
        return Ok(Stored {
            plugin,
            sha256,
            is_new: true,
            pruned: Vec::new(),
        });
    };
    let mut pruned = Vec::new();
    let is_new = plugin.add(version, introduction, now)?;
    if is_new {
        let mut pins: Vec<_> = pins(&existing.webhooks, name).collect();
        // Nothing needs an upload that is held back yet.
        pins.push(("this upload", &sha256));
        let before = plugin.versions.clone();
        let gone = plugin.prune(limits.plugin_versions_kept, &pins, now);
        pruned = before;
        pruned.retain(|version| gone.contains(&version.sha256));
        check_versions(&plugin, limits)?;
        check_bytes(&existing.plugins, &plugin, limits)?;
    }
    Ok(Stored {
        plugin,
        sha256,
        is_new,
        pruned,
    })
}

/// The versions of this plugin that webhooks name: each webhook's name, and the version as it is written there.
pub(crate) fn pins<'a>(
    webhooks: &'a [Webhook],
    name: &str,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    webhooks.iter().filter_map(move |webhook| {
        let (named, pin) = split_reference(webhook.spec.plugin.as_deref()?);
        Some((webhook.spec.name.as_str(), pin?)).filter(|_| named == name)
    })
}

/// Refuses a plugin with more versions than it may have.
fn check_versions(plugin: &Plugin, limits: &TenantLimits) -> Result<(), StoreError> {
    let count = plugin.versions.len();
    if count <= limits.plugin_versions {
        return Ok(());
    }
    Err(StoreError::LimitReached(format!(
        "the plugin would have {count} versions, and at most {} are allowed (limits.plugin_versions): \
         `hookbox plugin prune {} --keep 0` removes those that nothing needs; others are pinned by webhooks",
        limits.plugin_versions, plugin.name
    )))
}

/// Refuses a plugin whose components, with those of the others, have more bytes than they may have.
fn check_bytes(
    others: &[Plugin],
    plugin: &Plugin,
    limits: &TenantLimits,
) -> Result<(), StoreError> {
    // A component of several plugins is stored once.
    let mut seen = HashSet::new();
    let bytes = others
        .iter()
        .chain([plugin])
        .flat_map(|plugin| &plugin.versions)
        .filter(|version| seen.insert(version.sha256.as_str()))
        .fold(0_u64, |sum, version| {
            sum.saturating_add(version.component_bytes)
        });
    if bytes <= limits.plugin_bytes {
        return Ok(());
    }
    Err(StoreError::LimitReached(format!(
        "with this version the components of all plugins would have {bytes} bytes; at most {} are allowed (limits.plugin_bytes): `hookbox plugin prune NAME --keep 0` removes versions of a plugin that nothing \
         needs, and `hookbox plugin delete NAME` a plugin",
        limits.plugin_bytes
    )))
}
