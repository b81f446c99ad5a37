//! Which keys are taken, so that every store can keep them and no two fall together in one.

/// The longest key, in bytes of UTF-8 (S3's limit).
pub const MAX_KEY_BYTES: usize = 1024;

/// The longest part of a key between slashes, in bytes. A file's name may have 255; the rest is for
/// the names of its metadata and of what is being written.
pub const MAX_SEGMENT_BYTES: usize = 240;

/// What the name of a metadata file ends in, in stores that keep metadata in files.
pub const SIDECAR_SUFFIX: &str = ".meta.json";

/// Whether this is a key: parts of any text without control characters, backslashes and `#`, joined by
/// single slashes.
///
/// # Errors
/// It is none; the text says why.
pub fn check(key: &str) -> Result<(), String> {
    check_parts(key)?;
    if key.ends_with(SIDECAR_SUFFIX) {
        return Err(format!(
            "the key {key:?}: names ending in .meta.json are for the metadata of others"
        ));
    }
    Ok(())
}

/// Whether this is the beginning of keys: whole parts, each with its slash behind it. Gives the parts
/// without the last slash.
///
/// # Errors
/// It is none; the text says why.
pub fn check_prefix(prefix: &str) -> Result<&str, String> {
    let Some(parts) = prefix.strip_suffix('/') else {
        return Err(format!("the prefix {prefix:?}: it does not end in a slash"));
    };
    check_parts(parts)?;
    Ok(parts)
}

/// What is said where [`is_plain`] does not hold of a key that is listed.
pub const FOREIGN_KEY: &str = "there is an object whose key another program made, with empty parts or the \
    like: remove it, and give that program a prefix or bucket of its own";

/// Whether a key that is listed has only parts as this crate takes them. Any other would not be the same
/// key in the path of an URL, where `..` goes up.
#[must_use]
pub fn is_plain(key: &str) -> bool {
    check_parts(key).is_ok()
}

fn check_parts(key: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("the key {key:?}: {why}"));
    if key.len() > MAX_KEY_BYTES {
        return Err(format!(
            "a key has {} bytes, more than {MAX_KEY_BYTES}",
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
            // What is being written to a directory is named `<name>#<number>`.
            _ if segment.contains(|c: char| c.is_control() || c == '\\' || c == '#') => {
                return refuse("it has a control character, a backslash or a #");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_would_be_another_one_in_an_url_is_not_plain() {
        for key in [
            "a/../b", "a/./b", "..", "a//b", "/a", "a/", "a\\b", "a#b", "a\nb",
        ] {
            assert!(!is_plain(key), "{key}");
        }
        for key in ["a", "a/b.meta.json", "a/ü &<+%2e%2e/..b"] {
            assert!(is_plain(key), "{key}");
        }
    }
}
