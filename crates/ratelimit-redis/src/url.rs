//! The URL of the server.

use std::fmt;

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates, io::tcp::TcpSettings,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// Why a URL is not one of a server that limits can be shared through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another scheme, or none.
    #[error(
        "must begin with redis:// or rediss:// (TLS), as in rediss://user:password@host:6379/0; write / and \
         @ in a password as %2F and %40"
    )]
    Scheme,
    /// Parameters or a fragment.
    #[error(
        "takes nothing after the database's number; certificates of an authority of your own are \
             trusted by redis_ca_file"
    )]
    Parameters,
    /// A wrong host, port or database number.
    #[error("{detail}; write it as in redis://user:password@host:6379/0")]
    Form {
        /// What is wrong.
        detail: String,
    },
    /// The authorities are no certificates in PEM.
    #[error("the file of redis_ca_file holds no certificates in PEM")]
    Authority,
    /// Authorities without TLS.
    #[error("redis_ca_file is given, but redis_url does not begin with rediss://")]
    AuthorityWithoutTls,
}

/// The URL of a server, `redis://` or `rediss://`. It shows neither user nor password.
#[derive(Clone)]
pub struct RedisUrl {
    client: Box<Client>,
}

impl RedisUrl {
    /// Reads a URL. With `authorities`, certificates in PEM, a server's certificate must come from one of
    /// them; else from one that the system trusts.
    ///
    /// # Errors
    /// When it is none, or the authorities can't be used.
    pub fn new(text: &str, authorities: Option<&str>) -> Result<Self, InvalidUrl> {
        let is_encrypted = text.starts_with("rediss://");
        if !is_encrypted && !text.starts_with("redis://") {
            return Err(InvalidUrl::Scheme);
        }
        let url = redis::parse_redis_url(text).ok_or(InvalidUrl::Scheme)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidUrl::Parameters);
        }
        let info = url.into_connection_info().map_err(form)?;
        // Without it, each small call would wait for the acknowledgement of the one before.
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        if is_encrypted {
            // The client takes the process's own. A second time it stays what it is.
            let _ = CryptoProvider::install_default(ring::default_provider());
        }
        let client = match authorities {
            None => Client::open(info).map_err(form)?,
            Some(_) if !is_encrypted => return Err(InvalidUrl::AuthorityWithoutTls),
            Some(pem) => with_authorities(info, pem)?,
        };
        Ok(Self {
            client: Box::new(client),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

fn with_authorities(info: ConnectionInfo, pem: &str) -> Result<Client, InvalidUrl> {
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(InvalidUrl::Authority);
    }
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(pem.as_bytes().to_vec()),
    };
    Client::build_with_tls(info, certificates).map_err(|_| InvalidUrl::Authority)
}

/// The client's texts name no part of the URL; its own name for the error comes after a dash.
fn form(error: redis::RedisError) -> InvalidUrl {
    let text = error.to_string();
    let detail = text.split(" - ").next().unwrap_or_default().to_owned();
    InvalidUrl::Form { detail }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.client.get_connection_info();
        let settings = info.redis_settings();
        let is_encrypted = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        let scheme = if is_encrypted { "rediss" } else { "redis" };
        let has_user = settings.username().is_some() || settings.password().is_some();
        let user = if has_user { "***@" } else { "" };
        write!(f, "{scheme}://{user}{}/{}", info.addr(), settings.db())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let shown = match RedisUrl::new(text, None) {
            Ok(url) => url.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(expect), "{text}: {shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        check("redis://localhost", "redis://localhost:6379/0");
        check(
            "redis://:s3cret@10.0.0.1:7000/2",
            "redis://***@10.0.0.1:7000/2",
        );
        check(
            "rediss://me:s3cret%40x@cache.example.com",
            "rediss://***@cache.example.com:6379/0",
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for text in ["", "localhost:6379", "http://h", "unix:///x", "redis:/x"] {
            check(text, "rediss://");
        }
        check("redis://", "Missing hostname; write");
        check("redis://h/x", "database number");
        check("redis://:s3cret@h:port", "rediss://");
        check("redis://h?db=1", "redis_ca_file");
        check("rediss://h/#insecure", "redis_ca_file");
    }

    #[test]
    fn authorities_go_with_tls_and_hold_certificates() {
        let error = |url, pem| RedisUrl::new(url, Some(pem)).unwrap_err();
        assert_eq!(error("redis://h", "x"), InvalidUrl::AuthorityWithoutTls);
        assert_eq!(error("rediss://h", "no certificate"), InvalidUrl::Authority);
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(error("rediss://h", broken), InvalidUrl::Authority);
    }
}
