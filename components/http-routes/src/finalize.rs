//! `POST finalize`: waits for what is still being recognised, then writes `result.json`.

use std::time::{Duration, Instant};

use futures::future::join_all;
use interview_session::asr::AsrView;
use interview_session::capture::CaptureView;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::ingest::IngestStatus;
use interview_session::lane::{IdentifyAnswer, Lane, LaneMessage};
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionState;
use interview_session::stored::to_json;
use interview_session::time::Rfc3339;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::bindings::interview::gateway::finalization;
use crate::bindings::interview::gateway::session_state::Log;
use crate::bindings::realtime::sockets::lanes;
use crate::logs::{self, Entry};
use crate::settings;
use crate::state::Session;

/// `result.json`, in the order of the contract; `untranscribed_by_stream` is this gateway's own.
#[derive(Serialize)]
struct ResultFile<'a> {
    session_id: &'a str,
    finalized_at: Rfc3339,
    state: SessionState<'a>,
    events: &'a [Entry],
    ingest: IngestStatus<'a>,
    ingest_by_stream: ByRole<IngestStatus<'a>>,
    capture_by_stream: ByRole<CaptureView<'a>>,
    asr: AsrView<'a>,
    asr_by_stream: ByRole<AsrView<'a>>,
    utterances_raw: &'a [Entry],
    utterances_raw_by_stream: &'a ByRole<Vec<Entry>>,
    utterances_merged_by_stream: &'a ByRole<Vec<Entry>>,
    untranscribed_by_stream: ByRole<Option<Untranscribed>>,
    metadata: Map<String, Value>,
}

/// Stored seconds whose text was not final in time, both ends included.
#[derive(Serialize)]
struct Untranscribed {
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
    flush(id, settings::flush_timeout()?).await?;
    let session = Session::load(id)?;
    let events = logs::all_events(id)?;
    let raw = ByRole::try_new(|role| logs::all(id, role, Log::Utterances))?;
    let merged = ByRole::try_new(|role| logs::all(id, role, Log::Merged))?;
    let view = session.view(id);
    let finalized_at = Rfc3339(crate::now());
    let content = to_json(&ResultFile {
        session_id: id.as_str(),
        finalized_at,
        state: view.state,
        events: &events,
        ingest: view.ingest,
        ingest_by_stream: view.ingest_by_stream,
        capture_by_stream: view.capture_by_stream,
        asr: view.asr,
        asr_by_stream: view.asr_by_stream,
        utterances_raw: &raw.mixed,
        utterances_raw_by_stream: &raw,
        utterances_merged_by_stream: &merged,
        untranscribed_by_stream: ByRole::new(|role| untranscribed(&session, role)),
        metadata,
    });
    let result_key = finalization::put_result(id.as_str().into(), content)
        .await
        .map_err(|error| {
            eprintln!("session={id} result.json could not be written: {error:?}");
            ApiError::new(503, "result.json could not be written: finalize again")
        })?;
    Ok(to_json(&Finalized {
        session_id: id.as_str(),
        result_key,
        event_count: events.len(),
        finalized_at,
    }))
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

fn untranscribed(session: &Session, role: StreamRole) -> Option<Untranscribed> {
    let bridge = session.bridge.get(role);
    let last_seq = session.ingest.get(role).last_seq();
    let first_seq = u32::try_from(bridge.final_ms / 1000)
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    (first_seq <= last_seq).then_some(Untranscribed {
        first_seq,
        last_seq,
    })
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
        let lane = Lane::Stream {
            session: id.clone(),
            role,
        }
        .to_string();
        let body = LaneMessage::Flush {}.to_body();
        if let Err(error) = lanes::call(lane, body, millis_until(deadline)).await {
            eprintln!("session={id} role={role} not all audio is transcribed: {error:?}");
        }
    }))
    .await;
    let lane = Lane::Identity {
        session: id.clone(),
    }
    .to_string();
    loop {
        let body = LaneMessage::Identify {}.to_body();
        match lanes::call(lane.clone(), body, millis_until(deadline)).await {
            Ok(answer) => {
                let more = IdentifyAnswer::parse(&answer).is_ok_and(|answer| answer.more);
                if !more || Instant::now() >= deadline {
                    return Ok(());
                }
            }
            Err(error) => {
                eprintln!("session={id} not all speakers are looked up: {error:?}");
                return Ok(());
            }
        }
    }
}

/// At least long enough for an answer that needs no waiting.
fn millis_until(deadline: Instant) -> u32 {
    const AT_ONCE_MS: u128 = 500;
    let left = deadline
        .saturating_duration_since(Instant::now())
        .as_millis();
    u32::try_from(left.max(AT_ONCE_MS)).unwrap_or(u32::MAX)
}
