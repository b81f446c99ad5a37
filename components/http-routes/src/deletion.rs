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
use interview_session::time::EpochMs;
use serde::Serialize;
use session_reader::{is_connected, roles, unavailable};

use crate::bindings::interview::gateway::finalization;
use crate::lane_call::{self, PROMPT};
use session_reader::bindings::interview::gateway::session_state;

/// How often a session is removed because a client began it again meanwhile. Clients wait before they
/// come back, and longer each time.
const MAX_ROUNDS: u32 = 5;

/// The answer.
#[derive(Serialize)]
struct Deleted<'a> {
    session_id: &'a str,
    deleted: bool,
    removed_objects: u32,
}

pub async fn delete(id: &SessionId, query: &Query<'_>) -> Result<String, ApiError> {
    if !query.flag("force") && is_streamed_to(id).await? {
        return Err(ApiError::stream_connected());
    }
    let mut removed_objects = 0;
    for _ in 0..MAX_ROUNDS {
        removed_objects += remove(id).await?;
        if !is_begun_in_between(id, crate::now()).await? {
            return Ok(to_json(&Deleted {
                session_id: id.as_str(),
                deleted: true,
                removed_objects,
            }));
        }
    }
    let detail = "a client comes back faster than the session is removed: delete again";
    Err(ApiError::new(503, detail))
}

/// Gives how many objects there were.
async fn remove(id: &SessionId) -> Result<u32, ApiError> {
    // First, since emptying the lanes lets go whoever waits for them: a finalize that finds no session
    // any more writes nothing.
    session_state::delete_session(id.as_str()).map_err(unavailable)?;
    try_join_all(StreamRole::ALL.map(|role| empty(lane_call::stream(id, role)))).await?;
    empty(Lane::Live {
        session: id.clone(),
    })
    .await?;
    // Again: until its lane was emptied a stream may have begun it anew.
    session_state::delete_session(id.as_str()).map_err(unavailable)?;
    finalization::delete_objects(id.as_str().into())
        .await
        .map_err(|error| {
            eprintln!("session={id} not all objects are removed: {error:?}");
            ApiError::new(503, "not all audio could be removed: delete again")
        })
}

/// Whether a stream has records of before `removed_at`, when the objects were gone: of a client that
/// came back after its lane was emptied. What was acknowledged to it may be removed in part, and
/// records without their audio must not stay.
async fn is_begun_in_between(id: &SessionId, removed_at: EpochMs) -> Result<bool, ApiError> {
    // A lane that answers has done what it was at when the objects were removed.
    connected(id).await?;
    let view = session_state::read_session(id.as_str()).map_err(unavailable)?;
    let streams = roles::streams(&view);
    let has_records = StreamRole::ALL.into_iter().any(|role| {
        let stream = streams.get(role);
        stream.ingest.is_some() || stream.capture.is_some() || stream.events > 0
    });
    let is_of_after = view
        .created_at
        .is_some_and(|created_at| EpochMs(created_at) > removed_at);
    Ok(has_records && !is_of_after)
}

/// Whether a client is connected to a stream. First the records are asked, since asking a lane takes it from
/// the host where its clients are; then the lanes, of a client that is in no record yet.
async fn is_streamed_to(id: &SessionId) -> Result<bool, ApiError> {
    let view = session_state::read_session(id.as_str()).map_err(unavailable)?;
    Ok(is_connected(&view) || connected(id).await? > 0)
}

/// How many clients of the streams are connected. Asked of the lanes, not of the records: a client
/// that is just being admitted is in the lane already.
async fn connected(id: &SessionId) -> Result<u32, ApiError> {
    let clients = StreamRole::ALL.map(|role| async move {
        let lane = lane_call::stream(id, role);
        lane_call::call::<ClientsAnswer>(&lane, &LaneMessage::Clients {}, PROMPT)
            .await
            .map_err(|unanswered| unanswered.of(&lane))
    });
    let clients = try_join_all(clients).await?;
    Ok(clients.iter().map(|answer| answer.connected).sum())
}

async fn empty(lane: Lane) -> Result<Done, ApiError> {
    lane_call::call(&lane, &LaneMessage::Delete {}, PROMPT)
        .await
        .map_err(|unanswered| unanswered.of(&lane))
}
