//! Endpoints that need no key: liveness, readiness, metrics, and the explanation of problems.

use std::time::{Duration, Instant};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;

use super::{
    Shared,
    extract::Id,
    problem::{Answer, Kind, Problem},
};
use crate::{
    backend::{BackendError, QueueOverview, outage},
    telemetry::{Exposition, Metrics},
};

/// Time after which a store that does not answer counts as unavailable.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for which an answer of the store is reused, as anyone may ask as often as they like.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The last answer of the store.
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
            Ok(Ok(())) => {
                outage::answered();
                true
            }
            Ok(Err(error)) => {
                outage::failed("answer /readyz", &error);
                false
            }
            Err(_) => {
                outage::failed("answer /readyz", &no_answer());
                false
            }
        };
        *last = Some((Instant::now(), answered));
        answered
    }
}

/// The error of a store that does not answer in time.
fn no_answer() -> BackendError {
    BackendError::Unavailable {
        reason: format!("no answer within {} s", PING_TIMEOUT.as_secs()),
        retry_after: PING_INTERVAL,
    }
}

/// The gauges of the queue. Their values are at most a second old; without an answer of the store there are none.
#[derive(Debug, Default)]
pub(super) struct QueueGauges {
    set: Mutex<Option<Instant>>,
}

impl QueueGauges {
    /// Sets the gauges to the result of `ask`. If it fails, they are removed: old numbers would look like new ones.
    async fn refresh(
        &self,
        metrics: &Metrics,
        ask: impl Future<Output = Result<QueueOverview, BackendError>>,
    ) {
        let mut set = self.set.lock().await;
        if set.is_some_and(|when| when.elapsed() < PING_INTERVAL) {
            return;
        }
        match tokio::time::timeout(PING_TIMEOUT, ask).await {
            Ok(Ok(overview)) => metrics.set_queue(&overview),
            Ok(Err(error)) => {
                outage::failed("read the queue for /metrics", &error);
                metrics.clear_queue();
            }
            Err(_) => {
                outage::failed("read the queue for /metrics", &no_answer());
                metrics.clear_queue();
            }
        }
        *set = Some(Instant::now());
    }
}

/// Reports that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "The store answers.", body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Reports whether the store answers, writes included. The store is asked at most once a second.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, description = "The store answers.", body = String, content_type = "text/plain")))]
pub(super) async fn readyz(State(state): State<Shared>) -> Answer<&'static str> {
    if state.readiness.check(&state).await {
        Ok("ready\n")
    } else {
        Err(Problem::new(Kind::StoreUnavailable, "not ready").after(PING_INTERVAL))
    }
}

/// Returns counters, gauges and histograms: as OpenMetrics if the client accepts `application/openmetrics-text`,
/// otherwise in Prometheus' text format. They name no tenant. The state of the queue is read at most once a second, and
/// is left out if the store does not answer.
#[utoipa::path(get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "All metrics.", content(
        (String = "text/plain"), (String = "application/openmetrics-text")))))]
pub(super) async fn metrics(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let (gauges, engine) = (&state.queue_gauges, &state.engine);
    gauges
        .refresh(engine.metrics(), engine.backend().overview(None))
        .await;
    own_metrics(State(state), headers).await
}

/// The metrics of this process alone.
pub(super) async fn own_metrics(State(state): State<Shared>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::accepted(&accept.join(","));
    (
        [
            (header::CONTENT_TYPE, format.content_type()),
            (header::VARY, "Accept"),
        ],
        state.engine.metrics().encode(format),
    )
        .into_response()
}

/// Explains a kind of problem and its remedy. The `type` of each error is the path of its explanation.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_left_out_when_the_store_fails_and_asked_once_a_second() {
        let (gauges, metrics) = (QueueGauges::default(), Metrics::default());
        let text = |metrics: &Metrics| metrics.encode(Exposition::Text);
        let queued = |queued| async move {
            Ok(QueueOverview {
                queued,
                ..QueueOverview::default()
            })
        };
        gauges.refresh(&metrics, queued(3)).await;
        let line = "hookbox_queue_deliveries{status=\"queued\"} 3\n";
        assert!(text(&metrics).contains(line), "{}", text(&metrics));
        gauges.refresh(&metrics, queued(4)).await;
        assert!(text(&metrics).contains(line), "{}", text(&metrics));

        *gauges.set.lock().await = None;
        let failing = async { Err(BackendError::Internal("gone".to_owned())) };
        gauges.refresh(&metrics, failing).await;
        let text = text(&metrics);
        assert!(!text.contains("hookbox_queue_deliveries{"), "{text}");
    }
}
