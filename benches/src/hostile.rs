//! What a client that behaves notices of others that do not: its acks' latency in real time, alone, then
//! beside each kind of them, and the memory of the host meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use asr_simulator::{Options, Simulator};
use futures::{SinkExt, StreamExt};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::load::chunk;
use crate::processes::Server;

/// The host is to hold them all.
const OPTIONS: [&str; 6] = [
    "--limit-connections",
    "12000",
    "--limit-connections-per-address",
    "12000",
    // Longer than a measurement: those that are idle stay.
    "--limit-header-seconds",
    "600",
];
/// From one chunk of the good client to the next: it sends ten at a time of a live one, for more figures.
const EACH: Duration = Duration::from_millis(100);
/// How long an ack may take before the measurement is given up.
const LIMIT: Duration = Duration::from_secs(60);
const IDLE: usize = 10_000;
/// Files that each process needs besides.
const BESIDES: usize = 1_000;
const SLOW: usize = 500;
/// From one byte of a slow client to the next.
const SLOWLY: Duration = Duration::from_millis(500);
const DROPS: usize = 100;
/// From one byte to the next of a client that sends each byte by itself.
const IN_DROPS: Duration = Duration::from_millis(15);
const FLOODERS: usize = 4;
const LARGE: usize = 4;
/// Clients that ask without end.
const ASKERS: usize = 16;

const STATUS: &str = r#"{"type":"status"}"#;
const CAPTURE: &str = r#"{"type":"capture_status","payload":{"capture_state":"running"}}"#;

/// Clients that mean no good.
#[derive(Clone, Copy)]
enum Kind {
    Nobody,
    /// Connected, and no word.
    Idle,
    /// A header, a byte now and then.
    SlowHeads,
    /// A body, a byte now and then.
    SlowBodies,
    /// A body, each byte by itself.
    Drops,
    /// Pings without end.
    Pings,
    /// Asks without end, and reads the answers.
    Asks(&'static str),
    /// Asks, waits for the answer, and asks again, without end.
    AsksInTurn(&'static str),
    /// 33 MiB in one message, again and again.
    TooLarge,
    /// Text that is not UTF-8, again and again.
    NotUtf8,
    /// Frames without a mask, again and again.
    Unmasked,
}

/// Asks for as many open files as this process may have, which the host that it starts inherits.
///
/// # Errors
/// They are too few for all connections: fewer would be another measurement.
fn open_files() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // On some systems the most that is allowed cannot be had; what there is then is looked at.
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current;
    ensure!(
        files.is_none_or(|files| files >= (IDLE + BESIDES) as u64),
        "{files:?} open files are too few for {IDLE} connections: raise `ulimit -Hn`"
    );
    Ok(())
}

/// Measures each kind and prints a line for it.
pub async fn run(host: &Path, seconds: u32) -> anyhow::Result<()> {
    open_files()?;
    println!(
        "{:<40} {:>10} {:>10} {:>10} {:>10}",
        "beside the good client", "ack p50", "ack p99", "ack max", "memory"
    );
    for (name, kind) in [
        ("nobody".to_owned(), Kind::Nobody),
        (format!("{IDLE} idle connections"), Kind::Idle),
        (format!("{SLOW} slow headers"), Kind::SlowHeads),
        (format!("{SLOW} slow bodies"), Kind::SlowBodies),
        (format!("{DROPS} bodies of single bytes"), Kind::Drops),
        (format!("{FLOODERS} floods of pings"), Kind::Pings),
        (format!("{ASKERS} floods of status"), Kind::Asks(STATUS)),
        (
            format!("{ASKERS} floods of capture_status"),
            Kind::Asks(CAPTURE),
        ),
        (
            format!("{ASKERS} clients with status in turn"),
            Kind::AsksInTurn(STATUS),
        ),
        (
            format!("{ASKERS} clients with capture_status in turn"),
            Kind::AsksInTurn(CAPTURE),
        ),
        (
            format!("{LARGE} clients with 33 MiB frames"),
            Kind::TooLarge,
        ),
        (format!("{LARGE} clients with bad UTF-8"), Kind::NotUtf8),
        (
            format!("{LARGE} clients with unmasked frames"),
            Kind::Unmasked,
        ),
    ] {
        let simulator = Simulator::start(Options::default()).await?;
        let state = tempfile::tempdir()?;
        let server = Server::host_with(host, state.path(), &simulator.url(), &OPTIONS).await?;
        good(&server.address, "warm", 20).await?;
        let others = begin(&server.address, kind).await?;
        let count = seconds * 1000 / EACH.as_millis() as u32;
        let mut acks = good(&server.address, "good", count).await?;
        acks.sort_unstable();
        let ack = |quantile: f64| {
            let index = ((acks.len() - 1) as f64 * quantile) as usize;
            let ack = acks.get(index).copied().unwrap_or_default();
            format!("{:.1} ms", ack.as_secs_f64() * 1e3)
        };
        println!(
            "{name:<40} {:>10} {:>10} {:>10} {:>6} MiB",
            ack(0.5),
            ack(0.99),
            ack(1.0),
            server.memory()?.1 / 1024
        );
        drop(others);
        simulator.stop().await;
    }
    Ok(())
}

/// The good client: a chunk now and then, and how long each ack took. Every chunk is acknowledged, or it
/// is an error.
async fn good(address: &str, session: &str, count: u32) -> anyhow::Result<Vec<Duration>> {
    let url = format!("ws://{address}/v1/audio/ws/{session}/teacher");
    let (mut socket, _) = connect_async(&url).await.context("the good client")?;
    let mut acks = Vec::new();
    let mut ticks = tokio::time::interval(EACH);
    for seq in 1..=count {
        ticks.tick().await;
        let frame = chunk(seq).replace("SESSION", session);
        let sent = Instant::now();
        socket.send(Message::text(frame)).await?;
        let ack = loop {
            let next = tokio::time::timeout(LIMIT, socket.next()).await;
            match next.context("no ack in time")?.context("it was closed")?? {
                Message::Text(text) => break serde_json::from_str::<Value>(&text)?,
                _ => continue,
            }
        };
        acks.push(sent.elapsed());
        ensure!(ack["status"] == "stored" && ack["seq"] == seq, "{ack}");
    }
    socket.close(None).await?;
    Ok(acks)
}

/// Starts the others; they end when this is dropped.
async fn begin(address: &str, kind: Kind) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let count = match kind {
        Kind::Nobody => 0,
        Kind::Idle => IDLE,
        Kind::SlowHeads | Kind::SlowBodies => SLOW,
        Kind::Drops => DROPS,
        Kind::Pings => FLOODERS,
        Kind::Asks(_) | Kind::AsksInTurn(_) => ASKERS,
        Kind::TooLarge | Kind::NotUtf8 | Kind::Unmasked => LARGE,
    };
    for number in 0..count {
        let address = address.to_owned();
        match kind {
            Kind::Nobody => {}
            Kind::Idle => {
                let tcp = TcpStream::connect(&address)
                    .await
                    .with_context(|| format!("connection {number} of {count}"))?;
                tasks.spawn(async move {
                    let _tcp = tcp;
                    std::future::pending::<()>().await;
                });
            }
            Kind::SlowHeads => {
                tasks.spawn(again(move || {
                    trickle(
                        address.clone(),
                        "GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ".to_owned(),
                        SLOWLY,
                    )
                }));
            }
            Kind::SlowBodies | Kind::Drops => {
                let pause = match kind {
                    Kind::Drops => IN_DROPS,
                    _ => SLOWLY,
                };
                tasks.spawn(again(move || {
                    let head = format!(
                        "POST /v1/sessions/slow-{number}/config HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n{{"
                    );
                    trickle(address.clone(), head, pause)
                }));
            }
            Kind::Pings => {
                let ping = frame(0x89, &[b'x'; 125]).repeat(500);
                tasks.spawn(again(move || {
                    flood(address.clone(), number, ping.clone(), usize::MAX)
                }));
            }
            Kind::Asks(what) => {
                let ask = frame(0x81, what.as_bytes());
                tasks.spawn(again(move || {
                    flood(address.clone(), number, ask.clone(), usize::MAX)
                }));
            }
            Kind::AsksInTurn(what) => {
                tasks.spawn(again(move || in_turn(address.clone(), number, what)));
            }
            Kind::TooLarge => {
                let large = frame(0x81, &vec![b'x'; 33 << 20]);
                tasks.spawn(again(move || {
                    flood(address.clone(), number, large.clone(), 1)
                }));
            }
            Kind::NotUtf8 => {
                let bad = frame(0x81, b"\xff\xff\xff");
                tasks.spawn(again(move || {
                    flood(address.clone(), number, bad.clone(), 1)
                }));
            }
            Kind::Unmasked => {
                let plain = b"\x81\x03abc".to_vec();
                tasks.spawn(again(move || {
                    flood(address.clone(), number, plain.clone(), 1)
                }));
            }
        }
    }
    Ok(tasks)
}

/// Does something again and again, however it ends.
async fn again<F: Future<Output = std::io::Result<()>>>(what: impl Fn() -> F) {
    loop {
        if what().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn trickle(address: String, beginning: String, pause: Duration) -> std::io::Result<()> {
    let mut tcp = TcpStream::connect(&address).await?;
    tcp.set_nodelay(true)?;
    tcp.write_all(beginning.as_bytes()).await?;
    loop {
        tokio::time::sleep(pause).await;
        tcp.write_all(b"x").await?;
    }
}

/// Sends the same bytes so many times over a WebSocket and reads what comes.
async fn flood(
    address: String,
    number: usize,
    bytes: Vec<u8>,
    times: usize,
) -> std::io::Result<()> {
    let mut tcp = TcpStream::connect(&address).await?;
    let request = format!(
        "GET /v1/audio/ws/hostile-{number}/teacher HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await?;
    let (mut reading, mut writing) = tcp.into_split();
    let writer = async {
        for _ in 0..times {
            writing.write_all(&bytes).await?;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let reader = async {
        let mut buffer = vec![0; 1 << 16];
        while reading.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    tokio::select! {
        ended = writer => ended,
        ended = reader => ended,
    }
}

/// Sends the same text again as soon as something has come.
async fn in_turn(address: String, number: usize, text: &'static str) -> std::io::Result<()> {
    let url = format!("ws://{address}/v1/audio/ws/hostile-{number}/teacher");
    let (mut socket, _) = connect_async(&url).await.map_err(std::io::Error::other)?;
    loop {
        let sent = socket.send(Message::text(text)).await;
        sent.map_err(std::io::Error::other)?;
        match socket.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(std::io::Error::other(error)),
            None => return Ok(()),
        }
    }
}

/// A client's frame, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0xff);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
