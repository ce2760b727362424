//! `ipaddr`: addresses and networks, in the manner of Ansible's filter of that name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::args::Args;
use crate::limits;
use crate::output::to_str;
use crate::values::{self, wrong};

/// An address in a network.
#[derive(Clone, Copy)]
struct Interface {
    address: u128,
    prefix: u32,
    four: bool,
    /// Whether the prefix was written.
    written: bool,
}

impl Interface {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (number, bits, four) = match address {
            IpAddr::V4(address) => (u32::from(address).into(), 32, true),
            IpAddr::V6(address) => (u128::from(address), 128, false),
        };
        let prefix = match prefix {
            None => bits,
            Some(mask) if four && mask.contains('.') => {
                let mask = u32::from(mask.parse::<Ipv4Addr>().ok()?);
                let length = |mask: u32| {
                    (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones())
                };
                // As in Python, a mask of the hosts' part will do.
                length(mask).or_else(|| length(!mask))?
            }
            Some(length) if length.bytes().all(|b| b.is_ascii_digit()) => {
                length.parse().ok().filter(|&length| length <= bits)?
            }
            Some(_) => return None,
        };
        Some(Self {
            address: number,
            prefix,
            four,
            written: text.contains('/'),
        })
    }

    fn bits(self) -> u32 {
        if self.four { 32 } else { 128 }
    }

    /// The bits of the host's part.
    fn hosts(self) -> u128 {
        let free = self.bits().saturating_sub(self.prefix);
        1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1)
    }

    fn network(self) -> u128 {
        self.address & !self.hosts()
    }

    fn show(self, address: u128) -> String {
        if self.four {
            Ipv4Addr::from(u32::try_from(address & 0xffff_ffff).unwrap_or(0)).to_string()
        } else {
            Ipv6Addr::from(address).to_string()
        }
    }

    fn with_prefix(self, address: u128) -> String {
        format!("{}/{}", self.show(address), self.prefix)
    }

    fn is_private(self) -> bool {
        if self.four {
            let address = Ipv4Addr::from(u32::try_from(self.address).unwrap_or(0));
            address.is_private() || address.is_loopback() || address.is_link_local()
        } else {
            let address = Ipv6Addr::from(self.address);
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }

    /// Whether it is one machine's and may be met anywhere.
    fn is_public(self) -> bool {
        let reserved = if self.four {
            let address = Ipv4Addr::from(u32::try_from(self.address).unwrap_or(0));
            address.is_multicast() || address.is_unspecified() || address.is_broadcast()
        } else {
            let address = Ipv6Addr::from(self.address);
            address.is_multicast() || address.is_unspecified()
        };
        !self.is_private() && !reserved
    }

    /// The answer to a query: none if it has none for this address.
    fn ask(self, query: &str) -> Result<Option<Value>, Error> {
        let text = |text: String| Some(Value::from(text));
        let (network, last) = (self.network(), self.network() | self.hosts());
        // Networks of one or two addresses have no broadcast address.
        let wide = self.hosts() > 1;
        let (low, high) = match (wide, self.four) {
            (true, true) => (network + 1, last - 1),
            (true, false) => (network + 1, last),
            (false, _) => (network, last),
        };
        Ok(match query {
            "" => text(if self.written {
                self.with_prefix(self.address)
            } else {
                self.show(self.address)
            }),
            "address" | "ip" => text(self.show(self.address)),
            "network" => text(self.show(network)),
            "prefix" => Some(Value::from(self.prefix)),
            "netmask" => text(self.show(!self.hosts())),
            "hostmask" | "wildcard" => text(self.show(self.hosts())),
            "broadcast" => wide.then(|| Value::from(self.show(last))),
            "subnet" | "net" if query == "subnet" || self.address == network => {
                text(self.with_prefix(network))
            }
            "net" => None,
            "host" if self.hosts() == 0 => text(self.with_prefix(self.address)),
            // An address amid others is what a gateway is given as.
            "gateway" | "gw" | "router" | "host" | "host/prefix" => (self.hosts() > 0
                && self.address != network)
                .then(|| Value::from(self.with_prefix(self.address))),
            "first_usable" => text(self.show(low)),
            "last_usable" => text(self.show(high)),
            "next_usable" => {
                let next = self
                    .address
                    .checked_add(1)
                    .filter(|next| (low..=high).contains(next));
                next.map(|next| Value::from(self.show(next)))
            }
            "previous_usable" => {
                let previous = self.address.checked_sub(1);
                let previous = previous.filter(|previous| (low..=high).contains(previous));
                previous.map(|previous| Value::from(self.show(previous)))
            }
            "size" => Some(Value::from(self.hosts().checked_add(1).ok_or_else(
                || wrong("integers of more than 128 bits are not supported"),
            )?)),
            "version" | "type" if query == "version" => {
                Some(Value::from(if self.four { 4 } else { 6 }))
            }
            "type" => {
                let host = !self.written || self.address != network || self.hosts() == 0;
                Some(Value::from(if host { "address" } else { "network" }))
            }
            "int" => Some(Value::from(self.address)),
            "ipv4" | "v4" => self.four.then(|| Value::from(self.with_or_without())),
            "ipv6" | "v6" => (!self.four).then(|| Value::from(self.with_or_without())),
            "private" => self
                .is_private()
                .then(|| Value::from(self.with_or_without())),
            "public" => self
                .is_public()
                .then(|| Value::from(self.with_or_without())),
            _ => return self.select(query),
        })
    }

    fn with_or_without(self) -> String {
        if self.written {
            self.with_prefix(self.address)
        } else {
            self.show(self.address)
        }
    }

    /// The address at an offset within the network, or whether it lies in another.
    fn select(self, query: &str) -> Result<Option<Value>, Error> {
        if let Ok(offset) = query.parse::<i128>() {
            let from = if offset < 0 {
                self.network() | self.hosts()
            } else {
                self.network()
            };
            let steps = offset.unsigned_abs();
            let steps = if offset < 0 { steps - 1 } else { steps };
            let address = if offset < 0 {
                from.checked_sub(steps)
            } else {
                from.checked_add(steps)
            };
            let inside = steps <= self.hosts();
            return Ok(address
                .filter(|_| inside)
                .map(|a| Value::from(self.with_prefix(a))));
        }
        let network = Self::parse(query).ok_or_else(|| {
            wrong(format!(
                "`ipaddr` knows no query `{query}`; use address, network, prefix, netmask, gateway, a number …"
            ))
        })?;
        let inside = network.four == self.four
            && self.prefix >= network.prefix
            && self.address & !network.hosts() == network.network();
        Ok(inside.then(|| Value::from(self.with_or_without())))
    }
}

/// `ipaddr(query='')`: of a text the answer, or `False`; of a list those that have one.
pub(crate) fn ipaddr(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let query = args.text(state, 0, "")?;
    let one = |value: &Value| {
        state.consume_fuel(2 * limits::CALL)?;
        match Interface::parse(&to_str(state, value)?) {
            Some(interface) => interface.ask(&query),
            None => Ok(None),
        }
    };
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let mut found = Vec::new();
        for item in values::items(state, value)? {
            found.extend(one(&item)?);
        }
        return Ok(values::list(found));
    }
    Ok(one(value)?.unwrap_or_else(|| Value::from(false)))
}
