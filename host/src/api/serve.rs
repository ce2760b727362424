//! Serving over TCP, with bounds on what a client can hold: connections, those of one address, time to send a
//! request's head, time without taking any of the answer.
//!
//! HTTP/1.1 without TLS: a reverse proxy in front does TLS and speaks HTTP/1.1 behind.

use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, Sleep, sleep},
};

use super::{
    addresses::{Address, Addresses},
    limits::is_probe,
    problem::{Kind, Problem},
};
use crate::config::ServerConfig;

/// Connections for each request that may be under way: clients keep idle ones open.
const CONNECTIONS_PER_REQUEST: usize = 2;
/// The head of a request, all headers together.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Connections beyond the limits, of all and of one address, on which only probes are answered, and how long each of
/// them may take to ask.
const RESERVE: usize = 64;
const RESERVE_OF_ADDRESS: usize = 8;
const RESERVE_PATIENCE: Duration = Duration::from_secs(2);
/// The answer to connections beyond the reserve.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Serves `router` until `shutdown` completes; then takes no more connections, lets requests under way
/// end for up to `shutdown_seconds`, and returns.
///
/// Connections are bounded by twice `max_connections`, and those of one address by `max_connections_per_address`. On
/// a few more only `/healthz` and `/readyz` are answered, and 503 to all else; what comes beyond is closed. A client
/// has `request_timeout_seconds` to send the head of a request (idle connections are closed after as
/// long), and is dropped when it takes nothing of an answer for as long.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    config: &ServerConfig,
) {
    let patience = Duration::from_secs(config.request_timeout_seconds.max(1));
    let most = config
        .max_connections
        .max(1)
        .saturating_mul(CONNECTIONS_PER_REQUEST)
        .min(Semaphore::MAX_PERMITS);
    let usual = Places::new(most, config.connections_per_address());
    let reserve = Places::new(RESERVE, RESERVE_OF_ADDRESS);
    let probes_only = router.clone().layer(from_fn(answer_probes));
    let (closing, _) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let closing = closing.subscribe();
                    if let Some(place) = usual.take(peer.ip()) {
                        let run = connection(stream, router.clone(), patience, true, closing);
                        connections.spawn(held(place, run));
                    } else if let Some(place) = reserve.take(peer.ip()) {
                        let (router, patience) = (probes_only.clone(), RESERVE_PATIENCE);
                        let run = connection(stream, router, patience, false, closing);
                        connections.spawn(held(place, run));
                    } else {
                        // Best effort: a fresh connection has room for a line.
                        drop(stream.try_write(BUSY));
                    }
                },
                Err(error) => {
                    // Most often out of file descriptors: without a pause this would spin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    drop(listener);
    closing.send_replace(());
    let drain = async { while connections.join_next().await.is_some() {} };
    let grace = Duration::from_secs(config.shutdown_seconds);
    if tokio::time::timeout(grace, drain).await.is_err() {
        tracing::warn!("requests still under way at shutdown were cut off");
    }
}

/// Room for connections: of all, and of each address.
struct Places {
    all: Arc<Semaphore>,
    addresses: Addresses,
}

impl Places {
    fn new(all: usize, of_address: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            addresses: Addresses::new(of_address),
        }
    }

    fn take(&self, peer: IpAddr) -> Option<(OwnedSemaphorePermit, Address)> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some((place, self.addresses.take(peer)?))
    }
}

async fn held<P>(place: P, run: impl Future<Output = ()>) {
    run.await;
    drop(place);
}

/// On a connection beyond the limits.
async fn answer_probes(request: Request, next: Next) -> Response {
    if is_probe(&request) {
        return next.run(request).await;
    }
    let why = "there are too many connections, in all or from your address; try again";
    Problem::new(Kind::Overloaded, why)
        .after(Duration::from_secs(1))
        .into_response()
}

/// Serves one connection until it ends, or until `closing` and the request under way is answered.
async fn connection(
    stream: TcpStream,
    router: Router,
    patience: Duration,
    keep_alive: bool,
    mut closing: watch::Receiver<()>,
) {
    // Answers are written whole, so waiting to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(keep_alive)
        .header_read_timeout(patience)
        .max_buf_size(MAX_HEAD_BYTES);
    let io = TokioIo::new(Impatient::new(stream, patience));
    let mut serving = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        _ = closing.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A stream that fails when its peer takes nothing for too long: reading is bounded elsewhere, but without
/// this an answer that nobody reads would hold its connection for ever.
struct Impatient<S> {
    inner: S,
    patience: Duration,
    /// Runs while a write waits.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Impatient<S> {
    fn new(inner: S, patience: Duration) -> Self {
        Self {
            inner,
            patience,
            deadline: None,
        }
    }

    fn bound<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.deadline = None;
            return progress;
        }
        let patience = self.patience;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        deadline
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bound(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.bound(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_flush(cx);
        self.bound(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bound(cx, progress)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::{Notify, oneshot},
        task::JoinHandle,
    };

    use super::*;

    /// A server whose `/slow` ends when `release` is notified, and what stops it.
    async fn start(
        (max_connections, of_address): (usize, usize),
        release: Arc<Notify>,
    ) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let config = ServerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            shutdown_seconds: 30,
            max_connections,
            max_connections_per_address: of_address,
            request_timeout_seconds: 1,
        };
        let slow = move || async move {
            release.notified().await;
            "done"
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/healthz", get(|| async { "alive" }))
            .route("/slow", get(slow));
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            serve(listener, router, async { drop(stopped.await) }, &config).await;
        });
        (address, stop, server)
    }

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may hang up before it has been told everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_headers_is_dropped() {
        let (address, _stop, _server) = start((8, 8), Arc::default()).await;
        let answer = exchange(address, "GET / HTTP/1.1\r\nHost: a\r\n").await;
        assert!(!answer.contains("hello"), "{answer}");
    }

    #[tokio::test]
    async fn headers_without_end_are_refused() {
        let (address, _stop, _server) = start((8, 8), Arc::default()).await;
        let huge = "x".repeat(4 * MAX_HEAD_BYTES);
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {huge}\r\n\r\n");
        let answer = exchange(address, &request).await;
        assert!(!answer.contains("hello"), "{answer}");
    }

    /// So many connections that are served and stay open.
    async fn hold(address: SocketAddr, count: usize) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            stream.write_all(request.as_bytes()).await.unwrap();
            // An answer means that the connection has been taken.
            stream.read_u8().await.unwrap();
            held.push(stream);
        }
        held
    }

    #[tokio::test]
    async fn beyond_the_limits_of_all_and_of_an_address_only_probes_are_answered() {
        for limits in [(1, 8), (8, CONNECTIONS_PER_REQUEST)] {
            let (address, _stop, _server) = start(limits, Arc::default()).await;
            let _held = hold(address, CONNECTIONS_PER_REQUEST).await;
            let late = exchange(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(late.starts_with("HTTP/1.1 503"), "{late}");
            let probe = exchange(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert!(probe.contains("alive"), "{probe}");
        }
    }

    #[tokio::test]
    async fn what_comes_beyond_the_reserve_is_told_so_at_once() {
        let (address, _stop, _server) = start((1, 8), Arc::default()).await;
        let _held = hold(address, CONNECTIONS_PER_REQUEST).await;
        let mut silent = Vec::new();
        for _ in 0..RESERVE_OF_ADDRESS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        late.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }

    #[tokio::test]
    async fn shutdown_lets_the_request_under_way_end_and_takes_no_more() {
        let release = Arc::new(Notify::new());
        let (address, stop, server) = start((8, 8), Arc::clone(&release)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        // Served after the slow request was taken: connections are accepted in order.
        let quick = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert!(exchange(address, quick).await.contains("hello"));
        stop.send(()).unwrap();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        release.notify_one();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = Impatient::new(near, Duration::from_millis(20));
        let error = stream.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn every_byte_that_is_taken_starts_the_time_anew() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = Impatient::new(near, Duration::from_secs(3600));
        let mut buffer = [0; 64];
        let (written, read) = tokio::join!(stream.write_all(&[0; 64]), far.read_exact(&mut buffer));
        written.unwrap();
        read.unwrap();
        assert!(stream.deadline.is_none());
    }
}
