//! From a URL to a connection: one look-up, a check of all addresses, then TCP, then TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ids::PartnerId;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use webhooks::{AddressPolicy, EndpointUrl, check_public};

use super::{bounded::Bounded, lookups::Lookups};

/// For each address.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const MAX_ADDRESSES: usize = 4;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The certificate authorities that browsers trusted when this was built. Small containers have none.
pub fn public_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

pub fn tls(roots: RootCertStore) -> anyhow::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the host of a partner's URL. The error is shown to the partner.
pub async fn connect(
    (partner, url): (PartnerId, &EndpointUrl),
    reach: AddressPolicy,
    (lookups, tls): (&Lookups, &TlsConnector),
) -> Result<Box<dyn Stream>, String> {
    let parts = url.parts();
    let port = parts
        .port_or_known_default()
        .ok_or("the URL names no port")?;
    let (name, addresses) = match parts.host() {
        None => return Err("the URL names no host".to_owned()),
        Some(url::Host::Ipv4(ip)) => address(IpAddr::V4(ip), port),
        Some(url::Host::Ipv6(ip)) => address(IpAddr::V6(ip), port),
        Some(url::Host::Domain(name)) => (
            // A full stop at the end is not part of the name in a certificate.
            ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| "the host is not a name that a certificate could be of")?,
            lookups.resolve(partner, name.to_owned(), port).await?,
        ),
    };
    if reach == AddressPolicy::Public {
        check(&addresses)?;
    }
    let tcp = Bounded::new(dial(&addresses).await?);
    if parts.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    let stream = tls.connect(name, tcp).await;
    let stream = stream.map_err(|error| format!("the TLS handshake failed: {error}"))?;
    Ok(Box::new(stream))
}

fn address(ip: IpAddr, port: u16) -> (ServerName<'static>, Vec<SocketAddr>) {
    (
        ServerName::IpAddress(ip.into()),
        vec![SocketAddr::new(ip, port)],
    )
}

/// Checks that all addresses are public. One that is not discredits the others.
fn check(addresses: &[SocketAddr]) -> Result<(), String> {
    for address in addresses {
        // The address itself may be a secret of the operator's network.
        check_public(address.ip()).map_err(|what| {
            format!("the host has {what}; messages are sent to the public internet alone")
        })?;
    }
    Ok(())
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut failed = "the host has no address".to_owned();
    for address in addresses.iter().take(MAX_ADDRESSES) {
        match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The message is one write, so Nagle's algorithm would only delay it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                failed = "the connection was refused".to_owned();
            }
            Ok(Err(_)) => failed = "the host can't be reached".to_owned(),
            Err(_elapsed) => failed = "the host did not accept a connection in time".to_owned(),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};

    use super::*;

    #[track_caller]
    fn checked(addresses: &[&str], refused_for: Option<&str>) {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let error = check(&addresses).err().unwrap_or_default();
        assert_eq!(error.is_empty(), refused_for.is_none(), "{error}");
        assert!(error.contains(refused_for.unwrap_or_default()), "{error}");
        assert!(!error.contains("10.0.0.7"), "{error}");
    }

    #[test]
    fn one_address_that_is_not_public_is_enough_to_refuse_a_host() {
        checked(&["93.184.216.34:443", "[2606:2800:220::1]:443"], None);
        checked(&["93.184.216.34:443", "10.0.0.7:443"], Some("a private"));
        checked(&["[::1]:443", "93.184.216.34:443"], Some("a loopback"));
    }

    /// The address decides, not the URL.
    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_after_the_look_up() {
        let url = EndpointUrl::stored("https://localhost/").unwrap();
        let tls = tls(public_roots()).unwrap();
        let partner = PartnerId::from_ulid(Ulid::from(1));
        let using = (&Lookups::default(), &tls);
        let error = connect((partner, &url), AddressPolicy::Public, using).await;
        let error = error.err().unwrap();
        assert!(error.contains("a loopback address"), "{error}");
    }
}
