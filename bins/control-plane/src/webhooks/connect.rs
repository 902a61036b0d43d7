//! From a URL to a connection: the host's addresses, asked for once and all checked, then TCP, then
//! TLS.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use webhooks::{EndpointUrl, Reach, check_public};

/// How long the look-up of a host may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
/// How long one address may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How many of a host's addresses are tried.
const MAX_ADDRESSES: usize = 4;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The certificate authorities that browsers trust, as they were when the program was built: a server
/// needs no store of its own.
pub fn public_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// What makes TLS connections to hosts that one of these authorities vouches for.
pub fn tls(roots: RootCertStore) -> anyhow::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the host of a URL; the error is in words for the partner.
pub async fn connect(
    url: &EndpointUrl,
    reach: Reach,
    tls: &TlsConnector,
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
            // A full stop at the end is for the look-up alone.
            ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| "the host is not a name that a certificate could be of")?,
            resolve(name.to_owned(), port).await?,
        ),
    };
    if reach == Reach::Public {
        check(&addresses)?;
    }
    let tcp = dial(&addresses).await?;
    if parts.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    let stream = tls.connect(name, tcp).await;
    let stream = stream.map_err(|error| format!("the TLS connection was not made: {error}"))?;
    Ok(Box::new(stream))
}

fn address(ip: IpAddr, port: u16) -> (ServerName<'static>, Vec<SocketAddr>) {
    (
        ServerName::IpAddress(ip.into()),
        vec![SocketAddr::new(ip, port)],
    )
}

/// The addresses of a host. The system is asked on a thread of its own, which nobody waits for when the
/// program ends.
async fn resolve(name: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    const UNKNOWN: &str = "the host has no address; check the name in the URL";
    let (answer, answered) = oneshot::channel();
    let ask = move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // Whoever asked may have given up.
        let _ = answer.send(found.map(Iterator::collect::<Vec<_>>));
    };
    thread::Builder::new()
        .name("webhook-resolver".to_owned())
        .spawn(ask)
        .map_err(|_| "the host's address could not be asked for")?;
    match timeout(RESOLVE_WITHIN, answered).await {
        Ok(Ok(Ok(found))) if !found.is_empty() => Ok(found),
        Ok(_) => Err(UNKNOWN.to_owned()),
        Err(_elapsed) => Err("the host's address was not found in time".to_owned()),
    }
}

/// Sees that all addresses are public: a host that has one that is not is not trusted with the others.
fn check(addresses: &[SocketAddr]) -> Result<(), String> {
    for address in addresses {
        // Which address it is stays untold: it may be known within the operator's network alone.
        check_public(address.ip()).map_err(|what| {
            format!("the host has {what}; messages are sent to the public internet alone")
        })?;
    }
    Ok(())
}

/// Connects to the first address that accepts it.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut failed = "the host has no address".to_owned();
    for address in addresses.iter().take(MAX_ADDRESSES) {
        match timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The message is one write; waiting to fill a packet would only delay it.
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
    use super::*;

    #[track_caller]
    fn checked(addresses: &[&str], refused_for: Option<&str>) {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let told = check(&addresses).err().unwrap_or_default();
        assert_eq!(told.is_empty(), refused_for.is_none(), "{told}");
        assert!(told.contains(refused_for.unwrap_or_default()), "{told}");
        assert!(!told.contains("10.0.0.7"), "{told}");
    }

    #[test]
    fn one_address_that_is_not_public_is_enough_to_refuse_a_host() {
        checked(&["93.184.216.34:443", "[2606:2800:220::1]:443"], None);
        checked(&["93.184.216.34:443", "10.0.0.7:443"], Some("a private"));
        checked(&["[::1]:443", "93.184.216.34:443"], Some("a loopback"));
    }

    /// Whatever the URL says: what counts is where its name leads.
    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_after_the_look_up() {
        let url = EndpointUrl::stored("https://localhost/").unwrap();
        let tls = tls(public_roots()).unwrap();
        let told = connect(&url, Reach::Public, &tls).await.err().unwrap();
        assert!(told.contains("a loopback address"), "{told}");
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_unknown_one_is_told() {
        let found = resolve("localhost".to_owned(), 80).await.unwrap();
        assert!(found.iter().all(|it| it.ip().is_loopback()), "{found:?}");
        let told = resolve("no-such-host.invalid".to_owned(), 80).await;
        assert!(told.is_err(), "{told:?}");
    }
}
