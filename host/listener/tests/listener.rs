//! One port for both, over real sockets: raw ones where the request is odd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture};
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use listener::{
    Admit, Body, CancellationToken, ClientSocket, Connections, DrainReport, Limits, Listener,
    Service,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

/// The longest that any test waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);

const HANDSHAKE: &str = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `/ws` is a WebSocket that echoes, `/no` refuses, all else is HTTP that repeats the body.
struct Echo;

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

    fn http(&self, request: Request<Incoming>) -> BoxFuture<'static, Response<Body>> {
        async move {
            assert_ne!(request.uri().path(), "/panic", "asked for");
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

async fn echo(mut socket: ClientSocket, hello: String) {
    socket.send(Message::text(hello)).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            break;
        }
    }
}

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    connections: Connections,
    running: JoinHandle<DrainReport>,
}

async fn server(limits: Limits) -> Server {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
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
    async fn raw(&self, request: &str) -> String {
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
async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, tcp.read_u8()).await.unwrap();
        head.push(byte.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn http_and_websocket_share_the_port() {
    let server = server(Limits::default()).await;
    let answer = server
        .raw("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nPOST /x hello"), "{answer}");

    let url = format!("ws://{}/ws?a=b", server.address);
    let (mut client, answer) = connect_async(url).await.unwrap();
    assert!(!answer.headers().contains_key("sec-websocket-extensions"));
    assert!(!answer.headers().contains_key("sec-websocket-protocol"));
    let hello = client.next().await.unwrap().unwrap();
    assert_eq!(hello, Message::text("lane a=b"));
    client.send(Message::text("x")).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("x"));
}

#[tokio::test]
async fn the_answer_names_the_protocol_that_the_service_chose() {
    let server = server(Limits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /ws HTTP/1.1\r\nSec-WebSocket-Protocol: one, two\r\n{HANDSHAKE}");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let head = head(&mut tcp).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("\r\nsec-websocket-protocol: one\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_not_lost() {
    let server = server(Limits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let mut request = format!("GET /ws HTTP/1.1\r\n{HANDSHAKE}").into_bytes();
    request.extend([0x81, 0x81, 0, 0, 0, 0, b'x']);
    tcp.write_all(&request).await.unwrap();
    let head = head(&mut tcp).await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(
        head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        "{head}"
    );
    let mut frames = [0; 7 + 3];
    tcp.read_exact(&mut frames).await.unwrap();
    assert_eq!(&frames[2..7], b"lane ");
    assert_eq!(frames[7..], [0x81, 1, b'x']);
}

#[tokio::test]
async fn a_refusal_keeps_its_status_headers_and_body() {
    let server = server(Limits::default()).await;
    let url = format!("ws://{}/no", server.address);
    let Err(Error::Http(response)) = connect_async(url).await else {
        panic!("it was not refused");
    };
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-why"], "because");
    assert_eq!(response.body().as_deref(), Some(&b"no"[..]));
}

#[tokio::test]
async fn where_there_are_no_websockets_an_upgrade_is_plain_http() {
    let server = server(Limits::default()).await;
    let mut request = format!("ws://{}/health", server.address)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("connection", "Upgrade, close".parse().unwrap());
    let Err(Error::Http(response)) = connect_async(request).await else {
        panic!("it was accepted");
    };
    assert_eq!(response.status(), 200);
    assert_eq!(response.body().as_deref(), Some(&b"GET /health "[..]));
}

#[tokio::test]
async fn a_bad_handshake_is_told_what_is_wrong() {
    let server = server(Limits::default()).await;
    let close = HANDSHAKE.replace("Connection: Upgrade", "Connection: Upgrade, close");
    let request = |from: &str, to: &str| format!("GET /ws HTTP/1.1\r\n{}", close.replace(from, to));

    let answer = server.raw(&request(": 13", ": 8")).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(lower.contains("sec-websocket-version: 13\r\n"), "{answer}");
    assert!(
        lower.contains("content-type: application/json; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains(r#"{"detail":"only version 13"#), "{answer}");

    for key in ["", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZQ!!"] {
        let answer = server.raw(&request("dGhlIHNhbXBsZSBub25jZQ==", key)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(r#"{"detail":"#), "{answer}");
    }
    // Without `Upgrade` or `Connection` it is plain HTTP.
    let answer = server
        .raw(&request("Upgrade: websocket", "X-Other: 1"))
        .await;
    assert!(answer.ends_with("GET /ws "), "{answer}");
}

#[tokio::test]
async fn a_head_request_gets_the_head_only() {
    let server = server(Limits::default()).await;
    let answer = server
        .raw("HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("content-length: 8\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_told_to_go_on() {
    let server = server(Limits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    )
    .await
    .unwrap();
    assert!(head(&mut tcp).await.starts_with("HTTP/1.1 100 "));
    tcp.write_all(b"ok").await.unwrap();
    assert!(head(&mut tcp).await.starts_with("HTTP/1.1 200 "));
    let mut body = [0; 10];
    tcp.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"POST /x ok");
}

#[tokio::test]
async fn a_head_too_large_or_too_slow_ends_the_connection() {
    let limits = Limits {
        header_bytes: 8192,
        header_read: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = server(limits).await;
    let large = "x".repeat(10_000);
    let answer = server
        .raw(&format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX-Large: {large}\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // It never ends its head: `raw` waits for the end of the connection.
    server.raw("GET / HTTP/1.1\r\nHost: x\r\nX-Slow:").await;
}

#[tokio::test]
async fn connections_over_the_limit_are_told_503_and_places_come_free() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = server(limits).await;
    let url = format!("ws://{}/ws", server.address);
    let (mut client, _) = connect_async(&url).await.unwrap();
    client.next().await.unwrap().unwrap();
    let answer = server.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"detail":"too many connections: try again later"}"#),
        "{answer}"
    );
    let counted = || (server.connections.open(), server.connections.refused());
    assert_eq!(counted(), (1, 1), "a WebSocket keeps its place");
    client.close(None).await.unwrap();
    drop(client);
    let again = async {
        while connect_async(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    let none_left = async {
        while server.connections.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, none_left).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_rest_goes_on() {
    let server = server(Limits::default()).await;
    for headers in ["Host: x\r\nConnection: close\r\n\r\n", HANDSHAKE] {
        let headers = headers.replace("Upgrade\r\nSec", "Upgrade, close\r\nSec");
        let answer = server
            .raw(&format!("GET /panic HTTP/1.1\r\n{headers}"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains(r#"{"detail":"#), "{answer}");
    }
    let answer = server
        .raw("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("GET /x "), "{answer}");
}

#[tokio::test]
async fn the_shutdown_closes_the_port_and_answers_what_is_under_way() {
    let server = server(Limits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    )
    .await
    .unwrap();
    assert!(head(&mut tcp).await.starts_with("HTTP/1.1 100 "));
    server.shutdown.cancel();
    let closed = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    tcp.write_all(b"ok").await.unwrap();
    assert!(head(&mut tcp).await.starts_with("HTTP/1.1 200 "));
    let report = tokio::time::timeout(PATIENCE, server.running)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((report.open, report.cut_off), (1, 0));
}

#[tokio::test]
async fn a_websocket_that_stays_is_cut_off_at_the_deadline() {
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = server(limits).await;
    let url = format!("ws://{}/ws", server.address);
    let (mut client, _) = connect_async(&url).await.unwrap();
    client.next().await.unwrap().unwrap();
    server.shutdown.cancel();
    let report = tokio::time::timeout(PATIENCE, server.running)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((report.open, report.cut_off), (1, 1));
    assert!(!matches!(client.next().await, Some(Ok(_))));
}
