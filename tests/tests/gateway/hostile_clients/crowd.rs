//! Many connections: up to the limit they are held, beyond it they are told so, and the stream that was
//! there before goes on.

use std::io::Write;

use end_to_end::wait::{eventually, in_time};
use futures::StreamExt;
use futures::stream;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{MIB, Scene, ask, connect_from, hits, rest};

/// As the list has it.
const ASKED: u64 = 10_000;
/// Files that this process needs besides.
const BESIDES: u64 = 3_000;
/// Beyond the limit.
const EXCESS: usize = 300;
/// What a connection that does nothing may cost, at most.
const EACH: u64 = 40 << 10;

/// How many connections this machine allows this process, up to what is asked for. Says so.
fn allowed() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let allowed = ASKED.min(files.saturating_sub(BESIDES));
    // Past the test program's capture: a run that shows less says so.
    let few = if allowed < ASKED { "ONLY " } else { "" };
    let said = format!(
        "hostile_clients: {few}{allowed} of {ASKED} idle connections are opened: {files} open files are \
         allowed here (`ulimit -Hn`)"
    );
    let _ = writeln!(std::io::stderr(), "{said}");
    assert!(allowed >= 500, "too few to see anything: raise `ulimit -n`");
    allowed
}

#[tokio::test]
async fn idle_connections_up_to_the_limit_hold_and_the_next_are_told_503() {
    let idle = allowed();
    let limit = idle.to_string();
    let options = [
        "--limit-connections",
        &limit,
        "--limit-connections-per-address",
        &limit,
        "--limit-header-seconds",
        "3600",
    ];
    let scene = Scene::start("crowd", &options).await;
    let gateway = &scene.gateway;
    // Half of them say nothing; half have asked once. The good stream has a place already.
    let connecting = stream::iter(1..idle).map(|number| async move {
        let mut tcp = connect_from(gateway, "127.0.0.1").await.unwrap();
        if number % 2 == 0 {
            let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
            tcp.write_all(request).await.unwrap();
            let mut answer = [0; 12];
            tcp.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        tcp
    });
    let connecting = connecting.buffer_unordered(64).collect::<Vec<TcpStream>>();
    let held = in_time("all are connected", connecting).await;
    // The last of them are counted once they are accepted: then the next is refused.
    eventually("it is full", async || {
        let answer = ask(
            gateway,
            "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        )
        .await;
        match answer.starts_with("HTTP/1.1 503 ") {
            true => Ok(()),
            false => Err(answer),
        }
    })
    .await;
    let excess = stream::iter(0..EXCESS)
        .map(|_| async {
            match connect_from(gateway, "127.0.0.1").await {
                Ok(mut tcp) => {
                    let _ = tcp
                        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                        .await;
                    rest(&mut tcp).await
                }
                Err(error) => panic!("it is not even accepted: {error}"),
            }
        })
        .buffer_unordered(32)
        .collect::<Vec<_>>();
    let answers = in_time("all are told", excess).await;
    // The host gives each a second to be told, and does not wait for those that take longer to ask.
    let told = answers.iter().filter(|answer| !answer.is_empty());
    assert!(told.clone().count() > 0, "nobody was told");
    for answer in told {
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    drop(held);
    eventually("places come free, and the hits are counted", async || {
        let answer = gateway.get("/health").await;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer),
        }
    })
    .await;
    assert!(hits(gateway, "connections").await >= EXCESS as f64);
    scene.end(idle * EACH + 64 * MIB).await;
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let options = ["--limit-connections-per-address", "50"];
    let scene = Scene::start("one-address", &options).await;
    let gateway = &scene.gateway;
    let mut held = Vec::new();
    let refused = loop {
        let mut tcp = connect_from(gateway, "127.0.0.9").await.unwrap();
        let request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
        let _ = tcp.write_all(request).await;
        let mut answer = [0; 12];
        tcp.read_exact(&mut answer).await.unwrap();
        if &answer != b"HTTP/1.1 200" {
            break String::from_utf8_lossy(&answer).into_owned() + &rest(&mut tcp).await;
        }
        held.push(tcp);
    };
    assert_eq!(held.len(), 50);
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert_eq!(hits(gateway, "connections-per-address").await, 1.0);
    scene.end(64 * MIB).await;
}
