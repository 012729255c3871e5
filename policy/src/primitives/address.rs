//! Where a request comes from, as far as what a worker has is shared out among callers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whoever counts as one caller: an IPv4 address, or the 64 bits of IPv6 that a network gives to one customer at the least
/// (RFC 6177). It is what the proxy says; nothing is ever allowed for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// The proxy does not say, or names no IP address: all of these are one.
    #[default]
    Unknown,
    V4(Ipv4Addr),
    /// The first half.
    V6(u64),
}

impl Address {
    /// Of an address with or without a port.
    pub(crate) fn read(source: Option<&[u8]>) -> Self {
        let Some(text) = source.and_then(|source| std::str::from_utf8(source).ok()) else { return Self::Unknown };
        let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
        match with_port.or_else(|_| text.parse::<IpAddr>()).map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => Self::V4(address),
            Ok(IpAddr::V6(address)) => Self::V6((address.to_bits() >> 64) as u64),
            Err(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_the_lower_half_of_an_ipv6_address_makes_no_other_caller() {
        let read = |text: &str| Address::read(Some(text.as_bytes()));
        assert_eq!(read("10.0.0.7:4711"), Address::V4(Ipv4Addr::new(10, 0, 0, 7)));
        assert_eq!(read("10.0.0.7"), read("[::ffff:10.0.0.7]:1"));
        assert_eq!(read("[2001:db8::1]:1"), read("2001:db8::ffff:2"));
        assert_ne!(read("[2001:db8::1]:1"), read("[2001:db8:0:1::1]:1"));
        for nothing in ["", "/run/envoy.sock", "10.0.0", "\u{0}"] {
            assert_eq!(read(nothing), Address::Unknown);
        }
        assert_eq!(Address::read(Some(b"\xff")), Address::read(None));
    }
}
