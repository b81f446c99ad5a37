//! What can happen in a lane: plain mirrors of the WIT types of `realtime:sockets`.
//!
//! A batch may be handled twice, so cloning an event must cost reference counts, never payloads.

use std::sync::Arc;

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Names a socket of this process: a random UUID, never reused, behind what names the process where others
/// have sockets too ([`crate::Lanes::name_sockets`]).
pub type SocketToken = Arc<str>;

/// Names a call that waits for its answer: a random UUID, never reused.
pub type CallId = Arc<str>;

/// The payload of one WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A text message. `Utf8Bytes` is made from a `String` without copying.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
}

impl Payload {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What can happen in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client's connection was accepted and is bound to this lane.
    Accepted {
        /// The socket.
        socket: SocketToken,
        /// What was given when it was admitted.
        context: Arc<str>,
    },
    /// Messages of one socket, in the order in which the peer sent them.
    Frames {
        /// The socket.
        socket: SocketToken,
        /// What was given when it was admitted or opened.
        context: Arc<str>,
        /// The number of the first payload among the socket's messages, which are counted from 1.
        first: u64,
        /// At least one.
        payloads: Vec<Payload>,
    },
    /// The socket is gone; the last event of this socket.
    Closed {
        /// The socket.
        socket: SocketToken,
        /// What was given when it was admitted or opened.
        context: Arc<str>,
        /// The code of the peer's close frame; without one the code that we closed with because
        /// the peer broke the protocol, else 1006.
        code: u16,
        /// The reason in the peer's close frame, else what happened.
        reason: Arc<str>,
        /// Whether a close frame was received.
        clean: bool,
    },
    /// An outbound connection is up.
    Opened {
        /// The socket.
        socket: SocketToken,
        /// What was given when it was opened.
        context: Arc<str>,
    },
    /// An outbound connection could not be made; the last event of this socket.
    Failed {
        /// The socket.
        socket: SocketToken,
        /// What was given when it was opened.
        context: Arc<str>,
        /// The HTTP status with which the peer refused the handshake.
        status: Option<u16>,
        /// What happened, for a log.
        reason: Arc<str>,
    },
    /// A timer of this lane has run out.
    Timer {
        /// The timer.
        name: Arc<str>,
    },
    /// A batch of this lane was given up some time ago, and its messages and timers with it: what they were
    /// about is looked for anew.
    Retry,
    /// Somebody posted this to the lane, or calls the lane and waits.
    Message {
        /// To be answered with [`Lanes::reply`](crate::Lanes::reply).
        call: Option<CallId>,
        /// What was posted.
        body: Bytes,
    },
}

impl Event {
    /// The socket that this event is about.
    pub fn socket(&self) -> Option<&SocketToken> {
        match self {
            Self::Accepted { socket, .. }
            | Self::Frames { socket, .. }
            | Self::Closed { socket, .. }
            | Self::Opened { socket, .. }
            | Self::Failed { socket, .. } => Some(socket),
            Self::Timer { .. } | Self::Retry | Self::Message { .. } => None,
        }
    }
}
