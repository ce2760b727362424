//! `/v1/deliveries`

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    check_limit,
    extract::{Id, Ids, Json, Params},
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{Delivery, DeliveryFilter, Status},
    engine::ReplayInput,
    model::{DeliveryId, EventId, RuleId, TenantId, Timestamp, WebhookId},
    record::{Attempt, FailureKind},
    tenant::limiter::Caller,
};

/// Maximum number of deliveries that one request requeues or cancels.
const MOVE_LIMIT: usize = 10_000;

/// A filter and a page. Query strings cannot be flattened into [`DeliveryFilter`] without losing their types, so its
/// fields are repeated here.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveryQuery {
    /// Maximum number of entries on a page, from 1 to 1000.
    #[serde(default = "Paging::default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: usize,
    /// The `next` of the previous page.
    cursor: Option<String>,
    /// Only deliveries in this state.
    status: Option<Status>,
    /// Only deliveries for this webhook.
    webhook: Option<WebhookId>,
    /// Only deliveries created by this rule.
    rule: Option<RuleId>,
    /// Only deliveries of this event.
    event: Option<EventId>,
    /// Only deliveries whose event has this object type.
    object_type: Option<String>,
    /// Only deliveries whose last attempt failed with an error of this kind, such as `blocked`.
    #[param(value_type = Option<String>)]
    error: Option<FailureKind>,
    /// Only deliveries accepted at this time or later.
    since: Option<Timestamp>,
    /// Only deliveries accepted before this time.
    until: Option<Timestamp>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeliveryDetail {
    /// The delivery's id, which the receiver gets as `webhook-id`.
    pub(crate) id: DeliveryId,
    /// The tenant that owns it.
    pub(crate) tenant: TenantId,
    /// The event.
    pub(crate) event: EventId,
    /// The webhook.
    pub(crate) webhook: WebhookId,
    /// The rule that created it.
    pub(crate) rule: RuleId,
    /// The object type of the event.
    pub(crate) object_type: String,
    /// The event type as a slug.
    pub(crate) event_type: String,
    /// The state.
    pub(crate) status: Status,
    /// Number of attempts in all.
    pub(crate) total_attempts: u32,
    /// Time at which the event was accepted.
    pub(crate) created: Timestamp,
    /// Time of the last change of the state.
    pub(crate) updated: Timestamp,
    /// Time of the next attempt.
    pub(crate) next_attempt: Option<Timestamp>,
    /// The result of the last attempt, or its error, in one sentence.
    pub(crate) last_result: Option<String>,
    /// The kind of the last attempt's error, if it failed.
    pub(crate) last_error: Option<String>,
    /// The attempts, first to last.
    pub(crate) attempts: Vec<Attempt>,
}

impl DeliveryDetail {
    fn of(delivery: Delivery, attempts: Vec<Attempt>) -> Self {
        Self {
            id: delivery.id,
            tenant: delivery.tenant,
            event: delivery.event,
            webhook: delivery.webhook,
            rule: delivery.rule,
            object_type: delivery.object_type,
            event_type: delivery.event_type,
            status: delivery.status,
            total_attempts: delivery.total_attempts,
            created: delivery.created,
            updated: delivery.updated,
            next_attempt: delivery.next_attempt,
            last_result: delivery.last_result,
            last_error: delivery.last_error,
            attempts,
        }
    }
}

/// Lists deliveries, newest first. At most 5000 deliveries are searched for one page: if few of them match, the page
/// has fewer entries than asked for, or none, and `next` continues the search.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", params(DeliveryQuery),
    responses((status = 200, description = "A page of deliveries.", body = List<Delivery>)))]
pub(super) async fn list_deliveries(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(query): Params<DeliveryQuery>,
) -> Answer<Response> {
    let limit = check_limit(query.limit)?;
    let filter = DeliveryFilter {
        status: query.status,
        webhook: query.webhook,
        rule: query.rule,
        event: query.event,
        object_type: query.object_type,
        error: query.error,
        since: query.since,
        until: query.until,
    };
    let (backend, cursor) = (state.engine.backend(), query.cursor.as_deref());
    let read = async || {
        let page = backend.deliveries(&key.tenant, &filter, limit, cursor);
        Ok(List::of(page.await?, |delivery| delivery).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// Reads a delivery with its attempts: renders, requests, responses and costs.
#[utoipa::path(get, path = "/v1/deliveries/{id}", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "The delivery.", body = DeliveryDetail)))]
pub(super) async fn get_delivery(
    Reader(key): Reader,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<Response> {
    let id = DeliveryId::from(id);
    let read = || detail(&state, &key.tenant, &id);
    state.sending.json(&Caller::from(&key), read).await
}

async fn detail(state: &Shared, tenant: &TenantId, id: &DeliveryId) -> Answer<DeliveryDetail> {
    let backend = state.engine.backend();
    let delivery = backend
        .delivery(tenant, id)
        .await?
        .ok_or_else(|| Problem::no_such("delivery", id.as_str()))?;
    let mut attempts = backend.attempts(tenant, id).await?;
    for render in attempts.iter_mut().filter_map(|a| a.render.as_mut()) {
        // Large, and only of use for a replay: `get_input` returns it.
        render.input = None;
    }
    Ok(DeliveryDetail::of(delivery, attempts))
}

/// Reads the input of an attempt's transformer, for rendering it again with `hookbox render --delivery`. It holds
/// neither secrets nor their handles.
#[utoipa::path(get, path = "/v1/deliveries/{id}/attempts/{number}/input", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery."),
        ("number" = u32, Path, description = "The number of the attempt, from 1.")),
    responses((status = 200, description = "The complete input of the transformer.", body = ReplayInput)))]
pub(super) async fn get_input(
    Reader(key): Reader,
    State(state): State<Shared>,
    Ids(id, number): Ids,
) -> Answer<Response> {
    let number = number.parse().map_err(|_| {
        Problem::new(
            Kind::NotFound,
            "the number of an attempt must be a whole number from 1",
        )
    })?;
    let id = id.as_str().into();
    let read = async || Ok(state.engine.replay_input(&key.tenant, &id, number).await?);
    state.sending.json(&Caller::from(&key), read).await
}

/// Queues an ended or scheduled delivery again, with a full retry schedule. The webhook runs in its current form.
#[utoipa::path(post, path = "/v1/deliveries/{id}/requeue", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "The delivery, queued again.", body = Delivery)))]
pub(super) async fn requeue_delivery(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<axum::Json<Delivery>> {
    let backend = state.engine.backend();
    let id = id.as_str().into();
    Ok(axum::Json(backend.requeue(&key.tenant, &id).await?))
}

/// Cancels a queued or scheduled delivery.
#[utoipa::path(post, path = "/v1/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "The delivery, cancelled.", body = Delivery)))]
pub(super) async fn cancel_delivery(
    Admin(key): Admin,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<axum::Json<Delivery>> {
    let backend = state.engine.backend();
    let id = id.as_str().into();
    Ok(axum::Json(backend.cancel(&key.tenant, &id).await?))
}

/// The result of requeueing many deliveries.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Requeued {
    /// Number of deliveries that were requeued.
    pub(crate) requeued: usize,
}

/// Requeues all deliveries that match, oldest first, at most 10000 in one request: repeat it until the number is
/// smaller. Without a `status` only failed deliveries match, so that an empty filter does not repeat deliveries that
/// succeeded.
#[utoipa::path(post, path = "/v1/deliveries/requeue", tag = "deliveries", request_body = DeliveryFilter,
    responses((status = 200, description = "The number of deliveries.", body = Requeued)))]
pub(super) async fn requeue_matching(
    Admin(key): Admin,
    State(state): State<Shared>,
    Json(mut filter): Json<DeliveryFilter>,
) -> Answer<axum::Json<Requeued>> {
    filter.status.get_or_insert(Status::Failed);
    let backend = state.engine.backend();
    let _permit = state.engine.moving(&Caller::from(&key)).await?;
    let requeued = backend
        .requeue_matching(&key.tenant, &filter, MOVE_LIMIT)
        .await?;
    Ok(axum::Json(Requeued { requeued }))
}

/// The result of cancelling many deliveries.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Cancelled {
    /// Number of deliveries that were cancelled.
    pub(crate) cancelled: usize,
}

/// Cancels all deliveries that match and are queued or scheduled, oldest first, at most 10000 in one request:
/// repeat it until the number is smaller. At least one condition must be given.
#[utoipa::path(post, path = "/v1/deliveries/cancel", tag = "deliveries", request_body = DeliveryFilter,
    responses((status = 200, description = "The number of deliveries.", body = Cancelled)))]
pub(super) async fn cancel_matching(
    Admin(key): Admin,
    State(state): State<Shared>,
    Json(filter): Json<DeliveryFilter>,
) -> Answer<axum::Json<Cancelled>> {
    if filter == DeliveryFilter::default() {
        return Err(Problem::new(
            Kind::ValidationFailed,
            "give at least one condition, such as webhook or error; without one, all waiting deliveries would be cancelled",
        ));
    }
    let backend = state.engine.backend();
    let _permit = state.engine.moving(&Caller::from(&key)).await?;
    let cancelled = backend
        .cancel_matching(&key.tenant, &filter, MOVE_LIMIT)
        .await?;
    Ok(axum::Json(Cancelled { cancelled }))
}
