//! Which keys are taken, so that every store can keep them and no two fall together in one.

use object_store::path::Path;

use crate::BlobError;

/// The longest key, in bytes of UTF-8 (S3's limit).
pub const MAX_KEY_BYTES: usize = 1024;

/// The longest part of a key between slashes, in bytes. A file's name may have 255; the rest is for
/// the names of its metadata and of what is being written.
pub const MAX_SEGMENT_BYTES: usize = 240;

/// What the name of a metadata file ends in; see [`crate::BlobStore`].
pub(crate) const SIDECAR_SUFFIX: &str = ".meta.json";

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
    check_parts(key)?;
    let refuse = |why: &str| Err(BlobError::Refused(format!("the key {key:?}: {why}")));
    if key.ends_with(SIDECAR_SUFFIX) {
        return refuse("names ending in .meta.json are for the metadata of others");
    }
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
    let refuse = |why: &str| Err(BlobError::Refused(format!("the prefix {prefix:?}: {why}")));
    let Some(parts) = prefix.strip_suffix('/') else {
        return refuse("it does not end in a slash");
    };
    check_parts(parts)?;
    Path::parse(parts).or_else(|error| refuse(&error.to_string()))
}

/// Whether a file of this name, below the root, is an object's: not metadata, not half-written.
pub(crate) fn is_object_name(name: &str) -> bool {
    !name.contains('#') && !name.ends_with(SIDECAR_SUFFIX)
}

fn check_parts(key: &str) -> Result<(), BlobError> {
    let refuse = |why: &str| Err(BlobError::Refused(format!("the key {key:?}: {why}")));
    if key.len() > MAX_KEY_BYTES {
        return refuse(&format!(
            "it has {} bytes, more than {MAX_KEY_BYTES}",
            key.len()
        ));
    }
    for segment in key.split('/') {
        match segment {
            "" => return refuse("it is empty, or begins, ends or goes on with an empty part"),
            "." | ".." => return refuse("a part is . or .."),
            _ if segment.len() > MAX_SEGMENT_BYTES => {
                return refuse(&format!("a part has more than {MAX_SEGMENT_BYTES} bytes"));
            }
            // object_store names what it is writing `<name>#<number>`.
            _ if segment.contains(|c: char| c.is_control() || c == '\\' || c == '#') => {
                return refuse("it has a control character, a backslash or a #");
            }
            _ => {}
        }
    }
    Ok(())
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
