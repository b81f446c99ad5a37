//! A client of the gateway's WebSockets. Every text frame that it receives is held against the
//! description of the frames, and the numbers of live frames against each other.

use std::fmt;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::contract::{self, Channel};
use crate::gateway::Gateway;
use crate::http::Answer;
use crate::wait::in_time;

/// A client's frame that is longer than this is a chunk.
const LONGEST_HELLO: usize = 4096;

/// What came from the gateway.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// A text frame.
    Frame(Value),
    /// A close frame; 1005 when it has no code.
    Closed {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// The connection broke without a close frame.
    Lost,
}

/// A handshake that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The body, where it is JSON.
    pub body: Value,
}

/// A connection to `/v1/audio/ws/...`, or a viewer's to `/v1/sessions/.../live`.
pub struct AudioSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    role: String,
    channel: Channel,
    /// The WebSocket protocol that the answer to the handshake names.
    pub protocol: Option<String>,
    /// It asked for live frames, or is there for nothing else.
    is_subscribed: bool,
    /// The number of the last live frame that came.
    live_seq: u64,
}

impl fmt::Debug for AudioSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioSocket({} {})", self.session, self.role)
    }
}

/// A chunk frame.
#[must_use]
pub fn chunk_frame(session: &str, role: &str, seq: u32, pcm: &[u8]) -> Value {
    json!({
        "type": "chunk",
        "stream_role": role,
        "meeting_id": session,
        "seq": seq,
        "timestamp_ms": 1_760_000_000_000_u64 + u64::from(seq) * 1000,
        "sample_rate": 16_000,
        "channels": 1,
        "format": "pcm_s16le",
        "content_b64": STANDARD.encode(pcm),
    })
}

impl Gateway {
    /// Opens the stream of a role.
    ///
    /// # Panics
    /// It is refused.
    pub async fn open(&self, session: &str, role: &str) -> AudioSocket {
        let path = format!("/v1/audio/ws/{session}/{role}");
        let mut socket = self
            .open_path(&path)
            .await
            .expect("the handshake is granted");
        socket.session = session.to_owned();
        socket.role = role.to_owned();
        socket
    }

    /// Opens the live frames of a session; `query` begins with `?`, or is empty.
    ///
    /// # Panics
    /// It is refused.
    pub async fn watch(&self, session: &str, query: &str) -> AudioSocket {
        let path = format!("/v1/sessions/{session}/live{query}");
        let mut socket = self
            .open_path(&path)
            .await
            .expect("the handshake is granted");
        socket.session = session.to_owned();
        socket
    }

    /// Opens a path as it is written.
    ///
    /// # Errors
    /// The handshake is refused.
    pub async fn open_path(&self, path: &str) -> Result<AudioSocket, Refused> {
        self.open_with(path, &[]).await
    }

    /// As [`Gateway::open_path`], with headers.
    ///
    /// # Errors
    /// The handshake is refused.
    pub async fn open_with(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<AudioSocket, Refused> {
        match connect(self.address(), path, headers).await {
            Ok(socket) => Ok(socket),
            Err(NoSocket::Refused(refused)) => Err(refused),
            Err(NoSocket::Lost(error)) => panic!("{path}: {error}"),
        }
    }
}

/// Why there is no connection.
enum NoSocket {
    /// The handshake was answered, with no.
    Refused(Refused),
    /// Nobody is there, or not for long enough.
    Lost(Error),
}

/// Opens a path as it is written.
async fn connect(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<AudioSocket, NoSocket> {
    let request = format!("ws://{address}{path}").into_client_request();
    let mut request = request.expect("a request");
    for (name, value) in headers {
        let value = value.parse().expect("a header's value");
        request.headers_mut().append(*name, value);
    }
    let config = WebSocketConfig::default().max_write_buffer_size(64 << 20);
    let connecting = connect_async_with_config(request, Some(config), true);
    match in_time("the handshake", connecting).await {
        Ok((socket, answer)) => {
            let channel = Channel::of(path);
            let protocol = answer.headers().get("sec-websocket-protocol");
            Ok(AudioSocket {
                protocol: protocol.map(|name| name.to_str().expect("a name").to_owned()),
                socket,
                session: String::new(),
                role: String::new(),
                channel,
                is_subscribed: channel == Channel::Live,
                live_seq: 0,
            })
        }
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let answer = Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                body: bytes::Bytes::copy_from_slice(body),
            };
            contract::check_answer("GET", path, &answer);
            Err(NoSocket::Refused(Refused {
                status: answer.status,
                body: serde_json::from_slice(body).unwrap_or(Value::Null),
            }))
        }
        Err(error) => Err(NoSocket::Lost(error)),
    }
}

impl AudioSocket {
    /// Opens the stream of a role at a gateway that may not be there, with a key if it asks for one.
    ///
    /// # Errors
    /// It refuses, or is gone: the text says what happened.
    pub async fn try_open(
        address: SocketAddr,
        session: &str,
        role: &str,
        key: Option<&str>,
    ) -> Result<Self, String> {
        let headers = key.map(|key| ("x-api-key", key));
        let path = format!("/v1/audio/ws/{session}/{role}");
        match connect(address, &path, headers.as_slice()).await {
            Ok(mut socket) => {
                socket.session = session.to_owned();
                socket.role = role.to_owned();
                Ok(socket)
            }
            Err(NoSocket::Refused(refused)) => Err(format!("{refused:?}")),
            Err(NoSocket::Lost(error)) => Err(error.to_string()),
        }
    }

    /// Says of which session and role it is, for the frames that need it.
    #[must_use]
    pub fn of(mut self, session: &str, role: &str) -> Self {
        self.session = session.to_owned();
        self.role = role.to_owned();
        self
    }

    /// Sends a JSON frame.
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    /// Sends a text frame.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        if text.len() <= LONGEST_HELLO && text.contains("\"subscribe\"") {
            self.is_subscribed = true;
            // It may ask for what it has seen.
            self.live_seq = 0;
        }
        self.send_message(Message::text(text)).await;
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.send_message(Message::binary(bytes)).await;
    }

    /// Sends a close frame, without a code when `code` is none.
    pub async fn send_close(&mut self, code: Option<u16>, reason: &str) {
        let frame = code.map(|code| CloseFrame {
            code: CloseCode::from(code),
            reason: reason.to_owned().into(),
        });
        self.send_message(Message::Close(frame)).await;
    }

    async fn send_message(&mut self, message: Message) {
        // That the other side has gone is seen where its frames are read.
        let _ = in_time("a frame is sent", self.socket.send(message)).await;
    }

    /// The next frame; pings and pongs are passed over.
    pub async fn next(&mut self) -> Received {
        in_time("a frame of the gateway", self.next_at_any_time()).await
    }

    /// As [`AudioSocket::next`], where nobody knows whether there will be one. Nothing is lost when it is
    /// dropped while it waits.
    pub async fn next_at_any_time(&mut self) -> Received {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).expect("frames are JSON");
                    self.check(&frame);
                    return Received::Frame(frame);
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    });
                    return Received::Closed { code, reason };
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("the gateway sends no such frame: {other:?}"),
                Some(Err(_)) | None => return Received::Lost,
            }
        }
    }

    /// It is a frame of this channel; if it is a live one, this client asked for such, and its number
    /// is beyond those before it.
    fn check(&mut self, frame: &Value) {
        contract::check_frame(self.channel, frame);
        if let Some(live_seq) = frame["live_seq"].as_u64() {
            assert!(self.is_subscribed, "{self:?} did not subscribe: {frame}");
            assert!(
                self.live_seq < live_seq,
                "{self:?} has {} already: {frame}",
                self.live_seq
            );
            self.live_seq = live_seq;
        }
    }

    /// The next frame, which is not the end.
    ///
    /// # Panics
    /// It is.
    pub async fn answer(&mut self) -> Value {
        match self.next().await {
            Received::Frame(frame) => frame,
            other => panic!("{self:?}: {other:?}"),
        }
    }

    /// Sends a frame and gives its answer.
    pub async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        self.answer().await
    }

    /// Sends a chunk and does not wait for its ack.
    pub async fn send_chunk(&mut self, seq: u32, pcm: &[u8]) {
        let frame = chunk_frame(&self.session, &self.role, seq, pcm);
        self.send(&frame).await;
    }

    /// Sends a chunk, which is stored.
    ///
    /// # Panics
    /// It is not.
    pub async fn store(&mut self, seq: u32, pcm: &[u8]) -> Value {
        self.send_chunk(seq, pcm).await;
        let ack = self.answer().await;
        assert_eq!(
            (&ack["type"], &ack["status"]),
            (&json!("ack"), &json!("stored")),
            "{ack}"
        );
        assert_eq!(ack["seq"], seq, "{ack}");
        ack
    }

    /// Ends the stream as the desktop client does, and checks the answers.
    pub async fn close(mut self) {
        let closing = self.ask(&json!({"type": "close"})).await;
        assert_eq!(closing["type"], "closing", "{closing}");
        let end = Received::Closed {
            code: 1000,
            reason: "client-close".to_owned(),
        };
        assert_eq!(self.next().await, end);
    }
}
