//! Every limit of the listener, by name.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Connections at one time, HTTP and WebSocket together.
pub const CONNECTIONS: usize = 4096;
/// The start line and headers of a request.
pub const HEADER_BYTES: usize = 64 * 1024;
/// For the start line and headers to arrive, and for an idle connection to ask again.
pub const HEADER_READ: Duration = Duration::from_secs(30);
/// For connections to end after the shutdown began.
pub const DRAIN: Duration = Duration::from_secs(20);
/// After an accept error that will not go away at once, such as too many open files.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A WebSocket message, unless the program says otherwise.
pub const MESSAGE_BYTES: usize = 1024 * 1024;

/// What a [`Listener`](crate::Listener) holds at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time; the next are told 503.
    pub connections: usize,
    /// Bytes of a request's start line and headers (at least 8192); more is 431.
    pub header_bytes: usize,
    /// For the headers to arrive.
    pub header_read: Duration,
    /// For connections to end after the shutdown began; then they are cut off.
    pub drain: Duration,
    /// After an accept error.
    pub accept_pause: Duration,
    /// How the WebSocket streams are built: their frame and buffer limits. Whoever serves the
    /// streams knows what it needs (`lanes::Limits::websocket_config`).
    pub websocket: WebSocketConfig,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            header_bytes: HEADER_BYTES,
            header_read: HEADER_READ,
            drain: DRAIN,
            accept_pause: ACCEPT_PAUSE,
            websocket: WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_BYTES))
                .max_frame_size(Some(MESSAGE_BYTES)),
        }
    }
}
