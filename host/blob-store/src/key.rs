//! Which keys are taken, so that every store can keep them and no two fall together in one.

use object_store::path::Path;

use crate::BlobError;

use s3_protocol::keys::{self, SIDECAR_SUFFIX as SUFFIX};
pub use s3_protocol::keys::{MAX_KEY_BYTES, MAX_SEGMENT_BYTES};

/// What the name of a metadata file ends in; see [`crate::BlobStore`].
pub(crate) const SIDECAR_SUFFIX: &str = SUFFIX;

/// A key that every store can keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Where the object is.
    pub(crate) object: Path,
    /// Where its metadata are, if the store has no better place.
    pub(crate) sidecar: Path,
}

/// Reads a key: parts of any text without control characters, backslashes and `#`, joined by single
/// slashes.
pub(crate) fn parse(key: &str) -> Result<Key, BlobError> {
    keys::check(key).map_err(BlobError::Refused)?;
    let refuse = |why: &str| Err(BlobError::Refused(format!("the key {key:?}: {why}")));
    match (
        Path::parse(key),
        Path::parse(format!("{key}{SIDECAR_SUFFIX}")),
    ) {
        (Ok(object), Ok(sidecar)) => Ok(Key { object, sidecar }),
        (Err(error), _) | (_, Err(error)) => refuse(&error.to_string()),
    }
}

/// Reads the beginning of keys: whole parts, each with its slash behind it. The path has no slash at
/// its end, but stands for what is below it only.
pub(crate) fn parse_prefix(prefix: &str) -> Result<Path, BlobError> {
    let parts = keys::check_prefix(prefix).map_err(BlobError::Refused)?;
    Path::parse(parts)
        .map_err(|error| BlobError::Refused(format!("the prefix {prefix:?}: {error}")))
}

/// Whether a file of this name, below the root, is an object's: not metadata, not half-written.
pub(crate) fn is_object_name(name: &str) -> bool {
    !name.contains('#') && !name.ends_with(SIDECAR_SUFFIX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_parts_joined_by_slashes() {
        for key in [
            "a",
            "sessions/s-1/chunks/teacher/00000001.pcm",
            "a b/ü/%2e%2e/...",
            "a.b",
        ] {
            assert_eq!(parse(key).unwrap().object.as_ref(), key);
        }
        parse(&"k/".repeat(MAX_KEY_BYTES / 2 - 1)).unwrap_err();
        parse(&format!("{}k", "k/".repeat(MAX_KEY_BYTES / 2 - 1))).unwrap();
        parse(&"k".repeat(MAX_SEGMENT_BYTES)).unwrap();
    }

    #[test]
    fn what_could_leave_the_store_or_collide_is_refused() {
        let long = "k".repeat(MAX_SEGMENT_BYTES + 1);
        let longer = "k/".repeat(MAX_KEY_BYTES);
        for key in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "a/.",
            "a\\b",
            "a\0",
            "a\nb",
            "a#1",
            "a.meta.json",
            &long,
            &longer,
        ] {
            let error = parse(key).unwrap_err();
            assert!(matches!(error, BlobError::Refused(_)), "{key:?}: {error}");
        }
    }

    #[test]
    fn prefixes_are_whole_parts() {
        assert_eq!(
            parse_prefix("sessions/a b/").unwrap().as_ref(),
            "sessions/a b"
        );
        for prefix in ["", "/", "a", "a//", "/a/", "../", "a/../", "a#1/", "a\0/"] {
            let error = parse_prefix(prefix).unwrap_err();
            assert!(
                matches!(error, BlobError::Refused(_)),
                "{prefix:?}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_is_kept(key in "\\PC{0,40}|[./a#\\\\\u{0}-\u{20}]{0,9}") {
            if let Ok(parsed) = parse(&key) {
                prop_assert_eq!(parsed.object.as_ref(), &key);
                prop_assert!(parse(parsed.sidecar.as_ref()).is_err(), "it is nobody's key");
            }
        }
    }
}
