//! A session of eight hours in one stream, as fast as it goes: what an utterance costs at its beginning
//! and at its end, how long `state` takes, what memory does, and whether anything is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use asr_simulator::{Options, Simulator, mark};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::load::{Socket, chunk};
use crate::processes::Server;

/// The session's id.
const SESSION: &str = "eight-hours";
/// The mark of its seconds.
const MARK: u16 = 1;
/// Chunks sent ahead of their acks.
const AHEAD: usize = 16;
/// Utterances of a line of the table.
const STAGE: u32 = 1_000;
/// Every so many stages a line is printed; the first and the last always.
const PRINTED: u32 = 10;
/// `GET state` is asked so often after each stage.
const LOOKS: usize = 20;
/// A stage may take so long.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the session is.
pub struct LongSession {
    /// Chunks.
    pub seconds: u32,
    /// Final sentences that the service makes of each.
    pub per_second: u32,
}

struct Stage {
    utterances: u32,
    cpu_us: f64,
    state_p50: Duration,
    state_max: Duration,
    rss_kib: u64,
}

#[derive(Deserialize)]
struct ResultFile {
    utterances_raw_by_stream: OfTeacher,
    untranscribed_by_stream: Untranscribed,
    event_count: Option<u32>,
    events: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct OfTeacher {
    teacher: Vec<Utterance>,
}

#[derive(Deserialize)]
struct Untranscribed {
    teacher: Vec<Value>,
}

#[derive(Deserialize)]
struct Utterance {
    text: String,
    start_ms: u64,
    end_ms: u64,
}

/// Runs it and prints the table.
pub async fn run(host: &Path, session: &LongSession) -> anyhow::Result<()> {
    let simulator = Simulator::start(Options {
        sentences_per_second: session.per_second,
        ..Options::default()
    })
    .await?;
    let state = tempfile::tempdir()?;
    let server = Server::host(host, state.path(), &simulator.url()).await?;
    let http = reqwest::Client::new();
    let base = format!("http://{}/v1/sessions/{SESSION}", server.address);
    println!(
        "one stream of {} chunks, {} utterances, {AHEAD} ahead of acks, {} cores",
        session.seconds,
        session.seconds * session.per_second,
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    println!(
        "{:>12} {:>18} {:>12} {:>12} {:>10}",
        "utterances", "CPU us/utterance", "state p50", "state max", "RSS MiB"
    );
    let url = format!("ws://{}/v1/audio/ws/{SESSION}/teacher", server.address);
    let (mut socket, _) = connect_async(&url).await.with_context(|| url.clone())?;
    let begun = Instant::now();
    let stage_seconds = (STAGE / session.per_second).max(1);
    let mut stages: Vec<Stage> = Vec::new();
    let mut sent = 0;
    while sent < session.seconds {
        let last = (sent + stage_seconds).min(session.seconds);
        let before = server.cpu()?;
        send(&mut socket, sent + 1..=last).await?;
        let made = (last - sent) * session.per_second;
        sent = last;
        transcribed(&http, &base, sent * session.per_second).await?;
        let cpu = server.cpu()? - before;
        let (state_p50, state_max) = look(&http, &base).await?;
        let stage = Stage {
            utterances: sent * session.per_second,
            cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(made),
            state_p50,
            state_max,
            rss_kib: server.memory()?.0,
        };
        let number = u32::try_from(stages.len())?;
        if number.is_multiple_of(PRINTED) || sent == session.seconds {
            print(&stage);
        }
        stages.push(stage);
    }
    println!(
        "sent and transcribed in {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    socket.close(None).await?;

    let finalizing = Instant::now();
    let answer = http
        .post(format!("{base}/finalize"))
        .body("{}")
        .send()
        .await?;
    ensure!(answer.status() == 200, "finalize: {}", answer.text().await?);
    println!("finalize: {:.1} s", finalizing.elapsed().as_secs_f64());
    let reading = Instant::now();
    let result = http
        .get(format!("{base}/result"))
        .send()
        .await?
        .bytes()
        .await?;
    println!(
        "result.json: {:.0} MiB, read in {:.1} s",
        result.len() as f64 / f64::from(1 << 20),
        reading.elapsed().as_secs_f64()
    );
    check(session, &serde_json::from_slice(&result)?)?;
    println!("every part of every second is there once, in order, under its own second");
    let (now, peak) = server.memory()?;
    println!(
        "memory: {} MiB now, {} MiB at most",
        now / 1024,
        peak / 1024
    );
    summary(&stages);
    simulator.stop().await;
    Ok(())
}

async fn send(socket: &mut Socket, seconds: std::ops::RangeInclusive<u32>) -> anyhow::Result<()> {
    let mut waiting = 0;
    for seq in seconds {
        socket
            .send(Message::text(chunk(seq).replace("SESSION", SESSION)))
            .await?;
        waiting += 1;
        while waiting >= AHEAD {
            ack(socket).await?;
            waiting -= 1;
        }
    }
    for _ in 0..waiting {
        ack(socket).await?;
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

/// Waits until so many utterances are made.
async fn transcribed(http: &reqwest::Client, base: &str, utterances: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state: Value = http
            .get(format!("{base}/state"))
            .send()
            .await?
            .json()
            .await?;
        let made = state["utterance_count_by_stream"]["teacher"].as_u64();
        if made >= Some(u64::from(utterances)) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{made:?} of {utterances} utterances"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long `GET state` takes: the middle and the longest.
async fn look(http: &reqwest::Client, base: &str) -> anyhow::Result<(Duration, Duration)> {
    let mut times = Vec::new();
    for _ in 0..LOOKS {
        let asked = Instant::now();
        http.get(format!("{base}/state"))
            .send()
            .await?
            .bytes()
            .await?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let middle = times.get(LOOKS / 2).copied().unwrap_or_default();
    Ok((middle, times.last().copied().unwrap_or_default()))
}

fn check(session: &LongSession, result: &ResultFile) -> anyhow::Result<()> {
    let utterances = &result.utterances_raw_by_stream.teacher;
    let parts: Vec<_> = utterances
        .iter()
        .flat_map(|utterance| mark::parts_in(&utterance.text))
        .collect();
    let per_second = u8::try_from(session.per_second)?;
    let expected: Vec<_> = (1..=session.seconds)
        .flat_map(|seq| (1..=per_second).map(move |part| (MARK, seq, part)))
        .collect();
    ensure!(
        parts == expected,
        "{} parts instead of {}",
        parts.len(),
        expected.len()
    );
    let mut end = 0;
    for utterance in utterances {
        let (_, seq, _) = mark::parts_in(&utterance.text)[0];
        ensure!(
            end <= utterance.start_ms && utterance.start_ms < utterance.end_ms,
            "{} begins at {} after {end}",
            utterance.text,
            utterance.start_ms
        );
        ensure!(
            u64::from(seq - 1) * 1000 <= utterance.start_ms
                && utterance.end_ms <= u64::from(seq) * 1000,
            "{} is at {} to {}",
            utterance.text,
            utterance.start_ms,
            utterance.end_ms
        );
        end = utterance.end_ms;
    }
    ensure!(result.untranscribed_by_stream.teacher.is_empty());
    ensure!(result.event_count.is_none() && result.events.len() == utterances.len());
    Ok(())
}

fn print(stage: &Stage) {
    println!(
        "{:>12} {:>18.0} {:>9.1} ms {:>9.1} ms {:>10}",
        stage.utterances,
        stage.cpu_us,
        millis(stage.state_p50),
        millis(stage.state_max),
        stage.rss_kib / 1024,
    );
}

fn summary(stages: &[Stage]) {
    // The first one pays for what the process does once.
    let (Some(first), Some(last)) = (stages.get(1), stages.last()) else {
        return;
    };
    let slowest = stages.iter().map(|stage| stage.state_max).max();
    println!(
        "second thousand to last thousand: CPU {:.0} to {:.0} us an utterance ({:.2}), memory {} to {} MiB; \
         the slowest state {:.1} ms",
        first.cpu_us,
        last.cpu_us,
        last.cpu_us / first.cpu_us,
        first.rss_kib / 1024,
        last.rss_kib / 1024,
        millis(slowest.unwrap_or_default()),
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
