//! A gateway that does what a test tells it: one port for HTTP and WebSockets, chunks in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is done with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Ack,
    /// Drops the connection before the chunk is stored.
    DropBefore,
    /// Stores the chunk and drops the connection before the ack.
    DropAfter,
    /// Answers with an error.
    Reject,
    /// Answers nothing.
    Keep,
}

/// An answer to an HTTP request; none drops the connection.
pub type Answer = Option<(u16, Value)>;

/// What a test tells it.
pub struct Rules {
    pub deed: Box<dyn FnMut(u32) -> Deed + Send>,
    /// After `hello`: sent instead of `ready`, then closed with 1008.
    pub refusal: Option<&'static str>,
    /// Sent after `ready`.
    pub errors: usize,
    pub provider: &'static str,
    pub text: &'static str,
    pub finalize: Box<dyn FnMut() -> Answer + Send>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            deed: Box::new(|_| Deed::Ack),
            refusal: None,
            errors: 0,
            provider: "dashscope",
            text: "a text",
            finalize: Box::new(finalized),
        }
    }
}

/// The answer when all is well.
pub fn finalized() -> Answer {
    Some((
        200,
        json!({"result_key": "sessions/x/result.json", "event_count": 0}),
    ))
}

#[derive(Clone)]
pub struct Fake {
    pub stored: Arc<Mutex<BTreeMap<u32, Vec<u8>>>>,
    pub hellos: Arc<Mutex<Vec<Value>>>,
    pub meeting_ids: Arc<Mutex<Vec<String>>>,
    pub closes: Arc<Mutex<u32>>,
    /// Method and path of each HTTP request.
    pub requests: Arc<Mutex<Vec<String>>>,
    rules: Arc<Mutex<Rules>>,
    pub url: String,
}

impl Fake {
    pub async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            stored: Arc::default(),
            hellos: Arc::default(),
            meeting_ids: Arc::default(),
            closes: Arc::default(),
            requests: Arc::default(),
            rules: Arc::new(Mutex::new(rules)),
            url: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        fake
    }

    /// One whose stream has these seconds already.
    pub async fn start_with(rules: Rules, seconds: impl IntoIterator<Item = u32>) -> Self {
        let fake = Self::start(rules).await;
        let seconds = seconds.into_iter().map(|seq| (seq, b"of before".to_vec()));
        fake.stored.lock().unwrap().extend(seconds);
        fake
    }

    pub fn seconds(&self) -> Vec<u32> {
        self.stored.lock().unwrap().keys().copied().collect()
    }

    pub fn finalizes(&self) -> usize {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .filter(|request| request.starts_with("POST"))
            .count()
    }

    async fn serve(self, stream: TcpStream) -> Option<()> {
        let mut head = vec![0; 8192];
        let upgrades = loop {
            let count = stream.peek(&mut head).await.ok()?;
            let text = String::from_utf8_lossy(&head[..count]).to_ascii_lowercase();
            if text.contains("\r\n\r\n") {
                break text.contains("upgrade: websocket");
            }
            if count == 0 {
                return None;
            }
        };
        if upgrades {
            let socket = tokio_tungstenite::accept_async(stream).await.ok()?;
            self.audio(socket).await
        } else {
            self.http(stream).await
        }
    }

    async fn http(self, mut stream: TcpStream) -> Option<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse().unwrap());
            stream.read_exact(&mut vec![0; length]).await.ok()?;
            let request = head.lines().next().unwrap();
            let request = request
                .trim_end_matches(" http/1.1")
                .replace("post", "POST");
            self.requests.lock().unwrap().push(request.clone());
            let (status, body) = self.answer(&request)?;
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, request: &str) -> Answer {
        let mut rules = self.rules.lock().unwrap();
        let count = self.stored.lock().unwrap().len().min(1);
        if request.contains("/health") {
            Some((
                200,
                json!({"status": "ok", "asr_provider": rules.provider, "asr_enabled": true}),
            ))
        } else if request.contains("/finalize") {
            (rules.finalize)()
        } else if request.contains("/utterances") {
            let item =
                json!({"utterance_id": "u", "text": rules.text, "start_ms": 0, "end_ms": 1000});
            Some((200, json!({"items": vec![item; count]})))
        } else if request.contains("/state") {
            let by_role =
                |value: Value| json!({"teacher": value, "students": value, "mixed": value});
            Some((
                200,
                json!({
                    "asr_by_stream": by_role(json!({"backlog_chunks": 0})),
                    "utterance_count_by_stream": by_role(json!(count)),
                }),
            ))
        } else {
            Some((404, json!({"detail": "route not found"})))
        }
    }

    /// None when the connection is over.
    async fn audio(self, mut socket: WebSocketStream<TcpStream>) -> Option<()> {
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let answer = match frame["type"].as_str().unwrap() {
                "hello" => {
                    self.hellos.lock().unwrap().push(frame);
                    let (refusal, errors) = {
                        let rules = self.rules.lock().unwrap();
                        (rules.refusal, rules.errors)
                    };
                    if let Some(reason) = refusal {
                        let (code, reason) = (1008.into(), reason.into());
                        socket.close(Some(CloseFrame { code, reason })).await.ok()?;
                        continue;
                    }
                    socket
                        .send(Message::text(self.ready().to_string()))
                        .await
                        .ok()?;
                    for i in 0..errors {
                        let error =
                            json!({"type": "error", "detail": format!("{i} {}", "x".repeat(200))});
                        socket.send(Message::text(error.to_string())).await.ok()?;
                    }
                    continue;
                }
                "chunk" => match self.chunk(&frame) {
                    Answered::With(answer) => answer,
                    Answered::ByADrop => return None,
                    Answered::Not => continue,
                },
                "close" => {
                    *self.closes.lock().unwrap() += 1;
                    let (code, reason) = (1000.into(), "end of file".into());
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

    fn ready(&self) -> Value {
        let stored = self.stored.lock().unwrap();
        let last = stored.keys().last().copied().unwrap_or(0);
        let missing = last as usize - stored.len();
        json!({
            "type": "ready",
            "session_id": "as the gateway spells it",
            "ingest": {"last_seq": last, "missing_chunks": missing},
        })
    }

    fn chunk(&self, frame: &Value) -> Answered {
        for (field, expected) in [
            ("stream_role", json!("teacher")),
            ("meeting_id", json!("as the gateway spells it")),
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
        assert_eq!(pcm.len(), 32_000);
        let deed = (self.rules.lock().unwrap().deed)(seq);
        match deed {
            Deed::DropBefore => return Answered::ByADrop,
            Deed::Keep => return Answered::Not,
            Deed::Reject => {
                return Answered::With(json!({"type": "error", "detail": "could not be stored"}));
            }
            Deed::Ack | Deed::DropAfter => {}
        }
        let mut stored = self.stored.lock().unwrap();
        let is_new = !stored.contains_key(&seq);
        let status = if is_new { "stored" } else { "duplicate" };
        stored.entry(seq).or_insert(pcm);
        match deed {
            Deed::DropAfter => Answered::ByADrop,
            _ => Answered::With(json!({"type": "ack", "seq": seq, "status": status})),
        }
    }
}

enum Answered {
    With(Value),
    ByADrop,
    Not,
}
