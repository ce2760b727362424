//! The route of a connection: directly to the addresses, or through the operator's proxy.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::canonical;
use crate::config::{DeliveryConfig, NoProxy};

/// Maximum time of the look-up of a name that the proxy will resolve: long enough to find internal names, and not so
/// long that unreachable name servers use up the time to connect.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The route to a host. Every address in it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A connection to one of these addresses, in the order of preference.
    Direct(Vec<IpAddr>),
    /// The proxy connects to one of these addresses.
    Proxied(Vec<IpAddr>),
    /// The proxy looks up the name and connects. Only with `delivery.proxy_resolves`, and never if the name resolves
    /// here to an address that is not allowed.
    ProxiedByName,
}

/// Whether a name can only be an internal one: of the proxy's own machine, its network or its cloud. Such a name has no
/// dot, so that a search list completes it, or is below a domain that is not in the public DNS:
/// RFC 6761 section 6.3, RFC 6762 section 3 and appendix G, RFC 8375, and ICANN's resolution 2024.07.29.06.
pub(super) fn is_of_the_inside(host: &str) -> bool {
    const INSIDE: [&str; 10] = [
        "localhost",
        "localdomain",
        "local",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "home.arpa",
    ];
    let host = canonical(host);
    !host.contains('.') || INSIDE.iter().any(|domain| is_or_is_below(&host, domain))
}

fn is_or_is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The facts about the proxy that the guard needs.
#[derive(Debug)]
pub(super) struct ProxyRules {
    /// `delivery.proxy_resolves`
    pub(super) resolves: bool,
    hosts: Vec<String>,
    networks: Vec<IpNet>,
}

impl ProxyRules {
    /// The rules, if there is a proxy.
    pub(super) fn of(config: &DeliveryConfig) -> Option<Self> {
        config.proxy.address()?;
        let (mut hosts, mut networks) = (Vec::new(), Vec::new());
        for exception in &config.no_proxy {
            match exception {
                NoProxy::Host(name) => hosts.push(name.clone()),
                NoProxy::Network(network) => networks.push(*network),
            }
        }
        Some(Self {
            resolves: config.proxy_resolves,
            hosts,
            networks,
        })
    }

    /// Whether `delivery.no_proxy` has the host, or one that it is below.
    pub(super) fn excepts_name(&self, host: &str) -> bool {
        let host = canonical(host);
        self.hosts
            .iter()
            .any(|domain| is_or_is_below(&host, domain))
    }

    /// Whether all of these are in networks of `delivery.no_proxy`.
    pub(super) fn excepts_addresses(&self, ips: &[IpAddr]) -> bool {
        let mut ips = ips.iter();
        ips.all(|ip| self.networks.iter().any(|network| network.contains(ip)))
    }
}
