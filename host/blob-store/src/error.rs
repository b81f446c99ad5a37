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
    /// There is no space left on its disk; try again when there is.
    #[error("the blob store has no space left: make room: {0}")]
    Full(String),
    /// The store does not take this key or value; trying again will not help.
    #[error("the blob store refuses: {0}")]
    Refused(String),
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        let message = with_causes(&error);
        if never_works(&error) {
            Self::Refused(message)
        } else if io_kind(&error).is_some_and(is_full) {
            Self::Full(message)
        } else {
            Self::Unavailable(message)
        }
    }
}

impl BlobError {
    /// What an error of the operating system means, which happened while `what` was done.
    pub(crate) fn of_system(what: &str, error: &io::Error) -> Self {
        let message = format!("{what}: {error}");
        match error.kind() {
            kind if is_full(kind) => Self::Full(message),
            kind if is_permanent(kind) => Self::Refused(message),
            _ => Self::Unavailable(message),
        }
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn is_permanent(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::InvalidFilename
            // A key continues another object's key as if that were a directory.
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
    )
}

fn never_works(error: &object_store::Error) -> bool {
    use object_store::Error;
    match error {
        Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. } => true,
        other => io_kind(other).is_some_and(is_permanent),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    /// As `object_store` has it from the operating system.
    fn stored(code: i32) -> BlobError {
        BlobError::from(object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from_raw_os_error(code)),
        })
    }

    #[test]
    fn a_full_disk_is_told_apart_from_what_passes_and_from_what_does_not() {
        let (no_space, quota, permission, input_output) = (28, 122, 13, 5);
        for code in [no_space, quota] {
            let full = stored(code);
            assert!(matches!(full, BlobError::Full(_)), "{full}");
            assert!(full.to_string().contains("no space left"), "{full}");
            let error = io::Error::from_raw_os_error(code);
            assert!(matches!(
                BlobError::of_system("x", &error),
                BlobError::Full(_)
            ));
        }
        assert!(matches!(stored(permission), BlobError::Refused(_)));
        assert!(matches!(stored(input_output), BlobError::Unavailable(_)));
    }
}
