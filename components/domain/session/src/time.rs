//! Points in time: milliseconds in what is stored, RFC 3339 in what is shown. Never reads a clock.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// Milliseconds since 1970-01-01T00:00:00Z. As JSON the number; see [`Rfc3339`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EpochMs(pub u64);

/// A text that is no RFC 3339 time from 1970 on.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not an RFC 3339 time: {0}")]
pub struct BadTime(String);

impl EpochMs {
    /// `2026-02-11T09:30:00.123Z`. What is beyond the year 9999 is shown as its end.
    pub fn rfc3339(self) -> String {
        let timestamp = i64::try_from(self.0)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::MAX);
        format!("{timestamp:.3}")
    }

    /// Reads any RFC 3339 time; what is finer than a millisecond is cut off.
    pub fn parse_rfc3339(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime(unicode_text::at_most_utf16(text, crate::js::MAX_ECHO).to_owned());
        let timestamp: Timestamp = text.parse().map_err(|_| bad())?;
        u64::try_from(timestamp.as_millisecond())
            .map(Self)
            .map_err(|_| bad())
    }

    /// Milliseconds from `earlier` to this; 0 when it is not earlier (clocks step back).
    pub const fn since(self, earlier: EpochMs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for EpochMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A time that is written as RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub EpochMs);

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shown_with_milliseconds() {
        assert_eq!(EpochMs(0).rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            EpochMs(1_770_802_200_123).rfc3339(),
            "2026-02-11T09:30:00.123Z"
        );
        assert!(EpochMs(u64::MAX).rfc3339().starts_with("9999-12-3"));
    }

    #[test]
    fn read_back() {
        let time = EpochMs(1_770_802_200_123);
        assert_eq!(EpochMs::parse_rfc3339("2026-02-11T09:30:00.123Z"), Ok(time));
        assert_eq!(
            EpochMs::parse_rfc3339("2026-02-11T10:30:00.123999+01:00"),
            Ok(time)
        );
        for bad in ["", "yesterday", "1969-12-31T23:59:59Z", "2026-02-11"] {
            assert!(EpochMs::parse_rfc3339(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn both_ways(ms in 0u64..253_000_000_000_000) {
            prop_assert_eq!(EpochMs::parse_rfc3339(&EpochMs(ms).rfc3339()), Ok(EpochMs(ms)));
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = EpochMs::parse_rfc3339(&text);
        }
    }
}
