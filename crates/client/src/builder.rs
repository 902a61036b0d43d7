//! How a client is set up.

use std::{sync::Arc, time::Duration};

use api::client::Secret;
use reqwest::redirect;
use url::{Host, Url};

use crate::{
    request::{Client, Inner},
    retry::RetryPolicy,
    tls,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one try may take, beyond what a long poll asks for.
const TRY_TIMEOUT: Duration = Duration::from_secs(30);
/// The server keeps idle connections for 75 s; below that, none is used that it is about to close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// A setting that no client can have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSetting {
    /// The address of the server.
    #[error("{0:?} is not the address of a server; write one such as https://cp.example.com")]
    Server(String),
    /// The key.
    #[error("the key has characters that no key has; check that it was copied whole and alone")]
    Key,
    /// TLS or the HTTP client can't be set up.
    #[error("the HTTP client can't be set up: {0}")]
    Http(String),
}

/// Sets up a [`Client`].
#[derive(Clone, Debug)]
pub struct Builder {
    server: String,
    key: Option<Secret>,
    user_agent: String,
    retry: RetryPolicy,
    timeout: Duration,
}

impl Builder {
    pub(crate) fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            key: None,
            user_agent: concat!("molecule-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            retry: RetryPolicy::DEFAULT,
            timeout: TRY_TIMEOUT,
        }
    }

    /// The key that every request carries: a partner key or an admin key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Secret>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The name of the program, as the audit log shows it: `Name/1.0`.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How long and how often a request is tried.
    #[must_use]
    pub const fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How long one try may take, 30 s without this. Long polls may take as much longer as they ask for.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// When the address or the key has no form that can be sent.
    pub fn build(self) -> Result<Client, InvalidSetting> {
        let server = server_url(&self.server)?;
        if let Some(key) = &self.key {
            let text = key.expose();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidSetting::Key);
            }
        }
        let tls = tls::config(server.scheme() == "https")
            .map_err(|error| InvalidSetting::Http(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(self.user_agent)
            // A redirect would take the key elsewhere.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| InvalidSetting::Http(error.to_string()))?;
        Ok(Client {
            inner: Arc::new(Inner {
                http,
                base: server.as_str().trim_end_matches('/').to_owned(),
                key: self.key,
                retry: self.retry,
                timeout: self.timeout,
            }),
            idempotency_key: None,
        })
    }
}

/// The address of a server; it may have a path, under which the API is.
fn server_url(text: &str) -> Result<Url, InvalidSetting> {
    let invalid = || InvalidSetting::Server(text.to_owned());
    let url = Url::parse(text.trim()).map_err(|_| invalid())?;
    let named = match url.host() {
        Some(Host::Domain(name)) => !name.is_empty(),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && named && plain {
        Ok(url)
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(server: &str, expect: Option<&str>) {
        let client = Client::builder(server).build();
        assert_eq!(
            client
                .ok()
                .map(|client| client.server().to_owned())
                .as_deref(),
            expect
        );
    }

    #[test]
    fn a_server_has_an_address_and_nothing_else() {
        check("https://cp.example.com", Some("https://cp.example.com"));
        check(" http://[::1]:8080/ ", Some("http://[::1]:8080"));
        check(
            "https://example.com/molecule/",
            Some("https://example.com/molecule"),
        );
        for server in [
            "",
            "cp.example.com",
            "ftp://cp.example.com",
            "https://user@cp.example.com",
            "https://:secret@cp.example.com",
            "https://cp.example.com?x",
            "https://cp.example.com#x",
            "https://",
            "file:///etc/passwd",
        ] {
            check(server, None);
        }
    }

    #[test]
    fn a_key_is_one_word() {
        let key = |key: &str| Client::builder("http://h").key(Secret::new(key)).build();
        assert!(key("mol_pk_x\n").is_ok());
        for text in ["", "two words", "a\nb", "clé"] {
            assert!(matches!(key(text), Err(InvalidSetting::Key)), "{text:?}");
        }
    }

    #[test]
    fn nothing_prints_the_key() {
        let builder = Client::builder("http://h").key(Secret::new("mol_pk_visible"));
        let printed = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(!printed.contains("visible"), "{printed}");
    }
}
