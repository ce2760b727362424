//! Which addresses are public.
//!
//! Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), the
//! multicast registries, and addresses that are public by number and not by reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

type V4 = (Ipv4Addr, u32, &'static str);
type V6 = (Ipv6Addr, u32, &'static str);

const V4_RANGES: [V4; 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "\"this network\" (RFC 791)"),
    (
        Ipv4Addr::new(10, 0, 0, 0),
        8,
        "a private network (RFC 1918)",
    ),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "a carrier's shared address space (RFC 6598)",
    ),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback (RFC 1122)"),
    (
        Ipv4Addr::new(168, 63, 129, 16),
        32,
        "the Azure platform's address",
    ),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "link-local, where cloud metadata is served (RFC 3927)",
    ),
    (
        Ipv4Addr::new(172, 16, 0, 0),
        12,
        "a private network (RFC 1918)",
    ),
    (
        Ipv4Addr::new(192, 0, 0, 0),
        24,
        "IETF protocol assignments (RFC 6890)",
    ),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation (RFC 5737)"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays (RFC 7526)"),
    (
        Ipv4Addr::new(192, 168, 0, 0),
        16,
        "a private network (RFC 1918)",
    ),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking (RFC 2544)"),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        "documentation (RFC 5737)",
    ),
    (
        Ipv4Addr::new(203, 0, 113, 0),
        24,
        "documentation (RFC 5737)",
    ),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast (RFC 5771)"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast (RFC 919)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved (RFC 1112)"),
];

/// All that is not global unicast (2000::/3) is refused anyway; what is listed here beyond it has a
/// better reason to show. The first match counts.
const V6_RANGES: [V6; 16] = [
    (v6(0, 0, 0), 128, "unspecified (RFC 4291)"),
    (Ipv6Addr::LOCALHOST, 128, "loopback (RFC 4291)"),
    (v6(0, 0, 0), 96, "IPv4-compatible (RFC 4291)"),
    (
        v6(0x64, 0xff9b, 1),
        48,
        "local IPv4/IPv6 translation (RFC 8215)",
    ),
    (v6(0x100, 0, 0), 64, "discard-only (RFC 6666)"),
    (v6(0x2001, 0, 0), 32, "Teredo tunnelling (RFC 4380)"),
    (v6(0x2001, 0, 0), 23, "IETF protocol assignments (RFC 2928)"),
    (v6(0x2001, 0xdb8, 0), 32, "documentation (RFC 3849)"),
    (v6(0x2002, 0, 0), 16, "6to4 (RFC 3056)"),
    (v6(0x3fff, 0, 0), 20, "documentation (RFC 9637)"),
    (v6(0x5f00, 0, 0), 16, "segment routing (RFC 9602)"),
    (v6(0xfc00, 0, 0), 7, "unique local (RFC 4193)"),
    (v6(0xfe80, 0, 0), 10, "link-local (RFC 4291)"),
    (v6(0xfec0, 0, 0), 10, "site-local (RFC 3879)"),
    (v6(0xff00, 0, 0), 8, "multicast (RFC 4291)"),
    (v6(0, 0, 0), 8, "reserved (RFC 4291)"),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// Whether an address is on the public internet, for deliveries to strangers' destinations. Pure.
///
/// An address that stands for an IPv4 address (mapped, or translated by the well-known NAT64 prefix, as
/// networks without IPv4 resolve every IPv4-only receiver) is judged as that one, since that is where its
/// packets go. Other ways to embed IPv4 (compatible, 6to4, Teredo, local NAT64) are refused.
///
/// # Errors
/// The range it is in, in words that follow "an address of".
pub fn is_public(ip: IpAddr) -> Result<(), &'static str> {
    let range = match embedded_v4(ip) {
        Some(v4) => V4_RANGES
            .iter()
            .find(|(network, bits, _)| in_v4(v4, *network, *bits))
            .map(|(_, _, range)| *range),
        None => match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => V6_RANGES
                .iter()
                .find(|(network, bits, _)| in_v6(v6, *network, *bits))
                .map(|(_, _, range)| *range)
                .or_else(|| (v6.segments()[0] >> 13 != 1).then_some("no global network")),
        },
    };
    range.map_or(Ok(()), Err)
}

/// The listed network that an address which is not public is in, or the part of the unlisted rest around it.
pub(super) fn network_of(ip: IpAddr) -> IpNet {
    let listed = match (embedded_v4(ip), ip) {
        (Some(v4), _) => V4_RANGES
            .iter()
            .find(|(network, bits, _)| in_v4(v4, *network, *bits))
            .map(|(network, bits, _)| (IpAddr::V4(*network), *bits)),
        (None, IpAddr::V6(v6)) => V6_RANGES
            .iter()
            .find(|(network, bits, _)| in_v6(v6, *network, *bits))
            .map(|(network, bits, _)| (IpAddr::V6(*network), *bits)),
        (None, IpAddr::V4(_)) => None,
    };
    let (network, bits) = listed.unwrap_or((ip, 16));
    let bits = u8::try_from(bits).unwrap_or(u8::MAX);
    IpNet::new(network, bits).map_or_else(|_| ip.into(), |network| network.trunc())
}

/// The IPv4 address that packets to `ip` reach: itself, or the one that a mapped or NAT64 address stands
/// for.
pub(super) fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().or_else(|| match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            _ => None,
        }),
    }
}

fn in_v4(ip: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (ip.to_bits() ^ network.to_bits())
        .checked_shr(32 - bits)
        .unwrap_or(0)
        == 0
}

fn in_v6(ip: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (ip.to_bits() ^ network.to_bits())
        .checked_shr(128 - bits)
        .unwrap_or(0)
        == 0
}

#[cfg(test)]
mod tests {
    use ipnet::{IpNet, Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    /// Networks that must be refused, first and last address, and the neighbours that must not.
    #[test]
    fn special_ranges_end_where_they_end() {
        for (network, before_is_public, after_is_public) in [
            ("0.0.0.0/8", false, true),
            ("10.0.0.0/8", true, true),
            ("100.64.0.0/10", true, true),
            ("127.0.0.0/8", true, true),
            ("168.63.129.16/32", true, true),
            ("169.254.0.0/16", true, true),
            ("172.16.0.0/12", true, true),
            ("192.0.0.0/24", true, true),
            ("192.0.2.0/24", true, true),
            ("192.88.99.0/24", true, true),
            ("192.168.0.0/16", true, true),
            ("198.18.0.0/15", true, true),
            ("198.51.100.0/24", true, true),
            ("203.0.113.0/24", true, true),
            ("224.0.0.0/4", true, false),
            ("240.0.0.0/4", false, false),
            ("::/128", false, false),
            ("::1/128", false, false),
            ("::/96", false, false),
            ("::ffff:0:0:0/96", false, false),
            ("64:ff9b:1::/48", false, false),
            ("100::/64", false, false),
            ("2001::/23", true, true),
            ("2001:db8::/32", true, true),
            ("2002::/16", true, true),
            ("3fff::/20", true, true),
            ("4000::/2", true, false),
            ("5f00::/16", false, false),
            ("fc00::/7", false, false),
            ("fe80::/10", false, false),
            ("fec0::/10", false, false),
            ("ff00::/8", false, false),
        ] {
            let network: IpNet = network.parse().unwrap();
            assert!(is_public(network.network()).is_err(), "first of {network}");
            assert!(is_public(network.broadcast()).is_err(), "last of {network}");
            let (before, after) = match network {
                IpNet::V4(n) => (
                    n.network()
                        .to_bits()
                        .checked_sub(1)
                        .map(|b| Ipv4Addr::from(b).into()),
                    n.broadcast()
                        .to_bits()
                        .checked_add(1)
                        .map(|b| Ipv4Addr::from(b).into()),
                ),
                IpNet::V6(n) => (
                    n.network()
                        .to_bits()
                        .checked_sub(1)
                        .map(|b| Ipv6Addr::from(b).into()),
                    n.broadcast()
                        .to_bits()
                        .checked_add(1)
                        .map(|b| Ipv6Addr::from(b).into()),
                ),
            };
            if let Some(before) = before {
                assert_eq!(
                    is_public(before).is_ok(),
                    before_is_public,
                    "{before} before {network}"
                );
            }
            if let Some(after) = after {
                assert_eq!(
                    is_public(after).is_ok(),
                    after_is_public,
                    "{after} after {network}"
                );
            }
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.215.14",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450:4001::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }

    proptest! {
        #[test]
        fn an_embedded_address_is_judged_as_itself(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
            prop_assert_eq!(is_public(v4.to_ipv6_mapped().into()), is_public(v4.into()));
            prop_assert_eq!(is_public(nat64.into()), is_public(v4.into()));
            prop_assert!(is_public(v4.to_ipv6_compatible().into()).is_err());
            prop_assert!(is_public(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into()).is_err());
        }

        /// The standard library's own classes, where it has them, are a second opinion.
        #[test]
        fn nothing_that_std_calls_local_is_public(v4: u32, v6: u128) {
            let v4 = Ipv4Addr::from(v4);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified() {
                prop_assert!(is_public(v4.into()).is_err());
            }
            let v6 = Ipv6Addr::from(v6);
            if v6.is_loopback() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local() {
                prop_assert!(is_public(v6.into()).is_err());
            }
        }

        #[test]
        fn ranges_agree_with_ipnet(v4: u32, v6: u128, at in 0usize..17, v6_at in 0usize..16) {
            // Half of the bits of a random address, the other half of a network's: near its edge.
            let (network, bits, _) = V4_RANGES[at];
            let near = Ipv4Addr::from(network.to_bits() | (v4 & (u32::MAX >> 4)));
            let net = Ipv4Net::new(network, u8::try_from(bits).unwrap()).unwrap();
            prop_assert_eq!(in_v4(near, network, bits), net.contains(&near));
            let (network, bits, _) = V6_RANGES[v6_at];
            let near = Ipv6Addr::from(network.to_bits() | (v6 & (u128::MAX >> 12)));
            let net = Ipv6Net::new(network, u8::try_from(bits).unwrap()).unwrap();
            prop_assert_eq!(in_v6(near, network, bits), net.contains(&near));
        }
    }
}
