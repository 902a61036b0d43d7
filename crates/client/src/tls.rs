//! Whom an `https` server is checked against.

use std::sync::Arc;

use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, crypto::ring};

/// TLS by ring, which builds with a C compiler alone. The authorities are the system's, or the built-in public
/// ones where it has none; reading them takes milliseconds, so a client of `http` does without.
pub(crate) fn config(with_roots: bool) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if with_roots {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
