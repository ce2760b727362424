//! Connections to receivers: dialled, by the operator's proxy if there is one, and secured.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use tower::Service;
use url::Host;

use super::{
    Setup,
    error::{self, Phase, SendError},
    tls,
};
use crate::guard::{Guard, Owner, Route};

tokio::task_local! {
    /// Whose request it is that is being sent.
    pub(super) static OWNER: Owner;
}

/// Makes connections to what the guard lets pass, and to nothing else.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) setup: Arc<Setup>,
    pub(super) tls: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, SendError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connector = self.clone();
        // Here and not within: the client may go on with a connection when the request for it has ended.
        let owner = OWNER.try_with(Arc::clone).unwrap_or_default();
        let guard = self.setup.guard.owned_by(owner);
        Box::pin(async move { connector.connect(&guard, &to).await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self, guard: &Guard, to: &Uri) -> Result<Stream, SendError> {
        const NOT_TAKEN: SendError = SendError::Internal("its connector did not take the URL");
        let deadline = Instant::now() + self.setup.connect_timeout;
        let too_slow = |phase| move |_| SendError::Timeout(phase);
        let name = to.host().ok_or(NOT_TAKEN)?;
        let secure = to.scheme() == Some(&Scheme::HTTPS);
        let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = Host::parse(name).map_err(|_| NOT_TAKEN)?;

        let route = timeout_at(deadline, guard.route(&host))
            .await
            .map_err(too_slow(Phase::Connect))?
            .map_err(SendError::Guard)?;
        let (transport, peer) = match (route, &self.setup.proxy) {
            (Route::Direct(ips), _) => {
                let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
                let tcp = timeout_at(deadline, dial(addresses.collect()))
                    .await
                    .map_err(too_slow(Phase::Connect))?
                    .map_err(SendError::Connect)?;
                let peer = tcp.peer_addr().ok();
                (Box::new(tcp) as Transport, peer)
            }
            (Route::Proxied(ips), Some(proxy)) => {
                let addresses = first_tries(ips, port);
                let connected = timeout_at(deadline, proxy.connect_to_one(&addresses)).await;
                let (transport, peer) = connected.map_err(too_slow(Phase::Proxy))??;
                (transport, Some(peer))
            }
            (Route::ProxiedByName, Some(proxy)) => {
                let target = format!("{name}:{port}");
                let connected = timeout_at(deadline, proxy.connect(&target)).await;
                (connected.map_err(too_slow(Phase::Proxy))??, None)
            }
            (Route::Proxied(_) | Route::ProxiedByName, None) => return Err(NOT_TAKEN),
        };

        let mut stream = Stream {
            transport,
            peer,
            http2: false,
        };
        if secure {
            let handshake = TlsConnector::from(Arc::clone(&self.tls))
                .connect(tls::server_name(name)?, stream.transport);
            let secured = timeout_at(deadline, handshake)
                .await
                .map_err(too_slow(Phase::Connect))?
                .map_err(|e| error::of_handshake(&e))?;
            stream.http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
            stream.transport = Box::new(secured);
        }
        Ok(stream)
    }
}

/// The addresses that a proxy is asked for: each that it does not reach costs time. All proxies have IPv4,
/// and whether this one has IPv6, this machine's resolver, which chose the order, does not know.
fn first_tries(mut ips: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    ips.sort_by_key(IpAddr::is_ipv6);
    let tries = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
    tries.take(4).collect()
}

/// A connection to the first of these that takes one; if both kinds of IP are there, the second kind gets its
/// try after 300 ms (RFC 8305). The error is what went wrong, without addresses.
pub(super) async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, String> {
    // The connector has the way to try addresses; it resolves a name to nothing but those it was given.
    let given =
        move |_: Name| -> Ready<Result<_, Infallible>> { ready(Ok(addresses.clone().into_iter())) };
    let mut connector = HttpConnector::new_with_resolver(tower::service_fn(given));
    connector.set_nodelay(true);
    let connected = connector
        .call(Uri::from_static("http://given.invalid"))
        .await;
    connected
        .map(TokioIo::into_inner)
        .map_err(|e| error::reason(&e))
}

/// TCP, TLS or a tunnel.
pub(super) type Transport = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection to a receiver.
pub(super) struct Stream {
    transport: Transport,
    peer: Option<SocketAddr>,
    http2: bool,
}

/// Where a connection leads, for the response's record; with a proxy, where it was asked to connect to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let mut connected = Connected::new();
        if let Some(peer) = self.peer {
            connected = connected.extra(Peer(peer));
        }
        if self.http2 {
            connected = connected.negotiated_h2();
        }
        connected
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }
}
