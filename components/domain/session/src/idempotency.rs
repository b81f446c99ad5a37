//! The header `x-idempotency-key`: requests with the same key, of one session and stream role, are
//! one request.

use thiserror::Error;

use crate::js;

/// The header's name.
pub const IDEMPOTENCY_KEY: &str = "x-idempotency-key";

/// The header of an answer that was given before.
pub const IDEMPOTENT_REPLAY: &str = "x-idempotent-replay";

/// Longest key, in bytes, without white space around it.
pub const MAX_KEY_BYTES: usize = 8 * 1024;

/// A key that is not taken: status 400.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("x-idempotency-key must have at most {MAX_KEY_BYTES} bytes")]
pub struct BadKey;

/// The key that the header's values name, one after the other as they came; none when there is none
/// or it is blank. Every byte is a character of its own, so that no two keys become one.
///
/// # Errors
/// It is over [`MAX_KEY_BYTES`].
pub fn idempotency_key<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<String>, BadKey> {
    let mut joined = String::new();
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            joined.push_str(", ");
        }
        joined.extend(value.iter().map(|byte| char::from(*byte)));
    }
    let Some(key) = js::non_blank(&joined) else {
        return Ok(None);
    };
    if key.chars().count() > MAX_KEY_BYTES {
        return Err(BadKey);
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, BadKey> {
        idempotency_key(values.iter().copied())
    }

    #[test]
    fn keys_are_trimmed_and_blank_ones_are_none() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b""]), Ok(None));
        assert_eq!(key(&[b"   "]), Ok(None));
        assert_eq!(key(&[b"  k1  "]), Ok(Some("k1".into())));
        assert_eq!(key(&[b"a", b"b"]), Ok(Some("a, b".into())));
    }

    #[test]
    fn keys_that_are_no_text_stay_apart() {
        assert_ne!(key(&[b"\xff"]), key(&[b"\xfe"]));
        assert_eq!(key(&[b"\xe9"]), Ok(Some("é".into())));
    }

    #[test]
    fn a_key_has_a_limit() {
        let longest = vec![b'\xe9'; MAX_KEY_BYTES];
        assert!(key(&[&longest]).is_ok_and(|key| key.is_some()));
        let padded = [b"  ".as_slice(), &longest, b"  "].concat();
        assert!(key(&[&padded]).is_ok());
        let longer = [longest.as_slice(), b"k"].concat();
        assert_eq!(key(&[&longer]), Err(BadKey));
        assert_eq!(
            BadKey.to_string(),
            "x-idempotency-key must have at most 8192 bytes"
        );
    }
}
