//! Stage 7: the request goes out and the response comes back, within bounds.
//!
//! **Only vetted addresses are dialled.** [`Client::send`] takes nothing but a [`GuardedRequest`], and whenever
//! a connection has to be made for it, the guard is asked again for the addresses. The connector dials these and
//! nothing else: no other resolver, no proxy from the environment, no redirect. A pooled connection was made in the
//! same way and is only used again for the same tenant, scheme, host, port and TLS settings. So an answer that changes
//! between the guard's check and the connection (DNS rebinding) is checked like the first.
//!
//! **The operator's proxy** (`delivery.proxy`) dials instead of hookbox, but the same addresses: hookbox resolves and checks
//! as before, and the proxy connects to a checked address. TLS is with the receiver, under the URL's own name, within
//! the tunnel. The proxy sees addresses and ports, and the whole of plain HTTP requests. Only with
//! `delivery.proxy_resolves` it gets names instead, and has to check their addresses itself.
//!
//! **Time.** `timeout` bounds the whole of [`Client::send`]: connecting (which has a shorter limit of its
//! own), sending, and reading the answer.
//!
//! **Size.** Of a response's body at most `delivery.response_bytes` are read, as they come and not
//! decompressed; the rest is not waited for. Headers are at most 256 KiB with HTTP/1.1 and 64 KiB with HTTP/2, and
//! 32 KiB of them are kept. Whatever else comes (framing, interim answers, frames, TLS) is counted in the connection's
//! reader (`meter`) and ends with `ANSWER_EXTRA`. A connection on which an answer was cut off is closed.
//!
//! **The status decides.** Once there is a status, what happens to the body cannot make a delivery fail:
//! a body that drips until the deadline, or breaks off, is kept as far as it came and marked as truncated.
//! A receiver that answered 2xx has the delivery, and sending it again would only repeat it.

mod connect;
mod error;
mod http1;
mod http2;
mod meter;
mod outgoing;
mod pool;
mod proxy;
mod response;
mod tls;
mod tls_words;
mod transport;

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

pub use error::{Phase, ProxyError, SendError};
pub use response::Response;

use crate::{
    config::DeliveryConfig,
    guard::{Guard, GuardedRequest, Owner},
    model::HttpMethod,
};
use connect::Connector;
use http1::{HEAD_BYTES, Http1};
use http2::Http2;
use outgoing::Outgoing;
use pool::{Pool, PoolKey};
use proxy::Proxy;
use tls::{CaFile, Configs, Kind, Trust};

/// Bytes of one answer that are read beyond its headers and twice its body: a body in small chunks is mostly framing.
const ANSWER_EXTRA: usize = 64 * 1024;

/// Times that one attempt sends its request at most. It is sent again only if the receiver certainly did not process
/// it.
const TRIES: usize = 4;

/// Sends requests. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    pool: Pool,
    tls: Configs,
    ca_directories: Vec<PathBuf>,
    response_bytes: usize,
}

/// Options for sending one request.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions<'a> {
    /// Timeout of the whole attempt.
    pub timeout: Duration,
    /// Whether the receiver's certificate is verified.
    pub ssl_verification: bool,
    /// A file of CA certificates that are trusted instead of the system's. If set, certificates are
    /// verified whatever `ssl_verification` says, as in NetBox.
    pub ca_file_path: Option<&'a str>,
}

/// The error when the client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the HTTP client: {0}")]
pub struct ClientError(SendError);

impl Client {
    /// A client that connects to the addresses that `guard` allows. The same guard must check the requests, and it must
    /// be configured with the same proxy.
    ///
    /// # Errors
    /// When no HTTP client can be made at all. A system without CA certificates is not an error here: deliveries that
    /// need them fail and say so.
    pub fn new(config: &DeliveryConfig, guard: Guard) -> Result<Self, ClientError> {
        let proxy = config.proxy.address().cloned();
        if let Some(address) = &proxy {
            tracing::info!(proxy = %address, "deliveries go through a proxy");
        }
        let inner = Inner {
            connector: Connector {
                guard,
                proxy: proxy.map(Proxy::new),
                timeout: Duration::from_secs(config.connect_timeout_seconds),
            },
            pool: Pool::new(Duration::from_secs(config.idle_seconds)),
            tls: Configs::default(),
            ca_directories: config.ca_directories.clone(),
            response_bytes: config.response_bytes,
        };
        let first = inner.tls.get(&Kind {
            trust: Trust::Anybody,
            http1_only: false,
        });
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
        let (answer, pool_key) = timeout_at(deadline, Box::pin(self.execute(request, options)))
            .await
            .unwrap_or(Err(SendError::Timeout(Phase::Response)))?;
        let answered = Instant::now();
        let mut response = self.read(answer, &pool_key, deadline).await;
        response.response_us = micros(answered - started);
        response.body_us = micros(answered.elapsed());
        Ok(response)
    }

    async fn execute(
        &self,
        request: GuardedRequest,
        options: &SendOptions<'_>,
    ) -> Result<(Answer, PoolKey), SendError> {
        let (request, owner) = request.into_parts();
        let guard = self.0.connector.guard.owned_by(Arc::clone(&owner));
        let shown_host = request.shown_host().to_owned();
        let request = Outgoing::new(request)?;
        let pool_key = self.pool_key(&request, owner, options).await?;
        let answer = self.exchange(&request, &pool_key, &guard).await;
        match answer {
            Ok(answer) => Ok((answer, pool_key)),
            Err(SendError::Guard(error)) => Err(SendError::Guard(error.shown_as(&shown_host))),
            Err(other) => Err(other),
        }
    }

    /// The pool's key for the connections that may carry this request.
    async fn pool_key(
        &self,
        request: &Outgoing,
        owner: Owner,
        options: &SendOptions<'_>,
    ) -> Result<PoolKey, SendError> {
        const NOT_TAKEN: SendError = SendError::Internal("its HTTP client did not accept the URL");
        let url = &request.url;
        let ca_file = options.ca_file_path.filter(|path| !path.is_empty());
        let trust = match ca_file {
            _ if url.scheme() != "https" => None,
            None if options.ssl_verification => Some(Trust::System),
            None => Some(Trust::Anybody),
            Some(path) => {
                let (inner, path) = (Arc::clone(&self.0), path.to_owned());
                let found = move || CaFile::find(&path, &inner.ca_directories);
                Some(Trust::File(blocking(found).await?))
            }
        };
        Ok(PoolKey {
            owner,
            host: url.host_str().ok_or(NOT_TAKEN)?.to_owned(),
            port: url.port_or_known_default().ok_or(NOT_TAKEN)?,
            trust,
        })
    }

    /// Sends a request. Sends it again at once, up to [`TRIES`] times in all, as long as it is certain that the
    /// receiver has not processed it. Whether and when a failed delivery gets another attempt is for the queue to
    /// decide.
    async fn exchange(
        &self,
        request: &Outgoing,
        pool_key: &PoolKey,
        guard: &Guard,
    ) -> Result<Answer, SendError> {
        let pool = &self.0.pool;
        let mut last = SendError::Internal("it did not try");
        for _ in 0..TRIES {
            match Box::pin(self.exchange_once(request, pool_key, guard)).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Malformed(error)) => {
                    pool.note_http1(pool_key);
                    return Err(error);
                }
                Err(Failure::Unsent(error)) => last = error,
                Err(Failure::WantsHttp1(error)) => {
                    pool.note_http1(pool_key);
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn exchange_once(
        &self,
        request: &Outgoing,
        pool_key: &PoolKey,
        guard: &Guard,
    ) -> Result<Answer, Failure> {
        let (pool, bytes) = (&self.0.pool, self.answer_bytes());
        let http1_only = request.names_host() || pool.wants_http1(pool_key);
        if !http1_only && let Some(shared) = pool.shared(pool_key) {
            return Ok(Answer::Http2(shared.exchange(request).await?));
        }
        if let Some(idle) = pool.take(pool_key) {
            return Ok(Answer::Http1(idle.exchange(request, bytes).await?));
        }
        let secure = match &pool_key.trust {
            None => None,
            Some(trust) => Some(self.tls_config(trust, http1_only).await?),
        };
        let connector = &self.0.connector;
        let connected = connector
            .connect(guard, &pool_key.host, pool_key.port, secure)
            .await?;
        if connected.http2 {
            let shared = pool.share(pool_key, Http2::start(connected, bytes).await?);
            return Ok(Answer::Http2(shared.exchange(request).await?));
        }
        let fresh = Http1::new(connected);
        Ok(Answer::Http1(fresh.exchange(request, bytes).await?))
    }

    async fn tls_config(
        &self,
        trust: &Trust,
        http1_only: bool,
    ) -> Result<Arc<ClientConfig>, SendError> {
        let trust = trust.clone();
        let kind = Kind { trust, http1_only };
        if let Some(config) = self.0.tls.ready(&kind) {
            return Ok(config);
        }
        let inner = Arc::clone(&self.0);
        blocking(move || inner.tls.get(&kind)).await
    }

    /// Bytes of one answer that are read, everything counted.
    fn answer_bytes(&self) -> usize {
        let body = self.0.response_bytes.saturating_mul(2);
        body.saturating_add(HEAD_BYTES + ANSWER_EXTRA)
    }

    /// Reads the body up to the limits. The caller sets the times.
    async fn read(&self, answer: Answer, pool_key: &PoolKey, deadline: Instant) -> Response {
        let cap = self.0.response_bytes;
        let mut body = Vec::new();
        let (mut response, whole) = match answer {
            Answer::Http1(http1::Answer { response, rest }) => {
                let read = timeout_at(deadline, rest.body(cap, &mut body)).await;
                let (whole, reusable) = read.unwrap_or((false, None));
                if let Some(connection) = reusable {
                    self.0.pool.put(pool_key, connection);
                }
                (response, whole)
            }
            Answer::Http2(http2::Answer { response, rest }) => {
                let read = timeout_at(deadline, rest.body(cap, &mut body)).await;
                (response, read.unwrap_or(false))
            }
        };
        response.truncated |= !whole;
        response.body = body;
        response
    }
}

/// An answer whose body has not been read yet.
enum Answer {
    Http1(http1::Answer),
    Http2(http2::Answer),
}

/// The reason why there is no answer, and its consequence for the request.
#[derive(Debug)]
enum Failure {
    /// The receiver may have processed it.
    Final(SendError),
    /// The receiver may have processed it, and its HTTP/2 is faulty: the next request to it goes over HTTP/1.1.
    Malformed(SendError),
    /// The receiver has certainly not processed it, so it may be sent again at once.
    Unsent(SendError),
    /// The receiver has not processed it and wants it over HTTP/1.1.
    WantsHttp1(SendError),
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::Final(error)
    }
}

/// Runs work that may read files outside the async threads.
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
