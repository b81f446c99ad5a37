//! Why the store did not do it.

use std::error::Error as _;
use std::io;

/// A call failed. After a failed [`crate::BlobStore::put`] the key has its old object or the new one,
/// whole in either case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The store cannot do it now, for the reason given; try again.
    #[error("the blob store is unavailable: {0}")]
    Unavailable(String),
    /// The store does not take this key or value; trying again will not help.
    #[error("the blob store refuses: {0}")]
    Refused(String),
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        let message = with_causes(&error);
        if never_works(&error) {
            Self::Refused(message)
        } else {
            Self::Unavailable(message)
        }
    }
}

fn never_works(error: &object_store::Error) -> bool {
    use object_store::Error;
    match error {
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. } => true,
        other => matches!(
            io_kind(other),
            Some(
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
                    | io::ErrorKind::InvalidFilename
                    // A key continues another object's key as if that were a directory.
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
            )
        ),
    }
}

/// What the operating system said, if that is the reason.
pub(crate) fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

fn with_causes(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text.push_str(": ");
            text.push_str(&reason);
        }
        cause = error.source();
    }
    text
}
