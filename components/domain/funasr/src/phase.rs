//! Where the connection of a stream stands.

use serde::{Deserialize, Serialize};

/// What operators see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing to send, or ASR is off.
    Disconnected,
    /// Being opened, or waiting for `task-started`.
    Connecting,
    /// A task takes audio or is being finished.
    Running,
    /// The last attempt failed; the next one is due at `retry_at`.
    Error,
}

/// Where it stands, with what is known only there. Times are epoch milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Phase {
    /// No connection and none wanted.
    #[default]
    Idle,
    /// After a failure, until `until`.
    Waiting { until: u64 },
    /// The socket is being opened.
    Connecting { task: String, deadline: u64 },
    /// `run-task` is sent.
    Starting {
        task: String,
        socket: String,
        deadline: u64,
    },
    /// Audio is taken.
    Running(Running),
    /// `finish-task` is sent. What the service says moves the deadline, but not beyond the limit.
    Finishing {
        running: Running,
        deadline: u64,
        #[serde(default)]
        limit: u64,
    },
}

/// A task that takes or took audio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    pub task: String,
    pub socket: String,
    /// The session second at which the task's clock starts.
    pub base: u32,
    /// When the last audio was sent.
    pub sent_at: u64,
}

impl Phase {
    /// The task that frames and closings must name to count.
    pub fn task(&self) -> Option<&str> {
        match self {
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Connecting { task, .. } | Phase::Starting { task, .. } => Some(task),
            Phase::Running(running) | Phase::Finishing { running, .. } => Some(&running.task),
        }
    }

    /// The open socket.
    pub fn socket(&self) -> Option<&str> {
        match self {
            Phase::Idle | Phase::Waiting { .. } | Phase::Connecting { .. } => None,
            Phase::Starting { socket, .. } => Some(socket),
            Phase::Running(running) | Phase::Finishing { running, .. } => Some(&running.socket),
        }
    }

    /// What operators see.
    pub fn connection(&self) -> Connection {
        match self {
            Phase::Idle => Connection::Disconnected,
            Phase::Waiting { .. } => Connection::Error,
            Phase::Connecting { .. } | Phase::Starting { .. } => Connection::Connecting,
            Phase::Running(_) | Phase::Finishing { .. } => Connection::Running,
        }
    }
}
