//! A stand-in for NetBox's REST API, as far as webhooks and event rules go: its shapes, its pages, its ways to
//! fail.

mod shapes;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

pub use shapes::{Version, rule, webhook};

/// The token that it accepts.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
/// The token of NetBox 4.5's second kind that it accepts.
pub const TOKEN_V2: &str = "nbt_Zk3pQ9aXb7Lm.0123456789abcdefghijABCDEFGHIJ0123456789";
/// The most objects in one page.
const PAGE: usize = 2;

/// How a list answers, if not as it should.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status with NetBox's JSON.
    Refuse(u16, &'static str),
    /// A status with a page of HTML.
    Html(u16),
    /// `429` so many times.
    Busy(usize),
    /// It thinks for so long.
    Slow(Duration),
    /// The next page is at this place.
    Next(String),
    /// The next page is the first.
    Loop,
    /// A page of so many bytes.
    Huge(usize),
    /// JSON nested so deep.
    Deep(usize),
    /// A redirect to this place.
    Redirect(String),
}

#[derive(Debug, Default)]
struct Inner {
    webhooks: Vec<Value>,
    rules: Vec<Value>,
    faults: HashMap<&'static str, Fault>,
    requests: Vec<(String, String)>,
}

/// A running NetBox; it stops when it is dropped.
#[derive(Debug)]
pub struct NetBox {
    /// Where it is, such as `http://127.0.0.1:4711`.
    pub url: String,
    inner: Arc<Mutex<Inner>>,
    task: JoinHandle<()>,
}

impl NetBox {
    /// Starts it with these objects.
    pub async fn start(webhooks: Vec<Value>, rules: Vec<Value>) -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            webhooks,
            rules,
            ..Inner::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let app = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        Self { url, inner, task }
    }

    /// Makes a list (`webhooks` or `event-rules`) misbehave from now on.
    pub fn fail(&self, list: &'static str, fault: Fault) {
        lock(&self.inner).faults.insert(list, fault);
    }

    /// Changes what it has.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Value>, &mut Vec<Value>)) {
        let mut inner = lock(&self.inner);
        let Inner {
            webhooks, rules, ..
        } = &mut *inner;
        change(webhooks, rules);
    }

    /// The requests so far: path with query, and `Authorization`.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, String)> {
        lock(&self.inner).requests.clone()
    }
}

impl Drop for NetBox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    Query(query): Query<HashMap<String, String>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let text = |name| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let authorization = text(header::AUTHORIZATION);
    lock(&inner)
        .requests
        .push((uri.to_string(), authorization.clone()));
    let list = match uri.path() {
        "/api/extras/webhooks/" => "webhooks",
        "/api/extras/event-rules/" => "event-rules",
        _ => return html(404),
    };
    if authorization.is_empty() {
        return detail(403, "Authentication credentials were not provided.");
    }
    if authorization != format!("Token {TOKEN}") && authorization != format!("Bearer {TOKEN_V2}") {
        return detail(403, "Invalid v1 token");
    }
    let number = |key: &str| query.get(key).and_then(|n| n.parse::<usize>().ok());
    let (offset, limit) = (
        number("offset").unwrap_or(0),
        number("limit").unwrap_or(50).min(PAGE),
    );
    let (items, mut fault) = {
        let mut inner = lock(&inner);
        let items = match list {
            "webhooks" => inner.webhooks.clone(),
            _ => inner.rules.clone(),
        };
        let fault = inner.faults.get(list).cloned();
        if let Some(Fault::Busy(times)) = inner.faults.get_mut(list) {
            *times = times.saturating_sub(1);
        }
        (items, fault)
    };
    if let Some(Fault::Busy(0)) = fault {
        fault = None;
    }
    let place = |offset: usize| {
        let host = text(header::HOST);
        format!("http://{host}{}?limit={limit}&offset={offset}", uri.path())
    };
    let results: Vec<&Value> = items.iter().skip(offset).take(limit).collect();
    let end = offset + results.len();
    let mut next = (end < items.len()).then(|| place(end));
    match fault {
        None => {}
        Some(Fault::Refuse(status, text)) => return detail(status, text),
        Some(Fault::Html(status)) => return html(status),
        Some(Fault::Busy(_)) => {
            let mut response = detail(429, "Request was throttled.");
            response.headers_mut().insert(header::RETRY_AFTER, 0.into());
            return response;
        }
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::Next(url)) => next = Some(url),
        Some(Fault::Loop) => next = Some(place(0)),
        Some(Fault::Huge(bytes)) => {
            return json(200, format!("[\"{}\"]", "x".repeat(bytes)));
        }
        Some(Fault::Deep(levels)) => {
            return json(200, "[".repeat(levels) + &"]".repeat(levels));
        }
        Some(Fault::Redirect(to)) => {
            return (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
        }
    }
    let previous = (offset > 0).then(|| place(offset.saturating_sub(limit)));
    let page =
        json!({"count": items.len(), "next": next, "previous": previous, "results": results});
    json(200, page.to_string())
}

fn json(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn detail(status: u16, text: &str) -> Response {
    json(status, json!({ "detail": text }).to_string())
}

fn html(status: u16) -> Response {
    let page = "<!DOCTYPE html>\n<html><body><h1>Something is wrong</h1></body></html>";
    let status = StatusCode::from_u16(status).expect("a status");
    (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
