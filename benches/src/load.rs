//! The clients: streams of marked seconds over WebSockets, each ack awaited.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{SinkExt, StreamExt, future::try_join_all};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How much is sent.
#[derive(Clone, Copy)]
pub struct Load {
    /// At the same time, each a session of its own.
    pub streams: u32,
    /// Of each stream.
    pub chunks: u32,
    /// Sent ahead of acks.
    pub window: u32,
}

impl Load {
    /// Chunks of all streams.
    pub fn total(&self) -> u32 {
        self.streams * self.chunks
    }
}

/// What the clients saw.
pub struct Seen {
    /// From the first frame to the last ack.
    pub wall: Duration,
    /// From each frame to its ack, sorted.
    pub acks: Vec<Duration>,
}

/// A client's connection.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sends all of it to the server at `address`; session ids begin with `name`.
pub async fn send(address: &str, name: &str, load: Load) -> anyhow::Result<Seen> {
    let frames: Vec<String> = (1..=load.chunks).map(chunk).collect();
    let sockets = try_join_all((0..load.streams).map(|n| async move {
        let url = format!("ws://{address}/v1/audio/ws/{name}-{n}/teacher");
        let (socket, _) = connect_async(&url).await.with_context(|| url.clone())?;
        anyhow::Ok((format!("{name}-{n}"), socket))
    }))
    .await?;
    let begin = Instant::now();
    let streams = sockets
        .into_iter()
        .map(|(id, socket)| stream(socket, id, &frames, load.window));
    let acks = try_join_all(streams).await?;
    let wall = begin.elapsed();
    let mut acks: Vec<_> = acks.into_iter().flatten().collect();
    acks.sort_unstable();
    Ok(Seen { wall, acks })
}

async fn stream(
    mut socket: Socket,
    id: String,
    frames: &[String],
    window: u32,
) -> anyhow::Result<Vec<Duration>> {
    let mut sent = Vec::with_capacity(frames.len());
    let mut acks = Vec::with_capacity(frames.len());
    while acks.len() < frames.len() {
        while sent.len() < frames.len() && sent.len() - acks.len() < window as usize {
            let frame = frames[sent.len()].replace("SESSION", &id);
            sent.push(Instant::now());
            socket.send(Message::text(frame)).await?;
        }
        let Message::Text(text) = socket.next().await.context("the server hung up")?? else {
            continue;
        };
        let ack: Value = serde_json::from_str(&text)?;
        ensure!(ack["status"] == "stored", "no ack: {text}");
        acks.push(sent[acks.len()].elapsed());
    }
    socket.close(None).await?;
    Ok(acks)
}

/// The frame of a marked second, with `SESSION` for the session's id.
pub fn chunk(seq: u32) -> String {
    let pcm = asr_simulator::mark::second(1, seq);
    serde_json::json!({
        "type": "chunk",
        "stream_role": "teacher",
        "meeting_id": "SESSION",
        "seq": seq,
        "timestamp_ms": 1_760_000_000_000_u64 + u64::from(seq) * 1000,
        "sample_rate": 16000,
        "channels": 1,
        "format": "pcm_s16le",
        "content_b64": base64_simd::STANDARD.encode_to_string(pcm),
    })
    .to_string()
}
