//! Stage 6: the check of a request's destination.
//!
//! Deliveries go to http and https URLs whose host is public: each of its addresses must be public ([`is_public`]) or
//! in a network that the operator allows, or the operator must allow the host by name. A single other address is enough
//! to refuse: otherwise someone who controls the name's answers would reach it after enough attempts.
//!
//! The guard checks twice. [`Guard::check`] turns an [`OutboundRequest`] into a [`GuardedRequest`], the only input that
//! [`crate::deliver`] takes; it also checks the port. Each connection is then made to the addresses that
//! [`Guard::route`] returns. So every host is checked again, with exactly the addresses that are dialled or that the
//! operator's proxy is asked to dial. A name whose answer changes in between (DNS rebinding) gains nothing.
//!
//! The operator can make one exception: with `delivery.proxy_resolves`, a name that does not resolve here goes to the
//! proxy as a name, and only the proxy checks its addresses ([`Route::ProxiedByName`]).

mod ranges;
mod resolve;
mod route;

use std::{collections::HashSet, fmt, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use url::{Host, Url};

pub use ranges::is_public;
pub(crate) use resolve::Names;
pub use resolve::{Resolve, SystemResolver};
pub use route::Route;

use crate::{
    config::{DeliveryConfig, GuardConfig},
    model::TenantId,
    record::FailureKind,
    request::OutboundRequest,
};
use resolve::LookupError;
use route::ProxyRules;

/// Checks destinations. Cheap to clone; clones share recent look-ups.
#[derive(Clone, Debug)]
pub struct Guard {
    inner: Arc<Inner>,
    owner: Owner,
}

#[derive(Debug)]
struct Inner {
    allow_networks: Vec<IpNet>,
    allow_hosts: HashSet<String>,
    allow_ports: Vec<u16>,
    /// If there is a proxy.
    proxy: Option<ProxyRules>,
    names: Names,
}

/// A request that may be sent. Only [`Guard::check`] makes one.
#[derive(Debug)]
pub struct GuardedRequest {
    request: OutboundRequest,
    owner: Owner,
}

/// The tenant for which names are looked up.
pub(crate) type Owner = Arc<str>;

impl GuardedRequest {
    /// The request that will be sent.
    #[must_use]
    pub fn request(&self) -> &OutboundRequest {
        &self.request
    }

    /// The request, and the tenant for which its name is looked up when a connection is made.
    pub(crate) fn into_parts(self) -> (OutboundRequest, Owner) {
        (self.request, self.owner)
    }
}

/// The reason why a request may not be sent, in one sentence for the webhook's owner. It names no address to which a
/// name resolved, as owners must not explore the operator's network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The destination is not allowed. Another attempt does not help.
    #[error(
        "deliveries to {host} are blocked: {reason}; if it is meant, the operator can allow it \
         (guard.allow_networks, guard.allow_hosts, guard.allow_ports)"
    )]
    Blocked {
        /// The host as it may be shown.
        host: String,
        /// The reason why it is blocked.
        reason: String,
        /// The remedy, for the operator and not for the webhook's owner.
        remedy: Remedy,
    },
    /// The host's addresses could not be looked up.
    #[error("cannot find the address of {host}: {reason}")]
    Dns {
        /// The host as it may be shown.
        host: String,
        /// The reason.
        reason: String,
    },
}

/// The setting by which the operator could allow a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing allows it.
    #[default]
    Nothing,
    /// The network of special use that one of its addresses is in, or a part of that.
    Network(IpNet),
    /// Its name.
    Host,
    /// Its port.
    Port,
    /// It is not told: the destination is a secret.
    Secret,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("change the webhook, as no setting allows this destination"),
            Self::Network(network) => write!(
                f,
                "start hookbox with --allow-network {network} or a smaller network in it (guard.allow_networks), or name \
                 the host in guard.allow_hosts"
            ),
            Self::Host => f.write_str("name the host in guard.allow_hosts"),
            Self::Port => f.write_str("add the port to guard.allow_ports"),
            Self::Secret => f.write_str(
                "find its address, and allow its network, host or port (guard.allow_networks, allow_hosts, allow_ports)",
            ),
        }
    }
}

impl GuardError {
    /// The kind in [`crate::record::AttemptError`].
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => FailureKind::BLOCKED.as_str(),
            Self::Dns { .. } => FailureKind::DNS.as_str(),
        }
    }

    /// Whether trying again can help.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Dns { .. })
    }

    fn allowed_by(mut self, by: Remedy) -> Self {
        if let Self::Blocked { remedy, .. } = &mut self {
            *remedy = by;
        }
        self
    }

    /// The same error about a host by its shown name.
    pub(crate) fn shown_as(mut self, shown: &str) -> Self {
        let (Self::Blocked { host, .. } | Self::Dns { host, .. }) = &mut self;
        shown.clone_into(host);
        self
    }
}

impl Guard {
    /// A guard with the system's resolver. It uses the settings of the proxy from those of deliveries.
    #[must_use]
    pub fn new(config: &GuardConfig, delivery: &DeliveryConfig) -> Self {
        Self::with_resolver(config, delivery, Arc::new(SystemResolver))
    }

    /// A guard with the caller's resolver, whose answers are checked as well.
    #[must_use]
    pub fn with_resolver(
        config: &GuardConfig,
        delivery: &DeliveryConfig,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let inner = Inner {
            allow_networks: config.allow_networks.clone(),
            allow_hosts: config.allow_hosts.iter().map(|h| canonical(h)).collect(),
            allow_ports: config.allow_ports.clone(),
            proxy: ProxyRules::of(delivery),
            names: Names::new(resolver),
        };
        Self {
            inner: Arc::new(inner),
            owner: Arc::default(),
        }
    }

    /// The same guard with look-ups that count as this tenant's. A tenant with many slow names waits for them alone;
    /// others do not wait.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Self {
        self.owned_by(tenant.as_str().into())
    }

    pub(crate) fn owned_by(&self, owner: Owner) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            owner,
        }
    }

    /// Checks the destination of a request. Takes up to 5 seconds, for the name's look-up.
    ///
    /// # Errors
    /// See [`GuardError`].
    pub async fn check(&self, request: OutboundRequest) -> Result<GuardedRequest, GuardError> {
        match self.check_url(request.url()).await {
            Ok(_) => Ok(GuardedRequest {
                request,
                owner: Arc::clone(&self.owner),
            }),
            Err(error) => Err(error.shown_as(request.shown_host())),
        }
    }

    /// The route of a request to this URL. The errors name the URL's host, which may contain a secret.
    ///
    /// # Errors
    /// See [`GuardError`].
    async fn check_url(&self, url: &Url) -> Result<Route, GuardError> {
        let name = url.host_str().unwrap_or_default();
        let blocked = |reason: &str| blocked(name, reason);
        if !matches!(url.scheme(), "http" | "https") {
            return Err(blocked("its scheme is not http or https"));
        }
        let port = url
            .port_or_known_default()
            .ok_or_else(|| blocked("it names no port"))?;
        if !self.inner.allow_ports.is_empty() && !self.inner.allow_ports.contains(&port) {
            let error = blocked(&format!("port {port} is not among those allowed"));
            return Err(error.allowed_by(Remedy::Port));
        }
        let host = url.host().ok_or_else(|| blocked("it names no host"))?;
        self.route(&host).await
    }

    /// The current route to a host: its addresses, all of them allowed, and whether the proxy connects. Takes up to 5
    /// seconds.
    ///
    /// # Errors
    /// See [`GuardError`].
    pub async fn route<S: AsRef<str>>(&self, host: &Host<S>) -> Result<Route, GuardError> {
        let ip: Option<IpAddr> = match host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some((*ip).into()),
            Host::Ipv6(ip) => Some((*ip).into()),
        };
        let name = host.to_string();
        let proxy = self.inner.proxy.as_ref().filter(|p| !p.excepts_name(&name));
        let ips = match (ip, proxy) {
            (Some(ip), _) => {
                self.judge(&name, "it is", &[ip])?;
                vec![ip]
            }
            (None, Some(proxy)) if proxy.resolves => {
                match self.lookup(&name, route::PATIENCE).await {
                    Ok(ips) => {
                        self.judge(&name, "it resolves to", &ips)?;
                        ips.to_vec()
                    }
                    // The name must not pass unchecked because look-ups are busy: a tenant could keep them busy on
                    // purpose.
                    Err(busy @ LookupError::Busy) => return Err(unknown(&name, busy)),
                    Err(LookupError::NoAddress | LookupError::TimedOut) => {
                        return self.by_unknown_name(&name);
                    }
                }
            }
            (None, _) => self.resolve(&name).await?,
        };
        Ok(match proxy.filter(|p| !p.excepts_addresses(&ips)) {
            None => Route::Direct(ips),
            Some(proxy) if proxy.resolves && ip.is_none() => Route::ProxiedByName,
            Some(_) => Route::Proxied(ips),
        })
    }

    fn by_unknown_name(&self, name: &str) -> Result<Route, GuardError> {
        if route::is_of_the_inside(name) && !self.inner.allow_hosts.contains(&canonical(name)) {
            let reason =
                "it is not a name of the public internet, and its addresses are not known here";
            return Err(blocked(name, reason).allowed_by(Remedy::Host));
        }
        Ok(Route::ProxiedByName)
    }

    /// The addresses of a name, all allowed.
    ///
    /// # Errors
    /// See [`GuardError`].
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, GuardError> {
        let found = self.lookup(host, resolve::TIMEOUT).await;
        let ips = found.map_err(|error| unknown(host, error))?;
        self.judge(host, "it resolves to", &ips)?;
        Ok(ips.to_vec())
    }

    async fn lookup(&self, host: &str, patience: Duration) -> Result<Arc<[IpAddr]>, LookupError> {
        let name = host.to_ascii_lowercase();
        let names = &self.inner.names;
        names.lookup_within(&name, &self.owner, patience).await
    }

    fn judge(&self, host: &str, verb: &str, ips: &[IpAddr]) -> Result<(), GuardError> {
        if self.inner.allow_hosts.contains(&canonical(host)) {
            return Ok(());
        }
        for ip in ips {
            if let Err(range) = is_public(*ip)
                && !self.is_allowed(*ip)
            {
                let error = blocked(host, &format!("{verb} an address of {range}"));
                return Err(error.allowed_by(Remedy::Network(ranges::network_of(*ip))));
            }
        }
        Ok(())
    }

    /// Whether an allowed network holds the address, or the IPv4 address that it stands for.
    fn is_allowed(&self, ip: IpAddr) -> bool {
        let v4 = ranges::embedded_v4(ip).map(IpAddr::V4);
        let mut networks = self.inner.allow_networks.iter();
        networks.any(|n| n.contains(&ip) || v4.is_some_and(|v4| n.contains(&v4)))
    }
}

fn unknown(host: &str, error: LookupError) -> GuardError {
    GuardError::Dns {
        host: host.to_owned(),
        reason: error.to_string(),
    }
}

fn blocked(host: &str, reason: &str) -> GuardError {
    GuardError::Blocked {
        host: host.to_owned(),
        reason: reason.to_owned(),
        remedy: Remedy::Nothing,
    }
}

/// The form in which names are compared: lower case, without the root's dot and without an IPv6 address's brackets.
fn canonical(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
