//! Every limit of the listener, by name.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Connections at one time, HTTP and WebSocket together.
pub const CONNECTIONS: usize = 4096;
/// Those of one address, behind which a whole office may be. Behind a proxy all have the proxy's.
pub const CONNECTIONS_PER_ADDRESS: usize = 1024;
/// Connections without a place that are being told so. More are dropped without a word.
pub const REFUSALS: usize = 64;
/// The start line and headers of a request.
pub const HEADER_BYTES: usize = 64 * 1024;
/// Headers of a request: what hyper has by itself.
pub const HEADERS: usize = 100;
/// For the start line and headers to arrive, and for an idle connection to ask again.
pub const HEADER_READ: Duration = Duration::from_secs(30);
/// For the TLS handshake, or the first byte of one.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// From one look at the files of certificate and key to the next.
pub const TLS_RELOAD: Duration = Duration::from_secs(5);
/// Bytes of a file with certificates, or with a key.
pub const PEM_BYTES: u64 = 1024 * 1024;
/// Without a client taking anything of its answer for this long, it is taken for gone.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// For what a client still sends, after an answer that ends its connection, to be read and thrown away.
pub const LINGER: Duration = Duration::from_secs(30);
/// Without one more byte for this long, when it is known that not all of a request has come.
pub const LINGER_IDLE: Duration = Duration::from_secs(5);
/// The same, when nothing more is expected.
pub const LINGER_QUIET: Duration = Duration::from_millis(250);
/// How much is thrown away: more than a body may have.
pub const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// Refused requests of one address in a second (answers of the 400s, and WebSockets that showed no key that
/// is good) that are answered at once. Behind a proxy all have the proxy's address.
pub const REFUSALS_PER_SECOND: u32 = 100;
/// How many may come before that at any speed.
pub const REFUSAL_BURST: u32 = 500;
/// The longest that an answer waits because its address was refused too often.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(5);
/// Upgrade requests of such addresses that are decided at a time.
pub const REFUSED_TURNS: usize = 4;
/// Addresses whose refusals are counted singly. The others are counted together.
pub const REFUSED_ADDRESSES: usize = 4096;
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
    /// Those of one IPv4 address, or of one IPv6 network of 64 bits; the next are told 429.
    pub connections_per_address: usize,
    /// Connections without a place that are told so at one time.
    pub refusals: usize,
    /// Bytes of a request's start line and headers (at least 8192); more is 431.
    pub header_bytes: usize,
    /// Headers of a request; more is 431.
    pub headers: usize,
    /// For the headers to arrive, also those of the next request on a connection.
    pub header_read: Duration,
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// From one look at the files of certificate and key to the next.
    pub tls_reload: Duration,
    /// Without progress in writing an answer for so long a client is gone. WebSockets have their own.
    pub write_stall: Duration,
    /// For what a client still sends to be thrown away, so that it gets to read its answer.
    pub linger: Duration,
    /// Without one more byte of it for so long nothing more is waited for.
    pub linger_idle: Duration,
    /// How much of it.
    pub linger_bytes: usize,
    /// Refused requests of one address in a second; the answers to the next wait.
    pub refusals_per_second: u32,
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
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            refusals: REFUSALS,
            header_bytes: HEADER_BYTES,
            headers: HEADERS,
            header_read: HEADER_READ,
            tls_handshake: TLS_HANDSHAKE,
            tls_reload: TLS_RELOAD,
            write_stall: WRITE_STALL,
            linger: LINGER,
            linger_idle: LINGER_IDLE,
            linger_bytes: LINGER_BYTES,
            refusals_per_second: REFUSALS_PER_SECOND,
            drain: DRAIN,
            accept_pause: ACCEPT_PAUSE,
            websocket: WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_BYTES))
                .max_frame_size(Some(MESSAGE_BYTES)),
        }
    }
}
