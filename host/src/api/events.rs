//! `/v1/events`

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Shared,
    auth::{Reader, Sender},
    extract::{Id, read_body},
    limits::{InFlight, run_to_completion},
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{Delivery, Enqueued, outage},
    ingest::parse_request,
    model::{EventId, TenantId, Timestamp},
    rules::Explanation,
    tenant::limiter::Caller,
};

/// The result for each event of a request, in their order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Accepted {
    pub(crate) events: Vec<Enqueued>,
}

/// Accepts events: one, an array, NDJSON, or CloudEvents (structured, batch or binary). NetBox's default webhook body
/// is a valid event.
///
/// 202 means that all events are stored durably, together with their deliveries. Any other status means that none is.
/// An event that carries an `id`, or a request with an `Idempotency-Key`, is recognised when it is sent again and
/// answered with `duplicate: true`. A request with another body under the same key is refused as a whole.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters. The key identifies the request as a whole.")),
    request_body(content(
        (Object = "application/json", example = json!({"event": "created", "object_type": "dcim.site", "data": {"name": "Oslo"}})),
        (String = "application/x-ndjson"),
        (Object = "application/cloudevents+json"),
        (Vec<Object> = "application/cloudevents-batch+json"),
    )),
    responses((status = 202, description = "All events are stored.", body = Accepted)))]
pub(super) async fn post_events(
    Sender(key): Sender,
    State(state): State<Shared>,
    Extension(under_way): Extension<InFlight>,
    headers: HeaderMap,
    body: Body,
) -> Answer<(StatusCode, axum::Json<Accepted>)> {
    let limits = state.engine.config().ingest.clone();
    let body = read_body(&state, &headers, body, limits.max_request_bytes).await?;
    let content_type = text_of(&headers, header::CONTENT_TYPE.as_str())?.map(str::to_owned);
    let idempotency_key = text_of(&headers, "idempotency-key")?.map(str::to_owned);
    let caller = Caller::from(&key);
    let events = run_to_completion(async move {
        // Parsing megabytes of JSON would hold up other requests, and the parsed form takes far more memory than the
        // text. So it runs outside the runtime's threads, within the caller's share of the processors.
        let parse = move || {
            let (content_type, idempotency) = (content_type.as_deref(), idempotency_key.as_deref());
            parse_request(
                content_type,
                &headers,
                idempotency,
                &body,
                &key.tenant,
                &limits,
            )
        };
        let incoming = state.engine.compute(&caller, parse).await??;
        let events = state.engine.accept(&caller, incoming).await?;
        outage::answered();
        drop(under_way);
        Ok(events)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Accepted { events })))
}

/// A header's text; none without the header. A header that is not ASCII text or occurs twice is an error.
fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Answer<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Problem::new(
            Kind::MalformedBody,
            format!("the header {name} must occur once and be ASCII text"),
        )),
    }
}

/// A stored event.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EventView {
    /// The event's id in hookbox.
    pub(crate) id: EventId,
    /// The event type as a slug, on which rules match.
    pub(crate) event_type: String,
    /// The object type, such as `dcim.site`.
    pub(crate) object_type: String,
    /// Time at which the event was accepted.
    pub(crate) received: Timestamp,
    /// The event as templates see it, with its keys in the sender's order.
    #[schema(value_type = Object)]
    pub(crate) context: Box<RawValue>,
    /// The verdict of each rule: why it matched or did not.
    pub(crate) explanation: Explanation,
    /// The deliveries that the event created.
    pub(crate) deliveries: Vec<Delivery>,
}

/// Reads an event with the verdict of each rule and its deliveries.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "events",
    params(("id" = String, Path, description = "Its id, as `POST /v1/events` answered it.")),
    responses((status = 200, description = "The event.", body = EventView)))]
pub(super) async fn get_event(
    Reader(key): Reader,
    State(state): State<Shared>,
    Id(id): Id,
) -> Answer<Response> {
    let read = || view(&state, &key.tenant, &id);
    state.sending.json(&Caller::from(&key), read).await
}

async fn view(state: &Shared, tenant: &TenantId, id: &str) -> Answer<EventView> {
    let backend = state.engine.backend();
    let stored = backend
        .event(tenant, &id.into())
        .await?
        .ok_or_else(|| Problem::no_such("event", id))?;
    let event = stored.event;
    let context =
        RawValue::from_string(event.context().to_string()).map_err(|e| Problem::internal(&e))?;
    Ok(EventView {
        id: event.id().clone(),
        event_type: event.event_type().to_owned(),
        object_type: event.object_type().to_owned(),
        received: event.received(),
        context,
        explanation: stored.explanation,
        deliveries: stored.deliveries,
    })
}
