//! A whole log, read a page at a time: for what is too long to be held in memory. It ends where the log
//! ended when the first page was read.

use std::collections::VecDeque;

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use serde::Deserialize;

use crate::bindings::interview::gateway::session_state::{self, Log};
use crate::logs::{Entry, PAGE, entry};
use crate::roles;
use crate::state::unavailable;

/// A log that is being read.
pub struct LogPages<'a> {
    id: &'a SessionId,
    role: StreamRole,
    log: Log,
    /// The next one to ask for.
    index: u32,
    /// How long the log is, once that is known.
    end: Option<u32>,
    page: VecDeque<String>,
}

impl<'a> LogPages<'a> {
    pub const fn new(id: &'a SessionId, role: StreamRole, log: Log) -> Self {
        Self {
            id,
            role,
            log,
            index: 0,
            end: None,
            page: VecDeque::new(),
        }
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> Result<Option<Entry>, ApiError> {
        if self.page.is_empty() {
            self.turn()?;
        }
        self.page.pop_front().map(entry).transpose()
    }

    fn turn(&mut self) -> Result<(), ApiError> {
        let left = self.end.map_or(PAGE, |end| end.saturating_sub(self.index));
        if left == 0 {
            return Ok(());
        }
        let role = roles::wit(self.role);
        let page =
            session_state::read_from(self.id.as_str(), role, self.log, self.index, left.min(PAGE))
                .map_err(unavailable)?;
        self.end.get_or_insert(page.count);
        let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        self.index = self.index.saturating_add(count);
        if count == 0 {
            // A reset has emptied it meanwhile.
            self.end = Some(self.index);
        }
        self.page = page.items.into();
        Ok(())
    }
}

/// The events of all roles, the oldest first: each role's are in order already.
pub struct EventPages<'a> {
    roles: Vec<LogPages<'a>>,
    /// The next one of each role, with its time.
    heads: Vec<Option<(String, Entry)>>,
}

impl<'a> EventPages<'a> {
    pub fn new(id: &'a SessionId) -> Result<Self, ApiError> {
        let roles = StreamRole::ALL.map(|role| LogPages::new(id, role, Log::Events));
        let mut pages = Self {
            roles: roles.into(),
            heads: Vec::new(),
        };
        for log in &mut pages.roles {
            pages.heads.push(head(log)?);
        }
        Ok(pages)
    }

    /// The next event; none at the end. Times are RFC 3339 in UTC and compare as text; of events of the
    /// same time the first role's come first.
    pub fn next(&mut self) -> Result<Option<Entry>, ApiError> {
        let time = |n: usize| Some(&self.heads.get(n)?.as_ref()?.0);
        let oldest = (0..self.heads.len())
            .filter(|n| time(*n).is_some())
            .min_by_key(|n| time(*n));
        let Some((head_of, log)) = oldest.and_then(|n| {
            let head_of = self.heads.get_mut(n)?;
            Some((head_of, self.roles.get_mut(n)?))
        }) else {
            return Ok(None);
        };
        let event = std::mem::replace(head_of, head(log)?);
        Ok(event.map(|(_, entry)| entry))
    }
}

fn head(log: &mut LogPages<'_>) -> Result<Option<(String, Entry)>, ApiError> {
    Ok(log.next()?.map(|entry| (time_of(&entry), entry)))
}

/// When an event was; empty if it does not say.
pub fn time_of(event: &Entry) -> String {
    #[derive(Deserialize)]
    struct Time {
        ts: String,
    }
    serde_json::from_str::<Time>(event.get())
        .map(|event| event.ts)
        .unwrap_or_default()
}
