//! The kinds of failure of a connection or a task, for whoever counts them. What exactly happened is in
//! the text beside it.

use std::fmt;

/// Why a connection or a task ended that should have gone on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The service did not accept the key (HTTP 401 or 403).
    Unauthorized,
    /// It refused the handshake with another HTTP status.
    Refused,
    /// There is no way to it, or none in time.
    Unreachable,
    /// It did not say `task-started` in time.
    StartTimeout,
    /// It did not say `task-finished` in time.
    FinishTimeout,
    /// It said `task-failed`.
    Failed,
    /// The same, for a reason that lasts: somebody has to pay, or to change a setting.
    Rejected,
    /// It closed the connection, or the connection broke.
    Closed,
    /// The connection takes no frames: it is gone, or it does not drain.
    SendRefused,
    /// It finished a task that it was not asked to finish.
    Unasked,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 10] = [
        Failure::Unauthorized,
        Failure::Refused,
        Failure::Unreachable,
        Failure::StartTimeout,
        Failure::FinishTimeout,
        Failure::Failed,
        Failure::Rejected,
        Failure::Closed,
        Failure::SendRefused,
        Failure::Unasked,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Failure::Unauthorized => "unauthorized",
            Failure::Refused => "refused",
            Failure::Unreachable => "unreachable",
            Failure::StartTimeout => "start-timeout",
            Failure::FinishTimeout => "finish-timeout",
            Failure::Failed => "failed",
            Failure::Rejected => "rejected",
            Failure::Closed => "closed",
            Failure::SendRefused => "send-refused",
            Failure::Unasked => "unasked",
        }
    }

    /// Whether the next attempt will end in the same way, unless somebody does something.
    pub(crate) const fn is_lasting(self) -> bool {
        matches!(self, Failure::Unauthorized | Failure::Rejected)
    }

    /// Of a connection that could not be made; `status` is that of a refused handshake.
    pub(crate) const fn of_open(status: Option<u16>) -> Failure {
        match status {
            Some(401 | 403) => Failure::Unauthorized,
            Some(_) => Failure::Refused,
            None => Failure::Unreachable,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
