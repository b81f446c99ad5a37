//! A log, read a page at a time: for what is too long to be held in memory. It is read as long as it was when
//! its session's records were read, whatever is appended meanwhile.

use std::collections::VecDeque;

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::{ByRole, StreamRole};
use serde::Deserialize;

use crate::bindings::interview::gateway::session_state::{self, Log, Page};
use crate::session::Extent;
use crate::{Entry, Unread, entry, roles, unavailable};

/// Entries that one call to the store brings at most.
const PAGE: u32 = 500;

/// Entries that are asked for after a jump: perhaps the next one is elsewhere again.
const PAGE_AFTER_JUMP: u32 = 16;

/// Where logs are read: the store, of a session by its id.
pub trait Source {
    /// `limit` entries from `index` on.
    ///
    /// # Errors
    /// It cannot be read.
    fn read_from(
        &self,
        role: StreamRole,
        log: Log,
        index: u32,
        limit: u32,
    ) -> Result<Page, ApiError>;
}

impl Source for SessionId {
    fn read_from(
        &self,
        role: StreamRole,
        log: Log,
        index: u32,
        limit: u32,
    ) -> Result<Page, ApiError> {
        session_state::read_from(self.as_str(), roles::wit(role), log, index, limit)
            .map_err(unavailable)
    }
}

/// A log that is being read.
pub struct LogPages<'a> {
    source: &'a dyn Source,
    role: StreamRole,
    log: Log,
    life: u64,
    /// The next one to ask for.
    index: u32,
    end: u32,
    page: VecDeque<String>,
    /// How many to ask for.
    at_once: u32,
}

impl<'a> LogPages<'a> {
    /// From its beginning. A merged log is not read so: see [`crate::MergedPages`].
    pub fn new(source: &'a dyn Source, role: StreamRole, log: Log, extent: Extent) -> Self {
        Self {
            source,
            role,
            log,
            life: extent.life,
            index: 0,
            end: match log {
                Log::Utterances => extent.utterances,
                Log::Merged => extent.merged,
                Log::Events => extent.events,
            },
            page: VecDeque::new(),
            at_once: PAGE,
        }
    }

    /// From this entry on.
    pub fn skip_to(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// The index of the next entry.
    pub(crate) fn position(&self) -> u32 {
        self.index.saturating_sub(length(&self.page))
    }

    /// The entry at an index, and from there on.
    pub(crate) fn at(&mut self, index: u32) -> Result<Option<Entry>, Unread> {
        if index != self.position() {
            self.page.clear();
            self.index = index;
            self.at_once = PAGE_AFTER_JUMP;
        }
        self.next_entry()
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Unread> {
        if self.page.is_empty() {
            self.turn()?;
        }
        self.page.pop_front().map(entry).transpose()
    }

    fn turn(&mut self) -> Result<(), Unread> {
        let left = self.end.saturating_sub(self.index);
        if left == 0 {
            return Ok(());
        }
        let limit = left.min(self.at_once);
        self.at_once = PAGE.min(self.at_once.saturating_mul(4));
        let page = self
            .source
            .read_from(self.role, self.log, self.index, limit)?;
        let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        if page.life != self.life || count == 0 {
            return Err(Unread::Emptied);
        }
        self.index = self.index.saturating_add(count);
        self.page = page.items.into();
        Ok(())
    }
}

fn length(page: &VecDeque<String>) -> u32 {
    u32::try_from(page.len()).unwrap_or(u32::MAX)
}

/// The events of all roles, the oldest first: each role's are in order already.
pub struct EventPages<'a> {
    roles: Vec<LogPages<'a>>,
    /// The next one of each role, with its time.
    heads: Vec<Option<(String, Entry)>>,
}

impl<'a> EventPages<'a> {
    /// # Errors
    /// See [`Unread`].
    pub fn new(source: &'a dyn Source, extents: &ByRole<Extent>) -> Result<Self, Unread> {
        let log = |role| LogPages::new(source, role, Log::Events, *extents.get(role));
        let mut pages = Self {
            roles: StreamRole::ALL.map(log).into(),
            heads: Vec::new(),
        };
        for log in &mut pages.roles {
            pages.heads.push(head(log)?);
        }
        Ok(pages)
    }

    /// The next event; none at the end. Times are RFC 3339 in UTC and compare as text; of events of the
    /// same time the first role's come first.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Unread> {
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

fn head(log: &mut LogPages<'_>) -> Result<Option<(String, Entry)>, Unread> {
    Ok(log.next_entry()?.map(|entry| (time_of(&entry), entry)))
}

/// When an event was; empty if it does not say.
pub(crate) fn time_of(event: &Entry) -> String {
    #[derive(Deserialize)]
    struct Time {
        ts: String,
    }
    serde_json::from_str::<Time>(event.get())
        .map(|event| event.ts)
        .unwrap_or_default()
}
