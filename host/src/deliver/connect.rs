//! Connections to receivers: dialled, by the operator's proxy if there is one, and secured.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host;

use super::{
    error::{self, Phase, SendError},
    meter::{Meter, Metered},
    proxy::Proxy,
    tls,
    transport::{Connected, Transport, dial},
};
use crate::guard::{Guard, Route};

/// Bytes of a TLS handshake, with room for long chains of certificates.
const HANDSHAKE_BYTES: usize = 256 * 1024;

/// Makes connections to what the guard lets pass, and to nothing else.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) guard: Guard,
    pub(super) proxy: Option<Proxy>,
    pub(super) timeout: Duration,
}

impl Connector {
    /// Connects to a host as it stands in a URL, as the guard, which looks names up for its owner, says. With TLS if
    /// there are settings for it.
    pub(super) async fn connect(
        &self,
        guard: &Guard,
        name: &str,
        port: u16,
        secure: Option<Arc<ClientConfig>>,
    ) -> Result<Connected, SendError> {
        const NOT_TAKEN: SendError = SendError::Internal("its HTTP client did not accept the URL");
        let deadline = Instant::now() + self.timeout;
        let too_slow = |phase| move |_| SendError::Timeout(phase);
        let host = Host::parse(name).map_err(|_| NOT_TAKEN)?;

        let route = timeout_at(deadline, guard.route(&host))
            .await
            .map_err(too_slow(Phase::Connect))?
            .map_err(SendError::Guard)?;
        let (transport, peer) = match (route, &self.proxy) {
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

        let meter = Meter::new(HANDSHAKE_BYTES);
        let mut connected = Connected {
            transport: Box::new(Metered::new(transport, Arc::clone(&meter))),
            meter,
            peer,
            http2: false,
        };
        if let Some(config) = secure {
            let handshake =
                TlsConnector::from(config).connect(tls::server_name(name)?, connected.transport);
            let secured = timeout_at(deadline, handshake)
                .await
                .map_err(too_slow(Phase::Connect))?
                .map_err(|e| error::of_handshake(&e))?;
            connected.http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
            connected.transport = Box::new(secured);
        }
        Ok(connected)
    }
}

/// The addresses that a proxy is asked for: each that it does not reach costs time. All proxies have IPv4,
/// and whether this one has IPv6, this machine's resolver, which chose the order, does not know.
fn first_tries(mut ips: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    ips.sort_by_key(IpAddr::is_ipv6);
    let tries = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
    tries.take(4).collect()
}
