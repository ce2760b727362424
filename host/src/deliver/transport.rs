//! The bytes of a connection, whatever carries them.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tower::Service;

use super::{error, meter::Meter};

/// TCP, TLS or a tunnel.
pub(super) type Transport = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection to a receiver.
pub(super) struct Connected {
    pub(super) transport: Transport,
    /// Counts what is read from it.
    pub(super) meter: Arc<Meter>,
    /// Where it leads, for the response's record; with a proxy, where that was asked to connect to.
    pub(super) peer: Option<SocketAddr>,
    /// Whether the receiver chose HTTP/2.
    pub(super) http2: bool,
}

/// A connection to the first of these that takes one; if both kinds of IP are there, the second kind gets its
/// try after 300 ms (RFC 8305). The error has no addresses in it.
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
