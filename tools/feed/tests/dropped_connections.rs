//! A gateway that drops connections at random moments gets every chunk all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use feed::audio::{Audio, CHUNK_BYTES};
use feed::delivery::Pace;
use feed::session::{Gateway, Role};
use feed::stream::{self, Error, Observer, Plan, Summary};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the test's gateway does with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Ack,
    /// Drops the connection before the chunk is stored.
    DropBefore,
    /// Stores the chunk and drops the connection before the ack.
    DropAfter,
    /// Answers with an error.
    Reject,
}

type Deeds = Arc<Mutex<Box<dyn FnMut() -> Deed + Send>>>;

#[derive(Clone)]
struct TestGateway {
    stored: Arc<Mutex<BTreeMap<u32, Vec<u8>>>>,
    hellos: Arc<Mutex<Vec<Value>>>,
    closes: Arc<Mutex<u32>>,
    deeds: Deeds,
}

impl TestGateway {
    async fn start(deeds: impl FnMut() -> Deed + Send + 'static) -> (Self, Gateway) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Self {
            stored: Arc::default(),
            hellos: Arc::default(),
            closes: Arc::default(),
            deeds: Arc::new(Mutex::new(Box::new(deeds))),
        };
        let serving = gateway.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (gateway, format!("http://{address}").parse().unwrap())
    }

    /// None when the connection is over.
    async fn serve(self, stream: TcpStream) -> Option<()> {
        let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let answer = match frame["type"].as_str().unwrap() {
                "hello" => {
                    self.hellos.lock().unwrap().push(frame);
                    json!({"type": "ready"})
                }
                "chunk" => self.chunk(&frame)?,
                "close" => {
                    *self.closes.lock().unwrap() += 1;
                    let code = CloseCode::Normal;
                    let reason = "end of file".into();
                    let closing = json!({"type": "closing"}).to_string();
                    socket.send(Message::text(closing)).await.ok()?;
                    socket.close(Some(CloseFrame { code, reason })).await.ok()?;
                    continue;
                }
                other => panic!("{other}"),
            };
            socket.send(Message::text(answer.to_string())).await.ok()?;
        }
        Some(())
    }

    fn chunk(&self, frame: &Value) -> Option<Value> {
        for (field, expected) in [
            ("stream_role", json!("teacher")),
            ("meeting_id", json!("a session")),
            ("sample_rate", json!(16_000)),
            ("channels", json!(1)),
            ("format", json!("pcm_s16le")),
        ] {
            assert_eq!(frame[field], expected);
        }
        assert!(frame["timestamp_ms"].as_u64().unwrap() > 0);
        let seq = u32::try_from(frame["seq"].as_u64().unwrap()).unwrap();
        let pcm = STANDARD
            .decode(frame["content_b64"].as_str().unwrap())
            .unwrap();
        let deed = (self.deeds.lock().unwrap())();
        if deed == Deed::DropBefore {
            return None;
        }
        if deed == Deed::Reject {
            return Some(json!({"type": "error", "detail": "not now"}));
        }
        let before = self.stored.lock().unwrap().insert(seq, pcm);
        let status = if before.is_some() {
            "duplicate"
        } else {
            "stored"
        };
        (deed == Deed::Ack).then(|| json!({"type": "ack", "seq": seq, "status": status}))
    }

    fn assert_has(&self, audio: &Audio) {
        let stored = self.stored.lock().unwrap();
        assert_eq!(stored.len(), audio.seconds() as usize);
        for (seq, pcm) in stored.iter() {
            assert_eq!(audio.second(*seq), Some(&pcm[..]), "{seq}");
        }
    }
}

struct Quiet;

impl Observer for Quiet {
    fn progress(&self, sent: u32, acked: u32) {
        assert!(acked <= sent);
    }
    fn note(&self, _: &str) {}
}

fn audio(seconds: usize) -> Audio {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.raw");
    let pcm: Vec<u8> = (0..seconds * CHUNK_BYTES)
        .map(|i| (i / 7 + i / CHUNK_BYTES) as u8)
        .collect();
    std::fs::write(&path, pcm).unwrap();
    Audio::load(&path, 16_000).unwrap()
}

async fn feed(gateway: &Gateway, audio: &Audio) -> Result<Summary, Error> {
    let session = "a session".parse().unwrap();
    let plan = Plan {
        url: gateway.audio(&session, Role::Teacher),
        session,
        key: None,
        role: Role::Teacher,
        pace: Pace::Fast,
        interviewer: Some("Ada Lovelace".to_owned()),
        participants: vec!["Ada Lovelace".to_owned(), "B".to_owned()],
    };
    timeout(PATIENCE, stream::run(&plan, audio, &Quiet))
        .await
        .expect("an end in time")
}

/// Deeds drawn from a seed.
fn at_random(seed: u64) -> impl FnMut() -> Deed {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        match (state >> 33) % 32 {
            0 => Deed::DropBefore,
            1 => Deed::DropAfter,
            2 => Deed::Reject,
            _ => Deed::Ack,
        }
    }
}

#[tokio::test]
async fn nothing_dropped_means_nothing_sent_twice() {
    let (gateway, url) = TestGateway::start(|| Deed::Ack).await;
    let audio = audio(70);
    let summary = feed(&url, &audio).await.unwrap();
    gateway.assert_has(&audio);
    let expected = Summary {
        chunks: 70,
        stored: 70,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    assert_eq!(*gateway.closes.lock().unwrap(), 1);
    let hellos = gateway.hellos.lock().unwrap();
    assert_eq!(hellos.len(), 1);
    assert_eq!(hellos[0]["interviewer_name"], "Ada Lovelace");
    assert_eq!(
        hellos[0]["teams_participants"],
        json!(["Ada Lovelace", "B"])
    );
}

#[tokio::test]
async fn every_chunk_arrives_whenever_connections_drop() {
    let audio = audio(100);
    let runs = (1..=6).map(|seed| {
        let audio = &audio;
        async move {
            let (gateway, url) = TestGateway::start(at_random(seed)).await;
            let summary = feed(&url, audio).await.unwrap();
            gateway.assert_has(audio);
            assert_eq!(summary.stored + summary.duplicate, summary.chunks);
            assert_eq!(*gateway.closes.lock().unwrap(), 1);
            summary.reconnects
        }
    });
    let reconnects = futures::future::join_all(runs).await;
    assert!(
        reconnects.iter().sum::<u32>() > 0,
        "no connection was dropped"
    );
}

#[tokio::test]
async fn a_chunk_that_is_always_refused_is_named() {
    let (gateway, url) = TestGateway::start(|| Deed::Reject).await;
    let error = feed(&url, &audio(1)).await.unwrap_err();
    assert!(
        matches!(error, Error::ChunkRefused { seq: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("not now"), "{error}");
    assert!(gateway.stored.lock().unwrap().is_empty());
}
