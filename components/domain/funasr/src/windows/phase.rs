//! Where the window in hand stands.

use serde::{Deserialize, Serialize};

use super::settings::{HEADER_BYTES, SECOND_BYTES};
use super::stretch::Range;
use crate::Connection;
use crate::late::Late;
use crate::odd::Odd;

/// Where it stands. Times are epoch milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Phase {
    /// No window in hand.
    #[default]
    Idle,
    /// After a failure in the windowed mode, until `until`.
    Waiting { until: u64 },
    /// The socket is being opened.
    Connecting { task: Task },
    /// `run-task` is sent.
    Starting { task: Task, socket: String },
    /// The file is being sent.
    Sending {
        task: Task,
        socket: String,
        /// Into the file; what is before it was sent.
        next_byte: u32,
        /// When the next piece may be sent.
        next_at: u64,
    },
    /// `finish-task` is sent.
    Finishing { task: Task, socket: String },
}

/// A window in hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: String,
    pub range: Range,
    /// The first second that this window and those after it may touch.
    pub from: u32,
    /// When it was ordered to connect.
    pub began: u64,
    /// When it is given up.
    pub deadline: u64,
    /// It hears seconds that came late, and moves no cursor.
    #[serde(default)]
    pub is_late: bool,
    /// Seconds of its own that were stored since it began: it may have heard silence for them.
    #[serde(default, skip_serializing_if = "Late::is_empty")]
    pub missed: Late,
    /// The host does not know its socket any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
    /// What the service said that means nothing.
    #[serde(default, skip_serializing_if = "Odd::is_empty")]
    pub odd: Odd,
    /// Its final sentences so far.
    pub heard: Vec<Heard>,
}

/// A final sentence, in the file's own time if the service gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub begin_ms: Option<u64>,
    pub end_ms: Option<u64>,
    pub text: String,
}

impl Task {
    /// Of the WAV file.
    pub fn file_bytes(&self) -> u32 {
        (self.range.seconds())
            .saturating_mul(SECOND_BYTES)
            .saturating_add(HEADER_BYTES)
    }

    /// All sentences.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.heard.iter().map(|heard| heard.text.as_str()).collect();
        texts.join(" ")
    }
}

impl Phase {
    /// The window in hand.
    pub fn task(&self) -> Option<&Task> {
        match self {
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Connecting { task }
            | Phase::Starting { task, .. }
            | Phase::Sending { task, .. }
            | Phase::Finishing { task, .. } => Some(task),
        }
    }

    /// The window in hand.
    pub fn task_mut(&mut self) -> Option<&mut Task> {
        match self {
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Connecting { task }
            | Phase::Starting { task, .. }
            | Phase::Sending { task, .. }
            | Phase::Finishing { task, .. } => Some(task),
        }
    }

    /// The task that takes or took audio.
    pub fn hearing(&mut self) -> Option<&mut Task> {
        match self {
            Phase::Sending { task, .. } | Phase::Finishing { task, .. } => Some(task),
            _ => None,
        }
    }

    /// The open socket.
    pub fn socket(&self) -> Option<&str> {
        match self {
            Phase::Idle | Phase::Waiting { .. } | Phase::Connecting { .. } => None,
            Phase::Starting { socket, .. }
            | Phase::Sending { socket, .. }
            | Phase::Finishing { socket, .. } => Some(socket),
        }
    }

    /// What operators see.
    pub fn connection(&self) -> Connection {
        match self {
            Phase::Idle => Connection::Disconnected,
            Phase::Waiting { .. } => Connection::Error,
            Phase::Connecting { .. } | Phase::Starting { .. } => Connection::Connecting,
            Phase::Sending { .. } | Phase::Finishing { .. } => Connection::Running,
        }
    }
}
