//! What can be wrong with a certificate and its key, and what to do about it. The key is never shown.

use std::path::PathBuf;

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
    /// The key needs a password.
    #[error("the key {} is encrypted with a password, which nobody can type here: write it without, such as with \
             `openssl pkey -in {} -out key.pem`, readable for the gateway's user only", .0.display(), .0.display())]
    Encrypted(PathBuf),
    /// The key is of a kind that is not supported.
    #[error("the key {} is {kind}, which is not supported: make a key and a certificate with ECDSA on P-256 or \
             P-384, Ed25519, or RSA of 2048 bits or more", key.display())]
    Unsupported {
        /// The file of the key.
        key: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The certificates are in the wrong order.
    #[error("the certificates in {} are in the wrong order: the key belongs to the one at place {at}. Put that \
             one first, and behind each the one that signed it", certificate.display())]
    Order {
        /// The file of the certificates.
        certificate: PathBuf,
        /// Where the certificate is, from 1 on.
        at: usize,
    },
    /// The two do not belong together.
    #[error("the key {} does not belong to the certificate {}: name the key that the certificate was made with, \
             or have a new certificate made", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// Something else is wrong with them.
    #[error("{} and {} cannot be used: {error}; RSA keys need 2048 to 8192 bits", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}
