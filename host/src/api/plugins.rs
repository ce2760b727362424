//! `/v1/plugins`: the transformers that a webhook can name, and which of their versions run.

use std::{io, sync::Arc};

use axum::{body::Bytes, extract::State, http::HeaderValue, http::StatusCode, response::Response};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    deleted,
    extract::{Id, Ids, Json, Params},
    large_response, page_of,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{Backend, BackendError},
    model::{
        Canary, Plugin, PluginVersion, RolledBack, Tallies, TenantId, Timestamp, VersionError,
        Webhook,
    },
    tenant::limiter::Caller,
    transformers::{BUILT_IN, pins},
};

/// A transformer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Plugin)]
pub(crate) struct PluginView {
    /// The name to which a webhook's `plugin` refers. A webhook pins a version with `name@version`, where the version
    /// is the first 8 or more digits of its `sha256`.
    pub(crate) name: String,
    /// Whether the transformer is built in. A built-in one has no versions and cannot be changed.
    pub(crate) built_in: bool,
    /// The version that runs for webhooks that pin none: its SHA-256; for the built-in one, the version of hookbox.
    pub(crate) version: String,
    /// Time of the upload of the first version.
    pub(crate) created: Option<Timestamp>,
    /// Time of the last change.
    pub(crate) last_updated: Option<Timestamp>,
    /// The version that was current before, to which a rollback returns.
    pub(crate) previous: Option<String>,
    /// All versions, oldest first.
    pub(crate) versions: Vec<PluginVersion>,
    /// The rollout that runs, if any.
    pub(crate) canary: Option<Canary>,
    /// The last rollout that hookbox ended because the new version did worse.
    pub(crate) rolled_back: Option<RolledBack>,
    /// Attempts in the rollout that runs. Only present when a single plugin is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tallies: Option<Tallies>,
    /// SHA-256 of the old versions that the upload removed. Only present in the answer to such an upload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pruned: Vec<String>,
}

impl PluginView {
    /// The answer to an upload that removed these versions.
    pub(super) fn after(plugin: Plugin, pruned: &[PluginVersion]) -> Self {
        Self {
            pruned: pruned
                .iter()
                .map(|version| version.sha256.clone())
                .collect(),
            ..plugin.into()
        }
    }
}

impl From<Plugin> for PluginView {
    fn from(plugin: Plugin) -> Self {
        Self {
            name: plugin.name,
            built_in: false,
            version: plugin.current,
            created: Some(plugin.created),
            last_updated: Some(plugin.updated),
            previous: plugin.previous,
            versions: plugin.versions,
            canary: plugin.canary,
            rolled_back: plugin.rolled_back,
            tallies: None,
            pruned: Vec::new(),
        }
    }
}

/// The built-in transformer.
fn built_in() -> PluginView {
    PluginView {
        name: BUILT_IN.to_owned(),
        built_in: true,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: None,
        last_updated: None,
        previous: None,
        versions: Vec::new(),
        canary: None,
        rolled_back: None,
        tallies: None,
        pruned: Vec::new(),
    }
}

impl From<VersionError> for Problem {
    fn from(error: VersionError) -> Self {
        let kind = match error {
            VersionError::Unknown { .. } => Kind::NotFound,
            VersionError::InUse { .. } | VersionError::NothingBefore(_) => Kind::Conflict,
            VersionError::NotAVersion(_)
            | VersionError::Ambiguous { .. }
            | VersionError::Share(_)
            | VersionError::IsCurrent(_) => Kind::ValidationFailed,
        };
        Self::new(kind, error.to_string())
    }
}

/// Lists the transformers, by name.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", params(Paging),
    responses((status = 200, description = "A page of them.", body = List<PluginView>)))]
pub(super) async fn list_plugins(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    let read = async || {
        // Plugins are few enough to be read at once, and the built-in one is sorted in among them.
        let config = state.engine.backend().tenant(&key.tenant).await?;
        let mut all: Vec<PluginView> = config.plugins.into_iter().map(PluginView::from).collect();
        all.push(built_in());
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let page = page_of(all, |plugin| plugin.name.as_str(), &paging)?;
        Ok(List::of(page, |plugin| plugin).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Reads one transformer, with the tallies of its rollout.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 200, description = "The transformer.", body = PluginView)))]
pub(super) async fn get_plugin(
    Reader(key): Reader,
    State(state): State<Shared>,
    Id(name): Id,
) -> Answer<Response> {
    let read = async || {
        if name == BUILT_IN {
            return Ok(built_in());
        }
        let plugin = find(&state, &key.tenant, &name).await?;
        let tallies = match &plugin.canary {
            None => None,
            Some(canary) => {
                let backend = state.engine.backend();
                Some(backend.tallies(&key.tenant, &name, canary.started).await?)
            }
        };
        Ok(PluginView {
            tallies,
            ..plugin.into()
        })
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// The version to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Promotion {
    /// The first 8 or more hexadecimal digits of the version's SHA-256.
    #[schema(example = "0123456789ab")]
    version: String,
    /// Starts a rollout instead: this share of the deliveries, in percent, runs the version.
    #[schema(minimum = 1, maximum = 99)]
    canary: Option<u8>,
}

/// Makes a version current, so that all webhooks that follow the plugin run it, or starts its rollout for a share of
/// their deliveries. A rollout that runs ends.
#[utoipa::path(post, path = "/v1/plugins/{name}/promote", tag = "plugins", request_body = Promotion,
    params(("name" = String, Path, description = "The plugin.")),
    responses((status = 200, description = "The plugin as it is now.", body = PluginView)))]
pub(super) async fn promote(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(name): Id,
    Json(body): Json<Promotion>,
) -> Answer<axum::Json<PluginView>> {
    alter(&state, &key.tenant, &name, |plugin, _| {
        let now = Timestamp::now();
        match body.canary {
            None => plugin.promote(&body.version, now),
            Some(share) => plugin.start_rollout(&body.version, share, now),
        }
    })
    .await
}

/// Ends the rollout, if one runs; otherwise makes the version before the current one current again, once.
#[utoipa::path(post, path = "/v1/plugins/{name}/rollback", tag = "plugins",
    params(("name" = String, Path, description = "The plugin.")),
    responses((status = 200, description = "The plugin as it is now.", body = PluginView)))]
pub(super) async fn roll_back(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(name): Id,
) -> Answer<axum::Json<PluginView>> {
    alter(&state, &key.tenant, &name, |plugin, _| {
        plugin.roll_back(Timestamp::now())
    })
    .await
}

/// Removes a plugin with all its versions. 409 while a webhook names it.
#[utoipa::path(delete, path = "/v1/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_plugin(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(name): Id,
) -> Answer<StatusCode> {
    not_built_in(&name)?;
    let existed = state
        .engine
        .backend()
        .delete_plugin(&key.tenant, &name)
        .await?;
    deleted(existed, "plugin", &name)
}

/// The component of a version.
#[utoipa::path(get, path = "/v1/plugins/{name}/versions/{version}", tag = "plugins",
    params(("name" = String, Path, description = "The plugin."),
        ("version" = String, Path, description = "The first 8 or more hexadecimal digits of its SHA-256.")),
    responses((status = 200, description = "Its bytes.", body = Vec<u8>, content_type = "application/wasm")))]
pub(super) async fn get_version(
    Reader(key): Reader,
    State(state): State<Shared>,
    Ids(name, version): Ids,
) -> Answer<Response> {
    let plugin = find(&state, &key.tenant, &name).await?;
    let version = plugin.version(&version)?;
    let slot = state.sending.component(&Caller::from(&key)).await?;
    let mut reading = Reading {
        backend: Arc::clone(state.engine.backend()),
        tenant: key.tenant,
        sha256: version.sha256.clone(),
        left: version.component_bytes,
        next: 0,
        seen: Sha256::new(),
    };
    // A component that is missing is reported before the status line is sent.
    let first = reading.piece().await?;
    let first = first.ok_or_else(|| Problem::no_such("component", &version.sha256))?;
    let rest = futures_util::stream::try_unfold(reading, async |mut reading| {
        if reading.left == 0 {
            return Ok(None);
        }
        let piece = reading.piece().await.map_err(io::Error::other)?;
        let piece = piece.ok_or_else(|| io::Error::other("it has been removed meanwhile"))?;
        Ok(Some((piece, reading)))
    });
    let pieces = futures_util::stream::iter([Ok(first)]).chain(rest);
    let wasm = HeaderValue::from_static("application/wasm");
    Ok(large_response::response(
        wasm,
        version.component_bytes,
        pieces,
        slot,
    ))
}

/// A component that is read piece by piece as the client takes it.
struct Reading {
    backend: Arc<dyn Backend>,
    tenant: TenantId,
    sha256: String,
    /// Bytes that are still to be read.
    left: u64,
    next: u32,
    seen: Sha256,
}

impl Reading {
    /// The next piece; none if the component has been removed. Before the last piece is returned, the digest of the
    /// whole is checked.
    async fn piece(&mut self) -> Result<Option<Bytes>, BackendError> {
        let (backend, sha256) = (&self.backend, &self.sha256);
        let piece = backend.component_piece(&self.tenant, sha256, self.next);
        let Some(piece) = piece.await? else {
            return Ok(None);
        };
        self.seen.update(&piece);
        let left = self.left.checked_sub(piece.len() as u64);
        let left = left
            .filter(|left| *left > 0 || hex::encode(self.seen.clone().finalize()) == self.sha256);
        let Some(left) = left else {
            let error =
                BackendError::Corrupt(format!("the component {sha256} is not what was stored"));
            // A part has been sent, so the response can only be cut off: the error shows in the log alone.
            tracing::error!(%error, "a component cannot be sent");
            return Err(error);
        };
        (self.left, self.next) = (left, self.next.saturating_add(1));
        Ok(Some(piece.into()))
    }
}

/// Removes a version. 409 as long as it is needed: while it is current, the one before, the canary of a rollout, or
/// pinned by a webhook.
#[utoipa::path(delete, path = "/v1/plugins/{name}/versions/{version}", tag = "plugins",
    params(("name" = String, Path, description = "The plugin."),
        ("version" = String, Path, description = "The first 8 or more hexadecimal digits of its SHA-256.")),
    responses((status = 200, description = "The plugin as it is now.", body = PluginView)))]
pub(super) async fn delete_version(
    Admin(key): Admin,
    State(state): State<Shared>,
    Ids(name, version): Ids,
) -> Answer<axum::Json<PluginView>> {
    alter(&state, &key.tenant, &name, |plugin, webhooks| {
        plugin.remove(&version, pins(webhooks, &name), Timestamp::now())
    })
    .await
}

/// The plugin of this name, or 404.
async fn find(state: &Shared, tenant: &TenantId, name: &str) -> Answer<Plugin> {
    let plugin = state.engine.backend().plugin(tenant, name).await?;
    plugin.ok_or_else(|| Problem::no_such("plugin", name))
}

/// Changes a plugin atomically: a concurrent change of the tenant's configuration makes it start over.
async fn alter(
    state: &Shared,
    tenant: &TenantId,
    name: &str,
    decide: impl Fn(&mut Plugin, &[Webhook]) -> Result<(), VersionError>,
) -> Answer<axum::Json<PluginView>> {
    not_built_in(name)?;
    let changes = state.engine.changes();
    let plugin = changes
        .apply(tenant, |existing| -> Answer<_> {
            let mut plugins = existing.plugins.into_iter();
            let mut plugin = plugins
                .find(|plugin| plugin.name == name)
                .ok_or_else(|| Problem::no_such("plugin", name))?;
            decide(&mut plugin, &existing.webhooks)?;
            Ok(plugin)
        })
        .await?;
    Ok(axum::Json(plugin.into()))
}

fn not_built_in(name: &str) -> Answer<()> {
    if name == BUILT_IN {
        return Err(Problem::new(
            Kind::Conflict,
            format!("{BUILT_IN:?} is built into hookbox and cannot be changed"),
        ));
    }
    Ok(())
}
