//! The errors of the imports, as `realtime:sockets` names them: each says what the caller can do.

/// Why a call on a socket did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// Closed, closing, lost, or of an earlier process.
    #[error("there is no such socket: it is closed, lost, or of an earlier process")]
    UnknownSocket,
    /// The peer reads too slowly. Nothing was taken; try again when there is room.
    #[error("the peer reads too slowly: send again when `room` is large enough")]
    Full,
    /// A payload, an URL or a context over the limit.
    #[error("a payload, URL or context is over the host's limit")]
    TooLarge,
    /// The target may not be connected to; the text says why.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// The lane has as many sockets of this kind as permitted, or the account as many as it says.
    #[error("the lane or the account has as many sockets as are permitted: close one first")]
    TooMany,
}

/// Why a timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// The lane has as many timers as permitted (or there are too many lanes, or the name is over
    /// the limit): cancel one first.
    #[error("the lane has as many timers as the host permits: cancel one first")]
    TooMany,
}

/// Why a message was not left or not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The lane has as much waiting as permitted. Try again later.
    #[error("the lane has as much waiting as the host permits: try again later")]
    Full,
    /// The body or the lane's name is over the limit.
    #[error("the message is over the host's limit")]
    TooLarge,
    /// No answer in time. The lane may still handle the message.
    #[error("no answer in time; the lane may still handle the message")]
    TimedOut,
    /// The lane failed to handle the message, or the host is stopping.
    #[error("the lane failed: {0}")]
    Failed(String),
    /// Answered already, given up, or of an earlier process.
    #[error("there is no such call: it is answered, given up, or of an earlier process")]
    UnknownCall,
}

/// A mailbox did not handle a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// An error, a trap or a time-out; the text is for the log. The batch is given once more.
    #[error("{0}")]
    Failed(String),
    /// The lane goes on at another host, where its clients are to connect: it is of no use to try again.
    /// All that this host has of the lane is given up.
    #[error("the lane goes on at another host")]
    Moved,
}
