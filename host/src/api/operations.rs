//! `/v1/queue`, `/v1/usage` and `/v1/workers`: how things stand.

use std::time::Duration;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    List, Paging, Shared,
    auth::{Admin, Reader},
    extract::Params,
    page_of,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{QueueOverview, Usage, WorkerInfo},
    model::{TenantId, Timestamp},
    tenant::limiter::Caller,
};

const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 24 * 3600);

/// The state of a tenant's deliveries, and the number of workers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueView {
    #[serde(flatten)]
    overview: QueueOverview,
    /// Number of workers heard of within the last five seconds. They serve all tenants. If it is 0, nothing is
    /// delivered.
    workers: usize,
}

/// Reads the state of the tenant's deliveries.
#[utoipa::path(get, path = "/v1/queue", tag = "operations",
    responses((status = 200, description = "Counts by state, webhooks that are held back, and the number of workers.", body = QueueView)))]
pub(super) async fn queue(Reader(key): Reader, State(state): State<Shared>) -> Answer<Response> {
    let backend = state.engine.backend();
    let read = async || {
        Ok(QueueView {
            overview: backend.overview(Some(&key.tenant)).await?,
            workers: backend.workers().await?.len(),
        })
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// A span of time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// Start of the span, which is included. Default: 30 days before `until`.
    since: Option<Timestamp>,
    /// End of the span, which is excluded. Default: now.
    until: Option<Timestamp>,
}

/// The usage of a tenant in a span of time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageView {
    /// Start of the span, which is included.
    since: Timestamp,
    /// End of the span, which is excluded.
    until: Timestamp,
    #[serde(flatten)]
    usage: Usage,
}

/// Reads the usage of the tenant.
#[utoipa::path(get, path = "/v1/usage", tag = "operations", params(Span),
    responses((status = 200, description = "Sums over the span.", body = UsageView)))]
pub(super) async fn usage(
    Reader(key): Reader,
    State(state): State<Shared>,
    Params(span): Params<Span>,
) -> Answer<Response> {
    let until = span.until.unwrap_or_else(Timestamp::now);
    let since = span.since.unwrap_or_else(|| {
        let span = i64::try_from(DEFAULT_SPAN.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(until.as_millis().saturating_sub(span))
    });
    if since > until {
        return Err(Problem::new(
            Kind::InvalidQuery,
            "since must not be later than until",
        ));
    }
    let backend = state.engine.backend();
    let read = async || {
        let usage = backend.usage(&key.tenant, since, until).await?;
        Ok(UsageView {
            since,
            until,
            usage,
        })
    };
    state.sending.json(&Caller::from(&key), read).await
}

/// The workers that serve this store. They serve all tenants and name machines, so only the operator's
/// tenant, `default`, may look.
#[utoipa::path(get, path = "/v1/workers", tag = "operations", params(Paging),
    responses((status = 200, description = "Workers heard of within the last five seconds.", body = List<WorkerInfo>)))]
pub(super) async fn workers(
    Admin(key): Admin,
    State(state): State<Shared>,
    Params(paging): Params<Paging>,
) -> Answer<Response> {
    if key.tenant != TenantId::default_tenant() {
        return Err(Problem::new(
            Kind::Forbidden,
            "this needs an admin key of the tenant default",
        ));
    }
    let read = async || {
        let workers = state.engine.backend().workers().await?;
        let page = page_of(workers, |worker| worker.id.as_str(), &paging)?;
        Ok(List::of(page, |worker| worker).0)
    };
    state.sending.json(&Caller::from(&key), read).await
}
