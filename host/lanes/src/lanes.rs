//! The public face: what the host's import functions, its listener and its signal handler call.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use url::Url;

use crate::{
    DrainReport, HandleError, LaneError, Limits, SocketError, Stats, TimerError,
    events::{Event, Payload, SocketToken},
};

/// Where the events arrive.
pub trait Mailbox: Send + Sync + 'static {
    /// Handles one batch of a lane, oldest event first. The lane's next batch waits for the answer.
    ///
    /// It must end, with an error if need be: a limit on its time is the mailbox's own business.
    ///
    /// # Errors
    /// The batch was not handled: it is given once more, so handling it twice must be harmless.
    fn handle(
        &self,
        lane: Arc<str>,
        events: Vec<Event>,
    ) -> BoxFuture<'static, Result<(), HandleError>>;
}

/// Says where outbound sockets may go (`allowed_outbound_hosts`).
pub trait OutboundPolicy: Send + Sync {
    /// Whether a connection to this `ws` or `wss` URL is allowed.
    fn allows(&self, url: &Url) -> bool;
}

/// Where an outbound socket goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// `ws://` or `wss://`.
    pub url: String,
    /// For the handshake. Those that the handshake itself needs are refused.
    pub headers: Vec<(String, String)>,
    /// The lane that is told of it.
    pub lane: String,
    /// Comes back with every event of the socket.
    pub context: String,
    /// For name look-up, connection, TLS and handshake together.
    pub connect_timeout: Duration,
}

/// All lanes of a process. Clones are the same lanes.
#[derive(Clone)]
pub struct Lanes(());

impl Lanes {
    /// Lanes without a mailbox yet: events wait until [`Lanes::start`].
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(_limits: Limits, _policy: Arc<dyn OutboundPolicy>) -> Self {
        Self(())
    }

    /// Gives the lanes their mailbox, whose imports may need the lanes. Only the first call counts.
    pub fn start(&self, _mailbox: Arc<dyn Mailbox>) {}

    /// Serves a client's connection until it ends. `ws` must have been built with
    /// [`Limits::websocket_config`].
    pub async fn serve<S>(&self, _ws: WebSocketStream<S>, _lane: &str, _context: &str)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
    }

    /// Queues messages for the peer, all or none.
    ///
    /// # Errors
    /// `UnknownSocket`, `Full`, `TooLarge`.
    pub fn send(&self, _socket: &str, _payloads: Vec<Payload>) -> Result<(), SocketError> {
        Err(SocketError::UnknownSocket)
    }

    /// How many messages `send` would take now.
    ///
    /// # Errors
    /// `UnknownSocket`.
    pub fn room(&self, _socket: &str) -> Result<u32, SocketError> {
        Err(SocketError::UnknownSocket)
    }

    /// Sends what is queued, then the close frame.
    ///
    /// # Errors
    /// `UnknownSocket`, also when it is closing already.
    pub fn close(&self, _socket: &str, _code: u16, _reason: &str) -> Result<(), SocketError> {
        Err(SocketError::UnknownSocket)
    }

    /// Starts to connect.
    ///
    /// # Errors
    /// `NotAllowed`, `TooLarge`, `TooMany`.
    pub fn open(&self, _target: Target) -> Result<SocketToken, SocketError> {
        Err(SocketError::TooMany)
    }

    /// Sets the timer of this name, or sets it anew.
    ///
    /// # Errors
    /// `TooMany`.
    pub fn set_timer(&self, _lane: &str, _name: &str, _delay: Duration) -> Result<(), TimerError> {
        Err(TimerError::TooMany)
    }

    /// Forgets a timer. A firing that is already queued still arrives.
    pub fn cancel_timer(&self, _lane: &str, _name: &str) {}

    /// Leaves a message.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Failed` when the host is stopping.
    pub fn post(&self, _lane: &str, _body: Bytes) -> Result<(), LaneError> {
        Err(LaneError::Full)
    }

    /// Leaves a message and waits for the answer. Dropping the future gives the call up.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `TimedOut`, `Failed`.
    pub async fn ask(
        &self,
        _lane: &str,
        _body: Bytes,
        _timeout: Duration,
    ) -> Result<Bytes, LaneError> {
        Err(LaneError::Full)
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `UnknownCall`, `TooLarge`.
    pub fn reply(&self, _call: &str, _body: Bytes) -> Result<(), LaneError> {
        Err(LaneError::UnknownCall)
    }

    /// Brings everything to an orderly end: refuses new sockets, closes the clients' with 1001, lets
    /// queued events be handled, then closes the outbound ones with 1000; at the deadline whatever
    /// is left is cut off.
    pub async fn drain(&self, _deadline: Duration) -> DrainReport {
        DrainReport::default()
    }

    /// Figures for a health page or a log.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
