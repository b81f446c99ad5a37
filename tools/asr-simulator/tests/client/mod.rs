//! A client of the simulator, over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// No test uses all of it.
#![allow(dead_code)]

use std::time::Duration;

use asr_simulator::Simulator;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Long enough for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What comes from the simulator.
#[derive(Debug, PartialEq)]
pub enum Event {
    Json(Value),
    /// Text that is no JSON.
    Text(String),
    Binary(usize),
    Pong,
    /// The connection is gone; the code, when it was closed with one.
    Closed(Option<u16>),
}

impl Client {
    pub async fn connect(simulator: &Simulator, key: &str) -> Result<Self, Error> {
        let mut request = simulator.url().into_client_request().unwrap();
        let value = format!("bearer {key}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
        Ok(Self(connect_async(request).await?.0))
    }

    pub async fn action(&mut self, action: &str, payload: Value) {
        let header = json!({"action": action, "task_id": "t", "streaming": "duplex"});
        let frame = json!({"header": header, "payload": payload});
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Sends run-task and waits for nothing.
    pub async fn ask(&mut self) {
        let parameters = json!({"format": "pcm", "sample_rate": 16000});
        let payload = json!({
            "task_group": "audio", "task": "asr", "function": "recognition", "model": "m",
            "parameters": parameters, "input": {},
        });
        self.action("run-task", payload).await;
    }

    pub async fn run(&mut self) {
        self.ask().await;
        let event = self.event().await.unwrap();
        assert_eq!(event["header"]["event"], "task-started");
    }

    pub async fn send(&mut self, pcm: Vec<u8>) {
        self.0.send(Message::binary(pcm)).await.unwrap();
    }

    pub async fn ping(&mut self) {
        self.0.send(Message::Ping(Vec::new().into())).await.unwrap();
    }

    /// Closes and waits for the answer.
    pub async fn close(&mut self) {
        self.0.close(None).await.unwrap();
        while !matches!(self.next().await, Event::Closed(_)) {}
    }

    pub async fn next(&mut self) -> Event {
        loop {
            let message = timeout(PATIENCE, self.0.next())
                .await
                .expect("an event in time");
            return match message {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(json) => Event::Json(json),
                    Err(_) => Event::Text(text.as_str().to_owned()),
                },
                Some(Ok(Message::Binary(bytes))) => Event::Binary(bytes.len()),
                Some(Ok(Message::Pong(_))) => Event::Pong,
                Some(Ok(Message::Close(frame))) => {
                    Event::Closed(frame.map(|frame| frame.code.into()))
                }
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                Some(Err(_)) | None => Event::Closed(None),
            };
        }
    }

    /// Checks that nothing but JSON of before comes for so long.
    pub async fn says_nothing(&mut self, long: Duration) {
        let said = async {
            loop {
                match self.next().await {
                    Event::Json(_) => {}
                    other => return other,
                }
            }
        };
        if let Ok(said) = timeout(long, said).await {
            panic!("{said:?}");
        }
    }

    /// The next event, which is JSON.
    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Event::Json(event) => event,
            other => panic!("{other:?}"),
        }
    }

    /// The next event; none when the connection was closed.
    pub async fn event(&mut self) -> Option<Value> {
        match self.next().await {
            Event::Json(event) => Some(event),
            Event::Closed(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// All final texts until the task is finished.
    pub async fn finish(&mut self) -> Vec<String> {
        self.action("finish-task", json!({"input": {}})).await;
        let mut finals = Vec::new();
        loop {
            let event = self.event().await.expect("task-finished before the end");
            let sentence = &event["payload"]["output"]["sentence"];
            match event["header"]["event"].as_str().unwrap() {
                "task-finished" => return finals,
                _ if sentence["sentence_end"] == true => {
                    finals.push(sentence["text"].as_str().unwrap().to_owned());
                }
                _ => {}
            }
        }
    }
}

pub fn refusal(result: Result<Client, Error>) -> u16 {
    match result.map(|_| ()) {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}
