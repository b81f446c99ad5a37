//! Entries of the live log, and the frames that are made of them.

use interview_session::asr::WsState;
use interview_session::id::SessionId;
use interview_session::lane::LiveKind;
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Which log of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Log {
    /// Final utterances. Goes first: an event is about an utterance.
    Utterances,
    /// Speaker events.
    Events,
}

impl Log {
    pub(crate) const ALL: [Log; 2] = [Self::Utterances, Self::Events];
}

/// Names an entry of a stream's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryName {
    /// Whose.
    pub role: StreamRole,
    /// Which of its logs.
    pub log: Log,
    /// Which life of it: a reset begins a new one.
    pub life: u64,
    /// Its place, from 0.
    pub index: u32,
}

/// What a number of the live log stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// An utterance in its log.
    Utterance {
        role: StreamRole,
        life: u64,
        index: u32,
    },
    /// A speaker event in its log.
    SpeakerEvent {
        role: StreamRole,
        life: u64,
        index: u32,
    },
    /// A sentence that is still being heard.
    Partial {
        role: StreamRole,
        text: String,
        start_ms: u64,
    },
    /// The way to the ASR service changed.
    AsrState {
        role: StreamRole,
        asr_ws_state: WsState,
    },
}

/// A live frame, with its fields in the documented order.
#[derive(Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    live_seq: u64,
    session_id: &'a str,
    stream_role: StreamRole,
    #[serde(skip_serializing_if = "Option::is_none")]
    utterance: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asr_ws_state: Option<WsState>,
}

impl Entry {
    pub fn pointer(name: EntryName) -> Self {
        let EntryName {
            role, life, index, ..
        } = name;
        match name.log {
            Log::Utterances => Self::Utterance { role, life, index },
            Log::Events => Self::SpeakerEvent { role, life, index },
        }
    }

    /// What it points to; none of a frame that is all here.
    pub fn name(&self) -> Option<EntryName> {
        let (role, log, life, index) = match *self {
            Self::Utterance { role, life, index } => (role, Log::Utterances, life, index),
            Self::SpeakerEvent { role, life, index } => (role, Log::Events, life, index),
            Self::Partial { .. } | Self::AsrState { .. } => return None,
        };
        Some(EntryName {
            role,
            log,
            life,
            index,
        })
    }

    pub const fn role(&self) -> StreamRole {
        match self {
            Self::Utterance { role, .. }
            | Self::SpeakerEvent { role, .. }
            | Self::Partial { role, .. }
            | Self::AsrState { role, .. } => *role,
        }
    }

    /// Which kind one must listen to; none: it is for everybody.
    pub const fn kind(&self) -> Option<LiveKind> {
        match self {
            Self::Utterance { .. } => Some(LiveKind::Utterances),
            Self::SpeakerEvent { .. } => Some(LiveKind::Events),
            Self::Partial { .. } => Some(LiveKind::Partials),
            Self::AsrState { .. } => None,
        }
    }

    /// The frame's text. `document` is what a pointer points to; none when that is gone or damaged:
    /// there is nothing to send.
    pub fn frame(
        &self,
        session: &SessionId,
        live_seq: u64,
        document: Option<&str>,
    ) -> Option<String> {
        let mut frame = Frame {
            kind: "",
            live_seq,
            session_id: session.as_str(),
            stream_role: self.role(),
            utterance: None,
            event: None,
            text: None,
            start_ms: None,
            asr_ws_state: None,
        };
        match self {
            Self::Utterance { .. } => {
                frame.kind = "utterance";
                frame.utterance = Some(serde_json::from_str(document?).ok()?);
            }
            Self::SpeakerEvent { .. } => {
                frame.kind = "speaker_event";
                frame.event = Some(serde_json::from_str(document?).ok()?);
            }
            Self::Partial { text, start_ms, .. } => {
                frame.kind = "partial";
                frame.text = Some(text);
                frame.start_ms = Some(*start_ms);
            }
            Self::AsrState { asr_ws_state, .. } => {
                frame.kind = "asr_state";
                frame.asr_ws_state = Some(*asr_ws_state);
            }
        }
        Some(to_json(&frame))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn frames_are_the_documented_ones() {
        let session = SessionId::parse("s \"1\"").unwrap();
        let role = StreamRole::Teacher;
        let (life, index) = (3, 4);
        for (entry, document, expected) in [
            (
                Entry::Utterance { role, life, index },
                Some(r#"{"text":"x","z":1.50}"#),
                Some(
                    r#"{"type":"utterance","live_seq":9,"session_id":"s \"1\"","stream_role":"teacher","utterance":{"text":"x","z":1.50}}"#,
                ),
            ),
            (
                Entry::SpeakerEvent { role, life, index },
                Some(r#"{"ts":"t"}"#),
                Some(
                    r#"{"type":"speaker_event","live_seq":9,"session_id":"s \"1\"","stream_role":"teacher","event":{"ts":"t"}}"#,
                ),
            ),
            (
                Entry::Partial {
                    role,
                    text: "so".into(),
                    start_ms: 0,
                },
                None,
                Some(
                    r#"{"type":"partial","live_seq":9,"session_id":"s \"1\"","stream_role":"teacher","text":"so","start_ms":0}"#,
                ),
            ),
            (
                Entry::AsrState {
                    role,
                    asr_ws_state: WsState::Running,
                },
                None,
                Some(
                    r#"{"type":"asr_state","live_seq":9,"session_id":"s \"1\"","stream_role":"teacher","asr_ws_state":"running"}"#,
                ),
            ),
            (Entry::Utterance { role, life, index }, None, None),
            (Entry::Utterance { role, life, index }, Some("{"), None),
        ] {
            assert_eq!(
                entry.frame(&session, 9, document).as_deref(),
                expected,
                "{entry:?}"
            );
            let text = to_json(&entry);
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
        }
    }

    #[test]
    fn a_pointer_points_back() {
        for log in Log::ALL {
            let name = EntryName {
                role: StreamRole::Students,
                log,
                life: 7,
                index: 2,
            };
            assert_eq!(Entry::pointer(name).name(), Some(name));
        }
    }
}
