//! What needs no key: liveness, readiness, metrics, and the explanation of problems.

use std::time::{Duration, Instant};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;

use super::{
    Shared,
    extract::Id,
    problem::{Answer, Kind, Problem},
};

/// How long the store may take to answer before it counts as away.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer of the store is passed on: strangers may ask as often as they like.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// What the store said last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    async fn check(&self, state: &Shared) -> bool {
        let mut last = self.last.lock().await;
        if let Some((when, answered)) = *last
            && when.elapsed() < PING_INTERVAL
        {
            return answered;
        }
        let answered = match tokio::time::timeout(PING_TIMEOUT, state.engine.backend().ping()).await
        {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "not ready: the store failed");
                false
            }
            Err(_) => {
                tracing::warn!("not ready: the store did not answer in time");
                false
            }
        };
        *last = Some((Instant::now(), answered));
        answered
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the store really answers, writes included. Asked at most once a second.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain")))]
pub(super) async fn readyz(State(state): State<Shared>) -> Answer<&'static str> {
    if state.readiness.check(&state).await {
        Ok("ready\n")
    } else {
        Err(Problem::new(Kind::StoreUnavailable, "not ready").after(PING_INTERVAL))
    }
}

/// Counters and histograms in Prometheus' text format. They name no tenant.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "All metrics.", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(state): State<Shared>) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        state.engine.metrics_text(),
    )
        .into_response()
}

/// What a kind of problem means and what to do: where the `type` of an error leads.
#[utoipa::path(get, path = "/problems/{id}", tag = "operations", security(()),
    params(("id" = String, Path, description = "The last part of a problem's `type`.")),
    responses((status = 200, description = "The explanation.", body = String, content_type = "text/plain")))]
pub(super) async fn explain_problem(Id(slug): Id) -> Answer<String> {
    Kind::ALL
        .iter()
        .find(|kind| kind.slug() == slug)
        .map(|kind| {
            format!(
                "{} ({})\n\n{}\n",
                kind.title(),
                kind.status().as_u16(),
                kind.help()
            )
        })
        .ok_or_else(|| Problem::no_such("kind of problem", &slug))
}

/// Where to find things.
#[utoipa::path(get, path = "/", tag = "operations", security(()),
    responses((status = 200, description = "A few lines of text.", body = String, content_type = "text/plain")))]
pub(super) async fn front() -> (StatusCode, &'static str) {
    (
        StatusCode::OK,
        "hookbox\n\nThe API is under /v1; /openapi.json describes it.\n\
         /healthz, /readyz and /metrics are for operators.\n",
    )
}
