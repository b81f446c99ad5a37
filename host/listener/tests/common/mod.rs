//! A listener that runs, with a service that answers in known ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use listener::{
    Admit, Body, CancellationToken, ClientSocket, Connections, DrainReport, Ended, Limits,
    Listener, Peer, RequestBody, Service,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message;

/// The longest that any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub const HANDSHAKE: &str = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `/ws` is a WebSocket that echoes, `/no` refuses, `/large` answers with 64 MiB, `/refused` is 403 unread,
/// `/halfway` is 413 after some of its body, `/known` is 200 unread, `/slow`
/// takes its time, all else is HTTP that repeats the body.
pub struct Echo;

impl Service for Echo {
    fn admit(&self, request: Parts) -> BoxFuture<'static, Admit> {
        async move {
            match request.uri.path() {
                "/ws" => {
                    let hello = format!("lane {}", request.uri.query().unwrap_or_default());
                    Admit::Accept {
                        // The first of those that are offered.
                        protocol: request
                            .headers
                            .get("sec-websocket-protocol")
                            .map(|offered| {
                                let offered = offered.to_str().unwrap();
                                offered.split(',').next().unwrap().parse().unwrap()
                            }),
                        is_known: true,
                        serve: Box::new(|socket| echo(socket, hello).boxed()),
                    }
                }
                "/no" => Admit::Refuse(
                    Response::builder()
                        .status(403)
                        .header("x-why", "because")
                        .body(Bytes::from_static(b"no"))
                        .unwrap(),
                ),
                "/panic" => panic!("asked for"),
                _ => Admit::NotWebSocket,
            }
        }
        .boxed()
    }

    fn http(&self, request: Request<RequestBody>) -> BoxFuture<'static, Response<Body>> {
        async move {
            assert_ne!(request.uri().path(), "/panic", "asked for");
            if request.uri().path() == "/large" {
                let large = Full::new(Bytes::from(vec![b'x'; 64 << 20]));
                return Response::new(large.map_err(|never| match never {}).boxed_unsync());
            }
            if request.uri().path() == "/peer" {
                let peer = format!("{:?}", request.extensions().get::<Peer>());
                let peer = Full::new(Bytes::from(peer));
                return Response::new(peer.map_err(|never| match never {}).boxed_unsync());
            }
            let unread = match request.uri().path() {
                "/refused" => Some(403),
                "/halfway" => {
                    let mut body = request.into_body();
                    body.frame().await.unwrap().unwrap();
                    return plain(413);
                }
                "/known" => Some(200),
                _ => None,
            };
            if let Some(status) = unread {
                return plain(status);
            }
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let head = format!("{} {} ", request.method(), request.uri().path());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let answer = Bytes::from([head.as_bytes(), &body].concat());
            Response::new(
                Full::new(answer)
                    .map_err(|never| match never {})
                    .boxed_unsync(),
            )
        }
        .boxed()
    }
}

/// An answer of ten bytes.
fn plain(status: u16) -> Response<Body> {
    let body = Full::new(Bytes::from_static(b"ten bytes."));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response
}

async fn echo(mut socket: ClientSocket, hello: String) -> Ended {
    socket.send(Message::text(hello)).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            break;
        }
    }
    Ended::Served
}

pub struct Server {
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
    pub connections: Connections,
    pub running: JoinHandle<DrainReport>,
}

pub async fn server(limits: Limits) -> Server {
    run(Listener::bind("127.0.0.1:0").await.unwrap(), limits)
}

pub fn run(listener: Listener, limits: Limits) -> Server {
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let connections = listener.connections();
    let running = tokio::spawn(listener.run(Arc::new(Echo), limits, shutdown.clone()));
    Server {
        address,
        shutdown,
        connections,
        running,
    }
}

impl Server {
    /// Sends bytes, then gives all that comes until the connection ends.
    pub async fn raw(&self, request: &str) -> String {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let reading = tcp.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("an end in time")
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Reads a head.
pub async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, tcp.read_u8()).await.unwrap();
        head.push(byte.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Waits, within a bound, until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("it did not come to this: {what}");
    }
}

/// Megabytes that a client goes on sending after it was answered.
pub const UPLOAD: usize = 20 << 20;

/// Sends `head`, then as much as [`UPLOAD`] whatever is answered meanwhile, and only then reads all that has
/// come: what a client does that does not read before it has sent its request.
pub async fn upload<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, head: &str) -> String {
    let exchange = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..UPLOAD / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("an end in time")
}
