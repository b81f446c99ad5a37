//! Lanes: their names, and the messages that routes and streams leave in them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::SessionId;
use crate::role::StreamRole;
use crate::stored;

/// An ordered mailbox of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lane {
    /// `<session>/<role>`: all that happens to one stream.
    Stream {
        /// Whose.
        session: SessionId,
        /// Which stream.
        role: StreamRole,
    },
    /// `<session>/identity`: the session's speaker look-ups, one at a time.
    Identity {
        /// Whose.
        session: SessionId,
    },
}

/// No lane of this app has this name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not a lane: {0}")]
pub struct BadLane(String);

const IDENTITY: &str = "identity";

impl Lane {
    /// Reads a name back. The id may contain `/`: what follows the last one tells the lane.
    pub fn parse(name: &str) -> Result<Self, BadLane> {
        Self::read(name).ok_or_else(|| BadLane(name.to_owned()))
    }

    fn read(name: &str) -> Option<Self> {
        let (session, kind) = name.rsplit_once('/')?;
        let id = SessionId::parse(session).ok()?;
        // A name that this app did not make must not stand for another one.
        if id.as_str() != session {
            return None;
        }
        if kind == IDENTITY {
            return Some(Self::Identity { session: id });
        }
        let role = StreamRole::ALL
            .into_iter()
            .find(|role| role.as_str() == kind)?;
        Some(Self::Stream { session: id, role })
    }

    /// The session it belongs to.
    pub const fn session(&self) -> &SessionId {
        match self {
            Self::Stream { session, .. } | Self::Identity { session } => session,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { session, role } => write!(f, "{session}/{role}"),
            Self::Identity { session } => write!(f, "{session}/{IDENTITY}"),
        }
    }
}

/// What is left in a lane. As JSON: `{"type":"flush"}`, `{"type":"identify"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LaneMessage {
    /// To a stream's lane, as a call: transcribe all that is stored, then answer with
    /// [`FlushAnswer`].
    Flush {},
    /// To the identity lane: look for utterances without a speaker event. It carries nothing: the
    /// state, not the message, knows what is left to do.
    Identify {},
}

/// The answer to [`LaneMessage::Flush`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushAnswer {
    /// Stored seconds without a final text; 0 when the flush was complete.
    pub untranscribed: u32,
}

/// The answer to [`LaneMessage::Identify`], when it was a call: it looks at one utterance at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifyAnswer {
    /// Whether there are utterances without a speaker event yet.
    pub more: bool,
}

/// A message that no version of this app sends.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not a lane message: {0}")]
pub struct BadMessage(String);

impl LaneMessage {
    /// Reads a message's body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        serde_json::from_slice(body).map_err(|error| BadMessage(error.to_string()))
    }

    /// The body to post.
    pub fn to_body(&self) -> Vec<u8> {
        stored::to_json(self).into_bytes()
    }
}

impl IdentifyAnswer {
    /// Reads an answer's body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        serde_json::from_slice(body).map_err(|error| BadMessage(error.to_string()))
    }

    /// The body to reply with.
    pub fn to_body(&self) -> Vec<u8> {
        stored::to_json(self).into_bytes()
    }
}

impl FlushAnswer {
    /// Reads an answer's body.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        serde_json::from_slice(body).map_err(|error| BadMessage(error.to_string()))
    }

    /// The body to reply with.
    pub fn to_body(&self) -> Vec<u8> {
        stored::to_json(self).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        let lane = Lane::parse("a/b/teacher").unwrap();
        assert_eq!(lane.session().as_str(), "a/b");
        assert_eq!(lane.to_string(), "a/b/teacher");
        assert!(matches!(
            Lane::parse("a/identity/identity").unwrap(),
            Lane::Identity { session } if session.as_str() == "a/identity"
        ));
        for bad in ["", "a", "/teacher", "a/TEACHER", "a/", " a/mixed", "a/x"] {
            assert!(Lane::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages() {
        assert_eq!(LaneMessage::Flush {}.to_body(), br#"{"type":"flush"}"#);
        assert_eq!(
            LaneMessage::Identify {}.to_body(),
            br#"{"type":"identify"}"#
        );
        let answer = FlushAnswer { untranscribed: 3 };
        assert_eq!(FlushAnswer::parse(&answer.to_body()), Ok(answer));
        assert!(LaneMessage::parse(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn every_lane_reads_back(given in "\\PC{1,40}", which in 0usize..4) {
            if let Ok(session) = SessionId::parse(&given) {
                let lane = match StreamRole::ALL.get(which) {
                    Some(role) => Lane::Stream { session, role: *role },
                    None => Lane::Identity { session },
                };
                prop_assert_eq!(Lane::parse(&lane.to_string()), Ok(lane));
            }
        }

        #[test]
        fn any_name_and_body_is_answered(name in any::<String>(), body in any::<Vec<u8>>()) {
            let _ = Lane::parse(&name);
            let _ = LaneMessage::parse(&body);
        }
    }
}
