//! A log, or the end of one, read a page at a time: for what is too long to be held in memory. It ends
//! where the log ended when the first page was read. What of a log is wanted is not known here.

use std::collections::VecDeque;

use interview_session::error::ApiError;
use interview_session::id::SessionId;
use interview_session::role::StreamRole;
use serde::Deserialize;
use serde_json::value::RawValue;

use session_reader::bindings::interview::gateway::session_state::{self, Log, Page};
use session_reader::{roles, unavailable};

/// Entries that one call to the store brings at most.
const PAGE: u32 = 500;

/// Entries that are asked for after a jump: perhaps the next one is elsewhere again.
const PAGE_AFTER_JUMP: u32 = 16;

/// An entry of a log, as JSON text.
pub type Entry = Box<RawValue>;

/// A log that is being read.
pub struct LogPages {
    id: SessionId,
    role: StreamRole,
    log: Log,
    /// The next one to ask for.
    index: u32,
    /// How long the log is, once that is known.
    end: Option<u32>,
    page: VecDeque<String>,
    /// How many to ask for.
    at_once: u32,
}

impl LogPages {
    /// All of it.
    pub fn new(id: &SessionId, role: StreamRole, log: Log) -> Self {
        Self {
            id: id.clone(),
            role,
            log,
            index: 0,
            end: None,
            page: VecDeque::new(),
            at_once: PAGE,
        }
    }

    /// What `page` begins, the last entries of a log, to its end.
    pub fn begun(id: &SessionId, role: StreamRole, log: Log, page: Page) -> Self {
        let mut pages = Self::new(id, role, log);
        pages.index = page.first;
        pages.take(page);
        pages
    }

    /// Whether nothing more has to be read.
    pub fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| self.index >= end)
    }

    /// The index of the next entry.
    pub fn position(&self) -> u32 {
        self.index.saturating_sub(length(&self.page))
    }

    /// The next entry; none at the end.
    pub fn next(&mut self) -> Result<Option<Entry>, ApiError> {
        if self.page.is_empty() {
            self.turn()?;
        }
        self.page.pop_front().map(entry).transpose()
    }

    /// The entry at an index, and from there on.
    pub fn at(&mut self, index: u32) -> Result<Option<Entry>, ApiError> {
        if index != self.position() {
            self.page.clear();
            self.index = index;
            self.at_once = PAGE_AFTER_JUMP;
        }
        self.next()
    }

    fn turn(&mut self) -> Result<(), ApiError> {
        let left = self.end.map_or(PAGE, |end| end.saturating_sub(self.index));
        if left == 0 {
            return Ok(());
        }
        let (role, limit) = (roles::wit(self.role), left.min(self.at_once));
        let page = session_state::read_from(self.id.as_str(), role, self.log, self.index, limit)
            .map_err(unavailable)?;
        self.at_once = PAGE.min(self.at_once.saturating_mul(4));
        self.take(page);
        Ok(())
    }

    fn take(&mut self, page: Page) {
        self.end.get_or_insert(page.count);
        self.page = page.items.into();
        self.index = self.index.saturating_add(length(&self.page));
        if self.page.is_empty() {
            // A reset has emptied it meanwhile.
            self.end = Some(self.index);
        }
    }
}

fn length(page: &VecDeque<String>) -> u32 {
    u32::try_from(page.len()).unwrap_or(u32::MAX)
}

/// An entry as it is stored.
fn entry(text: String) -> Result<Entry, ApiError> {
    RawValue::from_string(text).map_err(damaged)
}

pub fn damaged(error: serde_json::Error) -> ApiError {
    ApiError::damaged(format!("a stored log entry: {error}"))
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
