//! `GET state` and `POST config`: what a session is, read and changed.

use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::config::{ConfigAnswer, ConfigPatch, ConfigState};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::ByRole;
use interview_session::session_document::SessionDocument;
use interview_session::stored::{self, to_json};
use serde_json::Value;
use session_reader::{Session, roles, unavailable};

use crate::settings;
use session_reader::bindings::interview::gateway::session_state;

/// The session as it is now.
pub fn session(id: &SessionId) -> Result<Session, ApiError> {
    Session::load(id, settings::asr()?)
}

pub fn state(id: &SessionId) -> Result<String, ApiError> {
    Ok(session(id)?.view(id).to_json())
}

/// The session state as `GET state` shows it, with what the recorders say now.
pub fn shown_state(id: &SessionId, document: &SessionDocument) -> Result<Value, ApiError> {
    let captures = ByRole::try_new(|role| -> Result<Option<CaptureRecord>, ApiError> {
        let stored = session_state::load_capture(id.as_str(), roles::wit(role));
        let read = |text: String| stored::read("capture", &text);
        Ok(stored.map_err(unavailable)?.map(read).transpose()?)
    })?;
    let captures = capture_by_stream(captures, crate::now());
    serde_json::to_value(document.with_capture(captures.view())).map_err(ApiError::damaged)
}

pub fn config(id: &SessionId, body: &[u8]) -> Result<String, ApiError> {
    let patch = ConfigPatch::from_body(body)?;
    let people = session_state::apply_config(id.as_str(), crate::now().0, &to_json(&patch))
        .map_err(unavailable)?;
    let people: ConfigState = stored::read("config", &people)?;
    Ok(to_json(&ConfigAnswer::new(id, &people)))
}
