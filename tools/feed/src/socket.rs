//! One WebSocket of the gateway: the handshake, the greeting, frames, the close. It decides nothing of
//! what is sent.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::api::KEY;
use crate::connection::Connection;
use crate::session::{Role, SessionId};
use crate::stream::{Error, Plan};

/// The handshake, the greeting and the close may each take this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A gateway that takes nothing for this long is given up as a connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer frames are not read. Those of the gateway are short.
const MAX_FRAME_BYTES: usize = 1 << 20;
/// The code of a close by which a gateway says that this client may not.
const POLICY: u16 = 1008;
/// Characters of an answer that an error repeats.
const MAX_QUOTED: usize = 300;

/// Frames of the gateway, as far as they matter here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame {
    /// The answer to `hello`.
    Ready {
        /// As the gateway spells it.
        session_id: Option<String>,
        /// What the stream has.
        ingest: Option<Ingest>,
    },
    /// A chunk is stored.
    Ack {
        /// Which.
        seq: u32,
        /// Now or before.
        status: AckStatus,
    },
    /// The oldest unanswered frame is refused.
    Error {
        /// Why.
        detail: String,
    },
    /// The answer to `close`.
    Closing,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What a stream has.
#[derive(Debug, Default, Deserialize)]
pub struct Ingest {
    #[serde(default)]
    last_seq: u32,
    #[serde(default)]
    missing_chunks: u32,
}

/// When a chunk was stored.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    /// Now.
    Stored,
    /// Before.
    Duplicate,
}

/// What the gateway says when it is ready.
#[derive(Debug)]
pub struct Greeting {
    /// The session, as the gateway spells it.
    pub session_id: String,
    /// The stream's last second; 0 for none.
    pub last_seq: u32,
    /// Seconds before it that are not stored.
    pub missing: u32,
}

/// Why a connection ended before its time.
#[derive(Debug)]
pub enum Break {
    /// A new one may help.
    Lost(String),
    /// It will not.
    Final(Error),
}

impl From<tungstenite::Error> for Break {
    fn from(error: tungstenite::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// One second, as it is sent.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The stream.
    pub role: Role,
    /// The session, as the gateway spells it.
    pub meeting_id: &'a str,
    /// Which second.
    pub seq: u32,
    /// When it was recorded.
    pub timestamp_ms: u64,
    /// Its samples.
    pub pcm: &'a [u8],
}

impl Chunk<'_> {
    /// The frame.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({
            "type": "chunk",
            "stream_role": self.role,
            "meeting_id": self.meeting_id,
            "seq": self.seq,
            "timestamp_ms": self.timestamp_ms,
            "sample_rate": crate::audio::RATE,
            "channels": 1,
            "format": "pcm_s16le",
            "content_b64": STANDARD.encode(self.pcm),
        })
        .to_string()
    }
}

/// An open one, after the greeting.
pub struct Socket(WebSocketStream<Connection>);

impl Socket {
    /// Connects, says hello and waits for `ready`.
    ///
    /// # Errors
    /// When the gateway is not there, or refuses.
    pub async fn connect(plan: &Plan) -> Result<(Self, Greeting), Break> {
        let connection = plan.connector.connect().await;
        let connection = connection.map_err(|error| Break::Lost(error.to_string()))?;
        let mut request = plan
            .gateway
            .audio(&plan.session, plan.role)
            .as_str()
            .into_client_request()?;
        if let Some(key) = &plan.key {
            request.headers_mut().insert(KEY, key.clone());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let handshake = client_async_with_config(request, connection, Some(config));
        let mut socket = match timeout(ANSWER_TIMEOUT, handshake).await {
            Err(_) => return Err(Break::Lost("no answer to the handshake".to_owned())),
            Ok(Ok((socket, _))) => Self(socket),
            Ok(Err(tungstenite::Error::Http(response))) => {
                let status = response.status();
                let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default());
                return Err(of_status(status.as_u16(), &body, plan));
            }
            Ok(Err(error)) => return Err(error.into()),
        };
        match timeout(ANSWER_TIMEOUT, socket.greet(plan)).await {
            Ok(greeted) => greeted.map(|greeting| (socket, greeting)),
            Err(_) => Err(Break::Lost("no answer to hello".to_owned())),
        }
    }

    async fn greet(&mut self, plan: &Plan) -> Result<Greeting, Break> {
        let mut hello = json!({"type": "hello", "stream_role": plan.role});
        if let Some(name) = &plan.interviewer {
            hello["interviewer_name"] = name.as_str().into();
        }
        if !plan.participants.is_empty() {
            hello["teams_participants"] = plan.participants.clone().into();
        }
        self.send(&hello.to_string()).await?;
        loop {
            match self.next().await {
                Ok(Frame::Ready { session_id, ingest }) => {
                    let ingest = ingest.unwrap_or_default();
                    return Ok(Greeting {
                        session_id: session_id.unwrap_or_else(|| name_of(&plan.session)),
                        last_seq: ingest.last_seq,
                        missing: ingest.missing_chunks,
                    });
                }
                Ok(Frame::Error { detail }) => return Err(refused(detail)),
                Ok(Frame::Ack { .. } | Frame::Closing | Frame::Other) => {}
                // Before it is ready, this is an answer to who asks.
                Err(Ended::Closed(Some(frame))) if u16::from(frame.code) == POLICY => {
                    return Err(denied(frame.reason.to_string(), plan));
                }
                Err(ended) => return Err(Break::Lost(ended.reason())),
            }
        }
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// When the connection is gone or takes nothing.
    pub async fn send(&mut self, text: &str) -> Result<(), Break> {
        match timeout(SEND_TIMEOUT, self.0.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            // Why it is gone is in what it sent last, if it sent anything.
            Ok(Err(error)) => match timeout(ANSWER_TIMEOUT, self.last_word()).await {
                Ok(Some(reason)) => Err(Break::Lost(reason)),
                _ => Err(error.into()),
            },
            Err(_) => Err(Break::Lost("the gateway takes no more data".to_owned())),
        }
    }

    async fn last_word(&mut self) -> Option<String> {
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(ended @ Ended::Closed(Some(_))) => return Some(ended.reason()),
                Err(_) => return None,
            }
        }
    }

    /// The next frame that is one. Nothing is lost when it is dropped while it waits.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn receive(&mut self) -> Result<Frame, Break> {
        self.next()
            .await
            .map_err(|ended| Break::Lost(ended.reason()))
    }

    async fn next(&mut self) -> Result<Frame, Ended> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).unwrap_or(Frame::Other));
                }
                Some(Ok(Message::Close(frame))) => return Err(Ended::Closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Ended::Broken(error)),
                None => return Err(Ended::Closed(None)),
            }
        }
    }

    /// Asks the gateway to close, and waits until it does, with code 1000.
    ///
    /// # Errors
    /// When it does not.
    pub async fn close(&mut self) -> Result<(), String> {
        let closing = async {
            let frame = json!({"type": "close", "reason": "end of file"});
            let sent = self.0.send(Message::text(frame.to_string())).await;
            sent.map_err(|error| error.to_string())?;
            loop {
                match self.next().await {
                    Ok(_) => {}
                    Err(Ended::Closed(Some(frame))) if u16::from(frame.code) == 1000 => {
                        return Ok(());
                    }
                    Err(ended) => return Err(ended.reason()),
                }
            }
        };
        match timeout(ANSWER_TIMEOUT, closing).await {
            Ok(closed) => closed,
            Err(_) => Err("no answer to close".to_owned()),
        }
    }
}

fn name_of(session: &SessionId) -> String {
    session.as_str().to_owned()
}

/// How a connection ended.
enum Ended {
    Closed(Option<CloseFrame>),
    Broken(tungstenite::Error),
}

impl Ended {
    fn reason(&self) -> String {
        match self {
            Self::Closed(Some(frame)) => format!(
                "closed by the gateway: {} {}",
                u16::from(frame.code),
                frame.reason
            ),
            Self::Closed(None) => "closed by the gateway".to_owned(),
            Self::Broken(error) => error.to_string(),
        }
    }
}

/// What an answer other than 101 means.
fn of_status(status: u16, body: &str, plan: &Plan) -> Break {
    let detail = serde_json::from_str::<serde_json::Value>(body).ok();
    let detail = detail
        .as_ref()
        .and_then(|body| body.get("detail")?.as_str());
    let detail: String = detail.unwrap_or(body).chars().take(MAX_QUOTED).collect();
    match status {
        // Too early, too much, or a proxy whose gateway restarts.
        408 | 425 | 429 | 500.. => Break::Lost(format!("it answers {status}: {detail}")),
        401 | 403 => denied(format!("{status}: {detail}"), plan),
        _ => refused(format!("{status}: {detail}")),
    }
}

/// Who asks may not.
fn denied(reason: String, plan: &Plan) -> Break {
    refused(match plan.key {
        Some(_) => reason,
        None => format!("{reason}; a key is given by --key or GATEWAY_API_KEY"),
    })
}

fn refused(reason: String) -> Break {
    Break::Final(Error::Refused(reason))
}
