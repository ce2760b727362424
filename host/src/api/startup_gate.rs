//! The answers to requests while hookbox starts.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use tower::ServiceExt;

use super::{
    health,
    problem::{Kind, Problem},
    security_headers,
};

/// The `Retry-After` while hookbox starts.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A router that is served before the store is open. Until [`StartupGate::open`] it answers `/healthz` as usual and all
/// other requests with 503.
#[derive(Clone, Debug, Default)]
pub struct StartupGate {
    behind: Arc<OnceLock<Router>>,
}

impl StartupGate {
    /// The router for [`super::serve()`].
    pub fn router(&self) -> Router {
        let front = self.clone();
        Router::new().fallback(move |request| front.answer(request))
    }

    /// Passes all requests to `router` from now on. Only the first call has an effect.
    pub fn open(&self, router: Router) {
        let _ = self.behind.set(router);
    }

    async fn answer(self, request: Request) -> Response {
        if let Some(router) = self.behind.get() {
            return router.clone().oneshot(request).await.into_response();
        }
        let answer = if request.uri().path() == "/healthz" {
            health::healthz().await.into_response()
        } else {
            Problem::new(Kind::Starting, "nothing was stored; try again in a moment")
                .after(RETRY_AFTER)
                .into_response()
        };
        security_headers(answer).await
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::get};

    use super::*;

    #[tokio::test]
    async fn until_it_is_opened_it_lives_and_asks_to_come_back() {
        let front = StartupGate::default();
        let served = front.router();
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            served.clone().oneshot(request).await.unwrap()
        };
        assert_eq!(ask("/healthz").await.status(), StatusCode::OK);
        for path in ["/readyz", "/v1/events", "/nowhere"] {
            let answer = ask(path).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.headers()["retry-after"], "2");
        }
        front.open(Router::new().route("/readyz", get(|| async { "ready" })));
        assert_eq!(ask("/readyz").await.status(), StatusCode::OK);
        assert_eq!(ask("/nowhere").await.status(), StatusCode::NOT_FOUND);
    }
}
