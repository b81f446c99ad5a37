//! TLS by certificate files, which are looked at again while the listener runs: whoever renews a
//! certificate writes its files, and need not start anything anew. A pair that cannot be used changes
//! nothing and is named in the log. The key is never logged and never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The one protocol that is spoken after the handshake (ALPN).
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a pair of files is no certificate with its key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is too large to be a certificate or a key.
    #[error("{} is larger than {} bytes: it is no certificate or key", .0.display(), crate::limits::PEM_BYTES)]
    TooLarge(PathBuf),
    /// The file is not in PEM format, or has nothing of what is looked for.
    #[error("{} has no {what} in PEM format: it must have a block that begins with `-----BEGIN {begins}`", file.display())]
    Missing {
        /// Which.
        file: PathBuf,
        /// A certificate or a key.
        what: &'static str,
        /// How the block begins.
        begins: &'static str,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("{} and {} cannot be used: {error}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// A certificate with its key, from two files. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.current.files.certificate)
            .finish_non_exhaustive()
    }
}

/// The pair in use, and the files that it is from.
#[derive(Debug)]
struct Current {
    files: Files,
    provider: Arc<CryptoProvider>,
    pair: RwLock<Arc<CertifiedKey>>,
    /// What was read last, usable or not.
    read: Mutex<Contents>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What is in the files. It says nothing of that in a log.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contents")
    }
}

/// What another look at the files brought.
#[derive(Debug)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// New handshakes get the new certificate.
    Changed,
    /// They changed and cannot be used: the old pair goes on.
    Refused(TlsError),
}

impl Tls {
    /// Reads a certificate (with those that it is signed by, if need be, after it) and its key, both in
    /// PEM format.
    ///
    /// # Errors
    /// A file cannot be read or is none of that, or the two do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let contents = files.read()?;
        let pair = files.pair(&contents, &provider)?;
        let current = Arc::new(Current {
            files,
            provider: Arc::clone(&provider),
            pair: RwLock::new(Arc::new(pair)),
            read: Mutex::new(contents),
        });
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                error,
            })?;
        let mut config = config
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
        })
    }

    /// Looks at the files again. Open connections keep what they have.
    pub fn reload(&self) -> Reload {
        self.current.reload()
    }

    /// Looks at the files again and again, for ever, and says in the log what came of it.
    pub async fn watch(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Reload::Changed) => tracing::info!(
                    file = %self.current.files.certificate.display(),
                    "the certificate has changed: new connections get the new one"
                ),
                Ok(Reload::Refused(error)) => tracing::error!(
                    "the certificate has changed and the new one is not used, the old one is: {error}"
                ),
                Ok(Reload::Unchanged) | Err(_) => {}
            }
        }
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl Current {
    fn reload(&self) -> Reload {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match self.files.read() {
            Ok(contents) if contents == *read => return Reload::Unchanged,
            Ok(contents) => contents,
            // Half of a change, most likely: said once, until there is something to read again.
            Err(_) if read.certificate.is_empty() && read.key.is_empty() => {
                return Reload::Unchanged;
            }
            Err(error) => {
                *read = Contents {
                    certificate: Vec::new(),
                    key: Vec::new(),
                };
                return Reload::Refused(error);
            }
        };
        let pair = self.files.pair(&contents, &self.provider);
        *read = contents;
        match pair {
            Ok(pair) => {
                let mut current = self.pair.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(pair);
                Reload::Changed
            }
            Err(error) => Reload::Refused(error),
        }
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&pair))
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    fn pair(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let no_certificate = || TlsError::Missing {
            file: self.certificate.clone(),
            what: "certificate",
            begins: "CERTIFICATE-----",
        };
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&contents.certificate).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        // What is wrong with it is not repeated: it is a key.
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|_| TlsError::Missing {
            file: self.key.clone(),
            what: "private key",
            begins: "PRIVATE KEY-----",
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;

    let unreadable = |error| TlsError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let most = crate::limits::PEM_BYTES;
    let mut contents = Vec::new();
    std::fs::File::open(file)
        .map_err(unreadable)?
        .take(most + 1)
        .read_to_end(&mut contents)
        .map_err(unreadable)?;
    if contents.len() as u64 > most {
        return Err(TlsError::TooLarge(file.to_owned()));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::fs;

    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn certificate(&self) -> PathBuf {
            self.0.path().join("certificate.pem")
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("key.pem")
        }

        fn load(&self) -> Result<Tls, TlsError> {
            Tls::load(&self.certificate(), &self.key())
        }

        fn write(&self, made: &Made<rcgen::KeyPair>) {
            fs::write(self.certificate(), made.cert.pem()).unwrap();
            fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        }
    }

    fn made() -> Made<rcgen::KeyPair> {
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
    }

    fn leaf(tls: &Tls) -> Vec<u8> {
        let pair = tls.current.pair.read().unwrap();
        pair.end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn a_pair_is_read_and_what_is_none_is_refused_by_its_name() {
        let folder = Folder::new();
        let error = folder.load().unwrap_err().to_string();
        assert!(error.contains("certificate.pem"), "{error}");
        let (one, other) = (made(), made());
        folder.write(&one);
        folder.load().unwrap();

        fs::write(folder.key(), other.signing_key.serialize_pem()).unwrap();
        let error = folder.load().unwrap_err();
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
        fs::write(folder.key(), one.cert.pem()).unwrap();
        let error = folder.load().unwrap_err().to_string();
        assert!(
            error.contains("key.pem has no private key") && error.contains("PRIVATE KEY"),
            "{error}"
        );
        folder.write(&one);
        fs::write(folder.certificate(), "").unwrap();
        let error = folder.load().unwrap_err().to_string();
        assert!(
            error.contains("certificate.pem has no certificate"),
            "{error}"
        );
        let large = vec![b'x'; usize::try_from(crate::limits::PEM_BYTES).unwrap() + 1];
        fs::write(folder.certificate(), large).unwrap();
        let error = folder.load().unwrap_err();
        assert!(matches!(error, TlsError::TooLarge(_)), "{error}");
    }

    #[test]
    fn a_changed_pair_is_used_and_a_bad_one_is_refused_once() {
        let folder = Folder::new();
        let (one, other) = (made(), made());
        folder.write(&one);
        let tls = folder.load().unwrap();
        assert_eq!(leaf(&tls), one.cert.der().to_vec());
        assert!(matches!(tls.reload(), Reload::Unchanged));

        // The certificate comes first, its key a moment later.
        fs::write(folder.certificate(), other.cert.pem()).unwrap();
        assert!(matches!(tls.reload(), Reload::Refused(_)));
        assert!(matches!(tls.reload(), Reload::Unchanged), "said once");
        assert_eq!(leaf(&tls), one.cert.der().to_vec());
        fs::write(folder.key(), other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(tls.reload(), Reload::Changed));
        assert_eq!(leaf(&tls), other.cert.der().to_vec());

        fs::remove_file(folder.key()).unwrap();
        assert!(matches!(
            tls.reload(),
            Reload::Refused(TlsError::Unreadable { .. })
        ));
        assert!(matches!(tls.reload(), Reload::Unchanged), "said once");
        assert_eq!(leaf(&tls), other.cert.der().to_vec());
        folder.write(&one);
        assert!(matches!(tls.reload(), Reload::Changed));
        assert_eq!(leaf(&tls), one.cert.der().to_vec());
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let folder = Folder::new();
        let made = made();
        folder.write(&made);
        let tls = folder.load().unwrap();
        let shown = format!("{tls:?} {:?}", tls.current.read.lock().unwrap());
        let pem = made.signing_key.serialize_pem();
        let secret = pem.lines().nth(1).unwrap();
        assert!(!shown.contains(secret) && shown.len() < 300, "{shown}");
    }
}
