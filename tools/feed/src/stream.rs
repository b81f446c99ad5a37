//! One file over one WebSocket of the gateway, and over the next when it breaks, until every chunk
//! is acknowledged. What to send is [`Delivery`]'s to say.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

use crate::api::KEY;
use crate::audio::Audio;
use crate::delivery::{Delivery, GivenUp, Pace, Step};
use crate::session::{Role, SessionId};

/// Connecting, greeting and closing may each take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A gateway that takes nothing for this long is given up as a connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before a new connection: the first, and the longest it doubles to.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Attempts in a row without one new ack before the stream is given up: about a minute.
const MAX_ATTEMPTS: u32 = 16;

/// What is to be streamed, and where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// See [`crate::session::Gateway::audio`].
    pub url: Url,
    /// The session that `url` names.
    pub session: SessionId,
    /// What the gateway asks for, if it does.
    pub key: Option<HeaderValue>,
    /// The role that `url` names.
    pub role: Role,
    /// How fast.
    pub pace: Pace,
    /// Who asks; tells the gateway whose voice the teacher's stream is.
    pub interviewer: Option<String>,
    /// Who takes part.
    pub participants: Vec<String>,
}

/// Is told what happens, while it happens.
pub trait Observer: Send {
    /// So many chunks were sent, and so many acknowledged.
    fn progress(&self, sent: u32, acked: u32);
    /// Something that the user should know: an error of the gateway, a lost connection.
    fn note(&self, text: &str);
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Seconds of audio; all are acknowledged.
    pub chunks: u32,
    /// Acknowledged as new,
    pub stored: u32,
    /// or as known already: an ack was lost, or the session had this second before.
    pub duplicate: u32,
    /// Chunks sent again.
    pub resent: u32,
    /// Connections after the first.
    pub reconnects: u32,
    /// Errors that the gateway answered.
    pub errors: u32,
}

/// Why not everything was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The gateway does not want the stream; trying again will not help.
    #[error("{role}: the gateway refuses the stream: {reason}")]
    Refused {
        /// Which stream.
        role: Role,
        /// Its words.
        reason: String,
    },
    /// One chunk is refused for good.
    #[error(
        "{role}: the gateway refuses chunk {seq}: {reason}; {acked} of {total} chunks are acknowledged"
    )]
    ChunkRefused {
        /// Which stream.
        role: Role,
        /// Which chunk.
        seq: u32,
        /// Its words, the last time.
        reason: String,
        /// Chunks that are safe,
        acked: u32,
        /// of so many.
        total: u32,
    },
    /// No connection, or none that lasts.
    #[error(
        "{role}: the gateway cannot be reached any more ({reason}); {acked} of {total} chunks are acknowledged"
    )]
    Lost {
        /// Which stream.
        role: Role,
        /// Why, the last time.
        reason: String,
        /// Chunks that are safe,
        acked: u32,
        /// of so many.
        total: u32,
    },
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Frames of the gateway, as far as they matter here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    Ready,
    Ack {
        seq: u32,
        status: AckStatus,
    },
    Error {
        detail: String,
    },
    Closing,
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AckStatus {
    Stored,
    Duplicate,
}

/// Why a connection ended before its time.
enum Break {
    /// A new one may help.
    Lost(String),
    /// It will not.
    Fatal(Error),
}

impl From<tungstenite::Error> for Break {
    fn from(error: tungstenite::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Streams all of `audio`, and closes the stream in good order.
///
/// # Errors
/// When the gateway refuses, or is gone for about a minute.
pub async fn run(plan: &Plan, audio: &Audio, observer: &dyn Observer) -> Result<Summary, Error> {
    let started_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| u64::try_from(since.as_millis()).unwrap_or(1));
    let mut streaming = Streaming {
        plan,
        audio,
        observer,
        delivery: Delivery::new(audio.seconds(), plan.pace),
        started: Instant::now(),
        started_ms,
        summary: Summary {
            chunks: audio.seconds(),
            ..Summary::default()
        },
    };
    streaming.run().await
}

struct Streaming<'a> {
    plan: &'a Plan,
    audio: &'a Audio,
    observer: &'a dyn Observer,
    delivery: Delivery,
    started: Instant,
    started_ms: u64,
    summary: Summary,
}

impl Streaming<'_> {
    async fn run(&mut self) -> Result<Summary, Error> {
        let mut pause = BACKOFF.0;
        let mut attempts = 0;
        loop {
            let acked_before = self.delivery.acked_count();
            let reason = match self.connection().await {
                Ok(()) => break,
                Err(Break::Fatal(error)) => return Err(error),
                Err(Break::Lost(reason)) => reason,
            };
            self.delivery.disconnected();
            if self.delivery.acked_count() > acked_before {
                attempts = 0;
                pause = BACKOFF.0;
            }
            attempts += 1;
            if attempts >= MAX_ATTEMPTS {
                return Err(Error::Lost {
                    role: self.plan.role,
                    reason,
                    acked: self.delivery.acked_count(),
                    total: self.delivery.total(),
                });
            }
            let text = format!(
                "connection lost ({reason}); again in {} ms",
                pause.as_millis()
            );
            self.observer.note(&text);
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF.1);
            self.summary.reconnects += 1;
        }
        self.summary.resent = self.delivery.resent_count();
        Ok(self.summary.clone())
    }

    /// One connection, from the greeting until everything is acknowledged.
    async fn connection(&mut self) -> Result<(), Break> {
        let mut socket = self.connect().await?;
        self.greet(&mut socket).await?;
        loop {
            let now = self.started.elapsed();
            match self.delivery.next(now) {
                Step::Send(seq) => {
                    let chunk = self.chunk(seq);
                    send(&mut socket, chunk).await?;
                    self.show();
                }
                Step::Wait(Some(until)) => {
                    let wake = sleep_until(self.started + until);
                    tokio::select! {
                        frame = receive(&mut socket) => self.take(frame?)?,
                        () = wake => {}
                    }
                }
                Step::Wait(None) => {
                    let frame = receive(&mut socket).await?;
                    self.take(frame)?;
                }
                Step::Stalled => return Err(Break::Lost("no answer to a chunk".to_owned())),
                Step::Done => break,
            }
        }
        // All is safe: whatever happens to the connection now loses nothing.
        if let Err(reason) = close(&mut socket).await {
            self.observer
                .note(&format!("not closed in good order: {reason}"));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Socket, Break> {
        let mut request = self.plan.url.as_str().into_client_request()?;
        if let Some(key) = &self.plan.key {
            request.headers_mut().insert(KEY, key.clone());
        }
        match timeout(ANSWER_TIMEOUT, connect_async(request)).await {
            Err(_) => Err(Break::Lost("connecting took too long".to_owned())),
            Ok(Ok((socket, _))) => Ok(socket),
            // What is wrong with the request stays wrong.
            Ok(Err(tungstenite::Error::Http(response))) if response.status().is_client_error() => {
                let body = response.body().as_deref().unwrap_or_default();
                let reason = format!("{} {}", response.status(), String::from_utf8_lossy(body));
                Err(self.refused(reason))
            }
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// Says hello and waits for `ready`.
    async fn greet(&self, socket: &mut Socket) -> Result<(), Break> {
        let mut hello = json!({"type": "hello", "stream_role": self.plan.role});
        if let Some(name) = &self.plan.interviewer {
            hello["interviewer_name"] = name.as_str().into();
        }
        if !self.plan.participants.is_empty() {
            hello["teams_participants"] = self.plan.participants.clone().into();
        }
        send(socket, hello.to_string()).await?;
        let ready = async {
            loop {
                match receive(socket).await? {
                    Frame::Ready => return Ok(()),
                    Frame::Error { detail } => return Err(self.refused(detail)),
                    Frame::Ack { .. } | Frame::Closing | Frame::Other => {}
                }
            }
        };
        match timeout(ANSWER_TIMEOUT, ready).await {
            Ok(ready) => ready,
            Err(_) => Err(Break::Lost("no answer to hello".to_owned())),
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Break> {
        match frame {
            Frame::Ack { seq, status } => {
                if self.delivery.acked(seq) {
                    match status {
                        AckStatus::Stored => self.summary.stored += 1,
                        AckStatus::Duplicate => self.summary.duplicate += 1,
                    }
                    self.show();
                }
            }
            Frame::Error { detail } => {
                self.summary.errors += 1;
                let rejected = self.delivery.rejected(self.started.elapsed());
                match rejected {
                    Ok(Some(seq)) => self.observer.note(&format!("chunk {seq}: {detail}")),
                    Ok(None) => self.observer.note(&detail),
                    Err(GivenUp { seq }) => {
                        return Err(Break::Fatal(Error::ChunkRefused {
                            role: self.plan.role,
                            seq,
                            reason: detail,
                            acked: self.delivery.acked_count(),
                            total: self.delivery.total(),
                        }));
                    }
                }
            }
            Frame::Ready | Frame::Closing | Frame::Other => {}
        }
        Ok(())
    }

    fn chunk(&self, seq: u32) -> String {
        let pcm = self.audio.second(seq).unwrap_or_default();
        json!({
            "type": "chunk",
            "stream_role": self.plan.role,
            "meeting_id": self.plan.session,
            "seq": seq,
            "timestamp_ms": self.started_ms + u64::from(seq - 1) * 1000,
            "sample_rate": crate::audio::RATE,
            "channels": 1,
            "format": "pcm_s16le",
            "content_b64": STANDARD.encode(pcm),
        })
        .to_string()
    }

    fn show(&self) {
        self.observer
            .progress(self.delivery.sent_count(), self.delivery.acked_count());
    }

    fn refused(&self, reason: String) -> Break {
        Break::Fatal(Error::Refused {
            role: self.plan.role,
            reason,
        })
    }
}

async fn send(socket: &mut Socket, text: String) -> Result<(), Break> {
    match timeout(SEND_TIMEOUT, socket.send(Message::text(text))).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(Break::Lost("the gateway takes no more data".to_owned())),
    }
}

/// The next frame that is one. Nothing is lost when it is dropped while it waits.
async fn receive(socket: &mut Socket) -> Result<Frame, Break> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                return Ok(serde_json::from_str(&text).unwrap_or(Frame::Other));
            }
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map_or_else(
                    || "closed by the gateway".to_owned(),
                    |frame| format!("closed by the gateway: {frame}"),
                );
                return Err(Break::Lost(reason));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Break::Lost("closed by the gateway".to_owned())),
        }
    }
}

/// Asks the gateway to close, and waits until it does, with code 1000.
async fn close(socket: &mut Socket) -> Result<(), String> {
    let closing = async {
        let frame = json!({"type": "close", "reason": "end of file"});
        socket.send(Message::text(frame.to_string())).await?;
        while let Some(message) = socket.next().await {
            if let Message::Close(frame) = message? {
                return Ok(frame);
            }
        }
        Ok::<_, tungstenite::Error>(None)
    };
    match timeout(ANSWER_TIMEOUT, closing).await {
        Ok(Ok(Some(frame))) if u16::from(frame.code) == 1000 => Ok(()),
        Ok(Ok(Some(frame))) => Err(frame.to_string()),
        Ok(Ok(None)) => Err("no close frame".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer to close".to_owned()),
    }
}
