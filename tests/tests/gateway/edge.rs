//! The edge of the gateway as its clients find it: answers that come before the request was sent to its end,
//! halves of connections, rules of HTTP that proxies check, a host that was stopped for a while, clients that
//! vanished, and the shape of the requests that it makes itself.

use std::time::Duration;

use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Gateway, Inference, Received, Reply, Settings, Shared};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client_faults::wire;

const KEY: &str = "an-admin-key-of-the-edge";
const SECOND: usize = 32_000;

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.address()).await.unwrap()
}

/// Sends all of it, and then reads what has come until the connection ends.
async fn upload(gateway: &Gateway, head: &str, body_bytes: usize) -> String {
    in_time("the upload is answered", async {
        let mut tcp = connect(gateway).await;
        tcp.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 << 10];
        let mut left = body_bytes;
        while left > 0 {
            let count = left.min(piece.len());
            tcp.write_all(&piece[..count]).await.unwrap();
            left -= count;
        }
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    })
    .await
}

/// The head of an answer, in lower case.
async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("an answer", tcp.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

async fn keyed(asr: &Asr) -> Gateway {
    let keys = format!("edge:admin:{KEY}");
    Gateway::start(Settings::with_asr(asr).set("GATEWAY_API_KEYS", &keys)).await
}

#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_sends_all_of_its_body_first() {
    let asr = Asr::start().await;
    let gateway = keyed(&asr).await;
    for (method, path, key, megabytes, status) in [
        ("POST", "/v1/sessions/a/config", "wrong", 4, 401),
        ("POST", "/v1/sessions/a/finalize", "wrong", 15, 401),
        ("POST", "/v1/sessions/a/config", KEY, 17, 413),
        ("POST", "/v1/sessions/a/config", KEY, 4, 413),
        ("POST", "/v1/nothing", KEY, 4, 404),
        ("POST", "/v1/sessions/a/state", KEY, 4, 405),
        ("GET", "/health", KEY, 1, 200),
    ] {
        let bytes = megabytes << 20;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {bytes}\r\n\r\n"
        );
        let answer = upload(&gateway, &request, bytes).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(serde_json::from_str::<Value>(body).is_ok(), "{answer}");
    }
}

#[tokio::test]
async fn who_expects_100_continue_gets_it_only_for_what_is_read() {
    let asr = Asr::start().await;
    let gateway = keyed(&asr).await;
    let request = |key: &str, body: &str| {
        format!(
            "POST /v1/sessions/expects/config HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\
             content-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        )
    };
    let mut refused = connect(&gateway).await;
    let wrong = request("wrong", "{}");
    refused.write_all(wrong.as_bytes()).await.unwrap();
    let answer = head(&mut refused).await;
    assert!(answer.starts_with("http/1.1 401 "), "{answer}");

    let mut taken = connect(&gateway).await;
    let right = request(KEY, "{}");
    taken.write_all(right.as_bytes()).await.unwrap();
    let answer = head(&mut taken).await;
    assert!(answer.starts_with("http/1.1 100 "), "{answer}");
    taken.write_all(b"{}").await.unwrap();
    let answer = head(&mut taken).await;
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_half_gets_its_answer() {
    let gateway = Shared::gateway().await;
    let mut stream = gateway.open("half-closed", "teacher").await;
    stream.store(1, &vec![0; SECOND]).await;
    stream.close().await;
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/v1/sessions/half-closed/state"),
        ("POST", "/v1/sessions/half-closed/finalize"),
    ] {
        let body = if method == "POST" { "{}" } else { "" };
        for _ in 0..5 {
            let mut tcp = connect(&gateway).await;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            tcp.write_all(request.as_bytes()).await.unwrap();
            tcp.shutdown().await.unwrap();
            let mut answer = String::new();
            let read = in_time("an answer", tcp.read_to_string(&mut answer)).await;
            read.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
    }
}

/// The head of the answer to a request of these lines.
async fn asked(gateway: &Gateway, lines: &str) -> String {
    let mut tcp = connect(gateway).await;
    let request = format!("{lines}connection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    head(&mut tcp).await
}

#[tokio::test]
async fn the_rules_of_http_that_a_proxy_checks_are_kept() {
    let asr = Asr::start().await;
    for gateway in [
        keyed(&asr).await,
        Gateway::start(Settings::with_asr(&asr)).await,
    ] {
        for (lines, status) in [
            ("GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n", 400),
            ("GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400),
            ("GET /health HTTP/1.1\r\n", 400),
            ("GET /health HTTP/1.1\r\nhost: a/b\r\n", 400),
            ("GET /health HTTP/1.1\r\nhost: a:3000\r\n", 200),
            ("GET /health HTTP/1.0\r\n", 200),
            // As haproxy checks, without being told to do otherwise.
            ("OPTIONS / HTTP/1.0\r\n", 204),
            ("OPTIONS / HTTP/1.1\r\nhost: x\r\n", 204),
            ("OPTIONS * HTTP/1.1\r\nhost: x\r\n", 204),
            (
                "GET /health HTTP/1.1\r\nhost: x\r\nexpect: miracles\r\n",
                417,
            ),
        ] {
            let answer = asked(&gateway, lines).await;
            let expected = format!("http/1.1 {status} ");
            let old = format!("http/1.0 {status} ");
            let is_so = answer.starts_with(&expected) || answer.starts_with(&old);
            assert!(is_so, "{lines:?}: {answer}");
        }
        let options = asked(&gateway, "OPTIONS / HTTP/1.1\r\nhost: x\r\n").await;
        assert!(
            options.contains("\r\nallow: get, head, post, delete, options\r\n"),
            "{options}"
        );
        let key = format!("host: x\r\nx-api-key: {KEY}\r\n");
        let path = "/v1/audio/ws/a-session/teacher";
        let upgrade = asked(&gateway, &format!("GET {path} HTTP/1.1\r\n{key}")).await;
        assert!(upgrade.starts_with("http/1.1 426 "), "{upgrade}");
        assert!(upgrade.contains("\r\nupgrade: websocket\r\n"), "{upgrade}");
        assert!(upgrade.contains("\r\nconnection: upgrade"), "{upgrade}");
        let method = asked(&gateway, &format!("PUT /v1/sessions HTTP/1.1\r\n{key}")).await;
        assert!(method.starts_with("http/1.1 405 "), "{method}");
        assert!(method.contains("\r\nallow: get, head\r\n"), "{method}");
    }
}

#[tokio::test]
async fn a_request_to_the_inference_service_says_how_long_it_is() {
    let asr = Asr::start().await;
    let inference = Inference::start(|_| Reply::ok(json!({"decision": "auto"}))).await;
    let settings = Settings::with_asr(&asr).set("INFERENCE_BASE_URL", &inference.url());
    let gateway = Gateway::start(settings).await;
    for letters in [1, 300_000] {
        let body = json!({
            "audio": {"content_b64": "UklGRg==", "format": "wav"},
            "asr_text": "ü".repeat(letters),
        });
        let path = "/v1/sessions/length/resolve?stream_role=mixed";
        let _ = gateway.post(path, &body).await.ok();
    }
    let asked = inference.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        let length = asked.headers.get("content-length");
        let length: usize = length.unwrap().to_str().unwrap().parse().unwrap();
        assert!(length > asked.body["asr_text"].as_str().unwrap().len());
        assert!(!asked.headers.contains_key("transfer-encoding"));
    }
}

/// How long the host of the next test is stopped: longer than each of its deadlines.
const STOPPED: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_host_that_was_stopped_looks_at_its_sockets_before_it_judges_anybody() {
    let asr = Asr::start().await;
    let options = [
        "--socket-ping-seconds",
        "1",
        "--socket-silence-seconds",
        "4",
        "--limit-header-seconds",
        "4",
        "--limit-body-idle-seconds",
        "4",
        "--limit-unread-seconds",
        "4",
    ];
    let keys = format!("edge:admin:{KEY}");
    let settings = Settings::with_asr(&asr).set("GATEWAY_API_KEYS", &keys);
    let gateway = Gateway::start_with_options(settings, &options)
        .await
        .with_key(KEY);
    let by_key = [("x-api-key", KEY)];
    let opened = gateway
        .open_with("/v1/audio/ws/stopped/teacher", &by_key)
        .await;
    let mut stream = opened.unwrap().of("stopped", "teacher");
    stream.store(1, &vec![0; SECOND]).await;
    // It has 5 s to show its key, and does while the host stands still.
    let opened = gateway.open_path("/v1/audio/ws/stopped/students").await;
    let mut unknown = opened.unwrap().of("stopped", "students");
    // A connection that was used, and one of which the body is on its way.
    let mut kept = connect(&gateway).await;
    let health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(health).await.unwrap();
    head(&mut kept).await;
    let mut begun = connect(&gateway).await;
    let config = format!(
        "POST /v1/sessions/stopped/config HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n\
         content-length: 2\r\n\r\n{{"
    );
    begun.write_all(config.as_bytes()).await.unwrap();

    gateway.freeze();
    for seq in 2..=20 {
        stream.send_chunk(seq, &vec![0; SECOND]).await;
    }
    unknown.send(&json!({"type": "auth", "key": KEY})).await;
    unknown.send(&json!({"type": "ping"})).await;
    kept.write_all(health).await.unwrap();
    begun.write_all(b"}").await.unwrap();
    tokio::time::sleep(STOPPED).await;
    gateway.thaw();

    for seq in 2..=20 {
        let ack = stream.answer().await;
        assert_eq!(
            (&ack["type"], &ack["seq"]),
            (&json!("ack"), &json!(seq)),
            "{ack}"
        );
    }
    let answer = unknown.answer().await;
    assert_ne!(answer["type"], "error", "{answer}");
    // The rest of what it had in the body of `/health` comes first.
    let mut length = vec![0; 16 * 1024];
    let mut text = String::new();
    while !text.contains("HTTP/1.1 200 OK") {
        let count = in_time("a second answer", kept.read(&mut length))
            .await
            .unwrap();
        assert_ne!(count, 0, "it was closed: {text}");
        text.push_str(&String::from_utf8_lossy(&length[..count]));
    }
    let answer = head(&mut begun).await;
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_app_that_reconnects_takes_the_place_of_a_connection_that_vanished() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(Settings::with_asr(&asr)).await;
    let mut vanished = Vec::new();
    for _ in 0..16 {
        vanished.push(wire::open(&gateway, "vanished", "teacher").await);
    }
    let mut newcomer = eventually("there is a place", async || {
        let mut newcomer = gateway.open("vanished", "teacher").await;
        newcomer.send(&json!({"type": "ping"})).await;
        match newcomer.next().await {
            Received::Frame(_) => Ok(newcomer),
            Received::Closed { code: 1013, reason } => {
                assert!(reason.contains("in 5 s"), "{reason}");
                Err(reason)
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    newcomer.store(1, &vec![0; SECOND]).await;
    // It is the host's doing, not that of the silence of 60 s.
    let figures = crate::metrics::scrape(&gateway).await;
    let hits = |limit| figures.value("host_limit_hits_total", &[("limit", limit)]);
    assert_eq!((hits("displaced"), hits("silence")), (1.0, 0.0));
    drop(vanished);
}
