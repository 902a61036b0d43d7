//! Which addresses messages are not sent to: whatever is not the public internet.
//!
//! A partner chooses where its messages go. Without this check it could have the control plane call
//! machines that only the control plane can reach (OWASP API7:2023, server side request forgery).
//! The ranges are those of IANA's registries for special purposes, and one address more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that is not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} address")]
pub struct NotPublic(&'static str);

/// Sees that an address is on the public internet.
///
/// # Errors
/// When it is not, with what it is instead.
pub fn check_public(address: IpAddr) -> Result<(), NotPublic> {
    let special = match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    };
    special.map_or(Ok(()), |what| Err(NotPublic(what)))
}

/// Networks of IPv4, the length of their prefix, and what they are.
const V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "an unspecified"),
    ([10, 0, 0, 0], 8, "a private"),
    ([100, 64, 0, 0], 10, "a carrier's own"),
    ([127, 0, 0, 0], 8, "a loopback"),
    ([169, 254, 0, 0], 16, "a link-local"),
    ([172, 16, 0, 0], 12, "a private"),
    ([192, 0, 0, 0], 24, "a reserved"),
    ([192, 0, 2, 0], 24, "a documentation"),
    ([192, 88, 99, 0], 24, "a reserved"),
    ([192, 168, 0, 0], 16, "a private"),
    ([198, 18, 0, 0], 15, "a benchmarking"),
    ([198, 51, 100, 0], 24, "a documentation"),
    ([203, 0, 113, 0], 24, "a documentation"),
    ([224, 0, 0, 0], 4, "a multicast"),
    ([240, 0, 0, 0], 4, "a reserved"),
    // Azure's host agent, public by its number and reached from within alone.
    ([168, 63, 129, 16], 32, "a cloud platform's own"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter()
        .find(|(network, prefix, _)| {
            let network = u32::from_be_bytes(*network);
            shares_prefix_32(address.to_bits(), network, *prefix)
        })
        .map(|(_, _, what)| *what)
}

/// Networks within the public part of IPv6 that are special after all.
const V6_WITHIN_PUBLIC: &[(Ipv6Addr, u32, &str)] = &[
    // Teredo, ORCHID, benchmarks and other protocols.
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "a protocol's own",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "a documentation",
    ),
    // 6to4: an address of IPv4, whichever it may be, is embedded.
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "a tunnel's own",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "a documentation",
    ),
];

/// All that is public, 2000::/3 (RFC 4291).
const PUBLIC_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Addresses of IPv4 as a machine sees them that has IPv6 alone (NAT64, RFC 6052).
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let within = |(network, prefix): (Ipv6Addr, u32)| shares_prefix_128(address, network, prefix);
    if within(NAT64) {
        // The gateway sends on to the address in the last four bytes.
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    if !within(PUBLIC_V6) {
        return Some(special_kind(address));
    }
    V6_WITHIN_PUBLIC
        .iter()
        .find(|&&(network, prefix, _)| within((network, prefix)))
        .map(|(_, _, what)| *what)
}

/// What an address is that is not even in the public part.
fn special_kind(address: Ipv6Addr) -> &'static str {
    if address.is_loopback() {
        "a loopback"
    } else if address.is_unspecified() {
        "an unspecified"
    } else if address.is_unique_local() {
        "a private"
    } else if address.is_unicast_link_local() {
        "a link-local"
    } else if address.is_multicast() {
        "a multicast"
    } else {
        // Among them addresses of IPv4 in the clothes of IPv6, which need no such clothes.
        "a reserved"
    }
}

fn shares_prefix_32(address: u32, network: u32, prefix: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    address & mask == network & mask
}

fn shares_prefix_128(address: Ipv6Addr, network: Ipv6Addr, prefix: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    address.to_bits() & mask == network.to_bits() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, refused_as: Option<&str>) {
        let actual = check_public(address.parse().unwrap());
        let actual = actual.err().map(|error| error.to_string());
        let expect = refused_as.map(|what| format!("{what} address"));
        assert_eq!(actual, expect, "{address}");
    }

    #[test]
    fn what_is_not_public_in_ipv4_is_refused_to_the_edges() {
        for (first, last, what) in [
            ("0.0.0.0", "0.255.255.255", "an unspecified"),
            ("10.0.0.0", "10.255.255.255", "a private"),
            ("100.64.0.0", "100.127.255.255", "a carrier's own"),
            ("127.0.0.0", "127.255.255.255", "a loopback"),
            ("169.254.0.0", "169.254.255.255", "a link-local"),
            ("172.16.0.0", "172.31.255.255", "a private"),
            ("192.0.0.0", "192.0.0.255", "a reserved"),
            ("192.0.2.0", "192.0.2.255", "a documentation"),
            ("192.88.99.0", "192.88.99.255", "a reserved"),
            ("192.168.0.0", "192.168.255.255", "a private"),
            ("198.18.0.0", "198.19.255.255", "a benchmarking"),
            ("198.51.100.0", "198.51.100.255", "a documentation"),
            ("203.0.113.0", "203.0.113.255", "a documentation"),
            ("224.0.0.0", "239.255.255.255", "a multicast"),
            ("240.0.0.0", "255.255.255.255", "a reserved"),
            ("168.63.129.16", "168.63.129.16", "a cloud platform's own"),
        ] {
            check(first, Some(what));
            check(last, Some(what));
        }
    }

    #[test]
    fn the_neighbours_of_private_networks_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "168.63.129.15",
            "168.63.129.17",
            "93.184.216.34",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn what_is_not_public_in_ipv6_is_refused() {
        for (address, what) in [
            ("::", "an unspecified"),
            ("::1", "a loopback"),
            ("::2", "a reserved"),
            // Of IPv4, compatible and mapped, whether it is public there or not.
            ("::7f00:1", "a reserved"),
            ("::ffff:127.0.0.1", "a reserved"),
            ("::ffff:169.254.169.254", "a reserved"),
            ("::ffff:93.184.216.34", "a reserved"),
            ("::ffff:0:10.0.0.1", "a reserved"),
            ("64:ff9b::10.0.0.1", "a private"),
            ("64:ff9b::169.254.169.254", "a link-local"),
            ("64:ff9b:1::93.184.216.34", "a reserved"),
            ("100::1", "a reserved"),
            ("2001::1", "a protocol's own"),
            ("2001:2::1", "a protocol's own"),
            ("2001:1ff:ffff::1", "a protocol's own"),
            ("2001:db8::1", "a documentation"),
            ("2002:a00:1::", "a tunnel's own"),
            ("2002:5db8:d822::", "a tunnel's own"),
            ("3fff::1", "a documentation"),
            ("3fff:fff:ffff::1", "a documentation"),
            ("5f00::1", "a reserved"),
            ("fc00::1", "a private"),
            ("fd00:ec2::254", "a private"),
            ("fe80::1", "a link-local"),
            ("fec0::1", "a reserved"),
            ("ff02::1", "a multicast"),
        ] {
            check(address, Some(what));
        }
    }

    #[test]
    fn what_is_public_in_ipv6_is_not() {
        for address in [
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:2800:220:1:248:1893:25c8:1946",
            "3ffe::1",
            "3fff:1000::1",
            "64:ff9b::93.184.216.34",
        ] {
            check(address, None);
        }
    }
}
