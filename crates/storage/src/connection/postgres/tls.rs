//! TLS to a PostgreSQL server: what its certificate has to show, and ours.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject as _},
    },
};

use super::{
    settings::{Roots, TlsSettings, Verify},
    socket::Socket,
};

/// Why no connection can be encrypted as the URL asks for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("{}: no certificate or key can be read from it", path.display())]
    File {
        path: PathBuf,
        source: Box<pem::Error>,
    },
    #[error(
        "this system has no certificates of authorities; install them, or name one by sslrootcert"
    )]
    NoRoots,
    #[error("{0:?} can't be the name in a certificate")]
    Name(String),
    #[error(transparent)]
    Rustls(#[from] Error),
    #[error(transparent)]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// What makes TLS of one connection's socket.
pub(super) type Connect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// What makes TLS of a socket to that host.
pub(super) fn connect(settings: &TlsSettings, host: &str) -> Result<Connect, TlsError> {
    let config = client_config(settings)?;
    let mut make = MakeRustlsConnect::new(config);
    let made = MakeTlsConnect::<Socket>::make_tls_connect(&mut make, host);
    made.map_err(|_| TlsError::Name(host.to_owned()))
}

fn client_config(settings: &TlsSettings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier(&settings.verify, &provider)?);
    let mut config = match &settings.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
            builder.with_client_auth_cert(certificates(certificate)?, key)?
        }
    };
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn verifier(
    verify: &Verify,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let by = |roots: &Roots| {
        let roots = Arc::new(root_store(roots)?);
        let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
        Ok::<_, TlsError>(builder.build()?)
    };
    Ok(match verify {
        Verify::AuthorityAndName(roots) => by(roots)?,
        Verify::Authority(roots) => Arc::new(AnyName(by(roots)?)),
        Verify::Nothing => Arc::new(Anybody(Arc::clone(provider))),
    })
}

fn root_store(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            // Single certificates that can't be read are passed over, as every client of TLS does.
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                return Err(TlsError::NoRoots);
            }
        }
        Roots::File(file) => {
            for certificate in certificates(file)? {
                store.add(certificate)?;
            }
        }
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let all: Vec<_> = all.map_err(|error| unreadable(file, error))?;
    if all.is_empty() {
        return Err(unreadable(file, pem::Error::NoItemsFound));
    }
    Ok(all)
}

fn unreadable(path: &Path, source: pem::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        source: Box::new(source),
    }
}

/// Takes a certificate of the authority for whatever name it was issued.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .0
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // The name comes last: everything else is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes every certificate, as `sslmode=require` and `prefer` ask for: they keep out who only listens.
/// Signatures by a certificate that anybody could have made would prove nothing.
struct Anybody(Arc<CryptoProvider>);

impl fmt::Debug for Anybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anybody")
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
