//! What is stored of a stream's windows between two steps.

use serde::{Deserialize, Serialize};

use super::phase::Phase;
use super::requests::Request;
use crate::Connection;
use crate::late::Late;
use crate::rejected::Rejected;

/// All that the windows' machine knows. It is stored as JSON by the caller; its fields are this
/// crate's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The cursor: the end of the last window that is done; 0 for none.
    pub(crate) last_end: u32,
    /// The first second that windows may still touch.
    pub(crate) from: u32,
    /// The furthest end of a window that is done, those of late seconds included.
    pub(crate) furthest: u32,
    /// Windows that are done.
    pub(crate) done: u32,
    pub(crate) phase: Phase,
    /// Seconds that came after the windows that should have heard them.
    #[serde(skip_serializing_if = "Late::is_empty")]
    pub(crate) late: Late,
    /// Failures since the last window that is done.
    pub(crate) failures: u32,
    pub(crate) last_error: Option<String>,
    /// The service refuses for a reason that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<Rejected>,
    /// Who waits for windows, in the order they asked.
    pub(crate) waiting: Vec<Request>,
}

/// What operators see of a [`State`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the connection stands.
    pub connection: Connection,
    /// The open socket.
    pub socket: Option<String>,
    /// The end of the last window that is done; 0 for none.
    pub last_end: u32,
    /// Stored seconds that came after the windows that should have heard them.
    pub late: u32,
    /// Failures since then.
    pub consecutive_failures: u32,
    /// When the next attempt is due, epoch ms.
    pub retry_at: Option<u64>,
    /// Why the last window failed; none after one that is done.
    pub last_error: Option<String>,
}

impl State {
    /// What operators see.
    pub fn status(&self) -> Status {
        Status {
            connection: self.phase.connection(),
            socket: self.phase.socket().map(str::to_owned),
            last_end: self.last_end,
            late: self.late.count(),
            consecutive_failures: self.failures,
            retry_at: match self.phase {
                Phase::Waiting { until } => Some(until),
                _ => None,
            },
            last_error: self.last_error.clone(),
        }
    }
}
