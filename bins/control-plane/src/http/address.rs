//! The client address of a request.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use service::ClientAddress;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: the peer's, or, where the peer is a trusted proxy, the rightmost hop in
/// `X-Forwarded-For` that is not one. What a client forges in that header is further left.
///
/// A hop that can't be parsed is an unknown client, whatever is left of it. Where all hops are trusted
/// proxies, the leftmost is the client.
pub fn client_address(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> ClientAddress {
    let is_trusted = |ip: &IpAddr| trusted.iter().any(|network| network.contains(ip));
    // Every TCP socket has a peer.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
        peer.ip().to_canonical()
    });
    let mut client = ClientAddress::direct(peer);
    if !is_trusted(&peer) {
        return client;
    }
    let lines: Vec<&[u8]> = headers
        .get_all(FORWARDED_FOR)
        .map(|line| line.as_bytes())
        .collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|&b| b == b','));
    for hop in hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()) {
        client.ip = parse_hop(hop);
        if !client.ip.as_ref().is_some_and(is_trusted) {
            break;
        }
    }
    client
}

/// An address, with or without a port; an IPv6 address may be in brackets and must be with a port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let ip = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| in_brackets().map(IpAddr::V6))?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn client(peer: &str, lines: &[&[u8]]) -> ClientAddress {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                HeaderName::from_static(FORWARDED_FOR),
                HeaderValue::from_bytes(line).unwrap(),
            );
        }
        let trusted = ["10.0.0.0/8", "fd00::/8", "::ffff:172.16.0.0/108"]
            .map(|text| keys::parse_network(text).unwrap());
        client_address(Some(peer.parse().unwrap()), &headers, &trusted)
    }

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expect: &str) {
        let bytes: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        let actual = client(peer, &bytes).ip.unwrap();
        assert_eq!(actual.to_string(), expect, "{peer} {lines:?}");
    }

    #[track_caller]
    fn is_unknown(line: &[u8]) {
        let actual = client("10.0.0.1:5", &[line]);
        let expect = ClientAddress {
            ip: None,
            peer: "10.0.0.1".parse().unwrap(),
        };
        assert_eq!(actual, expect, "{}", line.escape_ascii());
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        check("192.0.2.1:5", &["198.51.100.7"], "192.0.2.1");
        check("10.0.0.1:5", &["198.51.100.7"], "198.51.100.7");
        check("[::ffff:10.0.0.1]:5", &["198.51.100.7"], "198.51.100.7");
        check("[fd00::1]:5", &["2001:db8::7"], "2001:db8::7");
        check("172.16.0.1:5", &["198.51.100.7"], "198.51.100.7");
    }

    #[test]
    fn what_a_client_writes_itself_does_not_help() {
        check("10.0.0.1:5", &["1.1.1.1, 198.51.100.7"], "198.51.100.7");
        check(
            "10.0.0.1:5",
            &["1.1.1.1", "198.51.100.7, 10.0.0.2"],
            "198.51.100.7",
        );
        check("10.0.0.1:5", &["nonsense, 198.51.100.7"], "198.51.100.7");
        let with_a_byte = client("10.0.0.1:5", &[b"\xff, 198.51.100.7"]);
        assert_eq!(with_a_byte.ip, Some("198.51.100.7".parse().unwrap()));
    }

    #[test]
    fn where_all_hops_are_proxies_the_leftmost_is_the_client() {
        check("10.0.0.1:5", &["10.0.0.2, 10.0.0.3"], "10.0.0.2");
        check("10.0.0.1:5", &["172.16.3.4", "10.0.0.3"], "172.16.3.4");
        check("10.0.0.1:5", &[], "10.0.0.1");
        check("10.0.0.1:5", &["", ", ,"], "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_empty_elements_are_read() {
        for (hop, expect) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("[::ffff:198.51.100.7]", "198.51.100.7"),
            ("\t198.51.100.7 , ", "198.51.100.7"),
            (",198.51.100.7,,", "198.51.100.7"),
            ("198.51.100.7, [fd00::1]:80, 10.0.0.4:80", "198.51.100.7"),
        ] {
            check("10.0.0.1:5", &[hop], expect);
        }
    }

    #[test]
    fn a_hop_that_can_not_be_read_is_an_unknown_client() {
        for line in [
            &b"198.51.100.7, nonsense"[..],
            b"198.51.100.7, nonsense, 10.0.0.9",
            b"198.51.100.7\xff",
            b"198.51.100.7, \xe9, 10.0.0.9",
            b"unknown",
            b"_hidden",
            b"198.51.100.07",
            b"198.51.100.7:",
            b"198.51.100.7:99999",
            b"[198.51.100.7]",
            b"[2001:db8::7",
            b"\"198.51.100.7\"",
            b"fe80::1%eth0",
            b"198.51.100.7 10.0.0.9",
        ] {
            is_unknown(line);
        }
    }
}
