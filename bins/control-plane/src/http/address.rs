//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: the peer's, or, where the peer is a trusted proxy, the last address in
/// `X-Forwarded-For` that is not one. What a client writes into that header itself stands further left.
pub fn client_address(peer: Option<SocketAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
    // Only a socket that is no TCP socket has no peer.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
        peer.ip().to_canonical()
    });
    if !is_trusted(peer) {
        return peer;
    }
    let lines: Vec<_> = headers
        .get_all(FORWARDED_FOR)
        .filter_map(|line| line.to_str().ok())
        .collect();
    let mut nearest = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(ip) = parse_hop(hop.trim()) else {
            return nearest;
        };
        nearest = ip;
        if !is_trusted(ip) {
            break;
        }
    }
    nearest
}

/// An address, with or without a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let ip = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|addr| addr.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expect: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                HeaderName::from_static(FORWARDED_FOR),
                HeaderValue::from_str(line).unwrap(),
            );
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let told = client_address(Some(peer.parse().unwrap()), &headers, &trusted);
        assert_eq!(told.to_string(), expect, "{peer} {lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("192.0.2.1:5", &["198.51.100.7"], "192.0.2.1");
        check("10.0.0.1:5", &["198.51.100.7"], "198.51.100.7");
        check("[::ffff:10.0.0.1]:5", &["198.51.100.7"], "198.51.100.7");
        check("[fd00::1]:5", &["2001:db8::7"], "2001:db8::7");
    }

    #[test]
    fn what_a_client_writes_itself_does_not_help() {
        check("10.0.0.1:5", &["1.1.1.1, 198.51.100.7"], "198.51.100.7");
        check(
            "10.0.0.1:5",
            &["1.1.1.1", "198.51.100.7, 10.0.0.2"],
            "198.51.100.7",
        );
        check("10.0.0.1:5", &["198.51.100.7, nonsense"], "10.0.0.1");
        check(
            "10.0.0.1:5",
            &["198.51.100.7, nonsense, 10.0.0.9"],
            "10.0.0.9",
        );
        check("10.0.0.1:5", &["10.0.0.2, 10.0.0.3"], "10.0.0.2");
        check("10.0.0.1:5", &["198.51.100.7:4711"], "198.51.100.7");
        check("10.0.0.1:5", &[], "10.0.0.1");
    }
}
