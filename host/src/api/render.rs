//! `/v1/render`: dry runs of a webhook on an event.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use super::{Shared, WebhookBody, auth::Reader, extract::Json, problem::Answer, webhooks::find};
use crate::{
    config::Config,
    ingest::Event,
    model::{FieldErrors, TenantId, WebhookId, WebhookSpec},
    pipeline::RenderReport,
    tenant::{
        limiter::Caller,
        validate::{self, Draft},
    },
};

/// A webhook, stored or not, and an event on which to run it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenderBody {
    /// A webhook as it would be stored; the name may be left out. With `webhook_id`, these fields override those of the
    /// stored one.
    #[schema(value_type = Option<WebhookBody>)]
    webhook: Option<Map<String, Value>>,
    /// The id of a stored webhook.
    webhook_id: Option<WebhookId>,
    /// As it would be posted to `/v1/events`.
    #[schema(value_type = Object)]
    event: Box<RawValue>,
}

/// Runs a webhook on an event in the sandbox. Returns the request that it would send, the cost, and whether the
/// destination is allowed. Nothing is sent or stored; the destination's name is resolved.
#[utoipa::path(post, path = "/v1/render", tag = "webhooks", request_body = RenderBody,
    responses((status = 200, description = "The report, also when the webhook fails.", body = RenderReport)))]
pub(super) async fn render(
    Reader(key): Reader,
    State(state): State<Shared>,
    Json(body): Json<RenderBody>,
) -> Answer<axum::Json<RenderReport>> {
    let caller = Caller::from(&key);
    let base = match &body.webhook_id {
        Some(id) => find(&state, &key.tenant, id.as_str()).await?.spec,
        None => WebhookSpec {
            name: "not stored".to_owned(),
            ..WebhookSpec::default()
        },
    };
    let (engine, id) = (Arc::clone(&state.engine), body.webhook_id.clone());
    // The parsed JSON is dropped here: it takes many times its text, and the next step waits.
    let prepare = move || prepare(&key.tenant, &body, base, engine.config());
    let (spec, event) = state.engine.compute(&caller, prepare).await??;
    let report = state
        .engine
        .dry_run(&caller, &spec, id.as_ref(), &event)
        .await?;
    Ok(axum::Json(report))
}

/// The webhook that is tried, and the event.
fn prepare(
    tenant: &TenantId,
    body: &RenderBody,
    base: WebhookSpec,
    config: &Config,
) -> Answer<(WebhookSpec, Event)> {
    let event = parse_event(tenant, &body.event, config)?;
    let spec = match &body.webhook {
        Some(input) => {
            let draft = Draft {
                external_id: None,
                spec: base,
            };
            validate::webhook(input, draft, config)
                .map_err(|errors| errors.under("webhook"))?
                .spec
        }
        None if body.webhook_id.is_some() => base,
        None => {
            return Err(
                FieldErrors::one("webhook", "is required unless webhook_id is given").into(),
            );
        }
    };
    Ok((spec, event))
}

/// The `event` of a dry run, as ingest reads it.
pub(super) fn parse_event(
    tenant: &TenantId,
    json: &RawValue,
    config: &Config,
) -> Result<Event, FieldErrors> {
    crate::ingest::parse_event(tenant, json.get().as_bytes(), &config.ingest)
        .map(|incoming| incoming.event)
        .map_err(|errors| errors.under("event"))
}
