//! What a TLS connection trusts: the system's certificate authorities, or those of a file. It connects
//! to nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// Why there is nothing to trust.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or not ours to read.
    #[error("cannot read the certificates in {}: {source}", path.display())]
    Read {
        /// Of `--ca-file`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another kind of file.
    #[error("there is no certificate in {}: --ca-file takes PEM, `-----BEGIN CERTIFICATE-----` and what follows", .0.display())]
    None(PathBuf),
    /// Damaged.
    #[error("a certificate in {} cannot be used: {reason}", path.display())]
    Bad {
        /// Of `--ca-file`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A machine without certificate authorities.
    #[error(
        "this machine has no certificate authorities (package ca-certificates); name a file with --ca-file"
    )]
    System,
    /// Of rustls.
    #[error("TLS cannot be used: {0}")]
    Setup(#[from] rustls::Error),
}

/// Trusts the authorities in `ca_file`, or else the system's.
///
/// # Errors
/// When there are none.
pub fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, Error> {
    let roots = match ca_file {
        Some(path) => of_file(path)?,
        None => of_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn of_file(path: &Path) -> Result<RootCertStore, Error> {
    let bad = |reason: String| Error::Bad {
        path: path.to_owned(),
        reason,
    };
    let content = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&content) {
        let certificate = certificate.map_err(|error: pem::Error| bad(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::None(path.to_owned()));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // One that is damaged does not spoil the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::System);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = |content: &str| {
            std::fs::write(&path, content).unwrap();
            connector(Some(&path)).err().unwrap().to_string()
        };
        assert!(error("not PEM").contains("no certificate in"));
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(error(damaged).contains("cannot be used"));
        std::fs::remove_file(&path).unwrap();
        let error = connector(Some(&path)).err().unwrap().to_string();
        assert!(
            error.contains("ca.pem") && error.contains("No such file"),
            "{error}"
        );
    }
}
