//! Layers around every request: the limit of requests under way at once, and the isolation of a panic to its request.
//!
//! Only the reading of a request is bounded in time (`extract::read_body`). A request that has been read is answered
//! with its result, however long that takes.

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
use crate::{
    config::ServerConfig,
    tenant::limiter::{Limits as Shares, Permit},
};

/// Probes answered at once, beside all other requests.
const PROBES: usize = 64;

/// The limits of one server.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    under_way: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

/// The resources that a request holds until it ends, first of all its place among those under way. They are given back
/// once no clone of this lives. What goes on when the client has gone away keeps one.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    _permit: OwnedSemaphorePermit,
    turns: Mutex<Vec<Permit>>,
}

impl InFlight {
    /// Holds something further until the request ends.
    pub(super) fn hold(&self, turn: Permit) {
        let turns = &self.held.turns;
        turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(turn);
    }
}

impl Limits {
    pub(super) fn of(config: &ServerConfig) -> Self {
        Self::new(config.max_connections)
    }

    fn new(most: usize) -> Self {
        Self {
            under_way: Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))),
            probes: Arc::new(Semaphore::new(PROBES)),
        }
    }
}

/// The shares of one tenant and of one key in the requests under way, so that requests whose bodies never come leave
/// room for others.
pub(super) fn shares(config: &ServerConfig) -> Shares {
    let most = u32::try_from(config.max_connections)
        .unwrap_or(u32::MAX)
        .max(1);
    let (tenant, key) = ((most - most / 4).max(1), (most / 2).max(1));
    Shares {
        all: u32::MAX,
        tenant,
        key,
        tenant_places: tenant as usize,
        key_places: key as usize,
    }
}

/// Whether it only asks whether the server lives or is ready.
pub(super) fn is_probe(request: &Request) -> bool {
    request.method().is_safe() && matches!(request.uri().path(), "/healthz" | "/readyz")
}

/// Runs a request within the limits. One too many is answered 503 at once: a client that is told can come
/// back, one that waits only makes the line longer. Probes have places of their own: a server that is busy is not dead.
pub(super) async fn guard(
    State(limits): State<Limits>,
    mut request: Request,
    next: Next,
) -> Response {
    let places = if is_probe(&request) {
        limits.probes
    } else {
        limits.under_way
    };
    let Ok(permit) = places.try_acquire_owned() else {
        return Problem::new(
            Kind::Overloaded,
            "too many requests are under way; try again",
        )
        .after(Duration::from_secs(1))
        .into_response();
    };
    let under_way = InFlight {
        held: Arc::new(Held {
            _permit: permit,
            turns: Mutex::default(),
        }),
    };
    request.extensions_mut().insert(under_way.clone());
    // Handlers share only what survives an unwinding: locks that forgive poisoning, and the store.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(under_way);
    // The panic hook has printed the message and the place.
    response.unwrap_or_else(|_panic| Problem::internal(&"a handler panicked").into_response())
}

/// Does work that is not given up when the client goes away, so that it is either refused or done.
pub(super) async fn run_to_completion<T: Send + 'static>(
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
    use crate::{
        model::TenantId,
        tenant::limiter::{Caller, TenantLimiter},
    };

    fn app(limits: Limits) -> Router {
        Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/healthz", get(|| async { "ok" }))
            .route("/panic", get(panics))
            .route("/left", get(leaves_a_task))
            .layer(middleware::from_fn_with_state(limits, guard))
    }

    async fn panics() -> &'static str {
        panic!("a defect")
    }

    async fn leaves_a_task(Extension(under_way): Extension<InFlight>) -> &'static str {
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
            ..Limits::new(1)
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
        let turns = TenantLimiter::new(Shares::shares(1));
        let caller = Caller::of(&TenantId::from("t"));
        let taking = {
            let (turns, caller) = (turns.clone(), caller.clone());
            move |Extension(under_way): Extension<InFlight>| async move {
                under_way.hold(turns.try_acquire(&caller).unwrap());
                turns.try_acquire(&caller).is_some().to_string()
            }
        };
        let app = Router::new()
            .route("/", get(taking))
            .layer(middleware::from_fn_with_state(limits(1), guard));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let during = axum::body::to_bytes(response.into_body(), 10).await;
        assert_eq!(during.unwrap(), "false");
        assert!(turns.try_acquire(&caller).is_some());
    }

    #[tokio::test]
    async fn what_has_begun_is_done_although_nobody_waits_for_it() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel::<()>();
        let mut request = Box::pin(run_to_completion(async move {
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
    async fn one_request_too_many_is_answered_503_at_once_and_probes_are_not() {
        let app = app(limits(0));
        assert_eq!(status(&app, "/ok").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&app, "/healthz").await, StatusCode::OK);
    }

    #[test]
    fn neither_a_key_nor_a_tenant_has_all_places() {
        let config = ServerConfig {
            max_connections: 8,
            ..crate::config::Config::defaults().server
        };
        let turns = TenantLimiter::new(shares(&config));
        let take = |key: &str, most: usize| {
            let caller = Caller::new(TenantId::from("t"), key);
            let taken = (0..most).map_while(|_| turns.try_acquire(&caller));
            taken.collect::<Vec<_>>()
        };
        let (first, second, third) = (take("a", 9), take("b", 9), take("c", 9));
        assert_eq!([first.len(), second.len(), third.len()], [4, 2, 0]);
    }
}
