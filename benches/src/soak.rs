//! Memory over time: streams in real time, session after session, and bursts beside them. What a process
//! keeps of either shows as a line that climbs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use asr_simulator::{Options, Simulator};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::load::{Load, Socket, chunk, send};
use crate::processes::Server;

/// Seconds of a session; then its stream begins another one.
const SESSION_SECONDS: u32 = 60;
/// From one line of the table to the next.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// From one burst to the next.
const BURST_EVERY: Duration = Duration::from_secs(20);
/// A burst: sessions that are sent as fast as they are acknowledged.
const BURST: Load = Load {
    streams: 20,
    chunks: 60,
    window: 16,
};
/// Looks that are left out of the comparison: what grows in the first of them is what serving takes at all.
const WARM_UP_LOOKS: usize = 4;

/// What is played.
pub struct Soak {
    /// How long.
    pub minutes: u32,
    /// Streams in real time.
    pub streams: u32,
}

/// What was done so far.
#[derive(Default)]
struct Done {
    chunks: AtomicU64,
    sessions: AtomicU64,
}

/// Plays it and prints a line for every look at the process, then how much it grew.
pub async fn run(host: &Path, soak: &Soak) -> anyhow::Result<()> {
    let simulator = Simulator::start(Options::default()).await?;
    let state = tempfile::tempdir()?;
    // The first start compiles the components, which takes more memory than anything later.
    let compiled = Server::host(host, state.path(), &simulator.url()).await?;
    compiled.end().await?;
    let server = Server::host(host, state.path(), &simulator.url()).await?;
    println!(
        "{} streams in real time, sessions of {SESSION_SECONDS} s; every {} s a burst of {} sessions of {} s; {} min",
        soak.streams,
        BURST_EVERY.as_secs(),
        BURST.streams,
        BURST.chunks,
        soak.minutes,
    );
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>10}",
        "seconds", "sessions", "chunks", "RSS MiB", "peak MiB"
    );
    let done = Arc::new(Done::default());
    let mut clients = JoinSet::new();
    for number in 0..soak.streams {
        let (address, done) = (server.address.clone(), Arc::clone(&done));
        clients.spawn(async move { stream(&address, number, &done).await });
    }
    let (address, counted) = (server.address.clone(), Arc::clone(&done));
    clients.spawn(async move { bursts(&address, &counted).await });

    let begun = Instant::now();
    let end = begun + Duration::from_secs(60 * u64::from(soak.minutes));
    let mut looks = interval_at(begun + LOOK_EVERY, LOOK_EVERY);
    let mut resident = Vec::new();
    while Instant::now() < end {
        tokio::select! {
            _ = looks.tick() => {}
            // None of them ends by itself.
            failed = clients.join_next() => {
                failed.context("no client is left")???;
            }
        }
        let (now, peak) = server.memory()?;
        println!(
            "{:>8} {:>10} {:>10} {:>10.1} {:>10.1}",
            begun.elapsed().as_secs(),
            done.sessions.load(Ordering::Relaxed),
            done.chunks.load(Ordering::Relaxed),
            mebibytes(now),
            mebibytes(peak),
        );
        resident.push(now);
    }
    let cpu = server.cpu()?;
    let chunks = done.chunks.load(Ordering::Relaxed);
    println!(
        "CPU {:.0} us a chunk, the start included",
        cpu.as_secs_f64() * 1e6 / chunks.max(1) as f64
    );
    summary(&resident);
    simulator.stop().await;
    Ok(())
}

/// One stream in real time, session after session.
async fn stream(address: &str, number: u32, done: &Done) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    // Not all in the same moment.
    tokio::time::sleep(Duration::from_millis(u64::from(number) * 37 % 1000)).await;
    for session in 0.. {
        let id = format!("soak-{number}-{session}");
        let url = format!("ws://{address}/v1/audio/ws/{id}/teacher");
        let (mut socket, _) = connect_async(&url).await.with_context(|| url.clone())?;
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for seq in 1..=SESSION_SECONDS {
            seconds.tick().await;
            let frame = chunk(seq).replace("SESSION", &id);
            socket.send(Message::text(frame)).await?;
            ack(&mut socket).await?;
            done.chunks.fetch_add(1, Ordering::Relaxed);
        }
        socket.close(None).await?;
        let finalize = format!("http://{address}/v1/sessions/{id}/finalize");
        let answer = http.post(finalize).body("{}").send().await?;
        ensure!(answer.status() == 200, "finalize: {}", answer.text().await?);
        done.sessions.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn bursts(address: &str, done: &Done) -> anyhow::Result<()> {
    let mut turns = interval(BURST_EVERY);
    for burst in 0.. {
        turns.tick().await;
        send(address, &format!("burst-{burst}"), BURST).await?;
        done.chunks
            .fetch_add(u64::from(BURST.total()), Ordering::Relaxed);
        done.sessions
            .fetch_add(u64::from(BURST.streams), Ordering::Relaxed);
    }
    Ok(())
}

async fn ack(socket: &mut Socket) -> anyhow::Result<()> {
    loop {
        let frame = socket.next().await.context("the server hung up")??;
        if let Message::Text(text) = frame {
            let ack: Value = serde_json::from_str(&text)?;
            ensure!(ack["status"] == "stored", "no ack: {text}");
            return Ok(());
        }
    }
}

fn summary(resident: &[u64]) {
    let settled = resident.get(WARM_UP_LOOKS..).unwrap_or_default();
    let half = settled.len() / 2;
    let (Some(first), Some(second)) = (mean(&settled[..half]), mean(&settled[half..])) else {
        return println!("too short to tell whether memory grows");
    };
    println!(
        "after the first {} s: {:.1} MiB in the first half, {:.1} MiB in the second ({:+.1} %)",
        WARM_UP_LOOKS as u64 * LOOK_EVERY.as_secs(),
        first,
        second,
        (second / first - 1.0) * 100.0,
    );
}

fn mean(kib: &[u64]) -> Option<f64> {
    let sum: u64 = kib.iter().sum();
    (!kib.is_empty()).then(|| mebibytes(sum) / kib.len() as f64)
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
