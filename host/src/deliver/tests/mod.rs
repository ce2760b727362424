//! Deliveries to real servers on loopback, well-behaved and hostile.

mod answers;
mod bounds;
mod destination;
mod floods;
mod http2;
mod plain;
mod proxy;
mod reuse;
mod spelling;
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    config::{Config, GuardConfig},
    guard::{GuardError, Resolve},
    model::{Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::Rendered,
};

/// A connection, with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}
type Stream = Box<dyn Duplex>;

/// A server for one test. Stops accepting when the test's runtime ends.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Each connection is `handle`'s to do with what it likes.
    async fn start<F, Fut>(handle: F) -> Self
    where
        F: Fn(Stream) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        Self::start_with(None, move |stream, _| handle(stream)).await
    }

    /// Answers every request on every connection with these bytes.
    async fn answering(response: impl Into<Vec<u8>>) -> Self {
        Self::answering_with(None, response.into()).await
    }

    async fn answering_with(tls: Option<TlsAcceptor>, response: Vec<u8>) -> Self {
        Self::start_with(tls, move |mut stream, requests| {
            let response = response.clone();
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    requests.lock().unwrap().push(request);
                    if stream.write_all(&response).await.is_err() {
                        break;
                    }
                    let _ = stream.flush().await;
                }
            }
        })
        .await
    }

    async fn start_with<F, Fut>(tls: Option<TlsAcceptor>, handle: F) -> Self
    where
        F: Fn(Stream, Arc<Mutex<Vec<String>>>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            closed: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let closed = server.closed.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (handle, requests, tls) = (handle.clone(), requests.clone(), tls.clone());
                let closed = closed.clone();
                tokio::spawn(async move {
                    match tls {
                        None => handle(Box::new(tcp), requests).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                handle(Box::new(stream), requests).await;
                            }
                        }
                    }
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One HTTP/1.1 request with a `Content-Length` or without a body.
async fn read_request(stream: &mut Stream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: "))
                .map_or(0, |n| n.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Most names are on loopback; some are said to be elsewhere, and `hangs….example` never.
struct Loopback;

#[async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let ips: &[&str] = match host {
            "public.example" => &["93.184.215.14"],
            "many.example" => &["2606:4700::1", "93.184.215.14", "93.184.215.15"],
            host if host.starts_with("hangs") => std::future::pending().await,
            "unknown.example" => return Err(io::Error::other("no such name")),
            _ => &["127.0.0.1"],
        };
        Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect())
    }
}

fn guard_config(networks: &[&str]) -> GuardConfig {
    GuardConfig {
        allow_networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
        ..Config::defaults().guard
    }
}

fn guard(networks: &[&str]) -> Guard {
    guard_with(networks, &Config::defaults().delivery)
}

fn guard_with(networks: &[&str], delivery: &DeliveryConfig) -> Guard {
    Guard::with_resolver(&guard_config(networks), delivery, Arc::new(Loopback))
}

/// A client and its guard, which lets deliveries go to loopback.
struct Sender {
    guard: Guard,
    client: Client,
}

impl Sender {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut DeliveryConfig)) -> Self {
        let mut config = Config::defaults().delivery;
        change(&mut config);
        let guard = guard_with(&["127.0.0.0/8"], &config);
        let client = Client::new(&config, guard.clone()).unwrap();
        Self { guard, client }
    }

    async fn send(&self, request: Rendered) -> Result<Response, SendError> {
        self.send_with(request, &options()).await
    }

    async fn send_with(
        &self,
        request: Rendered,
        options: &SendOptions<'_>,
    ) -> Result<Response, SendError> {
        let request = self.guard.check(build(request)).await.unwrap();
        self.client.send(request, options).await
    }
}

fn options() -> SendOptions<'static> {
    SendOptions {
        timeout: Duration::from_secs(20),
        ssl_verification: true,
        ca_file_path: None,
    }
}

fn post(url: &str) -> Rendered {
    Rendered::new("POST", url, Vec::new(), "{\"a\": 1}")
}

fn build(request: Rendered) -> OutboundRequest {
    build_with(request, &SecretValues::default())
}

fn build_with(request: Rendered, secrets: &SecretValues) -> OutboundRequest {
    let config = Config::defaults();
    OutboundRequest::build(
        request,
        &RequestContext {
            webhook: &WebhookSpec::default(),
            delivery: &"dlv_1".into(),
            now: Timestamp::from_millis(1000),
            secrets,
            limits: &config.sandbox,
            user_agent: &config.delivery.user_agent,
        },
    )
    .unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer: yes\r\n\r\nok";
