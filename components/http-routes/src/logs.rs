//! `GET utterances` and `GET events`. Entries are stored as the API shows them and go out as they are. A
//! short answer is sent whole; a long one is read and sent piece by piece, so that no length of its entries
//! is too much for this component's memory.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::query::{EVENTS_LIMIT, Query, UTTERANCES_LIMIT, View};
use interview_session::role::{ByRole, StreamRole};
use interview_session::stored::to_json;
use serde::Serialize;

use crate::answer::{self, Answer};
use crate::log_pages::{Entry, LogPages, time_of};
use crate::merged_view::MergedView;
use session_reader::bindings::interview::gateway::session_state::{self, Log, Page};
use session_reader::{roles, unavailable};

/// Bytes of an answer that are made before they are sent. An answer of fewer is sent whole.
const PIECE: usize = 1 << 20;

/// Bytes of entries that are kept while a view is made to see which are its last ones. Where they are more
/// it is made twice.
const KEPT: usize = 4 << 20;

pub fn utterances(id: &SessionId, query: &Query<'_>) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Utterances<'a> {
        session_id: &'a str,
        stream_role: &'static str,
        view: &'static str,
        count: u32,
        limit: u32,
        items: [(); 0],
    }
    let role = query.stream_role()?;
    let view = query.view()?;
    let limit = query.limit(UTTERANCES_LIMIT);
    let (count, items) = match view {
        View::Raw => last(id, role, Log::Utterances, limit)?,
        View::Merged => last_merged(id, role, limit)?,
    };
    let head = to_json(&Utterances {
        session_id: id.as_str(),
        stream_role: role.as_str(),
        view: view.as_str(),
        count,
        limit,
        items: [],
    });
    listed(head, items)
}

pub fn events(id: &SessionId, query: &Query<'_>) -> Result<Answer, ApiError> {
    #[derive(Serialize)]
    struct Events<'a> {
        session_id: &'a str,
        stream_role: &'static str,
        count: u32,
        limit: u32,
        items: [(); 0],
    }
    let role = query.stream_role_filter()?;
    let limit = query.limit(EVENTS_LIMIT);
    let (count, items) = match role {
        Some(role) => last(id, role, Log::Events, limit)?,
        None => last_of_all(id, limit)?,
    };
    let head = to_json(&Events {
        session_id: id.as_str(),
        stream_role: role.map_or("all", StreamRole::as_str),
        count,
        limit,
        items: [],
    });
    listed(head, items)
}

/// Entries of an answer.
enum Items {
    /// The end of a log.
    Log(LogPages),
    /// Events of all streams: where each is.
    Events {
        logs: Box<ByRole<LogPages>>,
        order: VecDeque<(StreamRole, u32)>,
    },
    /// The end of a view that is made.
    View(Box<MergedView>),
    /// All of them are here.
    Here(VecDeque<Entry>),
}

impl Items {
    fn next(&mut self) -> Result<Option<Entry>, ApiError> {
        match self {
            Self::Log(pages) => pages.next(),
            Self::Events { logs, order } => match order.pop_front() {
                Some((role, index)) => logs.get_mut(role).at(index),
                None => Ok(None),
            },
            Self::View(view) => view.next(),
            Self::Here(entries) => Ok(entries.pop_front()),
        }
    }
}

/// An answer that is being made: JSON whose last field is the list of the entries.
struct Listing {
    items: Items,
    is_first: bool,
    is_done: bool,
}

impl Listing {
    /// Adds entries until the piece is long enough, or all are there.
    fn fill(&mut self, piece: &mut String) -> Result<(), ApiError> {
        while piece.len() < PIECE {
            let Some(entry) = self.items.next()? else {
                piece.push_str("]}");
                self.is_done = true;
                return Ok(());
            };
            if !std::mem::take(&mut self.is_first) {
                piece.push(',');
            }
            piece.push_str(entry.get());
        }
        Ok(())
    }
}

/// The answer that is `head` with these items instead of none.
fn listed(head: String, items: Items) -> Result<Answer, ApiError> {
    let mut listing = Listing {
        items,
        is_first: true,
        is_done: false,
    };
    let mut piece = head;
    // The end of the empty list and of the object.
    piece.truncate(piece.len().saturating_sub("]}".len()));
    listing.fill(&mut piece)?;
    match listing.is_done {
        true => Ok(answer::ok(piece)),
        false => Ok(answer::streamed(pieces(piece, listing))),
    }
}

/// The first piece and those after it. When one cannot be read the answer ends there, and is no JSON: the
/// client sees that it is not whole.
fn pieces(first: String, listing: Listing) -> impl Stream<Item = Bytes> {
    unfold((Some(first), listing), async |(ready, mut listing)| {
        let piece = match ready {
            Some(piece) => piece,
            None if listing.is_done => return None,
            None => {
                let mut piece = String::new();
                if let Err(error) = listing.fill(&mut piece) {
                    eprintln!("a long answer ends early: {error}");
                    listing.is_done = true;
                }
                piece
            }
        };
        Some((Bytes::from(piece), (None, listing)))
    })
}

fn last(id: &SessionId, role: StreamRole, log: Log, limit: u32) -> Result<(u32, Items), ApiError> {
    let page = read_last(id, role, log, limit)?;
    let count = page.count;
    Ok((count, Items::Log(LogPages::begun(id, role, log, page))))
}

fn last_merged(id: &SessionId, role: StreamRole, limit: u32) -> Result<(u32, Items), ApiError> {
    let page = read_last(id, role, Log::Merged, limit)?;
    if !page.out_of_order {
        let count = page.count;
        let pages = LogPages::begun(id, role, Log::Merged, page);
        return Ok((count, Items::Log(pages)));
    }
    let mut view = MergedView::new(id, role)?;
    let mut last = VecDeque::new();
    let (mut count, mut bytes, mut is_kept) = (0_u32, 0, true);
    while let Some(entry) = view.next()? {
        count = count.saturating_add(1);
        bytes += entry.get().len();
        last.push_back(entry);
        if last.len() > limit as usize {
            bytes -= last.pop_front().map_or(0, |entry| entry.get().len());
        }
        if bytes > KEPT {
            is_kept = false;
            (last, bytes) = (VecDeque::new(), 0);
        }
    }
    if is_kept {
        return Ok((count, Items::Here(last)));
    }
    let mut view = MergedView::new(id, role)?;
    for _ in 0..count.saturating_sub(limit) {
        view.next()?;
    }
    Ok((count, Items::View(Box::new(view))))
}

/// The last events of all streams by time; those of a stream are in order already.
fn last_of_all(id: &SessionId, limit: u32) -> Result<(u32, Items), ApiError> {
    let mut count = 0_u32;
    let logs = ByRole::try_new(|role| {
        let page = read_last(id, role, Log::Events, limit)?;
        count = count.saturating_add(page.count);
        Ok::<_, ApiError>(LogPages::begun(id, role, Log::Events, page))
    })?;
    let is_whole = StreamRole::ALL
        .into_iter()
        .all(|role| logs.get(role).is_whole());
    let items = match is_whole {
        true => in_memory(logs, limit)?,
        false => by_place(logs, limit)?,
    };
    Ok((count, items))
}

fn in_memory(mut logs: ByRole<LogPages>, limit: u32) -> Result<Items, ApiError> {
    let mut events = Vec::new();
    for role in StreamRole::ALL {
        while let Some(event) = logs.get_mut(role).next()? {
            events.push(event);
        }
    }
    // Times are RFC 3339 in UTC and compare as text.
    events.sort_by_cached_key(time_of);
    events.drain(..events.len().saturating_sub(limit as usize));
    Ok(Items::Here(events.into()))
}

/// The same for events that are too long to be held all: they are read twice.
fn by_place(mut logs: ByRole<LogPages>, limit: u32) -> Result<Items, ApiError> {
    let mut places = Vec::new();
    for role in StreamRole::ALL {
        let log = logs.get_mut(role);
        loop {
            let index = log.position();
            let Some(event) = log.next()? else { break };
            places.push((time_of(&event), role, index));
        }
    }
    places.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let others = places.len().saturating_sub(limit as usize);
    let order = places.into_iter().skip(others);
    Ok(Items::Events {
        logs: Box::new(logs),
        order: order.map(|(_, role, index)| (role, index)).collect(),
    })
}

fn read_last(id: &SessionId, role: StreamRole, log: Log, limit: u32) -> Result<Page, ApiError> {
    session_state::read_last(id.as_str(), roles::wit(role), log, limit).map_err(unavailable)
}
