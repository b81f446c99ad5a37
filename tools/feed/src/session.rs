//! Names: of sessions, of stream roles, and their places on the gateway.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use url::Url;

/// The most characters (UTF-16 code units) that the gateway takes in a session id.
pub const MAX_ID_UNITS: usize = 128;

/// Why a name is not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Of a session.
    #[error("a session id has 1 to {MAX_ID_UNITS} characters and is not `.` or `..`")]
    Id,
    /// Of a gateway.
    #[error("`{0}` is not the URL of a gateway; give one like http://127.0.0.1:3000")]
    Gateway(String),
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

    fn from_str(id: &str) -> Result<Self, Error> {
        let units = id.encode_utf16().count();
        // Dots alone are a step in a path; no URL can carry them, escaped or not.
        if !(1..=MAX_ID_UNITS).contains(&units) || matches!(id, "." | "..") {
            return Err(Error::Id);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a gateway is: an `http` URL, with a path in front of its routes or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway(Url);

impl Gateway {
    /// A route of the gateway. The segments are percent-encoded.
    #[must_use]
    pub fn route<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        // Only an URL without a host has no segments, and `from_str` takes none of those.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Where the audio of a stream goes.
    #[must_use]
    pub fn audio(&self, session: &SessionId, role: Role) -> Url {
        let mut url = self.route(["v1", "audio", "ws", session.as_str(), role.as_str()]);
        // From http to ws is a change that the URL standard allows.
        let _ = url.set_scheme("ws");
        url
    }
}

impl FromStr for Gateway {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Gateway(text.to_owned());
        let mut url = Url::parse(text).map_err(|_| invalid())?;
        if url.scheme() != "http" || !url.has_host() {
            return Err(invalid());
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn ids_are_encoded_in_paths() {
        let gateway: Gateway = "http://h:1/base/".parse().unwrap();
        let session: SessionId = "a/b ?#%2F\u{e9}".parse().unwrap();
        assert_eq!(
            gateway.audio(&session, Role::Students).as_str(),
            "ws://h:1/base/v1/audio/ws/a%2Fb%20%3F%23%252F%C3%A9/students"
        );
        assert_eq!(gateway.to_string(), "http://h:1/base");
    }

    #[test]
    fn ids_have_limits() {
        for bad in ["", ".", "..", &"x".repeat(129), &"\u{1F600}".repeat(65)] {
            assert_eq!(bad.parse::<SessionId>(), Err(Error::Id), "{bad}");
        }
        assert!("x".repeat(128).parse::<SessionId>().is_ok());
        let fresh = SessionId::fresh();
        assert_eq!(fresh.as_str().parse(), Ok(fresh));
    }

    #[test]
    fn other_urls_are_no_gateways() {
        for bad in ["", "127.0.0.1:3000", "ws://h", "ftp://h", "data:x"] {
            assert!(bad.parse::<Gateway>().is_err(), "{bad}");
        }
    }
}
