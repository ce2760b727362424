//! What holds for every request: how many are under way at once, and that a defect in one ends one.
//!
//! Only the reading of a request is bounded in time (`extract::read_body`): what has been read is answered
//! with what became of it, however long that takes.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Answer, Kind, Problem};
use crate::config::ServerConfig;

/// The limits of one server.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    under_way: Arc<Semaphore>,
}

/// What a request holds until it ends, first of all its place among those under way: permits that are given
/// back once no clone of it lives. What goes on when the client has gone away keeps one.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    permits: Arc<Mutex<Vec<OwnedSemaphorePermit>>>,
}

impl UnderWay {
    /// Holds a further permit until the request ends.
    pub(super) fn hold(&self, permit: OwnedSemaphorePermit) {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        permits.push(permit);
    }
}

impl Limits {
    pub(super) fn of(config: &ServerConfig) -> Self {
        Self {
            under_way: Arc::new(Semaphore::new(config.max_connections.max(1))),
        }
    }
}

/// Runs a request within the limits. One too many is answered 503 at once: a client that is told can come
/// back, one that waits only makes the line longer.
pub(super) async fn guard(
    State(limits): State<Limits>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = limits.under_way.try_acquire_owned() else {
        return Problem::new(
            Kind::Overloaded,
            "too many requests are under way; try again",
        )
        .after(Duration::from_secs(1))
        .into_response();
    };
    let under_way = UnderWay {
        permits: Arc::new(Mutex::new(vec![permit])),
    };
    request.extensions_mut().insert(under_way.clone());
    // Handlers share only what survives an unwinding: locks that forgive poisoning, and the store.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(under_way);
    // The panic hook has printed the message and the place.
    response.unwrap_or_else(|_panic| Problem::internal(&"a handler panicked").into_response())
}

/// Does work that is not given up when the client goes away, so that it is either refused or done.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    tokio::spawn(work)
        .await
        .map_err(|e| Problem::internal(&e))?
}

#[cfg(test)]
mod tests {
    use axum::{Extension, Router, body::Body, http::StatusCode, middleware, routing::get};
    use tokio::sync::oneshot;
    use tower::ServiceExt;

    use super::*;

    fn app(limits: Limits) -> Router {
        Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/panic", get(panics))
            .route("/left", get(leaves_a_task))
            .layer(middleware::from_fn_with_state(limits, guard))
    }

    async fn panics() -> &'static str {
        panic!("a defect")
    }

    async fn leaves_a_task(Extension(under_way): Extension<UnderWay>) -> &'static str {
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(under_way);
        });
        "left"
    }

    async fn status(app: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status()
    }

    fn limits(permits: usize) -> Limits {
        Limits {
            under_way: Arc::new(Semaphore::new(permits)),
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
    async fn what_a_request_leaves_running_still_counts() {
        let app = app(limits(1));
        assert_eq!(status(&app, "/left").await, StatusCode::OK);
        assert_eq!(status(&app, "/ok").await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn what_a_request_takes_is_given_back_when_it_ends() {
        let few = Arc::new(Semaphore::new(1));
        let taking = {
            let few = Arc::clone(&few);
            move |Extension(under_way): Extension<UnderWay>| async move {
                under_way.hold(Arc::clone(&few).acquire_owned().await.unwrap());
                few.available_permits().to_string()
            }
        };
        let app = Router::new()
            .route("/", get(taking))
            .layer(middleware::from_fn_with_state(limits(1), guard));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let during = axum::body::to_bytes(response.into_body(), 10).await;
        assert_eq!(during.unwrap(), "0");
        assert_eq!(few.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_has_begun_is_done_although_nobody_waits_for_it() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel::<()>();
        let mut request = Box::pin(to_its_end(async move {
            drop(gone.await);
            done.send(()).unwrap();
            Ok(())
        }));
        assert!(request.as_mut().now_or_never().is_none());
        drop(request);
        go.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn one_request_too_many_is_answered_503_at_once() {
        assert_eq!(
            status(&app(limits(0)), "/ok").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
