//! The real listener with lanes behind it that answer every message with itself, an outbound socket that
//! does the same, and a peer for either of them that is made of bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use lanes::{
    Batch, Event, HandleError, Lanes, Limits, Mailbox, OutboundPolicy, SocketError, Target,
};
use listener::{
    Admit, Body, CancellationToken, ClientSocket, Ended, Listener, RequestBody, Service,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::wire::{Frame, Opcode};

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the largest message.
pub const LIMIT: usize = 1024 * 1024;

/// Which end is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    /// A client's socket: the peer is a client.
    Server,
    /// An outbound one: the peer is a server.
    Client,
}

/// Both ends.
pub struct Harness {
    lanes: Lanes,
    listening: SocketAddr,
    /// Where outbound sockets go.
    outside: TcpListener,
    shutdown: CancellationToken,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct Anywhere;

impl OutboundPolicy for Anywhere {
    fn allows(&self, _url: &url::Url) -> bool {
        true
    }
}

struct Echo(Lanes);

impl Mailbox for Echo {
    fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
        for event in batch.events {
            if let Event::Frames {
                socket, payloads, ..
            } = event
            {
                match self.0.send(&socket, payloads) {
                    Ok(()) | Err(SocketError::UnknownSocket) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        std::future::ready(Ok(())).boxed()
    }
}

struct Port(Lanes);

impl Service for Port {
    fn admit(&self, _request: Parts) -> BoxFuture<'static, Admit> {
        let lanes = self.0.clone();
        let lane = uuid::Uuid::new_v4().to_string();
        let admit = Admit::Accept {
            protocol: None,
            is_known: true,
            serve: Box::new(move |socket: ClientSocket| {
                async move {
                    lanes.serve(socket, &lane, "").await;
                    Ended::Served
                }
                .boxed()
            }),
        };
        std::future::ready(admit).boxed()
    }

    fn http(&self, _request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>> {
        let empty = Full::new(Bytes::new()).map_err(|never| match never {});
        std::future::ready(Response::new(empty.boxed_unsync())).boxed()
    }
}

impl Harness {
    pub async fn start() -> Self {
        let limits = Limits {
            inbound_message_bytes: LIMIT,
            discard_time: Duration::from_millis(500),
            ..Limits::default()
        };
        let websocket = limits.websocket_config();
        let lanes = Lanes::new(limits, Arc::new(Anywhere)).unwrap();
        lanes.start(Arc::new(Echo(lanes.clone())));
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let listening = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let limits = listener::Limits {
            websocket,
            ..listener::Limits::default()
        };
        tokio::spawn(listener.run(Arc::new(Port(lanes.clone())), limits, shutdown.clone()));
        Self {
            lanes,
            listening,
            outside: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            shutdown,
        }
    }

    /// A peer of the tested end, after the handshake.
    pub async fn peer(&self, tested: Tested) -> Peer {
        let connecting = async {
            match tested {
                Tested::Server => self.client().await,
                Tested::Client => self.server().await,
            }
        };
        let tcp = tokio::time::timeout(PATIENCE, connecting).await.unwrap();
        Peer {
            tcp,
            tested,
            masks_seen: Vec::new(),
        }
    }

    async fn client(&self) -> TcpStream {
        let mut tcp = TcpStream::connect(self.listening).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        tcp.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut tcp).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        tcp
    }

    async fn server(&self) -> TcpStream {
        let url = format!("ws://{}/", self.outside.local_addr().unwrap());
        let opening = self.lanes.open(Target {
            url,
            headers: Vec::new(),
            lane: uuid::Uuid::new_v4().to_string(),
            context: String::new(),
            connect_timeout: PATIENCE,
        });
        opening.unwrap();
        let (mut tcp, _) = self.outside.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let head = head(&mut tcp).await;
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(key.trim().as_bytes())
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        tcp
    }
}

async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A peer that is made of bytes.
pub struct Peer {
    tcp: TcpStream,
    tested: Tested,
    masks_seen: Vec<u32>,
}

impl Peer {
    /// Whether it has to mask what it sends.
    pub fn masks(&self) -> bool {
        self.tested == Tested::Server
    }

    /// The masks of the frames that it got.
    pub fn masks_seen(&self) -> &[u32] {
        &self.masks_seen
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tcp.write_all(bytes).await
    }

    /// So many frames, pings not counted, or fewer if it ends with a close frame.
    pub async fn read(&mut self, count: usize) -> Result<Vec<Frame>, String> {
        let mut frames: Vec<Frame> = Vec::new();
        let reading = async {
            while frames.len() < count {
                let Some(frame) = self.frame().await else {
                    break;
                };
                let is_close = frame.opcode == Opcode::CLOSE;
                if frame.opcode != Opcode::PING {
                    frames.push(frame);
                }
                if is_close {
                    break;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(()) => Ok(frames),
            Err(_) => Err(format!("no more than {frames:?} came")),
        }
    }

    /// All frames until the connection ends, which it does in time.
    pub async fn read_to_end(&mut self) -> Result<Vec<Frame>, String> {
        let mut frames: Vec<Frame> = Vec::new();
        let reading = async {
            while let Some(frame) = self.frame().await {
                let is_close = frame.opcode == Opcode::CLOSE;
                frames.push(frame);
                if is_close && self.tested == Tested::Client {
                    // It is the server that closes the connection (RFC 6455, 7.1.1).
                    let _ = self.tcp.shutdown().await;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(()) => Ok(frames),
            Err(_) => Err(format!("the connection does not end, after {frames:?}")),
        }
    }

    /// The next frame, which is as it must be; none at the end.
    async fn frame(&mut self) -> Option<Frame> {
        let first = self.tcp.read_u8().await.ok()?;
        let second = self.tcp.read_u8().await.ok()?;
        assert_eq!(first & 0x80, 0x80, "whole messages are sent");
        assert_eq!(first & 0x70, 0, "no reserved bit is set");
        let is_masked = second & 0x80 != 0;
        assert_eq!(is_masked, self.tested == Tested::Client, "{first:x}");
        let length = match second & 0x7f {
            126 => {
                let length = self.tcp.read_u16().await.ok()?;
                assert!(length > 125, "a short length is written short");
                u64::from(length)
            }
            127 => {
                let length = self.tcp.read_u64().await.ok()?;
                assert!(length > 0xffff, "a short length is written short");
                length
            }
            length => u64::from(length),
        };
        let mask = if is_masked {
            let mask = self.tcp.read_u32().await.ok()?;
            self.masks_seen.push(mask);
            mask.to_be_bytes()
        } else {
            [0; 4]
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.tcp.read_exact(&mut payload).await.ok()?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Some(Frame::new(Opcode(first & 0x0f), &payload))
    }
}
