//! A client that does what no WebSocket library does: it sends and does not read, takes little into
//! its buffers, sends a part of a frame, leaves pings unanswered. It knows nothing of the gateway's
//! frames but that they are whole ones.

use end_to_end::Gateway;
use end_to_end::wait::in_time;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

/// The kernel takes about so much for a client that does not read: the least that it knows.
const RECEIVE_BYTES: u32 = 4096;
/// Bit of a frame's head: the last of its message.
const LAST: u8 = 0x80;
/// Bit of a frame's length: a client masks. The mask here is zero, which changes nothing.
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of the message that was begun before.
    More = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Code and reason of a close frame.
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.kind, Kind::Close, "{self:?}");
        let (code, reason) = self.payload.split_at_checked(2).expect("a code");
        let code = u16::from_be_bytes([code[0], code[1]]);
        (code, String::from_utf8(reason.to_vec()).expect("UTF-8"))
    }
}

/// What a client sends.
pub struct Sending(OwnedWriteHalf);

/// What it gets.
pub struct Receiving(OwnedReadHalf);

/// A WebSocket to the stream of a role.
pub async fn open(gateway: &Gateway, session: &str, role: &str) -> (Sending, Receiving) {
    let mut tcp = connect(gateway).await;
    let request = format!(
        "GET /v1/audio/ws/{session}/{role} HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("the handshake", tcp.read_u8()).await.expect("more"));
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (receiving, sending) = tcp.into_split();
    (Sending(sending), Receiving(receiving))
}

/// A connection to the port, and no word on it.
pub async fn connect(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(RECEIVE_BYTES)
        .expect("a small buffer");
    in_time("a connection", socket.connect(gateway.address()))
        .await
        .expect("a connection")
}

/// The head of a client's frame.
pub fn head(kind: Kind, is_last: bool, length: usize) -> Vec<u8> {
    let mut head = vec![kind as u8 | if is_last { LAST } else { 0 }];
    match length {
        0..=125 => head.push(MASKED | length as u8),
        126..=0xffff => {
            head.push(MASKED | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(MASKED | 127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

impl Sending {
    /// A whole frame; false when nobody takes it any more.
    pub async fn frame(&mut self, kind: Kind, payload: &[u8]) -> bool {
        self.bytes(&head(kind, true, payload.len())).await && self.bytes(payload).await
    }

    /// Any bytes; false when nobody takes them any more.
    pub async fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }
}

impl Receiving {
    /// The next frame; none when the connection is over.
    pub async fn frame(&mut self) -> Option<Frame> {
        in_time("a frame of the gateway", self.frame_at_any_time()).await
    }

    async fn frame_at_any_time(&mut self) -> Option<Frame> {
        let head = self.0.read_u8().await.ok()?;
        assert_eq!(head & LAST, LAST, "the gateway sends whole messages");
        let kind = match head & !LAST {
            1 => Kind::Text,
            2 => Kind::Binary,
            8 => Kind::Close,
            9 => Kind::Ping,
            10 => Kind::Pong,
            other => panic!("no such frame: {other}"),
        };
        let length = match self.0.read_u8().await.ok()? {
            126 => u64::from(self.0.read_u16().await.ok()?),
            127 => self.0.read_u64().await.ok()?,
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, payload })
    }
}
