//! `GET utterances` and `GET events`. Entries are stored as the API shows them and go out as they are.

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::query::{EVENTS_LIMIT, Query, UTTERANCES_LIMIT, View};
use interview_session::role::StreamRole;
use interview_session::stored::to_json;
use interview_transcript::{Utterance, merge_all};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::bindings::interview::gateway::session_state::{self, Log, Page};
use crate::log_pages::{LogPages, time_of};
use crate::roles;
use crate::state::unavailable;

/// Entries that one call to the store brings when a whole log is read.
pub const PAGE: u32 = 500;

/// An entry of a log, as JSON text.
pub type Entry = Box<RawValue>;

pub fn utterances(id: &SessionId, query: &Query<'_>) -> Result<String, ApiError> {
    #[derive(Serialize)]
    struct Utterances<'a> {
        session_id: &'a str,
        stream_role: &'static str,
        view: &'static str,
        count: u32,
        limit: u32,
        items: Vec<Entry>,
    }
    let role = query.stream_role()?;
    let view = query.view()?;
    let limit = query.limit(UTTERANCES_LIMIT);
    let (count, items) = match view {
        View::Raw => last(id, role, Log::Utterances, limit)?,
        View::Merged => last_merged(id, role, limit)?,
    };
    Ok(to_json(&Utterances {
        session_id: id.as_str(),
        stream_role: role.as_str(),
        view: view.as_str(),
        count,
        limit,
        items,
    }))
}

pub fn events(id: &SessionId, query: &Query<'_>) -> Result<String, ApiError> {
    #[derive(Serialize)]
    struct Events<'a> {
        session_id: &'a str,
        stream_role: &'static str,
        count: u32,
        limit: u32,
        items: Vec<Entry>,
    }
    let role = query.stream_role_filter()?;
    let limit = query.limit(EVENTS_LIMIT);
    let (count, items) = match role {
        Some(role) => last(id, role, Log::Events, limit)?,
        None => {
            let mut count = 0;
            let mut items = Vec::new();
            for role in StreamRole::ALL {
                let (of_role, mut entries) = last(id, role, Log::Events, limit)?;
                count += of_role;
                items.append(&mut entries);
            }
            sort_by_time(&mut items);
            items.drain(..items.len().saturating_sub(limit as usize));
            (count, items)
        }
    };
    Ok(to_json(&Events {
        session_id: id.as_str(),
        stream_role: role.map_or("all", StreamRole::as_str),
        count,
        limit,
        items,
    }))
}

/// Whether the merged view is made when it is read: see [`made_view`].
pub fn is_out_of_order(id: &SessionId, role: StreamRole) -> Result<bool, ApiError> {
    Ok(read_last(id, role, Log::Merged, 1)?.out_of_order)
}

fn last_merged(
    id: &SessionId,
    role: StreamRole,
    limit: u32,
) -> Result<(u32, Vec<Entry>), ApiError> {
    let page = read_last(id, role, Log::Merged, limit)?;
    if !page.out_of_order {
        return Ok((page.count, entries(page.items)?));
    }
    let mut made = made_view(id, role)?;
    let count = u32::try_from(made.len()).unwrap_or(u32::MAX);
    made.drain(..made.len().saturating_sub(limit as usize));
    Ok((count, made))
}

/// The merged view of utterances that came out of order: there is no log of it.
pub fn made_view(id: &SessionId, role: StreamRole) -> Result<Vec<Entry>, ApiError> {
    let mut pages = LogPages::new(id, role, Log::Utterances);
    let mut utterances = Vec::new();
    while let Some(entry) = pages.next()? {
        utterances.push(serde_json::from_str::<Utterance>(entry.get()).map_err(damaged)?);
    }
    merge_all(&utterances)
        .iter()
        .map(|entry| to_raw_value(entry).map_err(damaged))
        .collect()
}

fn last(
    id: &SessionId,
    role: StreamRole,
    log: Log,
    limit: u32,
) -> Result<(u32, Vec<Entry>), ApiError> {
    let page = read_last(id, role, log, limit)?;
    Ok((page.count, entries(page.items)?))
}

fn read_last(id: &SessionId, role: StreamRole, log: Log, limit: u32) -> Result<Page, ApiError> {
    session_state::read_last(id.as_str(), roles::wit(role), log, limit).map_err(unavailable)
}

fn entries(items: Vec<String>) -> Result<Vec<Entry>, ApiError> {
    items.into_iter().map(entry).collect()
}

/// An entry as it is stored.
pub fn entry(text: String) -> Result<Entry, ApiError> {
    RawValue::from_string(text).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> ApiError {
    ApiError::damaged(format!("a stored log entry: {error}"))
}

/// Each role's events are in order already; times are RFC 3339 in UTC and compare as text.
fn sort_by_time(events: &mut [Entry]) {
    events.sort_by_cached_key(time_of);
}
