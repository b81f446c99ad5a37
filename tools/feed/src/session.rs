//! Names: of sessions and of stream roles.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The most characters (UTF-16 code units) that the gateway takes in a session id.
pub const MAX_ID_UNITS: usize = 128;

/// Why a session id is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Too short or too long, or a step in a path.
    #[error("a session id has 1 to {MAX_ID_UNITS} characters and is not `.` or `..`")]
    Id,
    /// A line break or the like.
    #[error("a session id has no control characters")]
    Control,
}

/// A session id that the gateway takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// A readable id that was not used before: `feed-` and the time in UTC.
    #[must_use]
    pub fn fresh() -> Self {
        let now = jiff::Timestamp::now();
        Self(now.strftime("feed-%Y%m%d-%H%M%S-%3f").to_string())
    }

    /// As the gateway spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = Error;

    /// As the gateway reads it: the length counts before the white space around it is left out.
    fn from_str(given: &str) -> Result<Self, Error> {
        let units = given.encode_utf16().count();
        let is_space = |c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}';
        let id = given.trim_matches(is_space);
        // Dots alone are a step in a path; no URL can carry them, escaped or not.
        if units > MAX_ID_UNITS || matches!(id, "" | "." | "..") {
            return Err(Error::Id);
        }
        if id.chars().any(char::is_control) {
            return Err(Error::Control);
        }
        Ok(Self(id.to_owned()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which microphone a file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everybody in one stream.
    Mixed,
    /// The interviewer.
    Teacher,
    /// The candidates.
    Students,
}

impl Role {
    /// As the gateway spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Teacher => "teacher",
            Self::Students => "students",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Mixed, Self::Teacher, Self::Students]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a role: teacher, students or mixed"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_have_limits() {
        for bad in [
            "",
            " ",
            ".",
            " .. ",
            &"x".repeat(129),
            &"\u{1F600}".repeat(65),
        ] {
            assert_eq!(bad.parse::<SessionId>(), Err(Error::Id), "{bad}");
        }
        assert_eq!("a\nb".parse::<SessionId>(), Err(Error::Control));
        assert!("x".repeat(128).parse::<SessionId>().is_ok());
        assert_eq!("x \u{feff}".parse::<SessionId>().unwrap().as_str(), "x");
        let fresh = SessionId::fresh();
        assert_eq!(fresh.as_str().parse(), Ok(fresh));
    }

    proptest! {
        /// What is left of an id is the same session to the gateway, whatever normal form it has for it.
        #[test]
        fn ids_are_read_as_the_gateway_reads_them(id in "[\\p{Zs}\\t\\n\u{85}\u{feff}\u{0}a.é😀]{0,66}") {
            let theirs = |id: &str| interview_session::id::SessionId::parse(id);
            let (ours, given) = (id.parse::<SessionId>(), theirs(&id));
            match (&ours, &given) {
                (Ok(ours), Ok(_)) => prop_assert_eq!(theirs(ours.as_str()), given),
                (Err(_), Err(_)) => {}
                // No URL carries these.
                (Err(Error::Id), Ok(id)) => prop_assert!(matches!(id.as_str(), "." | "..")),
                _ => prop_assert!(false, "{:?} {:?}", ours, given),
            }
        }
    }
}
