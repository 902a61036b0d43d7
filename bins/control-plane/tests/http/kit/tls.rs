//! Certificates of the tests' own: an authority, and `localhost`, for which it vouches.

use std::{fs, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

fn der(name: &str) -> Vec<u8> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/webhooks/sender/certificates"
    );
    fs::read(Path::new(folder).join(name)).unwrap()
}

fn pem(name: &str, label: &str) -> String {
    let text = STANDARD.encode(der(name));
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// The authority's certificate, in PEM.
pub fn authority_pem() -> String {
    pem("authority.der", "CERTIFICATE")
}

/// The certificate of `localhost` and its key, in PEM.
pub fn localhost_pem() -> (String, String) {
    (
        pem("localhost.der", "CERTIFICATE"),
        pem("localhost.key.der", "PRIVATE KEY"),
    )
}

/// The server's side of TLS, as `localhost`.
pub fn localhost() -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der("localhost.key.der")));
    let chain = vec![CertificateDer::from(der("localhost.der"))];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}
