//! Which certificates of the operator's own services are trusted.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::webhooks::public_roots;

/// The authorities of the system, or the built-in public ones where it has none, and those of a file.
pub fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        for error in system.errors {
            tracing::debug!("reading certificates of the system failed: {error}");
        }
        tracing::info!("the system has no certificates; the built-in public ones are used");
        roots = public_roots();
    }
    if let Some(path) = file {
        add_file(&mut roots, path)
            .with_context(|| format!("the file of authorities {}", path.display()))?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> anyhow::Result<()> {
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    ensure!(roots.len() > before, "the file has no certificate in PEM");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_are_always_trusted_authorities() {
        assert!(!roots(None).unwrap().is_empty());
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let error = |file: &Path| format!("{:#}", roots(Some(file)).unwrap_err());
        assert!(error(&file).contains("ca.pem"));
        fs::write(&file, "not a certificate").unwrap();
        assert!(error(&file).contains("no certificate"));
    }
}
