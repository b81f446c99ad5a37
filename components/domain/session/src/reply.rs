//! Server frames, with their fields in the documented order. Each has a `to_json`.

use std::fmt::Display;

use serde::Serialize;

use crate::capture::{CaptureRecord, CaptureView};
use crate::frame::{CHANNELS, FORMAT, SAMPLE_RATE};
use crate::id::SessionId;
use crate::ingest::{IngestRecord, IngestStatus};
use crate::role::{ByRole, StreamRole};
use crate::seq::Seq;
use crate::stored;
use crate::time::EpochMs;

/// The answer to `hello`.
#[derive(Debug, Serialize)]
pub struct Ready<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: &'a str,
    stream_role: StreamRole,
    target_sample_rate: u32,
    target_channels: u32,
    target_format: &'static str,
    ingest: IngestStatus<'a>,
    ingest_by_stream: ByRole<IngestStatus<'a>>,
}

impl<'a> Ready<'a> {
    /// From the records of all three streams.
    pub fn new(session: &'a SessionId, role: StreamRole, ingest: &ByRole<IngestRecord>) -> Self {
        Self {
            kind: "ready",
            session_id: session.as_str(),
            stream_role: role,
            target_sample_rate: SAMPLE_RATE,
            target_channels: CHANNELS,
            target_format: FORMAT,
            ingest: ingest.get(role).status(session, role),
            ingest_by_stream: ingest.status(session),
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// The answer to `status`.
#[derive(Debug, Serialize)]
pub struct Status<'a> {
    #[serde(flatten)]
    own: IngestStatus<'a>,
    ingest_by_stream: ByRole<IngestStatus<'a>>,
}

impl<'a> Status<'a> {
    /// From the records of all three streams.
    pub fn new(session: &'a SessionId, role: StreamRole, ingest: &ByRole<IngestRecord>) -> Self {
        Self {
            own: ingest.get(role).status(session, role),
            ingest_by_stream: ingest.status(session),
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// The answer to `ping`.
#[derive(Debug, Serialize)]
pub struct Pong {
    #[serde(rename = "type")]
    kind: &'static str,
    ts: EpochMs,
    stream_role: StreamRole,
}

impl Pong {
    /// With the gateway's time.
    pub const fn new(role: StreamRole, now: EpochMs) -> Self {
        Self {
            kind: "pong",
            ts: now,
            stream_role: role,
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// The answer to `chunk`.
#[derive(Debug, Serialize)]
pub struct Ack<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    stream_role: StreamRole,
    seq: Seq,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    last_seq: u32,
    missing_count: u32,
    duplicate_count: u64,
}

impl<'a> Ack<'a> {
    /// `stored`: only when the chunk is in the blob store and `record`, which counts it, in the
    /// session store.
    pub const fn stored(role: StreamRole, seq: Seq, key: &'a str, record: &IngestRecord) -> Self {
        Self::new(role, seq, "stored", Some(key), record)
    }

    /// `duplicate`; `record` counts it.
    pub const fn duplicate(role: StreamRole, seq: Seq, record: &IngestRecord) -> Self {
        Self::new(role, seq, "duplicate", None, record)
    }

    const fn new(
        role: StreamRole,
        seq: Seq,
        status: &'static str,
        key: Option<&'a str>,
        record: &IngestRecord,
    ) -> Self {
        Self {
            kind: "ack",
            stream_role: role,
            seq,
            status,
            key,
            last_seq: record.last_seq(),
            missing_count: record.missing_chunks(),
            duplicate_count: record.duplicate_chunks(),
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// The answer to `capture_status`.
#[derive(Debug, Serialize)]
pub struct CaptureAck<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    stream_role: StreamRole,
    payload: CaptureView<'a>,
}

impl<'a> CaptureAck<'a> {
    /// With what is stored now.
    pub fn new(role: StreamRole, record: &'a CaptureRecord) -> Self {
        Self {
            kind: "capture_status_ack",
            stream_role: role,
            payload: record.view(),
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// The answer to `close`; the close frame follows.
#[derive(Debug, Serialize)]
pub struct Closing<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reason: &'a str,
    stream_role: StreamRole,
}

impl<'a> Closing<'a> {
    /// With the reason of [`crate::frame::ClientFrame::Close`].
    pub const fn new(role: StreamRole, reason: &'a str) -> Self {
        Self {
            kind: "closing",
            reason,
            stream_role: role,
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}

/// What a frame that cannot be served gets.
#[derive(Debug, Serialize)]
pub struct ErrorReply {
    #[serde(rename = "type")]
    kind: &'static str,
    detail: String,
}

impl ErrorReply {
    /// From a [`crate::frame::FrameError`], a [`crate::ingest::Refusal`] or the caller's own text.
    pub fn new(error: impl Display) -> Self {
        Self {
            kind: "error",
            detail: error.to_string(),
        }
    }

    /// The frame's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}
