//! TLS by certificate files, which are looked at again while the listener runs: whoever renews a
//! certificate writes its files, and need not start anything anew. A pair that cannot be used changes
//! nothing and is named in the log. The key is never logged and never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::pair::{Pair, Validity};
use crate::tls_error::TlsError;

/// The one protocol that is spoken after the handshake (ALPN).
const HTTP_1_1: &[u8] = b"http/1.1";

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
    pair: RwLock<Arc<Pair>>,
    /// What was said last of how long the certificate is valid.
    said: Mutex<Validity>,
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
        let validity = pair.validity(SystemTime::now());
        validity.tell(certificate);
        let current = Arc::new(Current {
            files,
            provider: Arc::clone(&provider),
            pair: RwLock::new(Arc::new(pair)),
            said: Mutex::new(validity),
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
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            self.current.look_at_the_clock(SystemTime::now());
            match reloaded {
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
    /// Says when the certificate is not valid any more, or not for long, once.
    fn look_at_the_clock(&self, now: SystemTime) {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        let validity = pair.validity(now);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != validity {
            validity.tell(&self.files.certificate);
            *said = validity;
        }
    }

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
        Some(Arc::clone(&pair.key))
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
        })
    }

    fn pair(&self, contents: &Contents, provider: &CryptoProvider) -> Result<Pair, TlsError> {
        Pair::read(
            (&self.certificate, &contents.certificate),
            (&self.key, &contents.key),
            provider,
        )
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

    use base64::Engine;
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
        pair.key.end_entity_cert().unwrap().to_vec()
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
        assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
        assert!(error.to_string().contains("does not belong"), "{error}");
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

    /// A key in so far as it says that it is one, on the curve P-521.
    fn on_p_521() -> String {
        let der = b"\x30\x17\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x04\x00";
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_as_what_it_is() {
        let folder = Folder::new();
        folder.write(&made());
        for (key, parts) in [
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
                ["is encrypted with a password", "openssl pkey"],
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nMIIB\n\
                 -----END RSA PRIVATE KEY-----\n",
                ["is encrypted with a password", "openssl pkey"],
            ),
            (&on_p_521(), ["ECDSA on the curve P-521", "P-256"]),
        ] {
            fs::write(folder.key(), key).unwrap();
            let error = folder.load().unwrap_err().to_string();
            for part in parts.into_iter().chain(["key.pem"]) {
                assert!(error.contains(part), "{part}: {error}");
            }
        }
        fs::remove_file(folder.key()).unwrap();
        fs::create_dir(folder.key()).unwrap();
        let error = folder.load().unwrap_err().to_string();
        assert!(error.contains("key.pem: Is a directory"), "{error}");
    }

    #[test]
    fn a_chain_that_begins_with_another_certificate_is_told_where_the_right_one_is() {
        let folder = Folder::new();
        let (server, other) = (made(), made());
        folder.write(&server);
        let chain = [other.cert.pem(), other.cert.pem(), server.cert.pem()].concat();
        fs::write(folder.certificate(), chain).unwrap();
        let error = folder.load().unwrap_err().to_string();
        assert!(
            error.contains("wrong order") && error.contains("place 3") && error.contains("first"),
            "{error}"
        );
        let chain = [server.cert.pem(), other.cert.pem()].concat();
        fs::write(folder.certificate(), chain).unwrap();
        folder.load().unwrap();
    }

    #[test]
    fn a_certificate_is_valid_for_a_time_and_that_is_said_once() {
        let folder = Folder::new();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 1, 2);
        params.not_after = rcgen::date_time_ymd(2024, 3, 4);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&signing_key).unwrap();
        folder.write(&Made { cert, signing_key });
        let tls = folder.load().unwrap();
        let expired = Validity::Expired("2024-03-04".to_owned());
        assert_eq!(*tls.current.said.lock().unwrap(), expired);
        let day = |number: u64| {
            std::time::UNIX_EPOCH + Duration::from_secs(1_704_067_200 + (number - 1) * 86_400)
        };
        for (now, validity) in [
            (day(1), Validity::NotYet("2024-01-02".to_owned())),
            (day(3), Validity::Valid),
            (day(60), Validity::EndsSoon("2024-03-04".to_owned())),
            (day(65), expired),
        ] {
            tls.current.look_at_the_clock(now);
            assert_eq!(*tls.current.said.lock().unwrap(), validity);
        }
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
