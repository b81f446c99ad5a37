//! Clients that are slow: with their headers, with a body, with a frame.

use std::time::Duration;

use end_to_end::Gateway;
use end_to_end::wait::in_time;
use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use super::{MIB, Scene, connect_from, hits, rest};
use crate::client_faults::wire::{self, Kind};

const IMPATIENT: [&str; 8] = [
    "--limit-header-seconds",
    "3",
    "--limit-body-idle-seconds",
    "3",
    "--socket-ping-seconds",
    "1",
    "--socket-silence-seconds",
    "5",
];
/// Of each kind.
const MANY: usize = 100;
/// More than the requests that are answered at one time.
const TOO_MANY: usize = 200;
/// From one byte to the next, of a client that is slow but never silent.
const A_BYTE_EACH: Duration = Duration::from_millis(200);

/// Sends bytes one by one, for ever, until nobody takes them.
async fn trickle(tcp: &mut TcpStream) {
    while tcp.write_all(b"x").await.is_ok() {
        tokio::time::sleep(A_BYTE_EACH).await;
    }
}

/// Sends the beginning of a request and then a byte now and then.
async fn slowly(gateway: &Gateway, beginning: Vec<u8>) -> JoinHandle<()> {
    let mut tcp = connect_from(gateway, "127.0.0.1").await.unwrap();
    tokio::spawn(async move {
        let _ = tcp.write_all(&beginning).await;
        trickle(&mut tcp).await;
    })
}

fn post(path: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn slow_headers_bodies_and_frames_cost_a_good_stream_nothing() {
    let scene = Scene::start("slow-clients", &IMPATIENT).await;
    let gateway = &scene.gateway;
    let mut heads = Vec::new();
    let mut bodies = JoinSet::new();
    let head = b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ";
    for number in 0..TOO_MANY {
        heads.push(slowly(gateway, head.to_vec()).await);
        // Short ones, and long ones that have begun to come.
        let short = post(&format!("/v1/sessions/slow-{number}/config"), 10_000, b"{");
        bodies.spawn(slowly(gateway, short).await);
        let long = post(
            &format!("/v1/sessions/slow-{number}/resolve"),
            1 << 20,
            &vec![b' '; 100_000],
        );
        bodies.spawn(slowly(gateway, long).await);
    }
    let silent = join_all((0..MANY).map(|number| async move {
        let mut tcp = connect_from(gateway, "127.0.0.1").await.unwrap();
        let begun = post(&format!("/v1/sessions/silent-{number}/config"), 100, b"{");
        tcp.write_all(&begun).await.unwrap();
        rest(&mut tcp).await
    }));
    let frames = join_all((0..MANY).map(|number| async move {
        let session = format!("slow-frame-{number}");
        let (mut sending, mut receiving) = wire::open(gateway, &session, "teacher").await;
        let sender = tokio::spawn(async move {
            let head = wire::head(Kind::Text, true, 1_000);
            for byte in head.iter().chain(&[b'x'; 1_000]) {
                if !sending.bytes(&[*byte]).await {
                    break;
                }
                tokio::time::sleep(A_BYTE_EACH).await;
            }
        });
        loop {
            let frame = receiving.frame().await.expect("a close frame comes first");
            if frame.kind == Kind::Close {
                sender.abort();
                return frame.close().0;
            }
        }
    }));
    // What others ask for is answered all the while.
    let asking = async {
        loop {
            let _ = gateway.get("/v1/sessions/slow-clients/state").await.ok();
            tokio::time::sleep(A_BYTE_EACH).await;
        }
    };
    let heads = async {
        for head in heads {
            in_time("a slow head is cut off", head).await.unwrap();
        }
    };
    let all = async { tokio::join!(silent, frames, heads) };
    let (silent, frames, ()) = tokio::select! {
        all = in_time("all are told or cut off", all) => all,
        () = asking => unreachable!("it asks for ever"),
    };
    for answer in silent {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("send it without pauses"), "{answer}");
    }
    assert_eq!(frames, [1008; MANY]);
    assert!(hits(gateway, "header-time").await >= TOO_MANY as f64);
    assert!(hits(gateway, "body-time").await >= MANY as f64);
    assert!(hits(gateway, "silence").await >= MANY as f64);
    // Those that are never silent have a place each, and nobody is kept out by it.
    drop(bodies);
    scene.end(256 * MIB).await;
}
