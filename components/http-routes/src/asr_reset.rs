//! `POST asr-reset`: has a stream's lane forget its transcript and what is not transcribed yet.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{LaneMessage, ResetAnswer};
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use serde::Serialize;

use crate::lane_call;
use crate::state;

const MESSAGE: &str = "transcript and ASR state of this stream are removed; its stored chunks stay";

/// The answer.
#[derive(Serialize)]
struct AsrReset<'a> {
    session_id: &'a str,
    stream_role: StreamRole,
    #[serde(flatten)]
    removed: ResetAnswer,
    message: &'static str,
}

pub async fn reset(id: &SessionId, query: &Query<'_>) -> Result<String, ApiError> {
    let role = query.stream_role()?;
    // A stream that never was is not created by resetting it.
    let removed = if state::session(id)?.is_untouched(role) {
        ResetAnswer {
            removed_raw: 0,
            removed_merged: 0,
            removed_events: 0,
        }
    } else {
        let lane = lane_call::stream(id, role);
        lane_call::call(&lane, &LaneMessage::Reset {}, lane_call::PROMPT)
            .await
            .map_err(|unanswered| unanswered.of(&lane))?
    };
    Ok(to_json(&AsrReset {
        session_id: id.as_str(),
        stream_role: role,
        removed,
        message: MESSAGE,
    }))
}
