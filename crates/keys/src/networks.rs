//! The networks from which a key may be used.

use std::net::IpAddr;

use ipnet::IpNet;

/// The most networks that one key can name.
const MAX_NETWORKS: usize = 64;

/// Why a list of networks is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworks {
    /// It names none.
    #[error("must name a network; leave it out to allow all")]
    Empty,
    /// It names too many.
    #[error("at most 64 networks fit on one key")]
    TooMany,
    /// The entry at this position is neither a network nor an address.
    #[error("must be a network such as 192.0.2.0/24 or 2001:db8::/32, or one address")]
    Form(usize),
    /// The entry at this position is an address within a network, which may not be what was meant.
    #[error("has bits set beyond its prefix length; write the network's own address")]
    HostBits(usize),
}

/// One to 64 networks, IPv4 and IPv6 (RFC 4632, RFC 4291).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks in CIDR notation; an address alone is a network of one.
    ///
    /// # Errors
    /// When there are none or too many, or at the first that has another form.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidNetworks> {
        let mut networks = Vec::new();
        for (position, text) in texts.into_iter().enumerate() {
            if position == MAX_NETWORKS {
                return Err(InvalidNetworks::TooMany);
            }
            let network = parse_network(text).ok_or(InvalidNetworks::Form(position))?;
            if network.trunc() != network {
                return Err(InvalidNetworks::HostBits(position));
            }
            networks.push(network);
        }
        if networks.is_empty() {
            return Err(InvalidNetworks::Empty);
        }
        Ok(Self(networks))
    }

    /// Whether an address is in one of them; an IPv4 address may come mapped into IPv6.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks in CIDR notation.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }
}

/// Reads a network in CIDR notation; an address alone is a network of one. A network of IPv4 addresses
/// mapped into IPv6 becomes the IPv4 network.
///
/// IPv4 octets and prefix lengths with leading zeros are rejected: some programs read them as octal.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    let network = match text.split_once('/') {
        Some((address, length)) => {
            IpNet::new(address.parse().ok()?, prefix_length(length)?).ok()?
        }
        None => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.addr().to_ipv4_mapped().is_some() => {
            let address = v6.addr().to_ipv4_mapped()?;
            IpNet::new(IpAddr::V4(address), v6.prefix_len() - 96).ok()
        }
        other @ (IpNet::V4(_) | IpNet::V6(_)) => Some(other),
    }
}

/// Digits alone, without a sign or leading zeros.
fn prefix_length(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0')))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], address: &str, expect: bool) {
        let networks = Networks::parse(networks.iter().copied()).unwrap();
        assert_eq!(
            networks.contain(address.parse().unwrap()),
            expect,
            "{networks:?} {address}"
        );
    }

    #[track_caller]
    fn refused(networks: &[&str], expect: InvalidNetworks) {
        assert_eq!(
            Networks::parse(networks.iter().copied()),
            Err(expect),
            "{networks:?}"
        );
    }

    #[test]
    fn both_families_and_single_addresses() {
        check(&["192.0.2.0/24"], "192.0.2.255", true);
        check(&["192.0.2.0/24"], "192.0.3.0", false);
        check(&["192.0.2.7"], "192.0.2.7", true);
        check(&["192.0.2.7"], "192.0.2.8", false);
        check(&["2001:db8::/32", "10.0.0.0/8"], "10.1.2.3", true);
        check(&["2001:db8::/32", "10.0.0.0/8"], "2001:db8:1::1", true);
        check(&["2001:db8::/32"], "2001:db9::1", false);
        check(&["0.0.0.0/0"], "2001:db8::1", false);
        check(&["::/0"], "192.0.2.1", false);
    }

    #[test]
    fn mapped_addresses_are_the_addresses_they_map() {
        check(&["192.0.2.0/24"], "::ffff:192.0.2.9", true);
        check(&["::ffff:192.0.2.0/120"], "192.0.2.9", true);
        check(&["::ffff:192.0.2.0/120"], "192.0.3.9", false);
        check(&["::ffff:0:0/96"], "192.0.2.9", true);
        check(&["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", true);
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        refused(&[], InvalidNetworks::Empty);
        refused(&["192.0.2.0/24", "192.0.2.0/33"], InvalidNetworks::Form(1));
        refused(&["example.com"], InvalidNetworks::Form(0));
        refused(&["192.0.2.1/24"], InvalidNetworks::HostBits(0));
        refused(&[""], InvalidNetworks::Form(0));
        refused(&["10.0.0.0/8"; 65], InvalidNetworks::TooMany);
    }

    #[test]
    fn leading_zeros_and_signs_are_refused() {
        for text in [
            "010.0.0.0/8",
            "10.00.0.0/8",
            "010.0.0.1",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "::ffff:010.0.0.0/104",
            "2001:db8::/032",
            "[2001:db8::]/32",
        ] {
            refused(&[text], InvalidNetworks::Form(0));
        }
        check(&["0.0.0.0/0"], "192.0.2.1", true);
        check(&["2001:0db8::/32"], "2001:db8::1", true);
    }
}
