//! The result lane of a session: writes `result.json`, one at a time, so that what the session says of the file
//! is true of the file that is there. One that lacks what was not done in time is written again when the
//! gateway has done it.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::lane::{Lane, LaneAnswer, LaneMessage, ResultAnswer, WrittenResult};
use interview_session::role::{ByRole, StreamRole};
use interview_session::session_document::SessionDocument;
use interview_session::stored::{self, to_json};
use interview_session::time::EpochMs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use session_reader::{Session, Unread, unavailable};

use crate::bindings::interview::gateway::finalization;
use crate::bindings::realtime::sockets::types::Event;
use crate::bindings::realtime::sockets::{lanes, timers};
use crate::result_file::{self, Heading};
use crate::settings;
use session_reader::bindings::interview::gateway::session_state;

/// The one timer of the lane.
const TIMER: &str = "complete";
/// From an incomplete file to the first look whether it can be completed, in milliseconds. A later look comes
/// after a quarter of the time since then...
const FIRST_LOOK_MS: u64 = 1_000;
/// ...and after this long at most.
const LONGEST_LOOK_MS: u64 = 60_000;
/// After so long, in milliseconds, a file is completed with what there is: a day.
const COMPLETE_WITHIN_MS: u64 = 24 * 60 * 60 * 1_000;
/// How often a file is begun anew because a log was emptied while it was written.
const TRIES: u32 = 4;

/// What an incomplete file is to be written again with.
#[derive(Serialize, Deserialize)]
struct Incomplete {
    metadata: Map<String, Value>,
    /// The lives of the logs that it shows; 0: there was none. Of a stream that was reset since nothing is left
    /// to complete it with.
    lives: ByRole<u64>,
}

/// Somebody who waits for a file.
struct Asked {
    call: String,
    place: u64,
    metadata: Map<String, Value>,
}

/// Handles one batch. Those who ask in the same batch get the same file: it is of a time after each has asked.
pub async fn handle(session: &SessionId, events: Vec<Event>) -> Result<(), String> {
    let mut asked = Vec::new();
    let mut looks = false;
    for event in events {
        match event {
            Event::Message(message) => match (LaneMessage::parse(&message.body), message.call) {
                (Ok(LaneMessage::WriteResult { place, metadata }), Some(call)) => {
                    asked.push(Asked {
                        call,
                        place,
                        metadata,
                    });
                }
                (Ok(LaneMessage::CompleteResult {}), None) => looks = true,
                (other, _) => {
                    eprintln!("session={session} a message is not for the result lane: {other:?}");
                }
            },
            Event::Timer(_) | Event::Retry | Event::Taken => looks = true,
            _ => {}
        }
    }
    if let Some(newest) = asked.last() {
        let written = write_new(session, newest).await;
        let answer = written.unwrap_or_else(|error| {
            if error.cause.is_some() {
                eprintln!("session={session} {error}");
            }
            ResultAnswer::Failed {
                status: error.status,
                detail: error.detail,
            }
        });
        for one in &asked {
            let answer = match one.place == newest.place {
                true => answer.clone(),
                false => ResultAnswer::Gone {},
            };
            // Whoever called may have given up.
            let _ = lanes::reply(&one.call, &answer.to_body());
        }
    } else if looks {
        complete(session).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Writes the session as it is now.
async fn write_new(id: &SessionId, asked: &Asked) -> Result<ResultAnswer, ApiError> {
    for _ in 0..TRIES {
        let session = load(id)?;
        let heading = Heading {
            finalized_at: crate::now(),
            completed_at: None,
            metadata: &asked.metadata,
        };
        let written = match write(id, &session, asked.place, &heading).await {
            Ok(Some(written)) => written,
            Ok(None) => return Ok(ResultAnswer::Gone {}),
            Err(Unread::Emptied) => continue,
            Err(Unread::Failed(error)) => return Err(error),
        };
        let incomplete = match session.has_work_left()? {
            true => Some(Incomplete {
                metadata: asked.metadata.clone(),
                lives: lives(&session),
            }),
            false => None,
        };
        if incomplete.is_some() {
            look_later(id, FIRST_LOOK_MS);
        }
        note(id, &session, heading.finalized_at, incomplete.as_ref())?;
        return Ok(ResultAnswer::Written(written));
    }
    Err(Unread::Emptied.into())
}

/// Writes an incomplete file again once all is done that it lacks. Not when chunks have come since: those are
/// for a later `finalize`, which it then is that makes a new file.
async fn complete(id: &SessionId) -> Result<(), ApiError> {
    let session = load(id)?;
    let marks = session.marks();
    let (Some(finalized_at), true) = (marks.finalized_at.map(EpochMs), marks.incomplete) else {
        return Ok(());
    };
    let document = session_state::load_incomplete_result(id.as_str()).map_err(unavailable)?;
    let document =
        document.ok_or_else(|| ApiError::damaged("an incomplete result has no record"))?;
    let incomplete: Incomplete = stored::read("incomplete result", &document)?;
    let age_ms = crate::now().since(finalized_at);
    let is_as_it_was = session.received_chunks() == marks.finalized_chunks
        && have_gone_on(&incomplete.lives, &lives(&session));
    if is_as_it_was {
        if session.has_work_left()? && age_ms < COMPLETE_WITHIN_MS {
            look_later(id, (age_ms / 4).clamp(FIRST_LOOK_MS, LONGEST_LOOK_MS));
            return Ok(());
        }
        let Some(place) = session.document.place else {
            return Ok(());
        };
        let heading = Heading {
            finalized_at,
            completed_at: Some(crate::now()),
            metadata: &incomplete.metadata,
        };
        match write(id, &session, place, &heading).await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            // It is seen at the next look what has become of it.
            Err(Unread::Emptied) => {
                look_later(id, FIRST_LOOK_MS);
                return Ok(());
            }
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    note(id, &session, finalized_at, None)
}

/// Writes the file, unless the session is another one than that at `place`; none: it is.
async fn write(
    id: &SessionId,
    session: &Session,
    place: u64,
    heading: &Heading<'_>,
) -> Result<Option<WrittenResult>, Unread> {
    // Its audio is gone: a result must not stay behind alone.
    if session.document.place != Some(place) {
        return Ok(None);
    }
    let is_there = || -> Result<bool, ApiError> { Ok(self::place(id)? == Some(place)) };
    let Some(written) = result_file::write(id, session, heading, is_there).await? else {
        return Ok(None);
    };
    let now_there = self::place(id)?;
    if now_there != Some(place) {
        // Its objects may have been removed before the file was there.
        if now_there.is_none()
            && let Err(error) = finalization::delete_objects(id.as_str().into()).await
        {
            eprintln!("session={id} result.json of a deleted session may be left: {error:?}");
        }
        return Ok(None);
    }
    Ok(Some(written))
}

fn note(
    id: &SessionId,
    session: &Session,
    finalized_at: EpochMs,
    incomplete: Option<&Incomplete>,
) -> Result<(), ApiError> {
    session_state::note_result(
        id.as_str(),
        crate::now().0,
        finalized_at.0,
        session.received_chunks(),
        incomplete.map(to_json).as_deref(),
    )
    .map_err(unavailable)
}

fn load(id: &SessionId) -> Result<Session, ApiError> {
    let settings = settings::all().map_err(ApiError::damaged)?;
    Session::load(id, session_reader::asr_settings(&settings.asr))
}

/// Which session has this id now: see [`SessionDocument::place`].
fn place(id: &SessionId) -> Result<Option<u64>, ApiError> {
    let document = session_state::load_session(id.as_str()).map_err(unavailable)?;
    Ok(SessionDocument::read(&document)?.place)
}

fn lives(session: &Session) -> ByRole<u64> {
    let extents = session.extents();
    ByRole::new(|role| extents.get(role).life)
}

/// Whether no stream was reset between the two.
fn have_gone_on(before: &ByRole<u64>, now: &ByRole<u64>) -> bool {
    StreamRole::ALL
        .into_iter()
        .all(|role| *before.get(role) == 0 || before.get(role) == now.get(role))
}

fn look_later(id: &SessionId, delay_ms: u64) {
    let lane = Lane::Result {
        session: id.clone(),
    };
    if let Err(error) = timers::set(&lane.to_string(), TIMER, delay_ms) {
        eprintln!("session={id} no timer for an incomplete result.json: {error:?}");
    }
}
