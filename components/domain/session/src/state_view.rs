//! The answer to `GET state`, put together from what is stored.

use serde::Serialize;

use crate::asr::AsrView;
use crate::capture::{CaptureRecord, CaptureView};
use crate::id::SessionId;
use crate::ingest::{IngestRecord, IngestStatus};
use crate::phase::Phase;
use crate::role::ByRole;
use crate::session_document::{SessionDocument, SessionState};
use crate::stored;
use crate::time::{EpochMs, Rfc3339};

/// The parts of a session's state. The caller has filled in defaults for what was never written.
#[derive(Debug, Clone)]
pub struct StateParts<'a> {
    /// The id.
    pub session: &'a SessionId,
    /// Clusters, bindings, config, roster.
    pub document: &'a SessionDocument,
    /// Speaker events of all roles.
    pub event_count: u32,
    /// When the session's shared state last changed; none when it never did.
    pub updated_at: Option<EpochMs>,
    /// Of all streams.
    pub ingest: &'a ByRole<IngestRecord>,
    /// Of all streams, from [`crate::capture::capture_by_stream`].
    pub capture: &'a ByRole<CaptureRecord>,
    /// Of all streams.
    pub asr: ByRole<AsrView<'a>>,
    /// Raw utterances.
    pub utterances: ByRole<u32>,
    /// How far the session is.
    pub phase: Phase,
}

/// The body of `GET state`; `result.json` takes its fields too.
#[derive(Debug, Serialize)]
pub struct StateView<'a> {
    /// The id.
    pub session_id: &'a str,
    /// The session state.
    pub state: SessionState<'a>,
    /// Speaker events of all roles.
    pub event_count: u32,
    /// When the session's shared state last changed.
    pub updated_at: Option<Rfc3339>,
    /// Of `mixed`.
    pub ingest: IngestStatus<'a>,
    /// Of all three.
    pub ingest_by_stream: ByRole<IngestStatus<'a>>,
    /// Of all three.
    pub capture_by_stream: ByRole<CaptureView<'a>>,
    /// Of `mixed`.
    pub asr: AsrView<'a>,
    /// Of all three.
    pub asr_by_stream: ByRole<AsrView<'a>>,
    /// Of `mixed`.
    pub utterance_count: u32,
    /// Of all three.
    pub utterance_count_by_stream: ByRole<u32>,
    /// How far the session is.
    pub phase: Phase,
}

impl<'a> StateView<'a> {
    /// Puts the parts in the order of the contract.
    pub fn new(parts: StateParts<'a>) -> Self {
        let ingest_by_stream = parts.ingest.status(parts.session);
        Self {
            session_id: parts.session.as_str(),
            state: parts.document.with_capture(parts.capture.view()),
            event_count: parts.event_count,
            updated_at: parts.updated_at.map(Rfc3339),
            ingest: ingest_by_stream.mixed.clone(),
            ingest_by_stream,
            capture_by_stream: parts.capture.view(),
            asr: parts.asr.mixed.clone(),
            asr_by_stream: parts.asr,
            utterance_count: parts.utterances.mixed,
            utterance_count_by_stream: parts.utterances,
            phase: parts.phase,
        }
    }

    /// The body's text.
    pub fn to_json(&self) -> String {
        stored::to_json(self)
    }
}
