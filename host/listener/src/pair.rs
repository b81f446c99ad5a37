//! A certificate with its key, and what is wrong with the two, as whoever has to mend it needs it told.
//! Nothing here shows the key.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::der::Facts;
use crate::tls_error::TlsError;

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How a key begins that needs a password, in the newer and in the older form.
const ENCRYPTED: [&str; 2] = [
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "Proc-Type: 4,ENCRYPTED",
];

/// Kinds of keys that are not supported, by what they are called in a key.
const UNSUPPORTED: [(&[u8], &str); 5] = [
    (b"\x06\x05\x2b\x81\x04\x00\x23", "ECDSA on the curve P-521"),
    (b"\x06\x05\x2b\x81\x04\x00\x21", "ECDSA on the curve P-224"),
    (
        b"\x06\x05\x2b\x81\x04\x00\x0a",
        "ECDSA on the curve secp256k1",
    ),
    (b"\x06\x03\x2b\x65\x71", "Ed448"),
    (b"\x06\x07\x2a\x86\x48\xce\x38\x04\x01", "DSA"),
];

/// A certificate with its key, ready to be used.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    /// Of the certificate itself; none: it could not be read.
    facts: Option<Facts>,
}

/// Whether a certificate is valid at a time, and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    /// Ends on this day.
    EndsSoon(String),
    /// Ended on this day.
    Expired(String),
    /// Begins on this day.
    NotYet(String),
}

impl Pair {
    /// Reads both. `certificate` and `key` are the files' names for messages.
    pub(crate) fn read(
        (certificate, chain): (&Path, &[u8]),
        (key, secret): (&Path, &[u8]),
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let no_certificate = || TlsError::Missing {
            file: certificate.to_owned(),
            what: "certificate",
            begins: "CERTIFICATE-----",
        };
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        if chain.is_empty() {
            return Err(no_certificate());
        }
        let text = String::from_utf8_lossy(secret);
        if ENCRYPTED.iter().any(|begins| text.contains(begins)) {
            return Err(TlsError::Encrypted(key.to_owned()));
        }
        // What is wrong with it is not repeated: it is a key.
        let secret = PrivateKeyDer::from_pem_slice(secret).map_err(|_| TlsError::Missing {
            file: key.to_owned(),
            what: "private key",
            begins: "PRIVATE KEY-----",
        })?;
        let pair = |chain: &[CertificateDer<'static>]| {
            CertifiedKey::from_der(chain.to_vec(), secret.clone_key(), provider)
        };
        let made = pair(&chain).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let fits = (1..chain.len())
                    .find(|first| chain.get(*first..).is_some_and(|rest| pair(rest).is_ok()));
                match fits {
                    Some(at) => TlsError::Order {
                        certificate: certificate.to_owned(),
                        at: at + 1,
                    },
                    None => TlsError::Mismatch {
                        certificate: certificate.to_owned(),
                        key: key.to_owned(),
                    },
                }
            }
            error => match unsupported(secret.secret_der()) {
                Some(kind) => TlsError::Unsupported {
                    key: key.to_owned(),
                    kind,
                },
                None => TlsError::Unusable {
                    certificate: certificate.to_owned(),
                    key: key.to_owned(),
                    error,
                },
            },
        })?;
        let facts: Vec<Option<Facts>> = chain.iter().map(|one| Facts::of(one)).collect();
        if let Some(at) = out_of_order(&facts) {
            tracing::warn!(
                file = %certificate.display(),
                "the certificates are not in their order: the one at place {at} is not who signed the one before \
                 it, and some clients will trust none of them. Put the one of this server first, and behind each \
                 the one that signed it"
            );
        }
        Ok(Self {
            key: Arc::new(made),
            facts: facts.into_iter().next().flatten(),
        })
    }

    /// Whether it is valid at this time.
    pub(crate) fn validity(&self, now: SystemTime) -> Validity {
        match &self.facts {
            Some(facts) if now > facts.not_after.time => {
                Validity::Expired(facts.not_after.day.clone())
            }
            Some(facts) if now < facts.not_before.time => {
                Validity::NotYet(facts.not_before.day.clone())
            }
            Some(facts) if now + SOON > facts.not_after.time => {
                Validity::EndsSoon(facts.not_after.day.clone())
            }
            _ => Validity::Valid,
        }
    }
}

impl Validity {
    /// Says it in the log.
    pub(crate) fn tell(&self, certificate: &Path) {
        let file = certificate.display();
        match self {
            Self::Valid => {}
            Self::EndsSoon(day) => tracing::warn!(
                "the certificate {file} ends on {day}: renew it; the new files are taken without a restart"
            ),
            Self::Expired(day) => tracing::error!(
                "the certificate {file} has expired on {day}, and clients refuse it: renew it; the new files are \
                 taken without a restart"
            ),
            Self::NotYet(day) => tracing::error!(
                "the certificate {file} is not valid before {day}, and clients refuse it: look whether the clock \
                 of this machine is right"
            ),
        }
    }
}

/// The kind of a key that is known not to be supported.
fn unsupported(key: &[u8]) -> Option<&'static str> {
    let has = |name: &[u8]| key.windows(name.len()).any(|part| part == name);
    UNSUPPORTED
        .iter()
        .find(|(name, _)| has(name))
        .map(|(_, kind)| *kind)
}

/// The first certificate that did not sign the one before it, by its place from 1 on.
fn out_of_order(chain: &[Option<Facts>]) -> Option<usize> {
    let wrong = chain.windows(2).position(|pair| match pair {
        [Some(one), Some(next)] => one.issuer != next.subject,
        _ => false,
    });
    wrong.map(|at| at + 2)
}
