//! All records of a session as they were at one moment, and what they say together.

use interview_session::asr::{
    AsrFigures, AsrParts, AsrSettings, AsrView, BridgeFigures, WindowFigures, WsState,
};
use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::connected::Connected;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::phase::{Phase, PhaseFacts, phase};
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::state_view::{StateParts, StateView};
use interview_session::stored;
use interview_session::time::EpochMs;

use crate::bindings::interview::gateway::asr_bridge::{self, Connection};
use crate::bindings::interview::gateway::session_state::{
    self, FinalizationMarks, SessionView, StreamView,
};
use crate::bindings::interview::gateway::types::Seconds;
use crate::bindings::realtime::sockets::sockets;
use crate::{roles, unavailable};

/// How long a stream's logs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// In which life of them: a reset begins a new one.
    pub life: u64,
    /// Utterances.
    pub utterances: u32,
    /// Entries of the merged log, if there is one.
    pub merged: u32,
    /// Speaker events.
    pub events: u32,
    /// Utterances came out of order: there is no merged log.
    pub out_of_order: bool,
    /// Of the students: utterances, from the first on, that have their speaker event.
    pub identified: u32,
}

/// Everything that is stored of a session but its logs, read at one moment.
pub struct Session {
    /// Config, roster, clusters and bindings.
    pub document: SessionDocument,
    /// What was received.
    pub ingest: ByRole<IngestRecord>,
    /// How the ASR path is set up.
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
    /// # Errors
    /// The store cannot be read, or a record is damaged.
    pub fn load(id: &SessionId, asr: AsrSettings) -> Result<Session, ApiError> {
        let view = session_state::read_session(id.as_str()).map_err(unavailable)?;
        Session::read(view, asr)
    }

    fn read(view: SessionView, asr: AsrSettings) -> Result<Session, ApiError> {
        let streams = roles::streams(&view);
        let now = crate::now();
        let never = view.created_at.map_or(now, EpochMs);
        let capture = captures(&view)?;
        let ingest = ingest(&view, never)?;
        Ok(Session {
            document: SessionDocument::read(&view.session)?,
            asr,
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

    /// How far it is on its way to `result.json`.
    pub const fn marks(&self) -> &FinalizationMarks {
        &self.view.finalization
    }

    /// How long its streams' logs are.
    pub fn extents(&self) -> ByRole<Extent> {
        ByRole::new(|role| extent(self.stream(role)))
    }

    /// Stored seconds whose text is not final, oldest first.
    ///
    /// # Errors
    /// A record is damaged.
    pub fn untranscribed(&self, role: StreamRole) -> Result<Vec<Seconds>, ApiError> {
        let stream = self.stream(role);
        let seconds = |&(first, last): &(u32, u32)| Seconds { first, last };
        let missing: Vec<Seconds> = self.ingest.get(role).gaps().iter().map(seconds).collect();
        let (bridge, windows) = (stream.bridge.as_deref(), stream.windows.as_deref());
        asr_bridge::uncovered(bridge, windows, &missing)
            .map_err(|error| ApiError::damaged(format!("stored ASR state: {error}")))
    }

    /// Whether the gateway goes on by itself with what is not done: audio that it is to transcribe, utterances
    /// whose speaker it is to look up. What came too late for that waits for an `asr-run`.
    ///
    /// # Errors
    /// A record is damaged.
    pub fn has_work_left(&self) -> Result<bool, ApiError> {
        let students = extent(self.stream(StreamRole::Students));
        if students.identified < students.utterances {
            return Ok(true);
        }
        if !self.asr.enabled {
            return Ok(false);
        }
        for role in StreamRole::ALL {
            let is_left = match self.asr.realtime {
                true => {
                    let bridge = self.bridge.get(role);
                    u64::from(bridge.stored) * 1000 > bridge.final_ms
                }
                false => !self.untranscribed(role)?.is_empty(),
            };
            if is_left {
                return Ok(true);
            }
        }
        Ok(false)
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

    /// As `GET state` shows it.
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

/// How long a stream's logs are.
pub const fn extent(stream: &StreamView) -> Extent {
    Extent {
        life: stream.life,
        utterances: stream.utterances,
        merged: stream.merged,
        events: stream.events,
        out_of_order: stream.out_of_order,
        identified: stream.identified,
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
