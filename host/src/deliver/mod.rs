//! Stage 7: the request goes out and the response comes back, within bounds.
//!
//! **Only vetted addresses are dialled.** [`Client::send`] takes nothing but a [`GuardedRequest`], and whenever
//! a connection has to be made for it, the guard is asked again where to. The connector dials what the guard
//! answers and nothing else: no other resolver, no proxy from the environment, no redirect. A pooled
//! connection was made in the same way and goes where it went then; it is only used again for the same scheme,
//! host, port and TLS settings. So an answer that changes between the guard's look and the connection (DNS
//! rebinding) is judged like the first.
//!
//! **The operator's proxy** (`delivery.proxy`) changes who dials, not what: hookbox resolves and judges as
//! ever, and has the proxy connect to a judged address. TLS is with the receiver, by the URL's own name, and
//! within the tunnel. The proxy sees addresses and ports, and of requests with plain HTTP all. Only with
//! `delivery.proxy_resolves` it is given names instead, and where those lead is for it to judge.
//!
//! **Time.** `timeout` bounds the whole of [`Client::send`]: connecting (which has a shorter limit of its
//! own), sending, and reading the answer.
//!
//! **Size.** Of a response's body at most `delivery.response_bytes` are read, as they come and not
//! decompressed; the rest is not waited for. Headers are at most 100 and about 400 KiB with HTTP/1.1,
//! 64 KiB with HTTP/2, and 32 KiB of them are kept.
//!
//! **The status decides.** Once there is a status, what happens to the body cannot make a delivery fail:
//! a body that drips until the deadline, or breaks off, is kept as far as it came and marked as truncated.
//! A receiver that answered 2xx has the delivery, and sending it again would only repeat it.

mod clients;
mod connect;
mod error;
mod proxy;
mod response;
mod tls;

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use tokio::time::{Instant, timeout_at};

pub use error::{Phase, SendError};
pub use proxy::ProxyError;
pub use response::{Response, status_is_retryable};

use crate::{
    config::DeliveryConfig,
    guard::{Guard, GuardedRequest},
    model::{HttpMethod, Timestamp},
};
use clients::{Clients, HttpClient, Kind};
use connect::Peer;
use proxy::Proxy;
use tls::{CaFile, Trust};

/// Sends requests. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    setup: Arc<Setup>,
    clients: Clients,
    ca_directories: Vec<std::path::PathBuf>,
    response_bytes: usize,
}

/// What all HTTP clients have in common.
#[derive(Debug)]
struct Setup {
    guard: Guard,
    proxy: Option<Proxy>,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

/// How one request is sent.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions<'a> {
    /// For the whole attempt.
    pub timeout: Duration,
    /// Whether the receiver's certificate is verified.
    pub ssl_verification: bool,
    /// A file of CA certificates that are trusted instead of the system's. If set, certificates are
    /// verified whatever `ssl_verification` says, as in NetBox.
    pub ca_file_path: Option<&'a str>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the HTTP client: {0}")]
pub struct ClientError(SendError);

impl Client {
    /// A client that connects to what `guard` lets pass, which must be the one that checks the requests and
    /// know of the same proxy.
    ///
    /// # Errors
    /// When no HTTP client can be made at all. A system without certificates of authorities is no such
    /// case: deliveries that need them fail and say so.
    pub fn new(config: &DeliveryConfig, guard: Guard) -> Result<Self, ClientError> {
        let proxy = config.proxy.address().cloned();
        if let Some(address) = &proxy {
            tracing::info!(proxy = %address, "deliveries go through a proxy");
        }
        let inner = Inner {
            setup: Arc::new(Setup {
                guard,
                proxy: proxy.map(Proxy::new),
                connect_timeout: Duration::from_secs(config.connect_timeout_seconds),
                idle_timeout: Duration::from_secs(config.idle_seconds),
            }),
            clients: Clients::default(),
            ca_directories: config.ca_directories.clone(),
            response_bytes: config.response_bytes,
        };
        let trust = Trust::Anybody;
        let kind = Kind {
            trust,
            http1_only: false,
        };
        let first = inner.clients.get(&kind, "", &inner.setup);
        first.map_err(ClientError)?;
        Ok(Self(Arc::new(inner)))
    }

    /// Sends a request and reads the answer, whatever its status. See the module for the bounds.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        request: GuardedRequest,
        options: &SendOptions<'_>,
    ) -> Result<Response, SendError> {
        let started = Instant::now();
        // A timeout beyond representable time is none; the configuration bounds it far below.
        let deadline = started
            .checked_add(options.timeout)
            .unwrap_or_else(|| started + Duration::from_secs(3600));
        let headers = timeout_at(deadline, Box::pin(self.execute(request, options)))
            .await
            .unwrap_or(Err(SendError::Timeout(Phase::Response)))?;
        let answered = Instant::now();
        let mut response = self.read(headers, deadline).await;
        response.response_us = micros(answered - started);
        response.body_us = micros(answered.elapsed());
        Ok(response)
    }

    async fn execute(
        &self,
        request: GuardedRequest,
        options: &SendOptions<'_>,
    ) -> Result<http::Response<Incoming>, SendError> {
        let (request, owner) = request.into_parts();
        let shown_host = request.shown_host().to_owned();
        let (method, url, mut headers, body) = request.into_parts();
        if body.is_empty() && method != HttpMethod::Get {
            // The client leaves it out, and some receivers then answer 411 (RFC 9110 section 8.6).
            headers.insert(
                http::header::CONTENT_LENGTH,
                http::HeaderValue::from_static("0"),
            );
        }
        let host = url.authority().to_owned();
        let http1_only = headers.contains_key(http::header::HOST);
        let client = self.client(options, http1_only, host).await?;
        let mut request = http::Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = to_http(method);
        *request.uri_mut() = http::Uri::try_from(url.as_str())
            .map_err(|_| SendError::Internal("its HTTP client did not take the URL"))?;
        *request.headers_mut() = headers;
        let sent = connect::OWNER.scope(owner, client.request(request)).await;
        sent.map_err(|e| match error::classify(&e) {
            SendError::Guard(error) => SendError::Guard(error.shown_as(&shown_host)),
            other => other,
        })
    }

    async fn client(
        &self,
        options: &SendOptions<'_>,
        http1_only: bool,
        host: String,
    ) -> Result<HttpClient, SendError> {
        let inner = Arc::clone(&self.0);
        let ca_file = options.ca_file_path.filter(|path| !path.is_empty());
        let Some(path) = ca_file else {
            let trust = if options.ssl_verification {
                Trust::System
            } else {
                Trust::Anybody
            };
            let kind = Kind { trust, http1_only };
            if let Some(client) = inner.clients.ready(&kind, &host) {
                return Ok(client);
            }
            return blocking(move || inner.clients.get(&kind, &host, &inner.setup)).await;
        };
        let path = path.to_owned();
        blocking(move || {
            let trust = Trust::File(CaFile::find(&path, &inner.ca_directories)?);
            let kind = Kind { trust, http1_only };
            inner.clients.get(&kind, &host, &inner.setup)
        })
        .await
    }

    /// Reads the body as far as the limits go. The times are the caller's to set.
    async fn read(&self, from: http::Response<Incoming>, deadline: Instant) -> Response {
        let cap = self.0.response_bytes;
        let (headers, all_headers) = response::kept_headers(from.headers());
        let mut response = Response {
            status: from.status().as_u16(),
            version: response::version_name(from.version()),
            peer: from.extensions().get().map(|Peer(address)| *address),
            headers,
            body: Vec::new(),
            truncated: false,
            retry_after: response::retry_after(from.headers(), Timestamp::now()),
            response_us: 0,
            body_us: 0,
        };
        let mut body = from.into_body();
        let announced = body.size_hint().exact();
        let complete = loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break true,
                Err(_) | Ok(Some(Err(_))) => break false,
            };
            // Trailers are not kept.
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            let room = cap.saturating_sub(response.body.len());
            let fits = chunk.get(..room.min(chunk.len())).unwrap_or_default();
            response.body.extend_from_slice(fits);
            if chunk.len() > room {
                break false;
            }
            // Full: whether the end follows at once is only known, without waiting, if it was announced.
            if chunk.len() == room {
                break announced.is_some_and(|n| usize::try_from(n) == Ok(response.body.len()));
            }
        };
        response.truncated = !(complete && all_headers);
        response
    }
}

/// Runs what may read files off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SendError> + Send + 'static,
) -> Result<T, SendError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(SendError::Internal("it is shutting down")))
}

const fn to_http(method: HttpMethod) -> http::Method {
    match method {
        HttpMethod::Get => http::Method::GET,
        HttpMethod::Post => http::Method::POST,
        HttpMethod::Put => http::Method::PUT,
        HttpMethod::Patch => http::Method::PATCH,
        HttpMethod::Delete => http::Method::DELETE,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
