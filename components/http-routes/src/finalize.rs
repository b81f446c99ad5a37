//! `POST finalize`: waits for what is still being recognised, then has the session's result lane write
//! `result.json`.

use std::convert::Infallible;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{
    FlushAnswer, IdentifyAnswer, Lane, LaneMessage, ResultAnswer, Untranscribed, WrittenResult,
};
use interview_session::phase::FINALIZE_RENEWAL;
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::stored::to_json;
use interview_session::time::Rfc3339;
use serde::Serialize;
use serde_json::{Map, Value};
use session_reader::unavailable;
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::lane_call::{self, Unanswered};
use crate::{settings, state};
use session_reader::bindings::interview::gateway::session_state;

/// How long the file may take; what the host gives a request is less.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// The answer.
#[derive(Serialize)]
struct Finalized<'a> {
    session_id: &'a str,
    result_key: String,
    event_count: usize,
    finalized_at: Rfc3339,
    /// This gateway's own: what the file lacks. It is completed when that is done.
    untranscribed_by_stream: ByRole<Vec<Untranscribed>>,
    unidentified_by_stream: ByRole<Vec<String>>,
}

pub async fn finalize(id: &SessionId, body: &[u8]) -> Result<String, ApiError> {
    let metadata = metadata(body)?;
    let limit = settings::flush_timeout()?;
    session_state::begin_finalize(id.as_str(), crate::now().0).map_err(unavailable)?;
    let begun = place(id)?.ok_or_else(is_gone)?;
    let written = while_renewed(id, write(id, metadata, limit, begun)).await;
    // A session of this id that began meanwhile is not this one.
    if place(id)? != Some(begun) {
        return Err(is_gone());
    }
    let ended = session_state::end_finalize(id.as_str(), crate::now().0);
    let written = written?;
    ended.map_err(unavailable)?;
    Ok(to_json(&Finalized {
        session_id: id.as_str(),
        result_key: written.result_key,
        event_count: written.event_count,
        finalized_at: Rfc3339(written.finalized_at),
        untranscribed_by_stream: written.untranscribed_by_stream,
        unidentified_by_stream: written.unidentified_by_stream,
    }))
}

/// Says every now and then that this `finalize` still runs, until `work` is done.
async fn while_renewed<T>(id: &SessionId, work: impl Future<Output = T>) -> T {
    let renewals = pin!(renew(id));
    match select(pin!(work), renewals).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => match never {},
    }
}

async fn renew(id: &SessionId) -> Infallible {
    loop {
        monotonic_clock::wait_for(nanoseconds(FINALIZE_RENEWAL)).await;
        if let Err(error) = session_state::renew_finalize(id.as_str(), crate::now().0) {
            eprintln!("session={id} the mark of a running finalize is not renewed: {error:?}");
        }
    }
}

/// Has the result lane write the file once all is flushed.
async fn write(
    id: &SessionId,
    metadata: Map<String, Value>,
    limit: Duration,
    place: u64,
) -> Result<WrittenResult, ApiError> {
    flush(id, limit).await?;
    let lane = Lane::Result {
        session: id.clone(),
    };
    let message = LaneMessage::WriteResult { place, metadata };
    match lane_call::call(&lane, &message, WRITE_TIME).await {
        Ok(ResultAnswer::Written(written)) => Ok(written),
        Ok(ResultAnswer::Gone {}) => Err(is_gone()),
        Ok(ResultAnswer::Failed { status, detail }) => Err(ApiError::new(status, detail)),
        Err(Unanswered::TooLarge) => Err(ApiError::new(
            413,
            "metadata is too large: leave some of it out",
        )),
        Err(unanswered) => Err(unanswered.of(&lane)),
    }
}

/// Which session has this id now: see [`SessionDocument::place`].
fn place(id: &SessionId) -> Result<Option<u64>, ApiError> {
    let document = session_state::load_session(id.as_str()).map_err(unavailable)?;
    Ok(SessionDocument::read(&document)?.place)
}

fn is_gone() -> ApiError {
    ApiError::new(404, "the session was deleted while it was finalized")
}

fn metadata(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body).map_err(|_| ApiError::body_not_json())? {
        Value::Null => Err(ApiError::bad_request("request body must be a JSON object")),
        mut body => match body.get_mut("metadata").map(Value::take) {
            Some(Value::Object(metadata)) => Ok(metadata),
            _ => Ok(Map::new()),
        },
    }
}

/// Lets the streams' lanes finish their tasks, then the identity lane its look-ups, within `limit`
/// for both. What is not done in time is not waited for: `result.json` says what is missing.
async fn flush(id: &SessionId, limit: Duration) -> Result<(), ApiError> {
    let deadline = Instant::now() + limit;
    let before = state::session(id)?;
    let streams = StreamRole::ALL
        .into_iter()
        .filter(|role| before.ingest.get(*role).last_seq() > 0);
    join_all(streams.map(|role| async move {
        let lane = lane_call::stream(id, role);
        let flush = LaneMessage::Flush {};
        let flushed = lane_call::call::<FlushAnswer>(&lane, &flush, left_until(deadline)).await;
        if let Err(error) = flushed {
            eprintln!("session={id} role={role} not all audio is transcribed: {error}");
        }
    }))
    .await;
    let lane = Lane::Identity {
        session: id.clone(),
    };
    loop {
        let identify = LaneMessage::Identify {};
        let limit = left_until(deadline);
        match lane_call::call::<IdentifyAnswer>(&lane, &identify, limit).await {
            Ok(answer) => {
                if !answer.more || Instant::now() >= deadline {
                    return Ok(());
                }
            }
            Err(error) => {
                eprintln!("session={id} not all speakers are looked up: {error}");
                return Ok(());
            }
        }
    }
}

/// At least long enough for an answer that needs no waiting.
fn left_until(deadline: Instant) -> Duration {
    const AT_ONCE: Duration = Duration::from_millis(500);
    deadline
        .saturating_duration_since(Instant::now())
        .max(AT_ONCE)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
