//! `POST finalize`: waits for what is still being recognised, then writes `result.json`.

use std::convert::Infallible;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, join_all, select};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{FlushAnswer, IdentifyAnswer, Lane, LaneMessage};
use interview_session::phase::FINALIZE_RENEWAL;
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::stored::to_json;
use interview_session::time::Rfc3339;
use serde::Serialize;
use serde_json::{Map, Value};
use spin_sdk::wasip3::clocks::monotonic_clock;

use crate::bindings::interview::gateway::session_state;
use crate::bindings::interview::gateway::types::Seconds;
use crate::bindings::interview::gateway::{asr_bridge, finalization};
use crate::lane_call;
use crate::result_file::{self, Written};
use crate::settings;
use crate::state::{Session, unavailable};

/// Stored seconds whose text was not final in time, both ends included.
#[derive(Serialize)]
pub struct Untranscribed {
    first_seq: u32,
    last_seq: u32,
}

/// The answer.
#[derive(Serialize)]
struct Finalized<'a> {
    session_id: &'a str,
    result_key: String,
    event_count: usize,
    finalized_at: Rfc3339,
}

pub async fn finalize(id: &SessionId, body: &[u8]) -> Result<String, ApiError> {
    let metadata = metadata(body)?;
    let limit = settings::flush_timeout()?;
    session_state::begin_finalize(id.as_str(), crate::now().0).map_err(unavailable)?;
    let begun = place(id)?;
    let written = while_renewed(id, write(id, metadata, limit, begun)).await;
    // A session of this id that began meanwhile is not this one.
    let now_there = place(id)?;
    if begun.is_none() || now_there != begun {
        if now_there.is_none() {
            remove_what_came_late(id).await;
        }
        return Err(is_gone());
    }
    let marks = written
        .as_ref()
        .ok()
        .map(|written| (written.finalized_at.0, written.received_chunks));
    let ended = session_state::end_finalize(id.as_str(), crate::now().0, marks);
    let written = written?;
    ended.map_err(unavailable)?;
    Ok(to_json(&Finalized {
        session_id: id.as_str(),
        result_key: written.result_key,
        event_count: written.event_count,
        finalized_at: Rfc3339(written.finalized_at),
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

async fn write(
    id: &SessionId,
    metadata: Map<String, Value>,
    limit: Duration,
    begun: Option<u64>,
) -> Result<Written, ApiError> {
    flush(id, limit).await?;
    let session = Session::load(id)?;
    // Its audio is gone: a result must not stay behind alone.
    if session.document.place != begun {
        return Err(is_gone());
    }
    result_file::write(id, &session, metadata, || match place(id)? == begun {
        true => Ok(()),
        false => Err(is_gone()),
    })
    .await
}

/// Which session has this id now: see [`SessionDocument::place`].
fn place(id: &SessionId) -> Result<Option<u64>, ApiError> {
    let document = session_state::load_session(id.as_str()).map_err(unavailable)?;
    Ok(SessionDocument::read(&document)?.place)
}

/// The objects of the session may have been removed before `result.json` was written.
async fn remove_what_came_late(id: &SessionId) {
    if let Err(error) = finalization::delete_objects(id.as_str().into()).await {
        eprintln!("session={id} result.json of a deleted session may be left: {error:?}");
    }
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

/// What was not transcribed in time.
pub fn untranscribed(session: &Session) -> Result<ByRole<Vec<Untranscribed>>, ApiError> {
    ByRole::try_new(|role| untranscribed_of(session, role))
}

fn untranscribed_of(session: &Session, role: StreamRole) -> Result<Vec<Untranscribed>, ApiError> {
    let stream = session.stream(role);
    let seconds = |&(first, last): &(u32, u32)| Seconds { first, last };
    let missing: Vec<Seconds> = session
        .ingest
        .get(role)
        .gaps()
        .iter()
        .map(seconds)
        .collect();
    let (bridge, windows) = (stream.bridge.as_deref(), stream.windows.as_deref());
    let uncovered = asr_bridge::uncovered(bridge, windows, &missing)
        .map_err(|error| ApiError::damaged(format!("stored ASR state: {error}")))?;
    let untranscribed = uncovered.into_iter().map(|seconds| Untranscribed {
        first_seq: seconds.first,
        last_seq: seconds.last,
    });
    Ok(untranscribed.collect())
}

/// Lets the streams' lanes finish their tasks, then the identity lane its look-ups, within `limit`
/// for both. What is not done in time is not waited for: `result.json` says what is missing.
async fn flush(id: &SessionId, limit: Duration) -> Result<(), ApiError> {
    let deadline = Instant::now() + limit;
    let before = Session::load(id)?;
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
