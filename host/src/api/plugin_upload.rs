//! `POST /v1/plugins`: the upload of a component.
//!
//! A body is not read before there is room for it. A tenant has one upload at a time, and uploads are admitted one
//! after the other. If the client goes away, a body that has been received is still stored or refused.

use std::time::Duration;

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
    created,
    extract::{Pace, Params, read_body_within},
    limits::{InFlight, run_to_completion},
    plugins::PluginView,
    problem::{Answer, Kind, Problem},
};
use crate::{
    model::{FieldErrors, Introduction, TenantId},
    tenant::limiter::{Caller, LimiterError, Limits, Permit, TenantLimiter},
    transformers::{BUILT_IN, Stored},
};

/// Bodies of plugins in memory at once, of up to `plugins.bytes` each.
const BODIES: u32 = 4;
/// The time for receiving a plugin, as a multiple of the time for other bodies: most of those are some hundred times
/// smaller.
const PATIENCE: u64 = 4;
/// The least rate at which the body must come, in bytes a second, so that a stalled upload is ended soon.
const LEAST_RATE: u64 = 64 << 10;
/// The `Retry-After` while another upload is under way.
const COME_AGAIN: Duration = Duration::from_secs(5);
/// Bytes of a name at most.
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

/// The plugin's name, and how the uploaded version is used.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// The plugin's name: 1 to 64 letters, digits, `-`, `_` and `.`. A plugin is created if none has this name.
    #[param(max_length = 64, example = "mine")]
    name: String,
    /// Starts a rollout: this share of the deliveries, in percent, runs the version.
    #[param(minimum = 1, maximum = 99)]
    canary: Option<u8>,
    /// Only stores the version. It runs where a webhook pins it, or once it is promoted.
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
            (Some(_), false) => {
                invalid("canary must be 1 to 99, the share of the deliveries in percent")
            }
            (Some(_), true) => invalid("canary and hold cannot be used together; leave one out"),
        }
    }
}

/// Uploads a plugin: a WebAssembly component of the world `hookbox:transformer`, or a core module with the component
/// type embedded. It is surveyed, compiled, checked against the world, and tried in a smoke test, the render of a
/// sample event. This can take a minute. A refusal is a 422 that says what is wrong, where, and what to do. Then all
/// webhooks that follow the plugin run the version, unless `canary` or `hold` say otherwise; a plugin's first version
/// takes neither. The upload of a version that is there already is answered with 200 and changes nothing.
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
        store(&state, &key.tenant, &query.name, introduction, wasm).await
    })
    .await
}

async fn store(
    state: &Shared,
    tenant: &TenantId,
    name: &str,
    introduction: Introduction,
    wasm: Bytes,
) -> Answer<Response> {
    let transformers = state.engine.transformers();
    let stored = transformers.store(tenant, name, introduction, wasm.into());
    let Stored {
        plugin,
        sha256,
        is_new,
        pruned,
    } = stored.await?;
    let location = format!("/v1/plugins/{name}/versions/{sha256}");
    if is_new {
        return created(&location, PluginView::after(plugin, &pruned));
    }
    let location = HeaderValue::from_str(&location).map_err(|e| Problem::internal(&e))?;
    let plugin = axum::Json(PluginView::from(plugin));
    Ok(([(header::CONTENT_LOCATION, location)], plugin).into_response())
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
