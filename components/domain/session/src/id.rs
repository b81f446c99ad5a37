//! Session ids, as clients choose them.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::js;

/// Longest session id, in UTF-16 units (the original counted as JavaScript does).
pub const MAX_ID_UNITS: usize = 128;

/// A session id: percent-decoded, without white space around it, 1 to [`MAX_ID_UNITS`] UTF-16 units,
/// no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// An id that cannot be served: status 400 with this text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BadId {
    /// A percent sign without two hex digits, or bytes that are not UTF-8.
    #[error("URI malformed")]
    Malformed,
    /// Empty, only white space, or over [`MAX_ID_UNITS`].
    #[error("session_id must be 1..128 chars")]
    Length,
    /// NUL, a line break or the like: stores and logs cannot carry them safely.
    #[error("session_id must not contain control characters")]
    Control,
}

impl SessionId {
    /// Reads a path segment as it came.
    pub fn from_path_segment(segment: &str) -> Result<Self, BadId> {
        if !escapes_are_whole(segment.as_bytes()) {
            return Err(BadId::Malformed);
        }
        let decoded = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| BadId::Malformed)?;
        Self::parse(&decoded)
    }

    /// Reads an id that is not percent-encoded. The length counts before trimming, as in the original.
    pub fn parse(given: &str) -> Result<Self, BadId> {
        // A UTF-8 byte is at most one unit, so most ids need no counting.
        if given.len() > MAX_ID_UNITS && js::utf16_len(given) > MAX_ID_UNITS {
            return Err(BadId::Length);
        }
        let id = js::trim(given);
        if id.is_empty() {
            return Err(BadId::Length);
        }
        if id.chars().any(char::is_control) {
            return Err(BadId::Control);
        }
        Ok(Self(id.to_owned()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether two hex digits follow every percent sign.
fn escapes_are_whole(segment: &[u8]) -> bool {
    segment.iter().enumerate().all(|(at, byte)| {
        *byte != b'%'
            || segment
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SessionId {
    type Error = BadId;

    fn try_from(given: String) -> Result<Self, BadId> {
        Self::parse(&given)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn id(segment: &str) -> Result<String, BadId> {
        SessionId::from_path_segment(segment).map(String::from)
    }

    #[test]
    fn what_the_records_show() {
        assert_eq!(id("g-route").unwrap(), "g-route");
        assert_eq!(id("a%2Fb").unwrap(), "a/b");
        assert_eq!(id("%E4%BC%9A%E8%AE%AE%E4%B8%80").unwrap(), "会议一");
        assert_eq!(id(&"a".repeat(128)).unwrap().len(), 128);
        assert_eq!(id(&"a".repeat(129)), Err(BadId::Length));
        assert_eq!(id(&"%61".repeat(128)).unwrap().len(), 128);
        assert_eq!(id(&"%61".repeat(129)), Err(BadId::Length));
        assert!(id(&"%E4%BC%9A".repeat(128)).is_ok());
        assert_eq!(id(&"%E4%BC%9A".repeat(129)), Err(BadId::Length));
        assert!(id(&"%F0%9F%98%80".repeat(64)).is_ok());
        assert_eq!(id(&"%F0%9F%98%80".repeat(65)), Err(BadId::Length));
        assert_eq!(id("%E0%A4%A"), Err(BadId::Malformed));
        assert_eq!(id("100%"), Err(BadId::Malformed));
    }

    #[test]
    fn what_the_original_let_through() {
        assert_eq!(id("%20"), Err(BadId::Length));
        assert_eq!(id(""), Err(BadId::Length));
        assert_eq!(id("a%00b"), Err(BadId::Control));
        assert_eq!(id("a%0Ab"), Err(BadId::Control));
        assert_eq!(id("%FF"), Err(BadId::Malformed));
        assert_eq!(id("%ED%A0%80"), Err(BadId::Malformed));
        assert_eq!(id("%+1"), Err(BadId::Malformed));
        assert_eq!(id("%20a%20").unwrap(), "a");
        assert_eq!(id("a+b").unwrap(), "a+b");
    }

    proptest! {
        #[test]
        fn an_id_reads_back(given in any::<String>()) {
            if let Ok(id) = SessionId::parse(&given) {
                prop_assert_eq!(SessionId::parse(id.as_str()), Ok(id.clone()));
                let encoded = percent_encoding::utf8_percent_encode(
                    id.as_str(), percent_encoding::NON_ALPHANUMERIC).to_string();
                prop_assert_eq!(SessionId::from_path_segment(&encoded), Ok(id));
            }
        }

        #[test]
        fn any_segment_is_answered(segment in "[%a-fA-F0-9 \u{0}é]{0,20}") {
            let _ = SessionId::from_path_segment(&segment);
        }
    }
}
