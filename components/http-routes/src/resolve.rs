//! `POST resolve`: asks the inference service who speaks, on a client's behalf. Nothing of the session
//! is held while it is asked; what comes back is merged into what is there then.

use std::time::Duration;

use http::HeaderMap;
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::idempotency::{IDEMPOTENCY_KEY, idempotency_key};
use interview_session::lane::{Done, LaneMessage};
use interview_session::query::Query;
use interview_session::role::StreamRole;
use interview_session::session_document::SessionDocument;
use interview_settings::Inference;
use interview_transcript::resolve::{Question, resolved_answer, resolved_event};
use serde_json::Value;
use spin_sdk::wasip3::http_compat::IncomingRequestBody;

use crate::answer::{self, Answer};
use crate::body::{self, MAX_AUDIO_BODY};
use crate::claim::{Claimed, claim};
use crate::lane_call;
use crate::settings;
use crate::state::shown_state;
use session_reader::bindings::interview::gateway::session_state;
use session_reader::unavailable;

/// How long the stream's lane may take for the event, within the margin of a claim.
const EVENT_LIMIT: Duration = Duration::from_secs(4);

/// The reason of a gateway that has nobody to ask.
const NOT_CONFIGURED: &str =
    "no inference service is configured: set INFERENCE_BASE_URL to identify speakers";

/// What a question gave.
struct Resolved {
    json: String,
    /// The session was deleted meanwhile: nothing of the answer was stored.
    is_gone: bool,
}

pub async fn resolve(
    id: &SessionId,
    query: &Query<'_>,
    headers: &HeaderMap,
    body: IncomingRequestBody,
) -> Result<Answer, ApiError> {
    let role = query.stream_role()?;
    let values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = idempotency_key(values.map(|value| value.as_bytes()))?;
    let service = settings::inference()?;
    // Before the claim: a client may take its time to send.
    let body = body::read_json(body, MAX_AUDIO_BODY).await?;
    let Some(key) = key else {
        let resolved = ask(id, role, &body, service).await?;
        return Ok(answer::ok(resolved.json));
    };
    let timeout = service.map_or(Duration::ZERO, |service| service.timeout);
    match claim(id, role, &key, timeout).await? {
        Claimed::Answered(json) => Ok(answer::replayed(json)),
        Claimed::Ours(claim) => {
            let resolved = ask(id, role, &body, service).await;
            let kept = resolved.as_ref().ok().filter(|resolved| !resolved.is_gone);
            claim.end(kept.map(|resolved| resolved.json.as_str()));
            Ok(answer::ok(resolved?.json))
        }
    }
}

async fn ask(
    id: &SessionId,
    role: StreamRole,
    body: &[u8],
    service: Option<&Inference>,
) -> Result<Resolved, ApiError> {
    let question = Question::parse(body).map_err(|bad| ApiError::bad_request(bad.to_string()))?;
    let service = service.ok_or_else(|| ApiError::inference_failed(NOT_CONFIGURED))?;
    let sent = session_state::load_session(id.as_str()).map_err(unavailable)?;
    let state = shown_state(id, &SessionDocument::read(&sent)?)?;
    let request = question.request_body(id.as_str(), &state);
    drop(question);
    let answer = inference_client::resolve(service, request)
        .await
        .map_err(|error| ApiError::inference_failed(&error.to_string()))?;
    let now = crate::now();
    let json = resolved_answer(&answer, &state).to_string();
    // Of an answer without a state there is nothing to merge, but to learn whether the session that it
    // is for is there still: its event must not begin another one.
    let updated = answer.updated_state().map_or("{}".into(), Value::to_string);
    let merged = session_state::merge_speakers(id.as_str(), now.0, &sent, &updated);
    if !merged.map_err(unavailable)? {
        // As if it had been deleted a moment after this request.
        return Ok(Resolved {
            json,
            is_gone: true,
        });
    }
    let lane = lane_call::stream(id, role);
    let message = LaneMessage::SpeakerEvent {
        event: resolved_event(&answer, role.as_str(), &state, &now.rfc3339()),
        identified: None,
    };
    lane_call::call::<Done>(&lane, &message, EVENT_LIMIT)
        .await
        .map_err(|unanswered| unanswered.of(&lane))?;
    Ok(Resolved {
        json,
        is_gone: false,
    })
}
