//! `GET state` and `POST config`: what a session is, read and changed.

use interview_session::asr::{
    AsrFigures, AsrParts, AsrSettings, AsrView, BridgeFigures, WindowFigures, WsState,
};
use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::config::{ConfigAnswer, ConfigPatch, ConfigState};
use interview_session::connected::Connected;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::phase::{Phase, PhaseFacts, phase};
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::state_view::{StateParts, StateView};
use interview_session::stored::{self, to_json};
use interview_session::time::EpochMs;
use serde_json::Value;

use crate::bindings::interview::gateway::asr_bridge::{self, Connection};
use crate::bindings::interview::gateway::session_state::{self, SessionView, StreamView};
use crate::bindings::realtime::sockets::sockets;
use crate::{roles, settings};

/// Everything that is stored of a session but its logs, read.
pub struct Session {
    pub document: SessionDocument,
    pub ingest: ByRole<IngestRecord>,
    pub asr: AsrSettings,
    view: SessionView,
    capture: ByRole<CaptureRecord>,
    bridge: ByRole<BridgeFigures>,
    windows: ByRole<WindowFigures>,
    figures: ByRole<AsrFigures>,
    updated_at: Option<EpochMs>,
    phase: Phase,
    now: EpochMs,
    never: EpochMs,
}

impl Session {
    pub fn load(id: &SessionId) -> Result<Session, ApiError> {
        Session::read(session_state::read_session(id.as_str()).map_err(unavailable)?)
    }

    fn read(view: SessionView) -> Result<Session, ApiError> {
        let streams = roles::streams(&view);
        let now = crate::now();
        let never = view.created_at.map_or(now, EpochMs);
        let capture = captures(&view)?;
        let ingest = ingest(&view, never)?;
        Ok(Session {
            document: SessionDocument::read(&view.session)?,
            asr: settings::asr()?,
            bridge: ByRole::try_new(|role| bridge_figures(streams.get(role)))?,
            windows: ByRole::try_new(|role| window_figures(streams.get(role)))?,
            // What a recorder says of itself is part of the session's state; chunks are not.
            updated_at: view.updated_at.map(EpochMs).max(last_said(&capture)),
            capture: capture_by_stream(capture, never),
            figures: ByRole::try_new(|role| {
                AsrFigures::load(streams.get(role).figures.as_deref())
            })?,
            phase: phase_of(&view, &ingest, now),
            ingest,
            view,
            now,
            never,
        })
    }

    /// The stored records of one stream.
    pub fn stream(&self, role: StreamRole) -> &StreamView {
        roles::streams(&self.view).get(role)
    }

    /// Whether a stream has neither audio nor a log.
    pub fn is_untouched(&self, role: StreamRole) -> bool {
        let stream = self.stream(role);
        self.ingest.get(role).last_seq() == 0 && stream.utterances == 0 && stream.events == 0
    }

    /// Chunks of all streams.
    pub fn received_chunks(&self) -> u64 {
        received(&self.ingest)
    }

    pub fn view<'a>(&'a self, id: &'a SessionId) -> StateView<'a> {
        let streams = roles::streams(&self.view);
        StateView::new(StateParts {
            session: id,
            document: &self.document,
            event_count: StreamRole::ALL
                .into_iter()
                .map(|role| streams.get(role).events)
                .sum(),
            updated_at: self.updated_at,
            ingest: &self.ingest,
            capture: &self.capture,
            asr: ByRole::new(|role| {
                AsrView::new(AsrParts {
                    settings: &self.asr,
                    figures: self.figures.get(role),
                    bridge: self.bridge.get(role),
                    ingest: self.ingest.get(role),
                    windows: self.windows.get(role),
                    now: self.now,
                    never: self.never,
                })
            }),
            utterances: ByRole::new(|role| streams.get(role).utterances),
            phase: self.phase,
        })
    }
}

/// The ingest records; `never` is the time of those that were never written.
pub fn ingest(view: &SessionView, never: EpochMs) -> Result<ByRole<IngestRecord>, ApiError> {
    let streams = roles::streams(view);
    Ok(ByRole::try_new(|role| {
        IngestRecord::load(streams.get(role).ingest.as_deref(), never)
    })?)
}

/// What the recorders said of themselves.
pub fn captures(view: &SessionView) -> Result<ByRole<Option<CaptureRecord>>, ApiError> {
    let streams = roles::streams(view);
    ByRole::try_new(|role| capture(streams.get(role).capture.as_deref()))
}

fn capture(document: Option<&str>) -> Result<Option<CaptureRecord>, ApiError> {
    let read = document.map(|text| stored::read("capture", text));
    Ok(read.transpose()?)
}

/// When a recorder last said something.
pub fn last_said(captures: &ByRole<Option<CaptureRecord>>) -> Option<EpochMs> {
    let said_at = |role| captures.get(role).as_ref().map(|record| record.updated_at);
    StreamRole::ALL.into_iter().filter_map(said_at).max()
}

/// How far a session is.
pub fn phase_of(view: &SessionView, ingest: &ByRole<IngestRecord>, now: EpochMs) -> Phase {
    let marks = &view.finalization;
    let facts = PhaseFacts {
        finalizing_at: marks.finalizing_at.map(EpochMs),
        finalized_at: marks.finalized_at.map(EpochMs),
        finalized_chunks: marks.finalized_chunks,
        received_chunks: received(ingest),
    };
    phase(&facts, now, || is_connected(view))
}

fn received(ingest: &ByRole<IngestRecord>) -> u64 {
    StreamRole::ALL
        .into_iter()
        .map(|role| u64::from(ingest.get(role).received_chunks()))
        .sum()
}

/// Whether a client of a stream is connected. The records name sockets, also such as were there when
/// the host last stopped: the hosts know which there are.
pub fn is_connected(view: &SessionView) -> bool {
    let streams = roles::streams(view);
    StreamRole::ALL.into_iter().any(|role| {
        let clients = streams.get(role).clients.as_deref();
        // A record that is damaged names nobody; the stream's lane says that it is.
        let clients: Vec<Connected> = clients
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        clients
            .iter()
            .any(|client| sockets::is_open(&client.socket))
    })
}

/// The session state as `GET state` shows it, with what the recorders say now.
pub fn shown_state(id: &SessionId, document: &SessionDocument) -> Result<Value, ApiError> {
    let captures = ByRole::try_new(|role| {
        let stored = session_state::load_capture(id.as_str(), roles::wit(role));
        capture(stored.map_err(unavailable)?.as_deref())
    })?;
    let captures = capture_by_stream(captures, crate::now());
    serde_json::to_value(document.with_capture(captures.view())).map_err(ApiError::damaged)
}

fn bridge_figures(stream: &StreamView) -> Result<BridgeFigures, ApiError> {
    let status = asr_bridge::inspect(stream.bridge.as_deref())
        .map_err(|error| ApiError::damaged(format!("stored bridge: {error}")))?;
    Ok(BridgeFigures {
        ws_state: ws_state(status.connection),
        stored: status.stored,
        late: status.late,
        sent: status.sent,
        final_ms: status.final_ms,
        consecutive_failures: status.consecutive_failures,
        retry_at: status.retry_at.map(EpochMs),
        last_error: status.last_error,
        updated_at: None,
    })
}

fn window_figures(stream: &StreamView) -> Result<WindowFigures, ApiError> {
    let status = asr_bridge::inspect_windows(stream.windows.as_deref())
        .map_err(|error| ApiError::damaged(format!("stored windows: {error}")))?;
    Ok(WindowFigures {
        ws_state: ws_state(status.connection),
        late: status.late,
        consecutive_failures: status.consecutive_failures,
        retry_at: status.retry_at.map(EpochMs),
        last_error: status.last_error,
    })
}

fn ws_state(connection: Connection) -> WsState {
    match connection {
        Connection::Disconnected => WsState::Disconnected,
        Connection::Connecting => WsState::Connecting,
        Connection::Running => WsState::Running,
        Connection::Error => WsState::Error,
    }
}

pub fn state(id: &SessionId) -> Result<String, ApiError> {
    Ok(Session::load(id)?.view(id).to_json())
}

pub fn config(id: &SessionId, body: &[u8]) -> Result<String, ApiError> {
    let patch = ConfigPatch::from_body(body)?;
    let people = session_state::apply_config(id.as_str(), crate::now().0, &to_json(&patch))
        .map_err(unavailable)?;
    let people: ConfigState = stored::read("config", &people)?;
    Ok(to_json(&ConfigAnswer::new(id, &people)))
}

/// What a caller can do about a store that fails.
pub fn unavailable(error: session_state::Error) -> ApiError {
    match error {
        session_state::Error::Unavailable(why) => {
            eprintln!("the session store: {why}");
            ApiError::new(503, "the session store is unavailable: try again")
        }
        session_state::Error::Contended => {
            ApiError::new(503, "the session is being changed by others: try again")
        }
        session_state::Error::Damaged(why) => ApiError::damaged(why),
    }
}
