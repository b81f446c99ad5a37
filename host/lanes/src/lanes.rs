//! The public face: what the host's import functions, its listener and its signal handler call.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use url::Url;

use crate::{
    Account, DrainReport, HandleError, LaneError, Limits, Observer, Over, SocketError, Stats,
    TimerError,
    close_frame::sendable,
    connect::default_tls,
    events::{CallId, Event, Payload, SocketToken},
    handle::Socket,
    registry::{NoPlace, Registry},
};

/// Some events of a lane, to be handled together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The lane's name.
    pub lane: Arc<str>,
    /// Oldest first.
    pub events: Vec<Event>,
    /// Somebody waits for what comes of it: the lane has a socket now, or one of the events is a call.
    /// A batch that nobody waits for can wait for those.
    pub is_awaited: bool,
    /// All of it is of client sockets that are unknown still ([`Standing::Unknown`]), or of timers of a lane
    /// that has no others.
    pub is_of_strangers: bool,
}

/// Where the events arrive.
pub trait Mailbox: Send + Sync + 'static {
    /// Handles one batch. The lane's next batch waits for the answer.
    ///
    /// It must end, with an error if need be: a limit on its time is the mailbox's own business.
    ///
    /// # Errors
    /// The batch was not handled. After [`HandleError::Failed`] it is given once more, so handling it twice
    /// must be harmless; after [`HandleError::Moved`] only its messages are, and the lane is as after
    /// [`Lanes::hand_over`].
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>>;
}

/// Says where outbound sockets may go (`allowed_outbound_hosts`).
pub trait OutboundPolicy: Send + Sync {
    /// Whether a connection to this `ws` or `wss` URL is allowed.
    fn allows(&self, url: &Url) -> bool;
}

/// Which place a client's socket takes. One for which there is none is closed with 1013; one that is not
/// unknown takes the place of a socket that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// One of its lane's.
    #[default]
    Plain,
    /// One of its lane's, and one of this account's.
    Counted(Account),
    /// Nobody knows yet whose it is: one of those that its lane has for such sockets. Of such a socket one
    /// message is read, of at most [`Limits::unknown_bytes`], until it is settled.
    Unknown,
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
pub struct Lanes(Arc<Registry>);

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lanes").field(&self.stats()).finish()
    }
}

impl Lanes {
    /// Lanes without a mailbox yet: events wait until [`Lanes::start`]. Outbound TLS trusts Mozilla's
    /// root certificates.
    ///
    /// # Errors
    /// The TLS library offers nothing that can be used; never with the versions built in.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn new(limits: Limits, policy: Arc<dyn OutboundPolicy>) -> Result<Self, rustls::Error> {
        Ok(Self::with_tls(limits, policy, default_tls()?))
    }

    /// The same with other TLS for outbound sockets.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn with_tls(
        limits: Limits,
        policy: Arc<dyn OutboundPolicy>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        Self(Arc::new(Registry::new(limits, policy, tls)))
    }

    /// Gives the lanes their mailbox, whose imports may need the lanes. Only the first call counts.
    pub fn start(&self, mailbox: Arc<dyn Mailbox>) {
        self.0.start(mailbox);
    }

    /// What the tokens of sockets begin with from now on, to tell them from other hosts' sockets. Only the
    /// first call counts.
    pub fn name_sockets(&self, prefix: &str) {
        let _ = self.0.socket_prefix.set(Arc::from(prefix));
    }

    /// Has somebody told what cannot be counted afterwards. Only the first call counts.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let _ = self.0.observer.set(observer);
    }

    /// Serves a client's connection until it ends. `ws` must have been built with
    /// [`Limits::websocket_config`], and nothing read from it. Dropping the future drops the connection; the
    /// lane is told.
    pub async fn serve<S>(&self, ws: WebSocketStream<S>, lane: &str, context: &str)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.serve_as(ws, lane, context, &Standing::Plain).await;
    }

    /// As [`Lanes::serve`], with the place that the socket takes. Whether it was known in the end whose it is.
    pub async fn serve_as<S>(
        &self,
        ws: WebSocketStream<S>,
        lane: &str,
        context: &str,
        standing: &Standing,
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.0.serve(ws, lane, context, standing).await
    }

    /// It is known now whose socket this is: it takes one of its lane's places, and one of the account's.
    /// Of a socket that was not unknown nothing is changed.
    ///
    /// # Errors
    /// `UnknownSocket`; `TooMany`: then it stays as it is. A socket that does not answer gives up its place
    /// before that.
    pub fn settle(&self, socket: &str, account: Option<&Account>) -> Result<(), SocketError> {
        let socket = self.socket(socket)?;
        self.0.settle(&socket, account).map_err(|no_place| {
            if let Some(over) = no_place.over() {
                self.0.counters.over.add(over);
            }
            SocketError::TooMany
        })
    }

    /// Reads nothing from the peer for so long, at most [`Limits::pause`]. Makes no pause shorter.
    ///
    /// # Errors
    /// `UnknownSocket`.
    pub fn pause(&self, socket: &str, time: Duration) -> Result<(), SocketError> {
        let until = tokio::time::Instant::now() + time.min(self.0.limits.pause);
        self.socket(socket)?.pause(until);
        Ok(())
    }

    /// Charges `cost` for what was done for the peer, and gives for how long it is not read: not at all as
    /// long as no more than `ahead` is charged beyond the time that passed; beyond that until half of it
    /// is left, at most [`Limits::pause`].
    ///
    /// # Errors
    /// `UnknownSocket`.
    pub fn charge(
        &self,
        socket: &str,
        cost: Duration,
        ahead: Duration,
    ) -> Result<Duration, SocketError> {
        let most = self.0.limits.pause;
        Ok(self.socket(socket)?.charge(cost, ahead, most))
    }

    /// Queues messages for the peer, all or none.
    ///
    /// # Errors
    /// `UnknownSocket`, also when it is closing; `Full`; `TooLarge`: one message, or all together,
    /// could never be taken.
    pub fn send(&self, socket: &str, payloads: Vec<Payload>) -> Result<(), SocketError> {
        let sent = self.socket(socket)?.send(payloads);
        if sent == Err(SocketError::Full) {
            self.0.counters.over.add(Over::Unread);
        }
        sent
    }

    /// How many messages `send` would take now.
    ///
    /// # Errors
    /// `UnknownSocket`, also when it is closing.
    pub fn room(&self, socket: &str) -> Result<u32, SocketError> {
        let room = self.socket(socket)?.room()?;
        Ok(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// Sends what is queued, then the close frame. What the peer still sends is thrown away. A code
    /// that may not be sent is replaced; the reason is cut to 123 bytes at a character.
    ///
    /// # Errors
    /// `UnknownSocket`, also when it is closing already.
    pub fn close(&self, socket: &str, code: u16, reason: &str) -> Result<(), SocketError> {
        self.socket(socket)?.close(sendable(code, reason))
    }

    /// Starts to connect: [`Event::Opened`] or [`Event::Failed`] follows. What is sent before waits.
    ///
    /// # Errors
    /// `NotAllowed`, also when the host is stopping; `TooLarge`; `TooMany`.
    pub fn open(&self, target: Target) -> Result<SocketToken, SocketError> {
        self.0.open(&target)
    }

    /// Sets the timer of this name, or sets it anew.
    ///
    /// # Errors
    /// `TooMany`, also for a name over the limit and when the host is stopping.
    pub fn set_timer(&self, lane: &str, name: &str, delay: Duration) -> Result<(), TimerError> {
        self.0.set_timer(lane, name, delay)
    }

    /// Forgets a timer. A firing that is already queued still arrives.
    pub fn cancel_timer(&self, lane: &str, name: &str) {
        self.0.cancel_timer(lane, name);
    }

    /// Leaves a message.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `Failed` when the host is stopping.
    pub fn post(&self, lane: &str, body: Bytes) -> Result<(), LaneError> {
        self.leave(lane, None, body)
    }

    /// Leaves a message and waits for the answer. Dropping the future gives the call up.
    ///
    /// # Errors
    /// `Full`, `TooLarge`, `TimedOut`, `Failed`.
    pub async fn ask(
        &self,
        lane: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, LaneError> {
        let mut call = self.0.calls.begin()?;
        self.leave(lane, Some(Arc::clone(&call.id)), body)?;
        awake::timeout(timeout, call.answer())
            .await
            .unwrap_or(Err(LaneError::TimedOut))
    }

    /// Answers a call.
    ///
    /// # Errors
    /// `UnknownCall`, `TooLarge`.
    pub fn reply(&self, call: &str, body: Bytes) -> Result<(), LaneError> {
        self.check_size(&body)?;
        self.0.calls.reply(call, body)
    }

    /// Brings everything to an orderly end: refuses new sockets, closes the clients' with 1001, lets
    /// queued events be handled, then closes the outbound ones with 1000; at the deadline whatever
    /// is left is cut off. Nothing is handled after it.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.0.drain(deadline).await
    }

    /// The lane goes on at another host: gives up all that this one has of it. Its clients are closed with
    /// 1012 and told to connect again, its outbound sockets are closed, its timers are forgotten, and of its
    /// sockets nothing is handled any more. Messages that wait in it are still handled. Whoever comes later
    /// finds a new lane.
    pub fn hand_over(&self, lane: &str) {
        if let Some(lane) = self.0.existing_lane(lane) {
            self.0.hand_over(&lane);
            self.0.retire_if_idle(&lane);
        }
    }

    /// Whether the lane has anything: sockets, timers, or events that wait.
    pub fn has(&self, lane: &str) -> bool {
        self.0.existing_lane(lane).is_some()
    }

    /// Whether the lane is at something that nobody has come for: an event is being handled, an outbound socket is
    /// open or a timer set, and it has no client.
    pub fn is_at_work(&self, lane: &str) -> bool {
        self.0.existing_lane(lane).is_some_and(|lane| {
            let state = lane.state();
            state.client_sockets == 0 && !state.is_idle()
        })
    }

    /// Figures for a health page or a log.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// How often a limit or rule was not kept, since the start.
    pub fn over(&self, over: Over) -> u64 {
        self.0.counters.over.get(over)
    }

    fn socket(&self, token: &str) -> Result<Arc<Socket>, SocketError> {
        self.0.socket(token).ok_or(SocketError::UnknownSocket)
    }

    fn leave(&self, lane: &str, call: Option<CallId>, body: Bytes) -> Result<(), LaneError> {
        self.check_size(&body)?;
        let left = self.0.in_lane(lane, |lane, state| {
            let space = lane.messages.try_reserve(body.len());
            let space = space.ok_or_else(|| {
                self.0.counters.over.add(Over::LaneMessages);
                LaneError::Full
            })?;
            let message = Event::Message { call, body };
            state.queue.push(message, Some(space), self.0.queued_now());
            Ok(())
        });
        left.unwrap_or_else(|no_place| {
            Err(match no_place {
                NoPlace::TooMany(_) | NoPlace::AccountFull(_) => LaneError::Full,
                NoPlace::TooLarge => LaneError::TooLarge,
                NoPlace::Stopping => LaneError::Failed("the server is stopping".to_owned()),
            })
        })
    }

    fn check_size(&self, body: &Bytes) -> Result<(), LaneError> {
        if body.len() > self.0.limits.body_bytes {
            return Err(LaneError::TooLarge);
        }
        Ok(())
    }
}
