//! Does what a record says and compares what comes back.

use std::collections::BTreeMap;

use asr_simulator::mark;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use end_to_end::inference::Asked;
use end_to_end::{AudioSocket, Gateway, Inference, Received};
use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::compare::{Difference, compare};

/// The header of an answer that was given before.
const REPLAY: &str = "x-idempotent-replay";

/// Base64 of one chunk, in characters.
const CHUNK_CHARS: usize = 42_668;

/// The connections that a run of records has open.
pub struct Replay<'a> {
    gateway: &'a Gateway,
    /// Then what it was asked is compared as well.
    inference: Option<&'a Inference>,
    connections: BTreeMap<u64, Connection>,
}

struct Connection {
    path: String,
    /// None: it has ended.
    socket: Option<AudioSocket>,
}

impl<'a> Replay<'a> {
    pub fn new(gateway: &'a Gateway) -> Self {
        Self {
            gateway,
            inference: None,
            connections: BTreeMap::new(),
        }
    }

    /// With the inference service that the gateway asks.
    pub fn with_inference(gateway: &'a Gateway, inference: &'a Inference) -> Self {
        Self {
            inference: Some(inference),
            ..Self::new(gateway)
        }
    }

    /// Plays requests that were under way at the same time. Which of them comes first is chance: those
    /// that were answered before count as the later ones.
    pub async fn play_together(&self, records: &[&Value]) -> Vec<Vec<Difference>> {
        let mut ours = join_all(records.iter().map(|record| self.ask(record))).await;
        ours.sort_by_key(|ours| !ours[REPLAY].is_null());
        records
            .iter()
            .zip(&ours)
            .map(|(record, ours)| compare(&recorded(record), ours))
            .collect()
    }

    /// Plays one record; gives in what the answer differs.
    pub async fn play(&mut self, record: &Value) -> Vec<Difference> {
        match record["kind"].as_str().unwrap() {
            "http" => compare(&recorded(record), &self.ask(record).await),
            "ws-open" => self.open(record).await,
            "ws-out" => self.send(record).await,
            "ws-in" => {
                let ours = match self.receive(record).await {
                    Received::Frame(frame) => json!({"frame": frame}),
                    other => closed(other),
                };
                compare(&json!({"frame": record["frame"]}), &ours)
            }
            "ws-client-close" => {
                let code = record["code"]
                    .as_u64()
                    .map(|code| u16::try_from(code).unwrap());
                let reason = record["reason"].as_str().unwrap_or_default();
                if let Some(socket) = &mut self.connection(record).socket {
                    socket.send_close(code, reason).await;
                }
                Vec::new()
            }
            "ws-client-abort" => {
                self.connection(record).socket = None;
                Vec::new()
            }
            "ws-close" => {
                let ours = closed(self.receive(record).await);
                compare(
                    &json!({"code": record["code"], "reason": record["reason"]}),
                    &ours,
                )
            }
            "r2-list" => {
                let recorded = by_key(record["objects"].as_array().unwrap().clone());
                let ours = self.objects(record["prefix"].as_str().unwrap()).await;
                compare(
                    &json!({"objects": recorded}),
                    &json!({"objects": by_key(ours)}),
                )
            }
            "note" => self.inference.map_or_else(Vec::new, |inference| {
                let ours = asked(inference, &record["data"]);
                compare(&json!({"data": record["data"]}), &json!({"data": ours}))
            }),
            other => panic!("unknown kind of record: {other}"),
        }
    }

    /// Sends a recorded request and gives what of its answer is compared.
    async fn ask(&self, record: &Value) -> Value {
        let asked = &record["request"];
        let mut request = Request::builder()
            .method(asked["method"].as_str().unwrap())
            .uri(asked["path"].as_str().unwrap());
        for (name, value) in asked["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let body = match &asked["body"] {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            json => Bytes::from(json.to_string()),
        };
        let answer = self
            .gateway
            .send(request.body(Full::new(body)).unwrap())
            .await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let header = |name| {
            answer
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        json!({
            "status": answer.status,
            "content-type": header("content-type"),
            REPLAY: header(REPLAY),
            "body": serde_json::from_slice(&answer.body).unwrap_or(Value::String(text)),
        })
    }

    async fn open(&mut self, record: &Value) -> Vec<Difference> {
        let path = record["path"].as_str().unwrap();
        let (ours, socket) = match self.gateway.open_path(path).await {
            Ok(socket) => (json!({"status": 101}), Some(socket)),
            Err(refused) => (
                json!({"status": refused.status, "body": refused.body}),
                None,
            ),
        };
        let connection = Connection {
            path: path.to_owned(),
            socket,
        };
        self.connections
            .insert(record["conn"].as_u64().unwrap(), connection);
        compare(&record["response"], &ours)
    }

    async fn send(&mut self, record: &Value) -> Vec<Difference> {
        let gateway = self.gateway;
        let connection = self.connection(record);
        if connection.socket.is_none() {
            // This gateway closed it where the original did not: go on with the records all the same.
            connection.socket = Some(gateway.open_path(&connection.path).await.unwrap());
        }
        let socket = connection.socket.as_mut().unwrap();
        let frame = &record["frame"];
        if let Some(bytes) = frame["$binary"].as_u64() {
            socket
                .send_binary(vec![0; usize::try_from(bytes).unwrap()])
                .await;
        } else if frame.is_null() {
            socket.send_text(text(&record["text"])).await;
        } else {
            let mut frame = frame.clone();
            if frame["content_b64"].is_object() {
                frame["content_b64"] = base64(&frame["content_b64"]).into();
            }
            socket.send(&frame).await;
        }
        Vec::new()
    }

    async fn receive(&mut self, record: &Value) -> Received {
        let connection = self.connection(record);
        let Some(socket) = &mut connection.socket else {
            return Received::Lost;
        };
        let received = socket.next().await;
        if !matches!(received, Received::Frame(_)) {
            connection.socket = None;
        }
        received
    }

    fn connection(&mut self, record: &Value) -> &mut Connection {
        self.connections
            .get_mut(&record["conn"].as_u64().unwrap())
            .expect("an open connection")
    }

    /// The objects below a prefix, as the original listed them.
    async fn objects(&self, prefix: &str) -> Vec<Value> {
        let blobs = self.gateway.blobs();
        let store = blobs.store();
        let mut objects = Vec::new();
        for key in blobs.keys(prefix) {
            let object = store.get(&key).await.unwrap().unwrap();
            let metadata: Map<_, _> = object
                .metadata
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .collect();
            objects.push(json!({
                "key": key,
                "size": object.content.len(),
                "httpMetadata": {"contentType": object.content_type},
                "customMetadata": metadata,
            }));
        }
        objects
    }
}

/// What of a recorded answer is compared.
fn recorded(record: &Value) -> Value {
    let response = &record["response"];
    json!({
        "status": response["status"],
        "content-type": response["headers"]["content-type"],
        REPLAY: response["headers"][REPLAY],
        "body": response["body"],
    })
}

/// What the inference service was asked, as it is in a note: the questions about its session, or how
/// many there were.
fn asked(inference: &Inference, noted: &Value) -> Value {
    let asked = inference.asked();
    let Some(session) = noted[0]["session_id"].as_str() else {
        return asked.len().into();
    };
    let mut questions = Vec::new();
    for Asked { headers, body } in asked {
        if body["session_id"] == session {
            let mut question = body.clone();
            let names = noted[0]["top_keys"].as_array().unwrap();
            let has_them = body.as_object().unwrap().len() == names.len()
                && names
                    .iter()
                    .all(|name| body.get(name.as_str().unwrap()).is_some());
            question["top_keys"] = if has_them { json!(names) } else { Value::Null };
            question["key"] = headers["x-api-key"].to_str().unwrap().into();
            // The audio is noted by its length and the seconds that are heard in it.
            let audio = question["audio"].as_object_mut().unwrap();
            let content = audio.remove("content_b64").unwrap();
            let content = STANDARD.decode(content.as_str().unwrap()).unwrap();
            let marks = mark::read(&content);
            let marks: Vec<_> = marks.iter().map(|heard| heard.seq).collect();
            audio.insert("bytes".to_owned(), content.len().into());
            audio.insert("marks".to_owned(), json!(marks));
            questions.push(question);
        }
    }
    questions.into()
}

fn closed(received: Received) -> Value {
    match received {
        Received::Closed { code, reason } => json!({"code": code, "reason": reason}),
        Received::Lost => json!({"code": 1006, "reason": ""}),
        Received::Frame(frame) => json!({"frame": frame}),
    }
}

fn by_key(objects: Vec<Value>) -> Map<String, Value> {
    // A slash would be taken for a step in where a difference is.
    let named = |object: &Value| {
        object["key"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    objects
        .into_iter()
        .map(|object| (named(&object), object))
        .collect()
}

/// Text that was shortened in the record: its beginning and its length.
fn text(recorded: &Value) -> String {
    match recorded {
        Value::String(text) => text.clone(),
        long => {
            let (head, length) = shortened(long);
            let end = "\"}";
            format!("{head}{}{end}", "x".repeat(length - head.len() - end.len()))
        }
    }
}

/// Audio that was left out of the record. It is silence: what the ASR service makes of it is not
/// compared.
fn base64(recorded: &Value) -> String {
    if recorded["$gen"].is_string() {
        return STANDARD.encode(vec![
            0;
            usize::try_from(recorded["bytes"].as_u64().unwrap())
                .unwrap()
        ]);
    }
    let (head, length) = shortened(recorded);
    // Shorter than a chunk's: the padding was left out.
    let end = if length < CHUNK_CHARS { "" } else { "=" };
    format!("{head}{}{end}", "A".repeat(length - head.len() - end.len()))
}

fn shortened(long: &Value) -> (&str, usize) {
    (
        long["head"].as_str().unwrap(),
        usize::try_from(long["$long"].as_u64().unwrap()).unwrap(),
    )
}
