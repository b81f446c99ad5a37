//! One connection: reading into the lane, writing from the outbox, pings, and the way it ends.
//!
//! Reading and writing are two halves of one task. Each end, ours or the peer's, orderly or not,
//! becomes one [`End`], and each wait is bounded, in time during which the process runs.

use std::{pin::pin, sync::Arc, time::Duration};

use awake::timeout;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::{CapacityError, ProtocolError},
        protocol::CloseFrame,
    },
};

use crate::{
    Limits, Over,
    charge::Charge,
    close_frame::{self, sendable},
    events::{Event, Payload},
    handle::Socket,
    outbox::Next,
    registry::Registry,
    stats::Counters,
    unknown::TooMuch,
};

/// How a connection ended, as the lane is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) code: u16,
    pub(crate) reason: Arc<str>,
    pub(crate) clean: bool,
}

impl End {
    pub(crate) fn lost(reason: &str) -> Self {
        Self {
            code: close_frame::LOST,
            reason: Arc::from(reason),
            clean: false,
        }
    }

    fn by_peer(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = match frame {
            Some(frame) => (frame.code.into(), Arc::from(frame.reason.as_str())),
            None => (close_frame::NO_CODE, Arc::from("")),
        };
        Self {
            code,
            reason,
            clean: true,
        }
    }
}

/// How the reading half ended.
enum ReadEnd {
    /// The peer's close frame came.
    Closed(Option<CloseFrame>),
    /// The peer does what it must not: it is told why.
    Broken { code: u16, reason: String, end: End },
    /// There is no connection any more.
    Lost(String),
}

/// How the writing half ended.
enum WriteEnd {
    /// Our close frame is sent.
    CloseSent,
    /// There is no connection any more.
    Lost(String),
    /// The peer does not take anything.
    Stalled,
}

/// A connection whose peer broke the protocol: it is over, but the peer has yet to read why.
pub(crate) struct Linger<S>(WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Linger<S> {
    /// Gives the peer the time to read our close frame. The lane need not wait for it.
    pub(crate) async fn run(mut self, limits: &Limits) {
        discard(self.0.get_mut(), limits).await;
    }
}

/// Runs a connection until its end. Cancelling it loses at most what the lane was not told yet.
pub(crate) async fn run<S>(
    ws: WebSocketStream<S>,
    socket: &Socket,
    registry: &Arc<Registry>,
) -> (End, Option<Linger<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &registry.limits;
    let (mut sink, mut stream) = ws.split();
    let (end, broken) = {
        let mut reading = pin!(read(&mut stream, socket, registry));
        let mut writing = pin!(write(&mut sink, socket, registry));
        let overdue = async {
            socket.closing().await;
            awake::sleep(limits.write_stall).await;
        };
        let lost = |reason: &str| (End::lost(reason), None);
        let stalled = |reason: &str| {
            registry.counters.over.add(Over::WriteStall);
            lost(reason)
        };
        tokio::select! {
            () = registry.cut_off.cancelled() => return lost("the server stopped"),
            () = overdue => return stalled("the peer did not read what it was to get before the close"),
            ended = &mut reading => match ended {
                ReadEnd::Closed(frame) => (End::by_peer(frame), false),
                ReadEnd::Lost(reason) => return lost(&reason),
                ReadEnd::Broken { code, reason, end } => {
                    // Closing already: then that frame is the one it gets.
                    let _ = socket.close(sendable(code, &reason));
                    let _ = timeout(limits.close_handshake, &mut writing).await;
                    (end, true)
                }
            },
            ended = &mut writing => match ended {
                WriteEnd::Stalled => return stalled("the peer takes nothing of what is sent to it"),
                // What the peer sent before may still be there, with its close frame.
                WriteEnd::CloseSent | WriteEnd::Lost(_) => {
                    let rest = timeout(limits.close_handshake, &mut reading).await;
                    match (rest, ended) {
                        (Ok(ReadEnd::Closed(frame)), _) => (End::by_peer(frame), false),
                        (Ok(ReadEnd::Broken { end, .. }), _) => (end, true),
                        (Ok(ReadEnd::Lost(reason)), _) | (_, WriteEnd::Lost(reason)) => {
                            return lost(&reason);
                        }
                        _ => return lost("the peer did not answer the close frame"),
                    }
                }
            },
        }
    };
    // The answer to the peer's close frame, if it is still due.
    let _ = timeout(limits.close_handshake, sink.flush()).await;
    let Ok(mut ws) = stream.reunite(sink) else {
        return (end, None);
    };
    let _ = timeout(limits.close_handshake, ws.get_mut().shutdown()).await;
    (end, broken.then_some(Linger(ws)))
}

/// Closes a connection that has no place, without a lane.
pub(crate) async fn refuse<S>(mut ws: WebSocketStream<S>, code: u16, reason: &str, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = async {
        ws.send(Message::Close(Some(sendable(code, reason))))
            .await?;
        ws.get_mut().shutdown().await?;
        Ok::<_, Error>(())
    };
    if let Ok(Ok(())) = timeout(limits.close_handshake, close).await {
        discard(ws.get_mut(), limits).await;
    }
}

/// Reads and throws away what the peer still sends, so that it gets to read our close frame: closing
/// a connection with unread input resets it, and a reset can overtake what was sent before.
async fn discard<S: AsyncRead + Unpin>(stream: &mut S, limits: &Limits) {
    let mut thrown_away = 0;
    let mut buffer = vec![0; 16 * 1024];
    let reading = async {
        while thrown_away < limits.discard_bytes {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => thrown_away += count,
            }
        }
    };
    let _ = timeout(limits.discard_time, reading).await;
}

async fn read<S>(
    stream: &mut SplitStream<WebSocketStream<S>>,
    socket: &Socket,
    registry: &Arc<Registry>,
) -> ReadEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &registry.limits;
    let mut received = 0;
    let mut control_frames = Charge::default();
    loop {
        socket.may_be_read().await;
        socket.read_begins();
        let next = timeout(limits.silence, stream.next()).await;
        socket.read_ends();
        let message = match next {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(Error::Io(error)))) if TooMuch::is(&error) => {
                // Closing already: then it has been told why.
                if !socket.is_closing() {
                    registry.counters.over.add(Over::UnknownBytes);
                }
                return broken(close_frame::TOO_LARGE, unknown(limits));
            }
            Ok(Some(Err(error))) => return counted(read_error(error, limits), registry),
            Ok(None) => return ReadEnd::Lost("the connection ended".to_owned()),
            Err(_) => return counted(silent(limits.silence), registry),
        };
        let payload = match message {
            Message::Text(text) => Payload::Text(text),
            Message::Binary(bytes) => Payload::Binary(bytes),
            Message::Close(frame) => return ReadEnd::Closed(frame),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                let (cost, ahead) = (limits.control_frame_cost, limits.control_frames_ahead);
                let pause = control_frames.add(Instant::now(), cost, ahead);
                if pause > Duration::ZERO {
                    registry.counters.over.add(Over::ControlFrames);
                    socket.pause(Instant::now() + pause);
                }
                continue;
            }
        };
        received += 1;
        Counters::add(&registry.counters.frames_in);
        if socket.lane.frames.is_full_for(payload.len()) {
            registry.counters.over.add(Over::LaneQueue);
        }
        // A full lane stops us here, and the peer by way of TCP. A socket that is closing has no
        // more to say: what it sends is thrown away, so that its close frame is reached.
        let space = tokio::select! {
            biased;
            () = socket.closing() => continue,
            space = socket.lane.frames.reserve(payload.len()) => space,
        };
        let Some(space) = space else { continue };
        let event = Event::Frames {
            socket: Arc::clone(&socket.token),
            context: Arc::clone(&socket.context),
            first: received,
            payloads: vec![payload],
        };
        socket.lane.push(registry, event, space);
        if timeout(limits.silence, socket.settled()).await.is_err() {
            return counted(silent(limits.silence), registry);
        }
    }
}

/// Counts what a peer was over.
fn counted(end: ReadEnd, registry: &Registry) -> ReadEnd {
    let over = match &end {
        ReadEnd::Broken { code, .. } => match *code {
            close_frame::TOO_LARGE => Some(Over::MessageBytes),
            close_frame::NOT_UTF8 => Some(Over::Utf8),
            close_frame::POLICY => Some(Over::Silence),
            _ => Some(Over::Protocol),
        },
        ReadEnd::Closed(_) | ReadEnd::Lost(_) => None,
    };
    if let Some(over) = over {
        registry.counters.over.add(over);
    }
    end
}

fn silent(limit: Duration) -> ReadEnd {
    let reason = format!(
        "no complete message for {} s: answer pings, and reconnect",
        limit.as_secs_f64()
    );
    ReadEnd::Broken {
        code: close_frame::POLICY,
        end: End::lost(&reason),
        reason,
    }
}

fn read_error(error: Error, limits: &Limits) -> ReadEnd {
    let (code, reason) = match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => (
            close_frame::TOO_LARGE,
            format!(
                "message is larger than {}: {}",
                size(limits.inbound_message_bytes),
                limits.too_large_advice
            ),
        ),
        Error::Utf8(_) => (
            close_frame::NOT_UTF8,
            "a text message is not UTF-8: send text as UTF-8".to_owned(),
        ),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => {
            return ReadEnd::Lost("the connection ended without a close frame".to_owned());
        }
        Error::Io(error) => return ReadEnd::Lost(format!("the connection is lost: {error}")),
        other => (close_frame::PROTOCOL, other.to_string()),
    };
    broken(code, reason)
}

/// What a peer is told that sends too much before it is known whose it is.
fn unknown(limits: &Limits) -> String {
    format!(
        "more than {} before it is known whose connection this is: show that first",
        size(limits.unknown_bytes)
    )
}

fn broken(code: u16, reason: String) -> ReadEnd {
    ReadEnd::Broken {
        code,
        end: End {
            code,
            reason: Arc::from(reason.as_str()),
            clean: false,
        },
        reason,
    }
}

fn size(bytes: usize) -> String {
    const MIB: usize = 1024 * 1024;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

async fn write<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    socket: &Socket,
    registry: &Arc<Registry>,
) -> WriteEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut half = Writing {
        sink,
        stall: registry.limits.write_stall,
    };
    match half.run(socket, registry).await {
        Ok(()) => WriteEnd::CloseSent,
        Err(end) => end,
    }
}

struct Writing<'a, S> {
    sink: &'a mut SplitSink<WebSocketStream<S>, Message>,
    stall: Duration,
}

impl<S> Writing<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(&mut self, socket: &Socket, registry: &Registry) -> Result<(), WriteEnd> {
        let ping_interval = registry.limits.ping_interval;
        let mut next_ping = Instant::now() + ping_interval;
        let mut unflushed = false;
        loop {
            if socket.take_wanted_ping() || Instant::now() >= next_ping {
                socket.asked();
                next_ping = Instant::now() + ping_interval;
                self.feed(Message::Ping(bytes::Bytes::new())).await?;
                unflushed = true;
            }
            match socket.next() {
                Next::Message(payload) => {
                    if !unflushed {
                        // Pongs that were answered while nothing was to be sent make way.
                        self.flush().await?;
                    }
                    self.feed(match payload {
                        Payload::Text(text) => Message::Text(text),
                        Payload::Binary(bytes) => Message::Binary(bytes),
                    })
                    .await?;
                    Counters::add(&registry.counters.frames_out);
                    unflushed = true;
                }
                Next::Close(frame) => {
                    self.feed(Message::Close(Some(frame))).await?;
                    return self.flush().await;
                }
                Next::Nothing if unflushed => {
                    self.flush().await?;
                    unflushed = false;
                }
                Next::Nothing => {
                    tokio::select! {
                        () = socket.something_to_send() => {}
                        () = tokio::time::sleep_until(next_ping) => {}
                    }
                }
            }
        }
    }

    async fn feed(&mut self, message: Message) -> Result<(), WriteEnd> {
        ended(timeout(self.stall, self.sink.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), WriteEnd> {
        ended(timeout(self.stall, self.sink.flush()).await)
    }
}

fn ended(result: Result<Result<(), Error>, awake::Elapsed>) -> Result<(), WriteEnd> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(WriteEnd::Lost(format!("the connection is lost: {error}"))),
        Err(_) => Err(WriteEnd::Stalled),
    }
}
