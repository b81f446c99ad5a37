//! Client frames: text in, a frame or the text of the error frame out.
//!
//! Nothing here depends on what is stored, so the checks that do come later and in their order: a
//! chunk is first a duplicate or not ([`crate::ingest`]) and only then decoded
//! ([`ChunkFrame::decode`]), as in the original. A chunk of 43 KB is scanned once and its audio
//! decoded from where it lies; nothing of it is copied unless the client escaped it.

mod fields;
mod subscription;

use std::borrow::Cow;

use bounded_json::TooMuch;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use unicode_text::at_most_utf16;

use crate::capture::{BadCapture, CapturePatch};
use crate::config::{BadConfig, ConfigPatch};
use crate::id::SessionId;
use crate::js;
use crate::role::{BadRole, StreamRole};
use crate::seq::ClaimedSeq;
use fields::Fields;
pub use subscription::Subscription;

/// Samples per second.
pub const SAMPLE_RATE: u32 = 16_000;

/// Channels.
pub const CHANNELS: u32 = 1;

/// Signed 16-bit little endian.
pub const FORMAT: &str = "pcm_s16le";

/// Bytes of a chunk, which is one second.
pub const CHUNK_BYTES: usize = 32_000;

/// Longest close reason, in UTF-16 units; more is cut.
pub const MAX_REASON: usize = 120;

const DEFAULT_REASON: &str = "client-close";

/// The payload of one WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text frame.
    Text(&'a str),
    /// A binary frame: never served.
    Binary(&'a [u8]),
}

/// What a client wants. Borrows from the frame's text.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame<'a> {
    /// To be answered with `ready`.
    Hello {
        /// What the frame sets; none when it sets nothing.
        config: Option<ConfigPatch>,
        /// Live frames that the client wants from now on; none when the frame does not say.
        subscribe: Option<Subscription>,
    },
    /// To be answered with the status object.
    Status,
    /// To be answered with `pong`.
    Ping,
    /// To be applied, then acked.
    CaptureStatus(CapturePatch),
    /// One second of audio.
    Chunk(ChunkFrame<'a>),
    /// To be answered with `closing`, then a close frame with code 1000 and this reason.
    Close {
        /// Not empty, at most [`MAX_REASON`] UTF-16 units (up to 360 bytes: the host cuts it to what
        /// a close frame holds).
        reason: String,
    },
}

/// One second of audio whose fields are right; its audio is not decoded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkFrame<'a> {
    /// Which second, as claimed.
    pub seq: ClaimedSeq,
    /// The client's clock; more than 0, finite, maybe with a fraction.
    pub timestamp_ms: f64,
    /// Equal to the session id.
    pub meeting_id: Cow<'a, str>,
    content: Content<'a>,
}

/// The JSON string `content_b64`, as it is written. Not empty.
#[derive(Debug, Clone, Copy)]
struct Content<'a>(&'a RawValue);

impl PartialEq for Content<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// A frame that cannot be served: an error frame with this text. The connection stays open.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A binary frame.
    #[error("websocket frame must be text JSON")]
    NotText,
    /// Not JSON, or a field that holds half a surrogate pair or is nested too deeply.
    #[error("websocket frame is not valid JSON")]
    NotJson,
    /// A number, a string, a boolean or null.
    #[error("websocket frame must be an object")]
    NotObject,
    /// A field that holds more values than a client may send. Nothing was built of it.
    #[error("websocket frame holds {0}: send less in one frame")]
    TooMuch(TooMuch),
    /// No `type`, or one that is not served. The type is cut to 200 characters.
    #[error("unsupported message type: {0}")]
    UnknownType(String),
    /// A role that does not exist.
    #[error(transparent)]
    Role(#[from] BadRole),
    /// A role that is not the connection's.
    #[error("{frame}.stream_role mismatch: expected {expected}, got {got}")]
    RoleMismatch {
        /// The frame's type.
        frame: &'static str,
        /// The connection's role.
        expected: StreamRole,
        /// The role in the frame; in a chunk as the client wrote it.
        got: String,
    },
    /// A field of a chunk.
    #[error("frame.{0}")]
    Field(&'static str),
    /// `meeting_id` is not the session's id.
    #[error("meeting_id mismatch: expected {0}")]
    Meeting(SessionId),
    /// A capture status that is refused.
    #[error(transparent)]
    Capture(#[from] BadCapture),
    /// A `hello` whose roster is refused.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// A `hello` that subscribes to what there is not.
    #[error("hello.subscribe must be a list of utterances, partials, events")]
    HelloSubscribe,
    /// A `hello` that wants frames after no number.
    #[error("hello.after must be a whole number from 0")]
    HelloAfter,
    /// The audio is not base64. The text is the original's.
    #[error(
        "atob() called with invalid base64-encoded data. (Only whitespace, '+', '/', alphanumeric ASCII, and up to two terminal '=' signs when the input data length is divisible by 4 are allowed.)"
    )]
    Base64,
    /// The audio is not one second.
    #[error("chunk byte length must be {CHUNK_BYTES}, got {0}")]
    Size(usize),
}

/// Reads a frame of the connection of this session and role.
pub fn parse_frame<'a>(
    payload: Incoming<'a>,
    session: &SessionId,
    role: StreamRole,
) -> Result<ClientFrame<'a>, FrameError> {
    let Incoming::Text(text) = payload else {
        return Err(FrameError::NotText);
    };
    let fields = Fields::parse(text)?;
    let kind = match fields.kind {
        None => Cow::Borrowed(""),
        Some(raw) => match fields::string(raw)? {
            Some(kind) => kind,
            None => other_text(raw)?,
        },
    };
    match &*kind {
        "chunk" => chunk(&fields, session, role).map(ClientFrame::Chunk),
        "ping" => Ok(ClientFrame::Ping),
        "status" => Ok(ClientFrame::Status),
        "hello" => hello(&fields, role),
        "capture_status" => capture_status(&fields, role),
        "close" => close(&fields),
        _ => Err(FrameError::UnknownType(
            at_most_utf16(&kind, js::MAX_ECHO).to_owned(),
        )),
    }
}

/// `String(value ?? "")` of a value that is no string.
fn other_text(raw: &RawValue) -> Result<Cow<'static, str>, FrameError> {
    Ok(match fields::value(raw)? {
        Value::Null => Cow::Borrowed(""),
        value => Cow::Owned(js::to_text(&value).into_owned()),
    })
}

fn hello<'a>(fields: &Fields<'a>, role: StreamRole) -> Result<ClientFrame<'a>, FrameError> {
    if let Some(raw) = fields.stream_role.filter(|raw| !fields::is_null(raw)) {
        let given = match fields::string(raw)? {
            Some(given) => given,
            None => other_text(raw)?,
        };
        expect_role("hello", role, &given)?;
    }
    let read = |raw: Option<&RawValue>| raw.map(fields::value).transpose();
    let config = ConfigPatch::from_fields(
        read(fields.teams_participants)?.as_ref(),
        read(fields.teams_interviewer_name)?.as_ref(),
        read(fields.interviewer_name)?.as_ref(),
    )?;
    Ok(ClientFrame::Hello {
        config: (!config.is_empty()).then_some(config),
        subscribe: Subscription::from_fields(fields)?,
    })
}

/// A role that reads as the connection's.
fn expect_role(frame: &'static str, expected: StreamRole, given: &str) -> Result<(), FrameError> {
    let got = StreamRole::parse(Some(given))?;
    if got == expected {
        return Ok(());
    }
    Err(FrameError::RoleMismatch {
        frame,
        expected,
        got: got.as_str().to_owned(),
    })
}

fn capture_status<'a>(
    fields: &Fields<'a>,
    role: StreamRole,
) -> Result<ClientFrame<'a>, FrameError> {
    // The original looks at strings only.
    if let Some(raw) = fields.stream_role
        && let Some(given) = fields::string(raw)?
    {
        expect_role("capture_status", role, &given)?;
    }
    let payload = fields.payload.ok_or(BadCapture::NotObject)?;
    let patch = CapturePatch::from_value(&fields::value(payload)?)?;
    Ok(ClientFrame::CaptureStatus(patch))
}

fn close<'a>(fields: &Fields<'a>) -> Result<ClientFrame<'a>, FrameError> {
    let reason = match fields.reason {
        None => Cow::Borrowed(""),
        Some(raw) => match fields::string(raw)? {
            Some(reason) => reason,
            None => other_text(raw)?,
        },
    };
    let reason = match at_most_utf16(&reason, MAX_REASON) {
        "" => DEFAULT_REASON,
        reason => reason,
    };
    Ok(ClientFrame::Close {
        reason: reason.to_owned(),
    })
}

fn chunk<'a>(
    fields: &Fields<'a>,
    session: &SessionId,
    role: StreamRole,
) -> Result<ChunkFrame<'a>, FrameError> {
    let meeting_id = text_field(fields.meeting_id)?
        .filter(|id| !id.is_empty())
        .ok_or(FrameError::Field("meeting_id is required"))?;
    let seq = number_field(fields.seq)
        .and_then(ClaimedSeq::new)
        .ok_or(FrameError::Field("seq must be a positive integer"))?;
    let timestamp_ms = number_field(fields.timestamp_ms)
        .filter(|ms| *ms > 0.0)
        .ok_or(FrameError::Field("timestamp_ms must be a positive number"))?;
    if number_field(fields.sample_rate) != Some(f64::from(SAMPLE_RATE)) {
        return Err(FrameError::Field("sample_rate must be 16000"));
    }
    if number_field(fields.channels) != Some(f64::from(CHANNELS)) {
        return Err(FrameError::Field("channels must be 1"));
    }
    if text_field(fields.format)?.as_deref() != Some(FORMAT) {
        return Err(FrameError::Field("format must be pcm_s16le"));
    }
    let content = fields
        .content_b64
        .filter(|raw| fields::quoted(raw).is_some_and(|inside| !inside.is_empty()))
        .map(Content)
        .ok_or(FrameError::Field("content_b64 is required"))?;
    if let Some(raw) = fields.stream_role.filter(|raw| !fields::is_null(raw)) {
        chunk_role(raw, role)?;
    }
    if meeting_id != session.as_str() {
        return Err(FrameError::Meeting(session.clone()));
    }
    Ok(ChunkFrame {
        seq,
        timestamp_ms,
        meeting_id,
        content,
    })
}

/// In a chunk the role is compared as it is written: `TEACHER` is a role, but not the connection's.
fn chunk_role(raw: &RawValue, expected: StreamRole) -> Result<(), FrameError> {
    let given = match fields::string(raw)? {
        Some(given) => given,
        None => other_text(raw)?,
    };
    if given == expected.as_str() {
        return Ok(());
    }
    StreamRole::parse(Some(&given))?;
    Err(FrameError::RoleMismatch {
        frame: "chunk",
        expected,
        got: at_most_utf16(&given, js::MAX_ECHO).to_owned(),
    })
}

fn text_field(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, FrameError> {
    raw.map_or(Ok(None), fields::string)
}

/// A number; one too large for a float is none.
fn number_field(raw: Option<&RawValue>) -> Option<f64> {
    serde_json::from_str(raw?.get()).ok()
}

impl ChunkFrame<'_> {
    /// The audio: exactly [`CHUNK_BYTES`]. White space inside and missing padding are accepted, as
    /// by `atob`.
    pub fn decode(&self) -> Result<Vec<u8>, FrameError> {
        let pcm = self.content.decode()?;
        if pcm.len() == CHUNK_BYTES {
            Ok(pcm)
        } else {
            Err(FrameError::Size(pcm.len()))
        }
    }
}

impl Content<'_> {
    fn decode(self) -> Result<Vec<u8>, FrameError> {
        // Strict first: it stops at an escape, at white space and at missing padding.
        let inside = fields::quoted(self.0).unwrap_or_default();
        if let Ok(pcm) = base64_simd::STANDARD.decode_to_vec(inside) {
            return Ok(pcm);
        }
        let text = fields::string(self.0)?.unwrap_or_default();
        base64_simd::forgiving_decode_to_vec(text.as_bytes()).map_err(|_| FrameError::Base64)
    }
}
