//! The HTTP API: thin. Each resource has a file; what they share is here and in the five files named
//! first below. `docs/openapi.json` is made from these handlers.
//!
//! Order of a request: connection limit and header timeout ([`serve()`]), security headers, limit of requests
//! under way, panic guard, route, key and scope, body within its limits of size and time.

mod addresses;
mod auth;
mod body_drain;
mod extract;
mod limits;
mod problem;

mod deliveries;
mod event_rules;
mod events;
mod health;
mod keys;
mod large_response;
mod openapi;
mod operations;
mod plugin_upload;
mod plugins;
mod render;
mod secrets;
mod serve;
mod startup_gate;
mod webhooks;

use std::sync::Arc;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use deliveries::{Cancelled, DeliveryDetail, Requeued};
pub use event_rules::{EventRuleBody, EventRuleView};
pub(crate) use events::{Accepted, EventView};
pub use openapi::document;
pub(crate) use plugins::PluginView;
pub(crate) use problem::ProblemBody;
pub use serve::serve;
pub use startup_gate::StartupGate;
pub use webhooks::{WebhookBody, WebhookView};

use crate::{
    backend::{BackendError, Page},
    engine::Engine,
    model::Secret,
    telemetry::Part,
    tenant::{keys::key_hash, limiter::TenantLimiter},
};
use problem::{Answer, Kind, Problem};

/// State that all handlers share.
#[derive(Debug)]
struct ApiState {
    engine: Arc<Engine>,
    keys: auth::KeyCache,
    /// The hash by which the operator's own admin key is recognised after the store has been emptied.
    env_key_hash: Option<String>,
    readiness: health::Readiness,
    queue_gauges: health::QueueGauges,
    /// Requests under way, by tenant and key.
    places: TenantLimiter,
    /// Look-ups of keys that have not been seen lately. Strangers make them up, and must not delay known ones.
    strangers: tokio::sync::Semaphore,
    uploads: plugin_upload::Uploads,
    sending: large_response::Sending,
}

type Shared = Arc<ApiState>;

impl ApiState {
    fn new(engine: Arc<Engine>, admin_key: Option<&Secret>) -> Shared {
        let places = TenantLimiter::new(limits::shares(&engine.config().server));
        Arc::new(Self {
            engine,
            places,
            strangers: tokio::sync::Semaphore::new(auth::STRANGERS),
            keys: auth::KeyCache::default(),
            env_key_hash: admin_key.map(|key| key_hash(key.expose())),
            readiness: health::Readiness::default(),
            queue_gauges: health::QueueGauges::default(),
            uploads: plugin_upload::Uploads::default(),
            sending: large_response::Sending::default(),
        })
    }
}

/// The whole API over an engine, ready to be served by [`serve()`] or called in process.
pub fn router(engine: Arc<Engine>) -> Router {
    router_with_admin_key(engine, None)
}

/// [`router`], which also knows the operator's own admin key, the one that [`crate::tenant::keys::ensure_admin_key`]
/// stored: if the store is emptied, the key is stored again as soon as it is used.
pub fn router_with_admin_key(engine: Arc<Engine>, admin_key: Option<&Secret>) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router.method_not_allowed_fallback(|| async {
        Problem::new(
            Kind::MethodNotAllowed,
            "the Allow header names the methods of this path",
        )
    });
    engine.metrics().runs(Part::Api);
    let state = ApiState::new(Arc::clone(&engine), admin_key);
    finish(
        router,
        "this path does not exist; /openapi.json lists the paths",
        state,
    )
    // Outermost, so that what the limits refuse is counted too.
    .layer(axum::middleware::from_fn_with_state(engine, count))
}

/// Counts an answer by the template of its path; a path that is none of ours is no label.
async fn count(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let (route, status) = (route.as_ref().map(MatchedPath::as_str), response.status());
    engine
        .metrics()
        .answered(method.as_str(), route, status.as_u16());
    response
}

/// The endpoints of a worker, for monitoring: `/healthz`, `/readyz` and `/metrics`. Its metrics are those of its own
/// process; every process of the API reports those of the queue.
pub fn monitoring(engine: Arc<Engine>) -> Router {
    use axum::routing::get;
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::own_metrics));
    finish(
        router,
        "this process is a worker; its only paths are /healthz, /readyz and /metrics",
        ApiState::new(engine, None),
    )
}

/// Adds the fallback and the layers that every request passes.
fn finish(router: Router<Shared>, not_found: &'static str, state: Shared) -> Router {
    let limits = limits::Limits::of(&state.engine.config().server);
    router
        .fallback(move || async move { Problem::new(Kind::NotFound, not_found) })
        .with_state(state)
        .layer(axum::middleware::from_fn_with_state(limits, limits::guard))
        .layer(axum::middleware::from_fn(body_drain::read_the_rest))
        .layer(axum::middleware::map_response(security_headers))
}

/// All handlers with their documentation.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(openapi::front_matter())
        .routes(routes!(events::post_events))
        .routes(routes!(events::get_event))
        .routes(routes!(webhooks::list_webhooks, webhooks::create_webhook))
        .routes(routes!(
            webhooks::get_webhook,
            webhooks::replace_webhook,
            webhooks::change_webhook,
            webhooks::delete_webhook
        ))
        .routes(routes!(event_rules::list_rules, event_rules::create_rule))
        .routes(routes!(event_rules::evaluate))
        .routes(routes!(
            event_rules::get_rule,
            event_rules::replace_rule,
            event_rules::change_rule,
            event_rules::delete_rule
        ))
        .routes(routes!(deliveries::list_deliveries))
        .routes(routes!(deliveries::requeue_matching))
        .routes(routes!(deliveries::cancel_matching))
        .routes(routes!(deliveries::get_delivery))
        .routes(routes!(deliveries::get_input))
        .routes(routes!(deliveries::requeue_delivery))
        .routes(routes!(deliveries::cancel_delivery))
        .routes(routes!(render::render))
        .routes(routes!(secrets::list_secrets))
        .routes(routes!(secrets::put_secret, secrets::delete_secret))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::delete_key))
        .routes(routes!(plugins::list_plugins, plugin_upload::upload_plugin))
        .routes(routes!(plugins::get_plugin, plugins::delete_plugin))
        .routes(routes!(plugins::promote))
        .routes(routes!(plugins::roll_back))
        .routes(routes!(plugins::get_version, plugins::delete_version))
        .routes(routes!(operations::queue))
        .routes(routes!(operations::usage))
        .routes(routes!(operations::workers))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::openapi_json))
        .routes(routes!(health::explain_problem))
        .routes(routes!(health::front))
}

/// Answers are data of one tenant: not to be cached, sniffed, framed or run.
async fn security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct List<T> {
    /// The entries of this page.
    pub(crate) results: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    pub(crate) next: Option<String>,
}

impl<T> List<T> {
    fn of<S>(page: Page<S>, view: impl FnMut(S) -> T) -> axum::Json<Self> {
        axum::Json(Self {
            results: page.results.into_iter().map(view).collect(),
            next: page.next,
        })
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Maximum number of entries on a page, from 1 to 1000.
    #[serde(default = "Paging::default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: usize,
    /// The `next` of the previous page.
    cursor: Option<String>,
}

impl Paging {
    const fn default_limit() -> usize {
        50
    }

    /// The limit, if it may be.
    fn limit(&self) -> Answer<usize> {
        check_limit(self.limit)
    }
}

fn check_limit(limit: usize) -> Answer<usize> {
    if (1..=1000).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(
            Kind::InvalidQuery,
            format!("limit is {limit}; it must be from 1 to 1000"),
        ))
    }
}

/// A page of a list that is short enough to be had whole, in the order of its keys.
fn page_of<T>(items: Vec<T>, key: impl Fn(&T) -> &str, paging: &Paging) -> Answer<Page<T>> {
    const MARK: &str = "after ";
    let limit = paging.limit()?;
    let after = match &paging.cursor {
        None => None,
        Some(cursor) => {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let key = text.and_then(|text| text.strip_prefix(MARK).map(str::to_owned));
            Some(key.ok_or(BackendError::BadCursor)?)
        }
    };
    let mut items = items
        .into_iter()
        .filter(|item| after.as_deref().is_none_or(|after| key(item) > after));
    let results: Vec<T> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let next = results
        .last()
        .filter(|_| more)
        .map(|last| URL_SAFE_NO_PAD.encode(format!("{MARK}{}", key(last))));
    Ok(Page { results, next })
}

/// 201 with where the new object is.
fn created<T: Serialize>(location: &str, body: T) -> Answer<Response> {
    let location = HeaderValue::from_str(location).map_err(|e| Problem::internal(&e))?;
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        axum::Json(body),
    )
        .into_response())
}

/// 204, or 404 if there was nothing to delete.
fn deleted(existed: bool, what: &str, id: &str) -> Answer<StatusCode> {
    if existed {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::no_such(what, id))
    }
}

/// 409 if a tenant already has as many as it may.
fn check_room(count: usize, limit: usize, what: &str) -> Answer<()> {
    if count < limit {
        Ok(())
    } else {
        Err(Problem::new(
            Kind::LimitReached,
            format!("there are {count} {what}, and at most {limit} are allowed"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_is_paged_by_its_keys_though_items_come_and_go() {
        let page = |items: &[&'static str], limit, cursor| {
            page_of(items.to_vec(), |item| item, &Paging { limit, cursor })
        };
        let first = page(&["a", "b", "c"], 2, None).unwrap();
        assert_eq!(first.results, ["a", "b"]);
        let last = page(&["a", "ba", "c"], 2, first.next).unwrap();
        assert_eq!(last.results, ["ba", "c"]);
        assert_eq!(last.next, None);
        assert!(page(&["a"], 1, Some("nonsense".to_owned())).is_err());
        assert!(page(&["a"], 0, None).is_err());
    }
}
