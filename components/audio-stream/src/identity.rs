//! The identity lane of a session: finds out who spoke, one students' utterance at a time, so that
//! no two look-ups overwrite each other's clusters and no stream ever waits for the inference
//! service. What is left to do is read from the log, never from a message: after a crash it goes on
//! where it was.

use interview_session::capture::{CaptureRecord, capture_by_stream};
use interview_session::id::SessionId;
use interview_session::lane::{Identified, IdentifyAnswer, Lane, LaneAnswer, LaneMessage};
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::stored;
use interview_transcript::event::{students_event_resolved, students_event_unknown};
use interview_transcript::{Answer, SpeakerEvent, Utterance, request_body, wav};
use serde_json::Value;

use crate::bindings::interview::gateway::finalization;
use crate::bindings::interview::gateway::session_state::{self, Unidentified};
use crate::bindings::realtime::sockets::lanes;
use crate::bindings::realtime::sockets::types::Event;
use crate::roles;
use crate::settings::{InferenceSettings, Settings};

const ROLE: StreamRole = StreamRole::Students;
/// How long the stream's lane may take to append an event. It waits for the stores only.
const APPEND_TIMEOUT_MS: u32 = 10_000;
/// The note of an utterance that nobody was asked about.
const NOT_CONFIGURED: &str =
    "no inference service is configured: set INFERENCE_BASE_URL to identify speakers";

/// Handles one batch: however many nudges it holds, one utterance is looked up; then the lane nudges
/// itself while there are more.
pub async fn handle(session: &SessionId, events: Vec<Event>) -> Result<(), String> {
    let mut calls = Vec::new();
    let mut asked = false;
    for event in events {
        let message = match event {
            Event::Message(message) => message,
            // Whoever had the lane, or the batch that was given up, may have been in the middle of it.
            Event::Taken | Event::Retry => {
                asked = true;
                continue;
            }
            _ => continue,
        };
        match LaneMessage::parse(&message.body) {
            Ok(LaneMessage::Identify {}) => {
                asked = true;
                calls.extend(message.call);
            }
            other => {
                eprintln!("session={session} a message is not for the identity lane: {other:?}")
            }
        }
    }
    if !asked {
        return Ok(());
    }
    if let Some(next) = next(session)? {
        identify(session, next).await?;
    }
    let more = next(session)?.is_some();
    for call in &calls {
        // Whoever called may have given up.
        let _ = lanes::reply(call, &IdentifyAnswer { more }.to_body());
    }
    // A caller asks again as long as it waits, and it may have given up.
    if more {
        let lane = Lane::Identity {
            session: session.clone(),
        }
        .to_string();
        if let Err(error) = lanes::post(&lane, &LaneMessage::Identify {}.to_body()) {
            eprintln!("session={session} the identity lane takes no message now: {error:?}");
        }
    }
    Ok(())
}

fn next(session: &SessionId) -> Result<Option<Unidentified>, String> {
    session_state::next_unidentified(session.as_str()).map_err(|error| format!("{error:?}"))
}

async fn identify(session: &SessionId, next: Unidentified) -> Result<(), String> {
    let utterance: Utterance = serde_json::from_str(&next.utterance)
        .map_err(|error| format!("utterance {} is damaged: {error}", next.index))?;
    let settings = Settings::load(ROLE)?;
    let looked_up = match &settings.inference {
        None => Err(NOT_CONFIGURED.to_owned()),
        Some(inference) => look_up(session, &utterance, inference)
            .await
            .inspect_err(|why| {
                eprintln!(
                    "session={session} role={ROLE} utterance {}: {why}",
                    next.index
                );
            }),
    };
    let event = match looked_up {
        Ok((answer, asked)) => {
            let event =
                students_event_resolved(&utterance, &answer, &asked.state, &crate::now().rfc3339());
            if !merge(session, &answer, &asked)? {
                // The session was deleted meanwhile.
                return Ok(());
            }
            event
        }
        Err(why) => students_event_unknown(&utterance, &why, &crate::now().rfc3339()),
    };
    append(session, &next, &event).await
}

/// Merges what the answer changed into the session state; false when there is no session any more.
fn merge(session: &SessionId, answer: &Answer, asked: &Asked) -> Result<bool, String> {
    let Some(updated) = answer.updated_state() else {
        return Ok(true);
    };
    let (now, updated) = (crate::now(), updated.to_string());
    session_state::merge_speakers(session.as_str(), now.0, &asked.stored, &updated)
        .map_err(|error| format!("the session state cannot be written: {error:?}"))
}

/// Has the stream's lane append the event: the log is that lane's.
async fn append(
    session: &SessionId,
    next: &Unidentified,
    event: &SpeakerEvent,
) -> Result<(), String> {
    let event = serde_json::to_value(event).map_err(|error| error.to_string())?;
    let message = LaneMessage::SpeakerEvent {
        event,
        identified: Some(Identified {
            life: next.life,
            index: next.index,
        }),
    };
    let lane = Lane::Stream {
        session: session.clone(),
        role: ROLE,
    };
    lanes::call(lane.to_string(), message.to_body(), APPEND_TIMEOUT_MS)
        .await
        .map(|_| ())
        .map_err(|error| format!("the speaker event cannot be written: {error:?}"))
}

/// What an answer was made from.
struct Asked {
    /// The session state as it is stored.
    stored: String,
    /// The same with capture, as the inference service got it.
    state: Value,
}

/// Asks the inference service about an utterance's own seconds; with the answer comes the state in
/// which a name may be found.
async fn look_up(
    session: &SessionId,
    utterance: &Utterance,
    settings: &InferenceSettings,
) -> Result<(Answer, Asked), String> {
    let mut seconds = Vec::new();
    for second in wav::seconds_to_send(utterance.start_seq, utterance.end_seq) {
        let chunk =
            finalization::get_chunk(session.as_str().into(), roles::wit(ROLE), second).await;
        seconds.push(chunk.map_err(|error| format!("chunk {second} cannot be read: {error:?}"))?);
    }
    let asked = ask_with(session)?;
    let body = request_body(
        session.as_str(),
        &wav::from_seconds(seconds),
        &utterance.text,
        &asked.state,
    );
    let answer = inference_client::resolve(settings, body)
        .await
        .map_err(|error| format!("inference request failed: {error}"))?;
    Ok((answer, asked))
}

/// The session state as `GET state` shows it.
fn ask_with(session: &SessionId) -> Result<Asked, String> {
    let stored = session_state::load_session(session.as_str())
        .map_err(|error| format!("the session state cannot be read: {error:?}"))?;
    let people = SessionDocument::read(&stored).map_err(|error| error.to_string())?;
    let captures = ByRole::try_new(|role| -> Result<Option<CaptureRecord>, String> {
        let document = session_state::load_capture(session.as_str(), roles::wit(role))
            .map_err(|error| format!("{error:?}"))?;
        let read = |text: String| stored::read("capture", &text).map_err(|error| error.to_string());
        document.map(read).transpose()
    })?;
    let captures = capture_by_stream(captures, crate::now());
    let state = serde_json::to_value(people.with_capture(captures.view()))
        .map_err(|error| error.to_string())?;
    Ok(Asked { stored, state })
}
