//! Subjects: whose requests count together.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use ids::{AdminKeyId, KeyId, PartnerId, TrustRuleId, Ulid};

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
    /// The rotations of one partner key by itself.
    Rotations(KeyId),
    /// The ends of such rotations by the key itself.
    RotationEnds(KeyId),
    /// Look-ups of unknown tokens from one client address, see [`Subject::address`].
    Address(IpAddr),
    /// Failed exchanges of tokens from one client address, see [`Subject::exchanges`].
    Exchanges(IpAddr),
    /// The tokens that one trust rule exchanges.
    TrustRule(TrustRuleId),
    /// Reports of leaked tokens from one client address, see [`Subject::leak_reports`].
    LeakReports(IpAddr),
}

impl Subject {
    /// A client's address; an IPv6 client is its /64 network, of which it may use every address.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(network(address))
    }

    /// The same for exchanges of tokens.
    #[must_use]
    pub fn exchanges(address: IpAddr) -> Self {
        Self::Exchanges(network(address))
    }

    /// The same for reports of leaked tokens, which count by themselves.
    #[must_use]
    pub fn leak_reports(address: IpAddr) -> Self {
        Self::LeakReports(network(address))
    }
}

/// The address that stands for a client.
fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & NETWORK)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The name of a subject where limits are shared: the kind, a colon and the id. It never changes, since the
/// debts of one release are paid in the next.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Partner(id) => write!(f, "partner:{id}"),
            Self::Admin(id) => write!(f, "admin:{id}"),
            Self::IdempotencyKeys(id) => write!(f, "idempotency:{id}"),
            Self::Rotations(id) => write!(f, "rotation:{id}"),
            Self::RotationEnds(id) => write!(f, "rotation-end:{id}"),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::Exchanges(address) => write!(f, "exchanges:{address}"),
            Self::TrustRule(id) => write!(f, "rule:{id}"),
            Self::LeakReports(address) => write!(f, "leaks:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ids::TypedId as _;

    use super::*;

    #[test]
    fn each_kind_of_subject_has_a_name_of_its_own() {
        let id = Ulid::from(7_u128);
        let subjects = [
            Subject::Key(KeyId::from_ulid(id)),
            Subject::Partner(PartnerId::from_ulid(id)),
            Subject::Admin(AdminKeyId::from_ulid(id)),
            Subject::IdempotencyKeys(id),
            Subject::Rotations(KeyId::from_ulid(id)),
            Subject::RotationEnds(KeyId::from_ulid(id)),
            Subject::address("2001:db8::1".parse().unwrap()),
            Subject::exchanges("2001:db8::1".parse().unwrap()),
            Subject::TrustRule(TrustRuleId::from_ulid(id)),
            Subject::leak_reports("2001:db8::1".parse().unwrap()),
        ];
        assert_eq!(
            subjects.map(|subject| subject.to_string()),
            [
                "key:pak_00000000000000000000000007",
                "partner:ptn_00000000000000000000000007",
                "admin:adm_00000000000000000000000007",
                "idempotency:00000000000000000000000007",
                "rotation:pak_00000000000000000000000007",
                "rotation-end:pak_00000000000000000000000007",
                "address:2001:db8::",
                "exchanges:2001:db8::",
                "rule:tru_00000000000000000000000007",
                "leaks:2001:db8::",
            ]
        );
    }

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
