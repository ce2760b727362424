//! Connections to receivers through the operator's proxy.
//!
//! HTTP proxies are asked to CONNECT, for `http://` receivers too. A request in absolute form names the host twice, in
//! its target and in `Host`, and a proxy must use the target alone (RFC 9112 section 3.2.2). So it could get either the
//! checked address or the receiver's name, not both. With a tunnel the proxy does not parse the request, and its own
//! answers cannot be mistaken for the receiver's.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Uri;
use hyper::body::Bytes;
use hyper_util::{client::legacy::connect::proxy::SocksV5, rt::TokioIo};
use rustls::ClientConfig;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tower::{Service, service_fn};
use url::Host;

use super::{
    blocking,
    error::{ProxyError, SendError},
    http1::{self, Wire},
    tls::{self, Trust},
    transport::{Transport, dial},
};
use crate::{
    config::{ProxyAddress, ProxyScheme},
    guard::{Names, SystemResolver},
};

/// Far more than a proxy has to say.
const ANSWER_BYTES: usize = 8192;

/// The operator's proxy.
pub(super) struct Proxy {
    address: ProxyAddress,
    /// Its own name is not the guard's business: the operator chose it.
    names: Names,
    /// The line of its header, with the end.
    authorization: Option<String>,
    /// For a proxy that is reached by TLS: reading the system's certificates takes time.
    tls: OnceCell<Arc<ClientConfig>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl Proxy {
    pub(super) fn new(address: ProxyAddress) -> Self {
        let authorization = address.credentials.as_ref().map(|credentials| {
            let login = format!("{}:{}", credentials.user, credentials.password.expose());
            format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(login))
        });
        Self {
            address,
            names: Names::new(Arc::new(SystemResolver)),
            authorization,
            tls: OnceCell::new(),
        }
    }

    /// A connection to the first of these addresses that the proxy can reach, and that address. A failure of the proxy
    /// itself ends the search.
    pub(super) async fn connect_to_one(
        &self,
        addresses: &[SocketAddr],
    ) -> Result<(Transport, SocketAddr), SendError> {
        let mut refused = SendError::Internal("there was no address to connect to");
        for address in addresses {
            match self.connect(&address.to_string()).await {
                Ok(transport) => return Ok((transport, *address)),
                Err(e @ SendError::Proxy(ProxyError::Refused(_) | ProxyError::Socks(_))) => {
                    refused = e;
                }
                Err(e) => return Err(e),
            }
        }
        Err(refused)
    }

    /// A connection to `HOST:PORT`.
    pub(super) async fn connect(&self, target: &str) -> Result<Transport, SendError> {
        let transport = self.reach().await?;
        let target = Uri::try_from(target)
            .map_err(|_| SendError::Internal("its proxy does not support such a host"))?;
        match self.address.scheme {
            ProxyScheme::Http | ProxyScheme::Https => self.tunnel(transport, target).await,
            ProxyScheme::Socks5 => self.socks(transport, target).await,
        }
        .map_err(SendError::Proxy)
    }

    /// A connection to the proxy.
    async fn reach(&self) -> Result<Transport, SendError> {
        let ProxyAddress { host, port, .. } = &self.address;
        let ips = match host {
            Host::Ipv4(ip) => vec![(*ip).into()],
            Host::Ipv6(ip) => vec![(*ip).into()],
            Host::Domain(name) => {
                let found = self.names.lookup(name, &Arc::default()).await;
                let unknown = |_| unreachable("its name has no address");
                found.map_err(unknown)?.to_vec()
            }
        };
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, *port));
        let tcp = dial(addresses.collect()).await.map_err(unreachable)?;
        if self.address.scheme != ProxyScheme::Https {
            return Ok(Box::new(tcp));
        }
        let config = || blocking(|| Trust::System.config(&["http/1.1"]));
        let config = Arc::clone(self.tls.get_or_try_init(config).await?);
        let name = tls::server_name(&host.to_string())?;
        let secured = TlsConnector::from(config).connect(name, tcp).await;
        let secured = secured.map_err(|error| {
            // Its text may name the proxy.
            tracing::debug!(%error, "TLS with the proxy failed");
            unreachable("TLS with it failed")
        })?;
        Ok(Box::new(secured))
    }

    async fn tunnel(&self, transport: Transport, target: Uri) -> Result<Transport, ProxyError> {
        let authorization = self.authorization.as_deref().unwrap_or_default();
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        let mut wire = Wire::new(transport);
        wire.send([Bytes::from(request)]);
        let answer = match http1::read_head(&mut wire, ANSWER_BYTES).await {
            Ok(head) if head.whole => head,
            Ok(_) => {
                let cut = "its answer has no end".to_owned();
                return Err(ProxyError::Protocol(cut));
            }
            Err(SendError::Protocol(reason)) => return Err(ProxyError::Protocol(reason)),
            Err(other) => return Err(ProxyError::Protocol(other.to_string())),
        };
        match answer.status {
            // Bytes that come through the tunnel before the receiver was asked anything are not from the receiver.
            200..=299 => wire.into_transport().ok_or_else(|| {
                ProxyError::Protocol("it sent data of its own through the tunnel".to_owned())
            }),
            407 => Err(ProxyError::Unauthorized),
            status => Err(ProxyError::Refused(status)),
        }
    }

    async fn socks(&self, transport: Transport, target: Uri) -> Result<Transport, ProxyError> {
        let mut transport = Some(TokioIo::new(transport));
        let reached = service_fn(move |_: Uri| {
            let once = transport.take();
            async { once.ok_or_else(|| io::Error::other("asked for twice")) }
        });
        let mut socks = SocksV5::new(Uri::from_static("socks5://reached.invalid"), reached);
        if let Some(credentials) = &self.address.credentials {
            let password = credentials.password.expose().to_owned();
            socks = socks.with_auth(credentials.user.clone(), password);
        }
        match socks.call(target).await {
            Ok(tunnel) => Ok(tunnel.into_inner()),
            Err(e) => Err(ProxyError::Socks(e.to_string())),
        }
    }
}

fn unreachable(reason: impl Into<String>) -> SendError {
    SendError::Proxy(ProxyError::Unreachable(reason.into()))
}
