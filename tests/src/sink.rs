//! A receiver inside the test: it counts, remembers, and misbehaves on request.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::IntoResponse,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Received {
    /// A header as text, empty if it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

/// How a sink answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it thinks first.
    pub delay: Duration,
    /// A `Retry-After` header, in seconds.
    pub retry_after: Option<u32>,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            delay: Duration::ZERO,
            retry_after: None,
        }
    }
}

#[derive(Debug)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answer: Mutex<Answer>,
    count: watch::Sender<usize>,
    /// Requests after so many hang until the limit is raised.
    admitted: watch::Sender<usize>,
}

/// A running receiver; it stops when it is dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Starts on a free port.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address")).await
    }

    /// Starts on this address.
    pub async fn start_on(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            answer: Mutex::default(),
            count: watch::Sender::new(0),
            admitted: watch::Sender::new(usize::MAX),
        });
        let app = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("the sink serves");
        });
        Self { addr, shared, task }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Changes how it answers from now on.
    pub fn answer(&self, answer: Answer) {
        *lock(&self.shared.answer) = answer;
    }

    /// Answers so many requests in all and lets the others hang, until this is called again.
    pub fn admit(&self, requests: usize) {
        self.shared.admitted.send_replace(requests);
    }

    /// Everything that has arrived.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn arrived(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// How often each `webhook-id` has arrived.
    #[must_use]
    pub fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for request in self.received() {
            *counts
                .entry(request.header("webhook-id").to_owned())
                .or_default() += 1;
        }
        counts
    }

    /// Waits until at least `n` requests have arrived; panics after 60 seconds.
    pub async fn wait_for(&self, n: usize) {
        let mut count = self.shared.count.subscribe();
        let all = count.wait_for(|count| *count >= n);
        if tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .is_err()
        {
            panic!("waited for {n} requests, got {}", self.received().len());
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let answer = lock(&shared.answer).clone();
    let number = {
        let mut received = lock(&shared.received);
        received.push(Received {
            at: Instant::now(),
            method,
            target: uri.to_string(),
            headers,
            body,
        });
        shared.count.send_replace(received.len());
        received.len()
    };
    let mut admitted = shared.admitted.subscribe();
    // Errs when the sink is gone, and the answer with it.
    let _ = admitted.wait_for(|admitted| number <= *admitted).await;
    tokio::time::sleep(answer.delay).await;
    let mut headers = HeaderMap::new();
    if let Some(seconds) = answer.retry_after {
        headers.insert("retry-after", seconds.into());
    }
    (
        StatusCode::from_u16(answer.status).expect("a status"),
        headers,
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
