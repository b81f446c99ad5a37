//! `DELETE /v1/sessions/:id`: removes all that there is of a session. Each lane removes its own records
//! and closes its sockets, then what the session shares goes, then its objects. Doing it again is
//! harmless, and is what helps when something in between failed.

use futures::future::try_join_all;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{ClientsAnswer, Done, Lane, LaneMessage};
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use serde::Serialize;

use crate::bindings::interview::gateway::{finalization, session_state};
use crate::lane_call::{self, PROMPT};
use crate::state::unavailable;

/// The answer.
#[derive(Serialize)]
struct Deleted<'a> {
    session_id: &'a str,
    deleted: bool,
    removed_objects: u32,
}

pub async fn delete(id: &SessionId, query: &Query<'_>) -> Result<String, ApiError> {
    if !query.flag("force") && is_connected(id).await? {
        return Err(ApiError::stream_connected());
    }
    try_join_all(StreamRole::ALL.map(|role| empty(lane_call::stream(id, role)))).await?;
    empty(Lane::Live {
        session: id.clone(),
    })
    .await?;
    session_state::delete_session(id.as_str()).map_err(unavailable)?;
    let removed_objects = finalization::delete_objects(id.as_str().into())
        .await
        .map_err(|error| {
            eprintln!("session={id} not all objects are removed: {error:?}");
            ApiError::new(503, "not all audio could be removed: delete again")
        })?;
    Ok(to_json(&Deleted {
        session_id: id.as_str(),
        deleted: true,
        removed_objects,
    }))
}

/// Whether a client of one of the streams is connected. Asked of the lanes, not of the records: a
/// client that is just being admitted is in the lane already.
async fn is_connected(id: &SessionId) -> Result<bool, ApiError> {
    let clients = StreamRole::ALL.map(|role| async move {
        let lane = lane_call::stream(id, role);
        lane_call::call::<ClientsAnswer>(&lane, &LaneMessage::Clients {}, PROMPT)
            .await
            .map_err(|unanswered| unanswered.of(&lane))
    });
    let clients = try_join_all(clients).await?;
    Ok(clients.iter().any(|answer| answer.connected > 0))
}

async fn empty(lane: Lane) -> Result<Done, ApiError> {
    lane_call::call(&lane, &LaneMessage::Delete {}, PROMPT)
        .await
        .map_err(|unanswered| unanswered.of(&lane))
}
