//! What holds for every request: how many run at once, for how long, and that a defect in one ends one.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::sync::Semaphore;

use super::problem::{Kind, Problem};
use crate::config::ServerConfig;

/// The limits of one server.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    under_way: Arc<Semaphore>,
    timeout: Duration,
}

impl Limits {
    pub(super) fn of(config: &ServerConfig) -> Self {
        Self {
            under_way: Arc::new(Semaphore::new(config.max_connections.max(1))),
            timeout: Duration::from_secs(config.request_timeout_seconds.max(1)),
        }
    }
}

/// Runs a request within the limits. One too many is answered 503 at once: a client that is told can come
/// back, one that waits only makes the line longer.
pub(super) async fn guard(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let Ok(_permit) = limits.under_way.try_acquire() else {
        return Problem::new(
            Kind::Overloaded,
            "too many requests are under way; try again",
        )
        .after(Duration::from_secs(1))
        .into_response();
    };
    // Handlers share only what survives an unwinding: locks that forgive poisoning, and the store.
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limits.timeout, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            // The panic hook has printed the message and the place.
            Problem::internal(&"a handler panicked").into_response()
        }
        Err(_) => Problem::new(
            Kind::Timeout,
            format!(
                "the request was not received and answered within {} seconds",
                limits.timeout.as_secs()
            ),
        )
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::StatusCode, middleware, routing::get};
    use tower::ServiceExt;

    use super::*;

    fn app(limits: Limits) -> Router {
        Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/panic", get(panics))
            .route("/slow", get(std::future::pending::<&'static str>))
            .layer(middleware::from_fn_with_state(limits, guard))
    }

    async fn panics() -> &'static str {
        panic!("a defect")
    }

    async fn status(app: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    }

    fn limits(permits: usize) -> Limits {
        Limits {
            under_way: Arc::new(Semaphore::new(permits)),
            timeout: Duration::from_millis(20),
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered_500_and_the_next_request_is_served() {
        let app = app(limits(1));
        assert_eq!(
            status(&app, "/panic").await,
            StatusCode::INTERNAL_SERVER_ERROR
        );
        assert_eq!(status(&app, "/ok").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_answered_408() {
        assert_eq!(
            status(&app(limits(1)), "/slow").await,
            StatusCode::REQUEST_TIMEOUT
        );
    }

    #[tokio::test]
    async fn one_request_too_many_is_answered_503_at_once() {
        assert_eq!(
            status(&app(limits(0)), "/ok").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
