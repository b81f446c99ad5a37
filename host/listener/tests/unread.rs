//! What is answered before all of its request was read is still read by its client: the connection is not
//! reset over the answer. And nobody is told to send what will be thrown away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{HANDSHAKE, PATIENCE, UPLOAD, eventually, head, server, upload};
use listener::{Limits, Over};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn connect(server: &common::Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD}\r\n\r\n")
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_arrives_after_all_of_it_was_sent() {
    let server = server(Limits::default()).await;
    for (path, status) in [("/refused", 403), ("/halfway", 413), ("/known", 200)] {
        for _ in 0..3 {
            let answer = upload(connect(&server).await, &post(path)).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{path}: {answer}");
            assert!(answer.ends_with("\r\n\r\nten bytes."), "{path}: {answer}");
            let lower = answer.to_ascii_lowercase();
            assert!(lower.contains("\r\nconnection: close\r\n"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_no_http_or_too_large_gets_its_answer_too() {
    let server = server(Limits::default()).await;
    let answer = upload(connect(&server).await, "\0\0\0\0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let head = "GET / HTTP/1.1\r\nHost: x\r\nX-Large: ";
    let answer = upload(connect(&server).await, head).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn who_finds_no_place_reads_why() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = server(limits).await;
    let _held = connect(&server).await;
    eventually("it has a place", || server.connections.open() == 1).await;
    let answer = upload(connect(&server).await, &post("/x")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_was_read_does_not_end_its_connection() {
    let server = server(Limits::default()).await;
    let mut tcp = connect(&server).await;
    for _ in 0..2 {
        tcp.write_all(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
            .await
            .unwrap();
        let head = head(&mut tcp).await.to_ascii_lowercase();
        assert!(!head.contains("connection: close"), "{head}");
        let mut body = [0; 10];
        tcp.read_exact(&mut body).await.unwrap();
    }
}

/// Sends without end, and gives how much was taken before the connection was cut.
async fn flood(server: &common::Server, pause: Duration) -> usize {
    let mut tcp = connect(server).await;
    let head = "POST /refused HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    let chunk = [&b"10000\r\n"[..], &vec![b'x'; 0x10000], b"\r\n"].concat();
    let sending = async {
        let mut sent = 0;
        while tcp.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            tokio::time::sleep(pause).await;
        }
        sent
    };
    tokio::time::timeout(PATIENCE, sending).await.unwrap()
}

#[tokio::test]
async fn what_is_thrown_away_is_bounded_in_bytes_and_in_time() {
    let bounded = Limits {
        linger_bytes: 1 << 20,
        ..Limits::default()
    };
    let in_bytes = server(bounded).await;
    let sent = flood(&in_bytes, Duration::ZERO).await;
    // What the kernel holds of it is no longer ours to bound.
    assert!(sent < 32 << 20, "{sent}");
    eventually("it is closed", || in_bytes.connections.open() == 0).await;

    let limits = Limits {
        linger: Duration::from_millis(300),
        ..Limits::default()
    };
    let in_time = server(limits).await;
    flood(&in_time, Duration::from_millis(20)).await;
    eventually("it is closed", || in_time.connections.open() == 0).await;

    let limits = Limits {
        linger_idle: Duration::from_millis(100),
        ..Limits::default()
    };
    let idle = server(limits).await;
    let mut tcp = connect(&idle).await;
    tcp.write_all(post("/refused").as_bytes()).await.unwrap();
    assert!(head(&mut tcp).await.starts_with("HTTP/1.1 403 "));
    // It sends nothing more, and does not close its half either.
    eventually("it is closed", || idle.connections.open() == 0).await;
    drop(tcp);
}

#[tokio::test]
async fn who_is_refused_is_not_told_to_go_on() {
    let server = server(Limits::default()).await;
    let mut tcp = connect(&server).await;
    let request =
        "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.unwrap();
    let head = head(&mut tcp).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let server = server(Limits::default()).await;
    for request in [
        "GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok",
        "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut tcp = connect(&server).await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = String::new();
        let reading = tcp.read_to_string(&mut answer);
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap()
            .unwrap();
        let answers = answer.matches("HTTP/1.1 200 OK\r\n").count();
        let asked = request.matches(" HTTP/1.1\r\n").count();
        assert_eq!(answers, asked, "{request:?}: {answer}");
    }
    eventually("nothing is left", || server.connections.open() == 0).await;
}

#[tokio::test]
async fn refusals_of_one_address_wait_when_there_are_many_and_nothing_else_does() {
    let limits = Limits {
        refusals_per_second: 1,
        ..Limits::default()
    };
    let server = server(limits).await;
    let refused = format!("GET /no HTTP/1.1\r\n{HANDSHAKE}");
    let mut kept = connect(&server).await;
    for _ in 0..listener::limits::REFUSAL_BURST {
        kept.write_all(refused.as_bytes()).await.unwrap();
        assert!(head(&mut kept).await.starts_with("HTTP/1.1 403 "));
        let mut body = [0; 2];
        kept.read_exact(&mut body).await.unwrap();
    }
    assert_eq!(server.connections.over(Over::Refusals), 0);
    // An upgrade and a request, of one address.
    for request in [refused.as_str(), "GET /refused HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let since = std::time::Instant::now();
        let mut tcp = connect(&server).await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        assert!(head(&mut tcp).await.starts_with("HTTP/1.1 403 "));
        assert!(since.elapsed() >= Duration::from_millis(500));
    }
    assert_eq!(server.connections.over(Over::Refusals), 2);
    // What is not refused does not wait, upgrades included.
    for request in [
        "GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        &format!("GET /ws HTTP/1.1\r\n{HANDSHAKE}"),
    ] {
        let mut tcp = connect(&server).await;
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = head(&mut tcp).await;
        assert!(!answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(server.connections.over(Over::Refusals), 2);
}
