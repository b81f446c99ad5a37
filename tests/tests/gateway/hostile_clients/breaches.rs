//! Frames that break the protocol or are over a limit, control frames without end, compression that
//! nobody agreed to.

use end_to_end::wait::in_time;
use end_to_end::{Gateway, Received};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{MIB, Scene, ask, connect_from, hits};
use crate::client_faults::wire::{self, Kind};
use crate::metrics::scrape;

/// Connections at the same time that break one rule each.
const MANY: usize = 20;
const FLOODERS: usize = 5;
const PINGS: usize = 100_000;

/// A way to break the rules: its name, what is sent, the code it is closed with.
type Breach = (&'static str, Vec<u8>, u16);

fn text(payload: &[u8]) -> Vec<u8> {
    [
        wire::head(Kind::Text, true, payload.len()).as_slice(),
        payload,
    ]
    .concat()
}

/// A frame with another first byte.
fn odd(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = text(payload);
    frame[0] = first;
    frame
}

fn breaches() -> Vec<Breach> {
    let mut parts = Vec::new();
    for number in 0..20 {
        let kind = if number == 0 { Kind::Text } else { Kind::More };
        parts.extend(wire::head(kind, false, 100_000));
        parts.extend(vec![b'x'; 100_000]);
    }
    let mut unmasked = text(b"{}");
    unmasked[1] &= 0x7f;
    // The mask is zero: without it the payload follows at once.
    unmasked.drain(2..6);
    vec![
        ("an unmasked frame", unmasked, 1002),
        ("text that is not UTF-8", text(b"{\"type\":\"\xff\"}"), 1007),
        (
            "33 MiB announced",
            wire::head(Kind::Text, true, 33 << 20),
            1009,
        ),
        (
            "all of memory announced",
            wire::head(Kind::Binary, true, usize::MAX >> 1),
            1009,
        ),
        ("too much in parts", parts, 1009),
        (
            "a compressed message",
            odd(0xc1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
            1002,
        ),
        ("a reserved opcode", odd(0x83, b""), 1002),
        ("a part of nothing", odd(0x80, b"x"), 1002),
        ("a ping in parts", odd(0x09, b"x"), 1002),
        ("a long ping", odd(0x89, &[b'x'; 126]), 1002),
        (
            "a close code that is none",
            odd(0x88, &999_u16.to_be_bytes()),
            1002,
        ),
    ]
}

#[tokio::test]
async fn breaches_of_the_protocol_cost_a_good_stream_nothing() {
    let scene = Scene::start("breaches", &[]).await;
    let gateway = &scene.gateway;
    for (name, bytes, code) in breaches() {
        let bytes = &bytes;
        let codes = join_all((0..MANY).map(|number| async move {
            let session = format!("breach-{number}");
            let (mut sending, mut receiving) = wire::open(gateway, &session, "teacher").await;
            sending.bytes(bytes).await;
            loop {
                let frame = receiving.frame().await.expect("a close frame comes first");
                if frame.kind == Kind::Close {
                    return frame.close();
                }
            }
        }))
        .await;
        for (closed, reason) in codes {
            assert_eq!(closed, code, "{name}: {reason}");
        }
    }
    let figures = scrape(gateway).await;
    let errors = |protocol| figures.value("host_protocol_errors_total", &[("protocol", protocol)]);
    assert_eq!(errors("utf-8"), MANY as f64);
    assert!(errors("websocket") >= 6.0 * MANY as f64);
    assert_eq!(hits(gateway, "message-bytes").await, 3.0 * MANY as f64);
    scene.end(64 * MIB).await;
}

#[tokio::test]
async fn a_flood_of_control_frames_costs_a_good_stream_nothing() {
    let scene = Scene::start("flood", &[]).await;
    let gateway = &scene.gateway;
    let floods = join_all((0..FLOODERS).map(|number| async move {
        let session = format!("flood-{number}");
        let (mut sending, mut receiving) = wire::open(gateway, &session, "teacher").await;
        let sender = tokio::spawn(async move {
            let ping = [wire::head(Kind::Ping, true, 125), vec![b'x'; 125]].concat();
            let pong = [wire::head(Kind::Pong, true, 125), vec![b'x'; 125]].concat();
            let many = [ping, pong].concat().repeat(100);
            for _ in 0..PINGS / 100 {
                assert!(sending.bytes(&many).await, "nobody is closed for it");
            }
            let last = json!({"type": "ping"}).to_string();
            assert!(sending.frame(Kind::Text, last.as_bytes()).await);
            sending
        });
        // It reads nothing until all is sent, or as much as the gateway takes unread.
        let _ = tokio::time::timeout(
            std::time::Duration::from_secs(2),
            std::future::pending::<()>(),
        )
        .await;
        let answer = loop {
            let frame = receiving.frame().await.expect("it stays");
            if frame.kind == Kind::Text {
                break serde_json::from_slice::<Value>(&frame.payload).unwrap();
            }
            assert!(matches!(frame.kind, Kind::Pong | Kind::Ping), "{frame:?}");
        };
        drop(sender.await.unwrap());
        answer
    }));
    for answer in in_time("the floods end", floods).await {
        assert_eq!(answer["type"], "pong", "{answer}");
    }
    scene.end(64 * MIB).await;
}

/// The handshake with a header more; the head of its answer.
async fn handshake(gateway: &Gateway, session: &str, header: &str) -> (TcpStream, String) {
    let mut tcp = connect_from(gateway, "127.0.0.1").await.unwrap();
    let request = format!(
        "GET /v1/audio/ws/{session}/teacher HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n{header}\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("the answer", tcp.read_u8()).await.unwrap());
    }
    (tcp, String::from_utf8(head).unwrap().to_ascii_lowercase())
}

#[tokio::test]
async fn compression_is_offered_and_not_agreed_to() {
    let scene = Scene::start("compression", &[]).await;
    for offer in [
        "sec-websocket-extensions: permessage-deflate",
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
    ] {
        let (mut tcp, head) = handshake(&scene.gateway, "compressed", offer).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        // Ten bytes that would become megabytes.
        let bomb = odd(0xc1, &[0xed, 0xc1, 0x01, 0x01, 0, 0, 0, 0x80, 0x90, 0xfe]);
        tcp.write_all(&bomb).await.unwrap();
        let mut close = [0; 4];
        in_time("a close frame", tcp.read_exact(&mut close))
            .await
            .unwrap();
        assert_eq!(close[0], 0x88);
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), 1002);
    }
    let gzip = ask(
        &scene.gateway,
        "GET /health HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        !gzip.to_ascii_lowercase().contains("content-encoding"),
        "{gzip}"
    );
    scene.end(32 * MIB).await;
}

#[tokio::test]
async fn what_is_over_a_limit_is_answered_and_counted() {
    let options = [
        "--limit-body-bytes",
        "2000",
        "--limit-message-bytes",
        "50000",
        "--limit-lane-sockets",
        "2",
        "--limit-header-bytes",
        "8192",
        "--limit-headers",
        "20",
    ];
    let scene = Scene::start("limits", &options).await;
    let gateway = &scene.gateway;
    let large = "x".repeat(2001);
    // With its length and without: the second is cut off where it is over.
    for body in [
        format!("content-length: 2001\r\n\r\n{large}"),
        format!("transfer-encoding: chunked\r\n\r\n7d1\r\n{large}\r\n0\r\n\r\n"),
    ] {
        let request = format!(
            "POST /v1/sessions/limits/config HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{body}"
        );
        let answer = ask(gateway, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"detail":"request body too large"}"#),
            "{answer}"
        );
    }
    assert_eq!(hits(gateway, "body-bytes").await, 2.0);

    let long = "x".repeat(9_000);
    let lines = "x-y: z\r\n".repeat(20);
    for headers in [format!("x-long: {long}\r\n"), lines] {
        let answer = ask(
            gateway,
            &format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(hits(gateway, "headers").await, 2.0);

    let mut first = gateway.open("limits-of-sockets", "teacher").await;
    let _second = gateway.open("limits-of-sockets", "teacher").await;
    let mut third = gateway.open("limits-of-sockets", "teacher").await;
    let Received::Closed { code, reason } = third.next().await else {
        panic!("it is not closed");
    };
    assert_eq!(code, 1013, "{reason}");
    assert!(reason.contains("try again later"), "{reason}");
    assert_eq!(hits(gateway, "lane-sockets").await, 1.0);

    first.send_text("x".repeat(50_001)).await;
    let Received::Closed { code, reason } = first.next().await else {
        panic!("it is not closed");
    };
    assert_eq!(code, 1009, "{reason}");
    assert!(reason.contains("larger than 50000 bytes"), "{reason}");
    assert_eq!(hits(gateway, "message-bytes").await, 1.0);
    scene.end(64 * MIB).await;
}
