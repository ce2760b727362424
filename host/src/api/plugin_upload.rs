//! `POST /v1/plugins`: a stranger's component comes in.
//!
//! A body is not read before there is room for it, a tenant has one upload under way, and what is uploaded is
//! looked at one after the other. A client that goes away loses its answer, not its turn: what has been
//! received is taken in or refused to the end.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{
    Shared,
    auth::Admin,
    changes::change,
    check_room, created,
    extract::{Pace, Params, read_body_within},
    limits::{InFlight, run_to_completion},
    plugins::{PluginView, pins},
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::TenantConfig,
    config::TenantLimits,
    engine::BUILT_IN,
    model::{FieldErrors, Introduction, Plugin, PluginVersion, TenantId, Timestamp},
    tenant::limiter::{Caller, LimiterError, Limits, Permit, TenantLimiter},
};

/// Bodies of plugins in memory at once, of up to `plugins.bytes` each.
const BODIES: u32 = 4;
/// How many times as long as other bodies a plugin may take to come: it is some hundred times as large as most.
const PATIENCE: u64 = 4;
/// Bytes a second that they have to come at, so that one of which nothing comes does not hold its place for long.
const LEAST_RATE: u64 = 64 << 10;
/// When to come again if somebody else has the turn.
const COME_AGAIN: Duration = Duration::from_secs(5);
/// The longest name.
const NAME_BYTES: usize = 64;

/// The uploads under way: one for each tenant, without a queue within it.
#[derive(Debug)]
pub(super) struct Uploads(TenantLimiter);

impl Default for Uploads {
    fn default() -> Self {
        Self(TenantLimiter::new(Limits {
            all: BODIES,
            tenant: 1,
            key: 1,
            tenant_places: 1,
            key_places: 1,
        }))
    }
}

impl Uploads {
    /// Waits for room for a body, up to so many seconds. Tenants wait in the order in which they come.
    async fn begin(&self, tenant: &TenantId, seconds: u64) -> Answer<Permit> {
        let turn = self
            .0
            .acquire(&Caller::of(tenant), 1, Duration::from_secs(seconds))
            .await;
        turn.map_err(|error| {
            let why = match error {
                LimiterError::QueueFull => {
                    "another plugin is being uploaded with a key of this tenant"
                }
                LimiterError::TimedOut | LimiterError::Panicked => {
                    "the server is at its upload limit"
                }
            };
            Problem::new(Kind::Busy, why).after(COME_AGAIN)
        })
    }
}

/// What is uploaded, and what becomes of it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The plugin's name: 1 to 64 letters, digits, `-`, `_` and `.`. A new one is made if there is none.
    #[param(max_length = 64, example = "mine")]
    name: String,
    /// Only puts the version on trial, for this share of the deliveries, in percent.
    #[param(minimum = 1, maximum = 99)]
    canary: Option<u8>,
    /// Only stores the version: it runs where a webhook names it, or once it is promoted.
    #[serde(default)]
    hold: bool,
}

impl UploadQuery {
    fn introduction(&self) -> Answer<Introduction> {
        let invalid = |why| Err(Problem::new(Kind::InvalidQuery, why));
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=NAME_BYTES).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            let why = format!("name must be 1 to {NAME_BYTES} letters, digits, -, _ and .");
            return Err(FieldErrors::one("name", why).into());
        }
        if self.name == BUILT_IN {
            let why = format!("{BUILT_IN:?} comes with hookbox; choose another name");
            return Err(FieldErrors::one("name", why).into());
        }
        match (self.canary, self.hold) {
            (None, false) => Ok(Introduction::Current),
            (None, true) => Ok(Introduction::Hold),
            (Some(share @ 1..=99), false) => Ok(Introduction::Canary(share)),
            (Some(_), false) => invalid("canary is the share of a trial: 1 to 99 percent"),
            (Some(_), true) => invalid("canary and hold exclude each other"),
        }
    }
}

/// Takes a plugin in: a WebAssembly component of the world `hookbox:transformer`, or a core module with the
/// component type embedded. It is surveyed, compiled, checked against the world, and tried on a sample event,
/// which can take a minute; refused with 422, which says what is wrong, where, and what to do. Then all webhooks
/// that follow the plugin run it, unless `canary` or `hold` say otherwise. A first version cannot be held back
/// or tried. A version that is there already stays as it is: 200, and nothing changes.
#[utoipa::path(post, path = "/v1/plugins", tag = "plugins", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 201, description = "The version is stored; Location says where.", body = PluginView),
        (status = 200, description = "The version was there already; nothing has changed. Content-Location says where.",
            body = PluginView)))]
pub(super) async fn upload_plugin(
    Admin(key): Admin,
    State(state): State<Shared>,
    Params(query): Params<UploadQuery>,
    Extension(under_way): Extension<InFlight>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let introduction = query.introduction()?;
    require_wasm(&headers)?;
    let config = state.engine.config();
    let limit = usize::try_from(config.plugins.bytes).unwrap_or(usize::MAX);
    let usual = config.server.request_timeout_seconds;
    let most = usual.saturating_mul(PATIENCE);
    let upload = state.uploads.begin(&key.tenant, most).await?;
    let pace = Pace::within(most).at_least(usual, LEAST_RATE);
    let wasm = read_body_within(pace, &headers, body, limit).await?;
    run_to_completion(async move {
        let _held = (upload, under_way);
        take_in(&state, &key.tenant, &query.name, introduction, wasm).await
    })
    .await
}

async fn take_in(
    state: &Shared,
    tenant: &TenantId,
    name: &str,
    introduction: Introduction,
    wasm: Bytes,
) -> Answer<Response> {
    let backend = state.engine.backend();
    let limits = &state.engine.config().limits;
    // Before anything is compiled in vain; once more before it is stored, as that may have taken a minute; and it
    // decides below.
    let existing = backend.tenant(tenant).await?;
    let sha256 = hex::encode(crate::sandbox::digest(&wasm));
    let unknown = unlooked(sha256, wasm.len() as u64);
    with_version(existing, name, unknown, introduction, limits)?;

    let taken = state.engine.admit(tenant, name, wasm.into()).await?;
    let (version, component) = (taken.version, taken.component);
    let decide = |existing: TenantConfig| {
        with_version(existing, name, version.clone(), introduction, limits)
    };
    // The upload removes old versions only once it is stored, so for a moment both are there.
    let freed = decide(backend.tenant(tenant).await?)?.freed();
    let most = Some(limits.plugin_bytes.saturating_add(freed));
    let stored = backend.put_component(tenant, &version.sha256, &component, most);
    let stored = match stored.await {
        Ok(()) => store_version(state, tenant, decide).await,
        Err(error) => Err(error.into()),
    };
    drop(component);
    let location = format!("/v1/plugins/{name}/versions/{}", version.sha256);
    let Ok(Stored { is_new: true, .. }) = &stored else {
        // Refused after all, or it was there already: what nobody names goes at once.
        if let Err(error) = backend.release_component(tenant, &version.sha256).await {
            tracing::warn!(%error, "a component that nobody needs is not removed yet");
        }
        let plugin = stored?.plugin;
        let place = HeaderValue::from_str(&location).map_err(|e| Problem::internal(&e))?;
        let plugin = axum::Json(PluginView::from(plugin));
        return Ok(([(header::CONTENT_LOCATION, place)], plugin).into_response());
    };
    let Stored { plugin, pruned, .. } = stored?;
    if !pruned.is_empty() {
        tracing::info!(%tenant, plugin = name, versions = pruned.len(), "old versions were removed");
    }
    created(&location, PluginView::after(plugin, &pruned))
}

/// A version that has not been looked at yet: what is known of it is what the limits are about.
fn unlooked(sha256: String, component_bytes: u64) -> PluginVersion {
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

/// The outcome of an upload.
#[derive(Clone)]
struct Stored {
    plugin: Plugin,
    /// Whether the version is new there.
    is_new: bool,
    /// The versions that went for it.
    pruned: Vec<PluginVersion>,
}

impl Stored {
    /// Bytes of the components that went.
    fn freed(&self) -> u64 {
        let bytes = self.pruned.iter().map(|version| version.component_bytes);
        bytes.fold(0, u64::saturating_add)
    }
}

/// Stores the plugin with the version in it, and without those that go for it: one step.
async fn store_version(
    state: &Shared,
    tenant: &TenantId,
    decide: impl Fn(TenantConfig) -> Answer<Stored>,
) -> Answer<Stored> {
    let decided = Mutex::new(None);
    let plugin = change(state, tenant, |existing| {
        let stored = decide(existing)?;
        let plugin = stored.plugin.clone();
        *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
        Ok(plugin)
    })
    .await?;
    let decided = decided.into_inner().unwrap_or_else(PoisonError::into_inner);
    // `change` has asked at least once.
    Ok(decided.unwrap_or(Stored {
        plugin,
        is_new: true,
        pruned: Vec::new(),
    }))
}

/// The plugin with the version in it and without old ones that nothing needs, within the limits.
fn with_version(
    mut existing: TenantConfig,
    name: &str,
    version: PluginVersion,
    introduction: Introduction,
    limits: &TenantLimits,
) -> Answer<Stored> {
    check_first(&existing, name, introduction)?;
    let now = Timestamp::now();
    let place = existing.plugins.iter().position(|p| p.name == name);
    let Some(mut plugin) = place.map(|place| existing.plugins.swap_remove(place)) else {
        check_room(
            existing.plugins.len(),
            limits.plugins,
            "plugins (limits.plugins)",
        )?;
        let plugin = Plugin::new(name.to_owned(), version, now);
        check_bytes(&existing.plugins, &plugin, limits)?;
        return Ok(Stored {
            plugin,
            is_new: true,
            pruned: Vec::new(),
        });
    };
    let mut pruned = Vec::new();
    let sha256 = version.sha256.clone();
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
        is_new,
        pruned,
    })
}

/// 409 if the plugin has more versions than it may.
fn check_versions(plugin: &Plugin, limits: &TenantLimits) -> Answer<()> {
    let count = plugin.versions.len();
    if count <= limits.plugin_versions {
        return Ok(());
    }
    Err(Problem::new(
        Kind::LimitReached,
        format!(
            "the plugin would have {count} versions, and at most {} are allowed (limits.plugin_versions): \
             `hookbox plugin prune {} --keep 0` removes those that nothing needs; others are pinned by webhooks",
            limits.plugin_versions, plugin.name
        ),
    ))
}

/// 409 if the components of these plugins and this one together are larger than they may be.
fn check_bytes(others: &[Plugin], plugin: &Plugin, limits: &TenantLimits) -> Answer<()> {
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
    Err(Problem::new(
        Kind::LimitReached,
        format!(
            "with this version all plugins' components would have {bytes} bytes; together they may have {} \
             (limits.plugin_bytes): `hookbox plugin prune NAME --keep 0` removes versions of a plugin that nothing \
             needs, and `hookbox plugin delete NAME` a plugin",
            limits.plugin_bytes
        ),
    ))
}

/// 422 if it would be a first version, and held back or tried.
fn check_first(existing: &TenantConfig, name: &str, introduction: Introduction) -> Answer<()> {
    let is_there = existing.plugins.iter().any(|plugin| plugin.name == name);
    if is_there || introduction == Introduction::Current {
        return Ok(());
    }
    Err(Problem::new(
        Kind::ValidationFailed,
        format!(
            "{name:?} has no version yet, so there is nothing to run instead of this one: upload the first \
             without canary and hold"
        ),
    ))
}

fn require_wasm(headers: &HeaderMap) -> Answer<()> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()?.split(';').next());
    match content_type.map(str::trim) {
        Some(t) if t.eq_ignore_ascii_case("application/wasm") => Ok(()),
        _ => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "send the component as Content-Type: application/wasm",
        )),
    }
}
