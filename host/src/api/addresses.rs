//! Connections by the address they come from.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Number of connections of each address.
#[derive(Debug)]
pub(super) struct Addresses {
    most: usize,
    counts: Arc<Counts>,
}

type Counts = Mutex<HashMap<IpAddr, usize>>;

/// One connection of an address, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Address {
    counts: Arc<Counts>,
    network: IpAddr,
}

impl Addresses {
    /// With so many connections of each address at most.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// A further connection, unless the address has as many as it may.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Address> {
        let network = network_of(peer);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&network).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        counts.insert(network, count.saturating_add(1));
        Some(Address {
            counts: Arc::clone(&self.counts),
            network,
        })
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// The part of an address that is counted: of IPv6 the /64 network, since its owner has 2^64 addresses in it.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_a_network_of_ipv6_is_one_address() {
        let addresses = Addresses::new(2);
        let take = |address: &str| addresses.take(address.parse().unwrap());
        let held = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        let held_v6 = [take("2001:db8::1"), take("2001:db8::2")];
        assert!(held_v6.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::1").is_some());
        drop((held, held_v6));
        assert!(addresses.counts.lock().unwrap().is_empty());
        assert!(take("192.0.2.1").is_some());
    }
}
