//! `GET state` and `POST config`: what a session is, read and changed.

use interview_session::asr::{AsrFigures, AsrSettings, AsrView, BridgeFigures, WsState};
use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::config::{ConfigAnswer, ConfigPatch, ConfigState};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::ingest::IngestRecord;
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::state_view::{StateParts, StateView};
use interview_session::stored::{self, to_json};
use interview_session::time::EpochMs;

use crate::bindings::interview::gateway::asr_bridge::{self, Connection};
use crate::bindings::interview::gateway::session_state::{self, SessionView, StreamView};
use crate::{roles, settings};

/// Everything that is stored of a session but its logs, read.
pub struct Session {
    pub document: SessionDocument,
    pub ingest: ByRole<IngestRecord>,
    pub bridge: ByRole<BridgeFigures>,
    pub asr: AsrSettings,
    pub utterances: ByRole<u32>,
    pub events: ByRole<u32>,
    capture: ByRole<CaptureRecord>,
    figures: ByRole<AsrFigures>,
    updated_at: Option<EpochMs>,
    now: EpochMs,
    never: EpochMs,
}

impl Session {
    pub fn load(id: &SessionId) -> Result<Session, ApiError> {
        let view = session_state::read_session(id.as_str()).map_err(unavailable)?;
        Session::read(&view)
    }

    fn read(view: &SessionView) -> Result<Session, ApiError> {
        let streams = roles::streams(view);
        let now = crate::now();
        let never = view.created_at.map_or(now, EpochMs);
        let capture = ByRole::try_new(|role| {
            let document = streams.get(role).capture.as_deref();
            document
                .map(|text| stored::read("capture", text))
                .transpose()
        })?;
        // What a recorder says of itself is part of the session's state; chunks are not.
        let said_at = |role| {
            capture
                .get(role)
                .as_ref()
                .map(|c: &CaptureRecord| c.updated_at)
        };
        let said_at = StreamRole::ALL.into_iter().filter_map(said_at).max();
        Ok(Session {
            document: SessionDocument::read(&view.session)?,
            ingest: ByRole::try_new(|role| {
                IngestRecord::load(streams.get(role).ingest.as_deref(), never)
            })?,
            bridge: ByRole::try_new(|role| bridge_figures(streams.get(role)))?,
            asr: settings::asr()?,
            utterances: ByRole::new(|role| streams.get(role).utterances),
            events: ByRole::new(|role| streams.get(role).events),
            capture: capture_by_stream(capture, never),
            figures: ByRole::try_new(|role| {
                AsrFigures::load(streams.get(role).figures.as_deref())
            })?,
            updated_at: view.updated_at.map(EpochMs).max(said_at),
            now,
            never,
        })
    }

    pub fn view<'a>(&'a self, id: &'a SessionId) -> StateView<'a> {
        StateView::new(StateParts {
            session: id,
            document: &self.document,
            event_count: self.events.mixed + self.events.teacher + self.events.students,
            updated_at: self.updated_at,
            ingest: &self.ingest,
            capture: &self.capture,
            asr: ByRole::new(|role| {
                let (figures, bridge) = (self.figures.get(role), self.bridge.get(role));
                AsrView::new(&self.asr, figures, bridge, self.now, self.never)
            }),
            utterances: self.utterances.clone(),
        })
    }
}

fn bridge_figures(stream: &StreamView) -> Result<BridgeFigures, ApiError> {
    let status = asr_bridge::inspect(stream.bridge.as_deref())
        .map_err(|error| ApiError::new(500, format!("stored bridge is damaged: {error}")))?;
    Ok(BridgeFigures {
        ws_state: match status.connection {
            Connection::Disconnected => WsState::Disconnected,
            Connection::Connecting => WsState::Connecting,
            Connection::Running => WsState::Running,
            Connection::Error => WsState::Error,
        },
        stored: status.stored,
        sent: status.sent,
        final_ms: status.final_ms,
        consecutive_failures: status.consecutive_failures,
        retry_at: status.retry_at.map(EpochMs),
        last_error: status.last_error,
        updated_at: None,
    })
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
        session_state::Error::Damaged(why) => ApiError::new(500, why),
    }
}
