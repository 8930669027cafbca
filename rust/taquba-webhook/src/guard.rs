//! The guard: which addresses a delivery may connect to.
//!
//! # Invariants
//!
//! 1. An address of IPv6 is let pass only if it is in the space of global unicast (`2000::/3`), or a
//!    translation of an address of IPv4 that passes itself: what is not known is refused.
//! 2. An address that carries another one (mapped, translated, tunnelled) is judged by that one too.
//! 3. What the operator allows is let pass before anything is refused, and nothing else is.
//!
//! The tables follow the IANA registries of special-purpose addresses (RFC 6890 and its updates), the
//! address space of multicast, and the documented addresses of cloud providers' instance services.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A network of either family.
pub use ipnet::IpNet as Network;

#[cfg(test)]
mod tests;

/// A network that no delivery goes to, and why.
struct Refused<N>(N, &'static str);

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The first match gives the reason, so single addresses come before the networks around them.
const REFUSED_V4: [Refused<Ipv4Net>; 24] = [
    Refused(v4(169, 254, 169, 254, 32), "a cloud's instance metadata"),
    Refused(v4(169, 254, 170, 2, 32), "a cloud's container credentials"),
    Refused(v4(100, 100, 100, 200, 32), "a cloud's instance metadata"),
    Refused(v4(192, 0, 0, 192, 32), "a cloud's instance metadata"),
    // Public by its number, and answered by the host below the virtual machine.
    Refused(v4(168, 63, 129, 16, 32), "a cloud's host service"),
    Refused(v4(0, 0, 0, 0, 8), "this network"),
    Refused(v4(10, 0, 0, 0, 8), "private"),
    Refused(v4(100, 64, 0, 0, 10), "shared by carriers"),
    Refused(v4(127, 0, 0, 0, 8), "loopback"),
    Refused(v4(169, 254, 0, 0, 16), "link-local"),
    Refused(v4(172, 16, 0, 0, 12), "private"),
    Refused(v4(192, 0, 0, 0, 24), "protocol assignments"),
    Refused(v4(192, 0, 2, 0, 24), "documentation"),
    Refused(v4(192, 31, 196, 0, 24), "a sink for name service"),
    Refused(v4(192, 52, 193, 0, 24), "multicast tunnels"),
    Refused(v4(192, 88, 99, 0, 24), "6to4 relays"),
    Refused(v4(192, 168, 0, 0, 16), "private"),
    Refused(v4(192, 175, 48, 0, 24), "a sink for name service"),
    Refused(v4(198, 18, 0, 0, 15), "benchmarks"),
    Refused(v4(198, 51, 100, 0, 24), "documentation"),
    Refused(v4(203, 0, 113, 0, 24), "documentation"),
    Refused(v4(224, 0, 0, 0, 4), "multicast"),
    Refused(v4(255, 255, 255, 255, 32), "broadcast"),
    Refused(v4(240, 0, 0, 0, 4), "reserved"),
];

const REFUSED_V6: [Refused<Ipv6Net>; 18] = [
    Refused(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    Refused(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    Refused(
        Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
        "a cloud's instance metadata",
    ),
    Refused(
        Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
        "a cloud's instance metadata",
    ),
    Refused(v6(0, 0, 0, 0, 96), "IPv4-compatible"),
    // A prefix of a local translator may lead to any address of IPv4 behind it.
    Refused(v6(0x64, 0xff9b, 1, 0, 48), "a local translation of IPv4"),
    Refused(v6(0x100, 0, 0, 0, 64), "a sink"),
    Refused(v6(0x2001, 0, 0, 0, 32), "Teredo tunnels"),
    Refused(v6(0x2001, 2, 0, 0, 48), "benchmarks"),
    Refused(v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    Refused(v6(0x2001, 0, 0, 0, 23), "protocol assignments"),
    Refused(v6(0x2002, 0, 0, 0, 16), "6to4 tunnels"),
    Refused(v6(0x2620, 0x4f, 0x8000, 0, 48), "a sink for name service"),
    Refused(v6(0x3fff, 0, 0, 0, 20), "documentation"),
    Refused(v6(0x5f00, 0, 0, 0, 16), "segment routing"),
    Refused(v6(0xfc00, 0, 0, 0, 7), "private"),
    Refused(v6(0xfe80, 0, 0, 0, 9), "link-local or site-local"),
    Refused(v6(0xff00, 0, 0, 0, 8), "multicast"),
];

/// RFC 6052: where networks without IPv4 reach receivers that have nothing else.
const TRANSLATED: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);

/// RFC 4291: all of global unicast.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// An address that the guard does not let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAddress {
    /// The address as the resolver or the URL gave it.
    pub address: IpAddr,
    /// What kind of address it is.
    pub reason: &'static str,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, reason } = self;
        write!(
            f,
            "the address `{address}` is refused ({reason}): list its network in `allow_networks` if it is meant"
        )
    }
}

impl std::error::Error for RefusedAddress {}

/// A text in `allow_networks` that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give networks such as `10.1.0.0/16`, or single addresses")]
pub struct InvalidNetwork;

/// Decides about addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<Network>,
}

impl AddressGuard {
    /// A guard that lets some networks pass that it would refuse.
    pub const fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Reads a network: an address and the length of its prefix, or a single address.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`] if it is neither, or if the address has bits beyond the prefix: such a text
    /// says two things, and only its writer knows which is meant.
    pub fn parse_network(text: &str) -> Result<Network, InvalidNetwork> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Network::from(address));
        }
        let network: Network = text.parse().map_err(|_| InvalidNetwork)?;
        if network.addr() == network.network() { Ok(network) } else { Err(InvalidNetwork) }
    }

    /// Lets an address pass, or not.
    ///
    /// # Errors
    ///
    /// [`RefusedAddress`] says why not.
    pub fn check(&self, address: IpAddr) -> Result<(), RefusedAddress> {
        // On the wire a mapped address is one of IPv4.
        match self.reason_against(address.to_canonical()) {
            Some(reason) => Err(RefusedAddress { address, reason }),
            None => Ok(()),
        }
    }

    fn reason_against(&self, address: IpAddr) -> Option<&'static str> {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return None;
        }
        match address {
            IpAddr::V4(address) => refused_v4(address),
            IpAddr::V6(address) if TRANSLATED.contains(&address) => {
                self.reason_against(IpAddr::V4(last_four(address)))
            }
            IpAddr::V6(address) => refused_v6(address).or_else(|| {
                let inner = tunnelled(address)?;
                self.reason_against(IpAddr::V4(inner))
            }),
        }
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    let mut refused = REFUSED_V4.iter();
    refused.find(|Refused(network, _)| network.contains(&address)).map(|Refused(_, why)| *why)
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    let mut refused = REFUSED_V6.iter();
    let known = refused.find(|Refused(network, _)| network.contains(&address));
    match known {
        Some(Refused(_, why)) => Some(why),
        None if GLOBAL_UNICAST.contains(&address) => None,
        None => Some("outside of global unicast"),
    }
}

/// What an ISATAP address (RFC 5214) carries: it can have any prefix, so no table holds it.
fn tunnelled(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let is_isatap = matches!(segments[4], 0 | 0x200) && segments[5] == 0x5efe;
    is_isatap.then(|| last_four(address))
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}
