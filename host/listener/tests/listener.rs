//! One port for both, over real sockets: raw ones where the request is odd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{HANDSHAKE, PATIENCE, eventually, head, server};
use futures::{SinkExt, StreamExt};
use listener::{Limits, Over};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

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
async fn a_request_says_where_it_comes_from() {
    let server = server(Limits::default()).await;
    let answer = server
        .raw("GET /peer HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.0.0.1\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        answer.ends_with("\r\n\r\nSome(Peer(127.0.0.1))"),
        "{answer}"
    );
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
    assert_eq!(server.connections.over(Over::Headers), 1);
    // It never ends its head: `raw` waits for the end of the connection.
    server.raw("GET / HTTP/1.1\r\nHost: x\r\nX-Slow:").await;
    assert_eq!(server.connections.over(Over::HeaderTime), 1);
    // It asks once and then no more.
    let answer = server.raw("GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("GET /x "), "{answer}");
    assert_eq!(server.connections.over(Over::HeaderTime), 2);
}

#[tokio::test]
async fn too_many_headers_are_told_431_and_no_http_400() {
    for headers in [Limits::default().headers, 5] {
        let limits = Limits {
            headers,
            ..Limits::default()
        };
        let server = server(limits).await;
        for (count, status) in [(headers, 200), (headers + 1, 431)] {
            let lines: String = (2..count).map(|n| format!("X-{n}: y\r\n")).collect();
            let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{lines}Connection: close\r\n\r\n");
            let answer = server.raw(&request).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{count} headers: {answer}");
        }
        eventually("it is counted", || {
            server.connections.over(Over::Headers) == 1
        })
        .await;
        let answer = server.raw("\0\0\0\0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        eventually("it is counted", || server.connections.over(Over::Http) == 1).await;
    }
}

#[tokio::test]
async fn one_address_has_so_many_places_and_the_next_is_told_429() {
    let limits = Limits {
        connections_per_address: 1,
        ..Limits::default()
    };
    let server = server(limits).await;
    let held = TcpStream::connect(server.address).await.unwrap();
    eventually("it has a place", || server.connections.open() == 1).await;
    let answer = server.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(
        answer.contains(r#"{"detail":"too many connections from this address"#),
        "{answer}"
    );
    assert_eq!(server.connections.over(Over::ConnectionsPerAddress), 1);

    // Another address of this machine has a place of its own.
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address).await.unwrap();
    other
        .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut other).await.starts_with("HTTP/1.1 200 "));
    drop(held);
    eventually("its place is free", || server.connections.open() == 1).await;
    let answer = server
        .raw("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("GET /x "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_ends_the_connection() {
    let limits = Limits {
        write_stall: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = server(limits).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tcp = socket.connect(server.address).await.unwrap();
    tcp.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    eventually("it is given up", || {
        server.connections.over(Over::WriteStall) == 1 && server.connections.open() == 0
    })
    .await;
    // Who reads slowly, but reads, gets all of it.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut left: usize = 64 << 20;
    let mut piece = vec![0; 4 << 20];
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let count = slow.read(&mut piece).await.unwrap();
        assert_ne!(count, 0, "cut off with {left} bytes left");
        left = left.saturating_sub(count);
    }
    assert_eq!(server.connections.over(Over::WriteStall), 1);
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
