//! Moves the frames of one connection and keeps its time, until it ends.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Socket;
use super::outbox::Outbox;
use crate::conversation::{Conversation, End, Ending, Frame, Reply};

/// A client that does not read for this long is dropped.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a closing client has to answer the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection is kept that neither side closes, of those that fall silent.
pub const MAX_HALF_OPEN: Duration = Duration::from_secs(300);

/// What happens next on a connection.
enum Turn {
    /// Frames that waited are due.
    Send,
    /// The client said nothing for too long.
    Expired,
    Heard(Option<Result<Message, Error>>),
}

/// Until the connection is closed by either side.
pub(super) async fn converse(
    socket: &mut Socket,
    conversation: &mut Conversation,
) -> Result<(), Error> {
    let mut outbox = Outbox::default();
    let mut deadline = Instant::now() + conversation.patience();
    // Nothing is read before.
    let mut resume = Instant::now();
    loop {
        let turn = next(socket, &outbox, resume, deadline).await;
        let patience = conversation.patience();
        let (reply, is_audio) = match turn {
            Turn::Send => {
                send_due(socket, &mut outbox, conversation).await?;
                deadline = Instant::now() + conversation.patience();
                continue;
            }
            // The client waits, too.
            Turn::Expired if conversation.is_finishing() => {
                deadline = Instant::now() + conversation.patience();
                continue;
            }
            Turn::Expired => (conversation.expired(), false),
            Turn::Heard(None) => return Ok(()),
            Turn::Heard(Some(message)) => match message? {
                Message::Text(text) => (conversation.text(&text), false),
                Message::Binary(bytes) => (conversation.audio(&bytes), true),
                // Reading on sends the answers to these.
                Message::Close(_) => {
                    tokio::time::sleep(conversation.faults().late_close()).await;
                    continue;
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            },
        };
        // Neither pings nor context are what a waiting task needs.
        resume = Instant::now() + conversation.faults().slow_read();
        if is_audio || patience != conversation.patience() {
            deadline = resume + conversation.patience();
        }
        let Reply { send, end } = reply;
        let now = Instant::now();
        let Some(end) = end else {
            outbox.push(now, send);
            continue;
        };
        if end.is_abrupt {
            outbox.clear();
        }
        outbox.push(now, send);
        return finish(socket, outbox, conversation, now, end).await;
    }
}

async fn next(socket: &mut Socket, outbox: &Outbox, resume: Instant, deadline: Instant) -> Turn {
    let due = async {
        match outbox.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    let heard = async {
        if outbox.is_full() {
            return std::future::pending().await;
        }
        sleep_until(resume).await;
        match timeout_at(deadline, socket.next()).await {
            Ok(message) => Turn::Heard(message),
            Err(_) => Turn::Expired,
        }
    };
    tokio::select! {
        biased;
        () = due => Turn::Send,
        turn = heard => turn,
    }
}

async fn send_due(
    socket: &mut Socket,
    outbox: &mut Outbox,
    conversation: &mut Conversation,
) -> Result<(), Error> {
    let sending = async {
        while let Some(outgoing) = outbox.pop(Instant::now()) {
            if outgoing.is_task_end {
                conversation.finished();
            }
            let message = match outgoing.frame {
                Frame::Text(text) => Message::text(text),
                Frame::Binary(bytes) => Message::binary(bytes),
            };
            socket.feed(message).await?;
        }
        socket.flush().await
    };
    match timeout(SEND_TIMEOUT, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Sends what is left and ends the connection. The client is not read meanwhile.
async fn finish(
    socket: &mut Socket,
    mut outbox: Outbox,
    conversation: &mut Conversation,
    since: Instant,
    end: End,
) -> Result<(), Error> {
    while let Some(due) = outbox.due() {
        sleep_until(due).await;
        send_due(socket, &mut outbox, conversation).await?;
    }
    sleep_until(since + end.delay).await;
    match end.how {
        Ending::Close(reason) => close(socket, CloseCode::Normal, reason).await,
        Ending::InternalError(reason) => close(socket, CloseCode::Error, reason).await,
        // Closing a socket that does not linger resets the connection.
        Ending::Reset => socket.get_ref().set_zero_linger()?,
        Ending::HalfOpen => swallow(socket.get_mut()).await,
    }
    Ok(())
}

/// Reads beneath the WebSocket, which would answer pings and a close.
async fn swallow(stream: &mut TcpStream) {
    let mut bytes = vec![0; 16 * 1024];
    let reading = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    // It is over either way.
    let _ = timeout(MAX_HALF_OPEN, reading).await;
}

/// Sends a close frame and waits a little for the answer, so that what was sent before it arrives.
pub(super) async fn close(socket: &mut Socket, code: CloseCode, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let closing = async {
        socket.close(Some(frame)).await?;
        while let Some(message) = socket.next().await {
            message?;
        }
        Ok::<_, Error>(())
    };
    // It is over either way.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}
