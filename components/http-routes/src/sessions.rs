//! `GET /v1/sessions`: all sessions, the newest first, in pages.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::phase::Phase;
use interview_session::query::{Query, SESSIONS_LIMIT};
use interview_session::role::{ByRole, StreamRole};
use interview_session::stored::to_json;
use interview_session::time::{EpochMs, Rfc3339};
use serde::Serialize;
use session_reader::{captures, ingest, last_said, phase_of, roles, unavailable};

use session_reader::bindings::interview::gateway::session_state::{self, SessionView};

/// One session of the list.
#[derive(Serialize)]
struct Item {
    session_id: SessionId,
    phase: Phase,
    created_at: Rfc3339,
    updated_at: Rfc3339,
    finalized_at: Option<Rfc3339>,
    event_count: u32,
    utterance_count_by_stream: ByRole<u32>,
    received_chunks_by_stream: ByRole<u32>,
}

/// The answer.
#[derive(Serialize)]
struct Sessions {
    items: Vec<Item>,
    count: usize,
    limit: u32,
    cursor: Option<String>,
}

pub fn sessions(query: &Query<'_>) -> Result<String, ApiError> {
    let limit = query.limit(SESSIONS_LIMIT);
    let page = session_state::list_sessions(query.cursor()?, limit).map_err(unavailable)?;
    let mut items = Vec::with_capacity(page.items.len());
    for (id, view) in page.items {
        match item(&id, &view) {
            Ok(item) => items.push(item),
            // One that is damaged does not hide the others.
            Err(error) => eprintln!("session={id} is left out of the list: {error}"),
        }
    }
    Ok(to_json(&Sessions {
        count: items.len(),
        items,
        limit,
        cursor: page.cursor.map(|cursor| cursor.to_string()),
    }))
}

fn item(id: &str, view: &SessionView) -> Result<Item, ApiError> {
    let now = crate::now();
    let created_at = view.created_at.map_or(now, EpochMs);
    let streams = roles::streams(view);
    let ingest = ingest(view, created_at)?;
    let said_at = last_said(&captures(view)?);
    let shared_at = view.updated_at.map(EpochMs);
    let finalized_at = view.finalization.finalized_at.map(EpochMs);
    // Of a stream without audio it is when the session was created.
    let received_at = StreamRole::ALL.map(|role| ingest.get(role).updated_at());
    let updated_at = [shared_at, said_at, finalized_at]
        .into_iter()
        .flatten()
        .chain(received_at)
        .fold(created_at, EpochMs::max);
    Ok(Item {
        session_id: SessionId::parse(id)?,
        phase: phase_of(view, &ingest, now),
        created_at: Rfc3339(created_at),
        updated_at: Rfc3339(updated_at),
        finalized_at: finalized_at.map(Rfc3339),
        event_count: view.mixed.events + view.teacher.events + view.students.events,
        utterance_count_by_stream: ByRole::new(|role| streams.get(role).utterances),
        received_chunks_by_stream: ByRole::new(|role| ingest.get(role).received_chunks()),
    })
}
