//! Lanes: their names, and the messages that routes and streams leave in them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::asr::WsState;
use crate::id::SessionId;
use crate::role::{ByRole, StreamRole};
use crate::stored;
use crate::time::EpochMs;

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
    /// `<session>/result`: writes `result.json`, one at a time.
    Result {
        /// Whose.
        session: SessionId,
    },
    /// `<session>/live`: numbers what happens in the session and pushes it to those who listen.
    Live {
        /// Whose.
        session: SessionId,
    },
}

/// No lane of this app has this name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("not a lane: {0}")]
pub struct BadLane(String);

const IDENTITY: &str = "identity";
const LIVE: &str = "live";
const RESULT: &str = "result";

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
        if kind == LIVE {
            return Some(Self::Live { session: id });
        }
        if kind == RESULT {
            return Some(Self::Result { session: id });
        }
        let role = StreamRole::ALL
            .into_iter()
            .find(|role| role.as_str() == kind)?;
        Some(Self::Stream { session: id, role })
    }

    /// The session it belongs to.
    pub const fn session(&self) -> &SessionId {
        match self {
            Self::Stream { session, .. }
            | Self::Identity { session }
            | Self::Live { session }
            | Self::Result { session } => session,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { session, role } => write!(f, "{session}/{role}"),
            Self::Identity { session } => write!(f, "{session}/{IDENTITY}"),
            Self::Live { session } => write!(f, "{session}/{LIVE}"),
            Self::Result { session } => write!(f, "{session}/{RESULT}"),
        }
    }
}

/// What is left in a lane. As JSON: `{"type":"flush"}`, `{"type":"identify"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LaneMessage {
    /// To a stream's lane, as a call: transcribe all that is stored, then answer with
    /// [`FlushAnswer`].
    Flush {},
    /// To a stream's lane, as a call: one more backfill window; answered with [`WindowAnswer`].
    RunWindow {
        /// When no whole window is left, a last, shorter one will do.
        flush: bool,
    },
    /// To a stream's lane: the host was started again, and the timers that an earlier process had
    /// set are gone. It carries nothing: what is left to do is in the stream's records.
    Resume {},
    /// To a stream's lane: remove seconds that were put for a session that is not there any more.
    TakeBack {
        /// When that session began, in milliseconds since 1970.
        of: u64,
        /// Of each its number.
        seconds: Vec<u32>,
    },
    /// To a stream's lane, as a call: forget transcript and backlog; answered with [`ResetAnswer`].
    Reset {},
    /// To a stream's lane, as a call: append a speaker event. Answered with [`Done`].
    SpeakerEvent {
        /// As the HTTP API shows it.
        event: Value,
        /// The students' utterance that it is about, as the session state named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identified: Option<Identified>,
    },
    /// To a stream's lane, as a call: who is there? Answered with [`ClientsAnswer`].
    Clients {},
    /// To a stream's lane or the live lane, as a call: close all sockets, remove all records.
    /// Answered with [`Done`].
    Delete {},
    /// To the identity lane: look for utterances without a speaker event. It carries nothing: the
    /// state, not the message, knows what is left to do.
    Identify {},
    /// To the result lane, as a call: write `result.json` as the session is now; answered with
    /// [`ResultAnswer`].
    WriteResult {
        /// Which session of this id is meant: see [`SessionDocument::place`](crate::session_document::SessionDocument::place).
        place: u64,
        /// The client's own.
        metadata: Map<String, Value>,
    },
    /// To the result lane: is there an incomplete `result.json` that can be completed? It carries nothing.
    CompleteResult {},
    /// To the live lane: look for new entries of the streams' logs. As little as that, too.
    Look {},
    /// To the live lane: a sentence that is still being heard.
    Partial {
        /// Whose.
        stream_role: StreamRole,
        /// Where it begins, in session time.
        start_ms: u64,
        /// What was heard so far.
        text: String,
    },
    /// To the live lane: the way to the ASR service changed.
    AsrState {
        /// Whose.
        stream_role: StreamRole,
        /// To this.
        asr_ws_state: WsState,
    },
    /// To the live lane: a client of a stream wants to be told.
    Subscribe {
        /// Its socket.
        socket: String,
        /// What of.
        kinds: Vec<LiveKind>,
        /// From the frame after this number; none: from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
}

/// Which live frames somebody listens to. `asr_state` frames go to everybody who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveKind {
    /// Final utterances.
    Utterances,
    /// Sentences that are still being heard.
    Partials,
    /// Speaker events.
    Events,
}

/// A students' utterance in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// Which life of the log: a reset begins a new one.
    pub life: u64,
    /// Its place.
    pub index: u32,
}

/// The answer to [`LaneMessage::Flush`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushAnswer {
    /// Stored seconds without a final text; 0 when the flush was complete.
    pub untranscribed: u32,
}

/// The answer to [`LaneMessage::RunWindow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowAnswer {
    /// Windows done: 1 or 0.
    pub windows: u32,
    /// Those that gave an utterance.
    pub generated: u32,
    /// No window is left.
    pub at_end: bool,
    /// Why there is none although something is left.
    pub failed: Option<String>,
}

/// The answer to [`LaneMessage::Reset`]: how many entries were removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetAnswer {
    /// Utterances.
    pub removed_raw: u32,
    /// Entries of the merged view.
    pub removed_merged: u32,
    /// Speaker events.
    pub removed_events: u32,
}

/// The answer to [`LaneMessage::WriteResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResultAnswer {
    /// It is written.
    Written(WrittenResult),
    /// That session was deleted.
    Gone {},
    /// It cannot be written.
    Failed {
        /// Of the HTTP answer.
        status: u16,
        /// What the client is told.
        detail: String,
    },
}

/// A `result.json` that was written, and what it lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenResult {
    /// In the blob store.
    pub result_key: String,
    /// Speaker events in it.
    pub event_count: usize,
    /// When its session was as it says.
    pub finalized_at: EpochMs,
    /// Stored seconds without a final text.
    pub untranscribed_by_stream: ByRole<Vec<Untranscribed>>,
    /// Utterances without a speaker event, by their ids: the first [`MAX_UNIDENTIFIED`] of a stream.
    pub unidentified_by_stream: ByRole<Vec<String>>,
}

/// Stored seconds whose text was not final, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untranscribed {
    /// The first one.
    pub first_seq: u32,
    /// The last one.
    pub last_seq: u32,
}

/// Utterances without a speaker event that the answer to `finalize` names; `result.json` has all of them.
pub const MAX_UNIDENTIFIED: usize = 1_000;

/// The answer to [`LaneMessage::Clients`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsAnswer {
    /// Client sockets that are connected now.
    pub connected: u32,
}

/// The answer to a message that is only carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

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

/// The answer to a call of a lane, as JSON.
pub trait LaneAnswer: Serialize + serde::de::DeserializeOwned {
    /// Reads an answer's body.
    ///
    /// # Errors
    /// It is not this answer.
    fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        serde_json::from_slice(body).map_err(|error| BadMessage(error.to_string()))
    }

    /// The body to reply with.
    fn to_body(&self) -> Vec<u8> {
        stored::to_json(self).into_bytes()
    }
}

impl LaneAnswer for FlushAnswer {}
impl LaneAnswer for WindowAnswer {}
impl LaneAnswer for ResetAnswer {}
impl LaneAnswer for ClientsAnswer {}
impl LaneAnswer for ResultAnswer {}
impl LaneAnswer for IdentifyAnswer {}
impl LaneAnswer for Done {}

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
        assert!(matches!(
            Lane::parse("live/live").unwrap(),
            Lane::Live { session } if session.as_str() == "live"
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
        let event = LaneMessage::SpeakerEvent {
            event: serde_json::json!({"ts": "x"}),
            identified: Some(Identified { life: 7, index: 0 }),
        };
        assert_eq!(
            event.to_body(),
            br#"{"type":"speaker_event","event":{"ts":"x"},"identified":{"life":7,"index":0}}"#
        );
        assert_eq!(LaneMessage::parse(&event.to_body()), Ok(event));
        let subscribe = LaneMessage::Subscribe {
            socket: "s".into(),
            kinds: vec![LiveKind::Utterances, LiveKind::Partials],
            after: None,
        };
        assert_eq!(
            subscribe.to_body(),
            br#"{"type":"subscribe","socket":"s","kinds":["utterances","partials"]}"#
        );
    }

    proptest! {
        #[test]
        fn every_lane_reads_back(given in "\\PC{1,40}", which in 0usize..6) {
            if let Ok(session) = SessionId::parse(&given) {
                let lane = match StreamRole::ALL.get(which) {
                    Some(role) => Lane::Stream { session, role: *role },
                    None if which == 3 => Lane::Identity { session },
                    None if which == 4 => Lane::Result { session },
                    None => Lane::Live { session },
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
