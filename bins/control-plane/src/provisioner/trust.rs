//! Whose certificates the operator's own service may have.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::webhooks::public_roots;

/// The authorities that the system trusts, or the public ones where it names none, and those in a file of
/// the operator's.
pub fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        for error in system.errors {
            tracing::debug!("certificates of the system can't be read: {error}");
        }
        tracing::info!("the system names no certificates; the public ones that are built in count");
        roots = public_roots();
    }
    if let Some(path) = file {
        add_file(&mut roots, path)
            .with_context(|| format!("provisioner_ca_file: {}", path.display()))?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> anyhow::Result<()> {
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    ensure!(roots.len() > before, "there is no certificate in PEM in it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_always_somebody_to_trust() {
        assert!(!roots(None).unwrap().is_empty());
    }

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let told = |file: &Path| format!("{:#}", roots(Some(file)).unwrap_err());
        assert!(told(&file).contains("ca.pem"));
        fs::write(&file, "not a certificate").unwrap();
        assert!(told(&file).contains("no certificate"));
    }
}
