//! The HTTP clients, one for each way to do TLS.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};

use super::{Setup, connect::Connector, error::SendError, tls::Trust};

/// Clients kept at once. Each CA file needs one of its own.
const CLIENTS: usize = 64;

/// Hosts that one client has connections to before it is replaced. Strangers choose the hosts: without
/// a bound, idle connections to ever new ones would use up the process's file descriptors. Requests under
/// way keep the replaced client until they are done.
const HOSTS_PER_CLIENT: usize = 256;

/// A pool of connections.
pub(super) type HttpClient = legacy::Client<Connector, Full<Bytes>>;

/// What clients differ in, since they must not share connections then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) trust: Trust,
    /// For requests with a `Host` of their own, which HTTP/2 has no place for.
    pub(super) http1_only: bool,
}

#[derive(Default)]
pub(super) struct Clients {
    pooled: Mutex<HashMap<Kind, Pooled>>,
    /// Held while a client is made, which reads and parses certificates: once is enough.
    making: Mutex<()>,
}

struct Pooled {
    client: HttpClient,
    /// With ports. A host may be a secret: not for logs.
    hosts: HashSet<String>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// The client of this kind, made if there is none yet. May read certificates: for blocking threads,
    /// unless [`Clients::ready`] had it.
    pub(super) fn get(
        &self,
        kind: &Kind,
        host: &str,
        setup: &Arc<Setup>,
    ) -> Result<HttpClient, SendError> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.ready(kind, host) {
            return Ok(client);
        }
        let client = build(kind, setup)?;
        let mut clients = self.pooled.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS {
            clients.retain(|k, _| matches!(k.trust, Trust::System | Trust::Anybody));
        }
        let hosts = HashSet::from([host.to_owned()]);
        let pooled = Pooled {
            client: client.clone(),
            hosts,
        };
        clients.insert(kind.clone(), pooled);
        Ok(client)
    }

    /// The client of this kind if it is there and may connect to one more host.
    pub(super) fn ready(&self, kind: &Kind, host: &str) -> Option<HttpClient> {
        let mut clients = self.pooled.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = clients.get_mut(kind)?;
        if !pooled.hosts.contains(host) {
            if pooled.hosts.len() >= HOSTS_PER_CLIENT {
                return None;
            }
            pooled.hosts.insert(host.to_owned());
        }
        Some(pooled.client.clone())
    }
}

fn build(kind: &Kind, setup: &Arc<Setup>) -> Result<HttpClient, SendError> {
    let alpn: &[&str] = if kind.http1_only {
        &["http/1.1"]
    } else {
        &["h2", "http/1.1"]
    };
    let connector = Connector {
        setup: Arc::clone(setup),
        tls: kind.trust.config(alpn)?,
    };
    // A request that could not be sent on a pooled connection, as the receiver had closed it, gets another.
    // One that was sent is not sent again: what is tried again, and when, is the queue's decision.
    let client = legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(setup.idle_timeout)
        .pool_max_idle_per_host(16)
        .http1_title_case_headers(true)
        .http1_max_headers(100)
        .http2_max_header_list_size(64 * 1024)
        .build(connector);
    Ok(client)
}
