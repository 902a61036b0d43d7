//! Subjects: whose requests count together.

use std::net::{IpAddr, Ipv6Addr};

use ids::{AdminKeyId, KeyId, PartnerId, Ulid};

/// Whose requests count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One partner key.
    Key(KeyId),
    /// All keys of one partner.
    Partner(PartnerId),
    /// One admin key.
    Admin(AdminKeyId),
    /// The stored responses of one credential's idempotency keys.
    IdempotencyKeys(Ulid),
    /// Look-ups of unknown tokens from one client address, see [`Subject::address`].
    Address(IpAddr),
}

impl Subject {
    /// A client's address; an IPv6 client is its /64 network, of which it may use every address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & NETWORK)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, same: bool) {
        let [a, b] = [a, b].map(|text| Subject::address(text.parse().unwrap()));
        assert_eq!(a == b, same, "{a:?} {b:?}");
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        check("2001:db8::1", "2001:db8::ffff:ffff", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
    }
}
