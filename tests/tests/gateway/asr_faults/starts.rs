//! 4: a connection that leads to no task. Also a service of which a test writes every frame.

use asr_simulator::{Faults, Outcome};
use end_to_end::session::number;
use end_to_end::wait::{eventually, in_time};
use end_to_end::{Asr, Expect, Gateway, Recorded, audit};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{
    STREAMS, TEACHER, count, error, fed, heard, log_has, of_role, seconds, settings, shown,
    started, used_up,
};
use crate::kills::without_any_client;

/// How long a task may take to start where a test waits for one that does not.
const START_MS: &str = "2000";

/// Listens where the ASR service is expected, while that is down.
pub struct Scripted(TcpListener);

impl Scripted {
    pub async fn listen(asr: &Asr) -> Self {
        let url = url::Url::parse(&asr.url()).expect("an URL");
        let addresses = url.socket_addrs(|| None).expect("an address");
        Self(TcpListener::bind(&addresses[..]).await.expect("its port"))
    }

    async fn accept_tcp(&mut self) -> TcpStream {
        let accepted = in_time("the gateway connects", self.0.accept()).await;
        accepted.expect("a connection").0
    }

    pub async fn accept(&mut self) -> ScriptedConnection {
        let stream = self.accept_tcp().await;
        let handshake = tokio_tungstenite::accept_async(stream);
        ScriptedConnection(in_time("the handshake", handshake).await.expect("one"))
    }
}

pub struct ScriptedConnection(WebSocketStream<TcpStream>);

impl ScriptedConnection {
    async fn next(&mut self) -> Option<Message> {
        let next = in_time("a frame of the gateway", self.0.next()).await;
        next.and_then(Result::ok)
    }

    /// The task that is asked for.
    pub async fn task(&mut self) -> String {
        let Some(Message::Text(text)) = self.next().await else {
            panic!("no run-task")
        };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(frame["header"]["action"], "run-task", "{frame}");
        frame["header"]["task_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }

    /// Sends an event; a failure has a message.
    pub async fn say(&mut self, task: &str, event: &str, message: &str) {
        let frame = json!({
            "header": {"task_id": task, "event": event, "error_code": "E", "error_message": message},
            "payload": {},
        });
        let sent = self.0.send(Message::text(frame.to_string())).await;
        sent.expect("the gateway is there");
    }

    /// Reads so many bytes of audio.
    pub async fn audio(&mut self, bytes: usize) {
        let mut read = 0;
        while read < bytes {
            match self.next().await {
                Some(Message::Binary(audio)) => read += audio.len(),
                other => panic!("{read} bytes of audio, then {other:?}"),
            }
        }
        assert_eq!(read, bytes, "it sends what there is");
    }

    /// Reads until the gateway closes the connection; gives how many bytes of audio still came.
    pub async fn until_closed(&mut self) -> usize {
        let mut audio = 0;
        while let Some(message) = self.next().await {
            if let Message::Binary(bytes) = message {
                audio += bytes.len();
            }
        }
        audio
    }
}

#[tokio::test]
async fn fault_04_closes_before_task_started() {
    let (asr, gateway) = started().await;
    let session = "fault-04-closes";
    asr.set_faults(Faults {
        tasks: Some(4),
        close_before_start: true,
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 15).await;
    used_up(&asr).await;
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = asr.log();
    let lost = |outcome: &Outcome| *outcome == Outcome::Lost;
    assert_eq!(count(&log, lost), 4, "{log:#?}");
    for (role, _) in STREAMS {
        let tasks = of_role(&log, role);
        let (last, closed) = tasks.split_last().expect("tasks");
        for task in closed {
            assert_eq!(seconds(task), 0, "sent before it could be heard: {task:#?}");
        }
        assert_eq!(heard(last), Some((1, 15)), "{last:#?}");
        assert_eq!(last.outcome, Outcome::Finished, "{last:#?}");
    }
}

#[tokio::test]
async fn fault_04_never_sends_task_started() {
    let asr = Asr::start().await;
    let gateway = Gateway::start(settings(&asr).set("ASR_TIMEOUT_MS", START_MS)).await;
    let session = "fault-04-never";
    asr.set_faults(Faults {
        never_start: true,
        ..Faults::default()
    });
    let recorded = fed(&gateway, session, 15).await;
    let is_shown = |asr: &Value| {
        asr["asr_ws_state"] == "error" && error(asr).contains("no task-started in time")
    };
    for asr in shown(&gateway, session, "it says what is wrong", is_shown).await {
        assert_eq!(number(&asr, "ingest_lag_seconds"), 15, "{asr:#}");
    }
    // What is given up is closed: such a connection does nothing of its own accord for minutes.
    log_has(&asr, "the abandoned connections are closed", |log| {
        STREAMS.iter().all(|(role, _)| {
            let tasks = of_role(log, role);
            let lost = tasks.iter().filter(|task| task.outcome == Outcome::Lost);
            lost.count() >= 1
        })
    })
    .await;

    asr.set_faults(Faults::default());
    without_any_client(&gateway, &recorded).await;
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let log = log_has(&asr, "all connections are closed", |log| {
        count(log, |outcome| *outcome == Outcome::Running) == 0
    })
    .await;
    for (role, _) in STREAMS {
        let tasks = of_role(&log, role);
        for task in &tasks {
            let expected = if task.mute {
                Outcome::Lost
            } else {
                Outcome::Finished
            };
            assert_eq!(task.outcome, expected, "{task:#?}");
        }
        assert_eq!(heard(tasks[tasks.len() - 1]), Some((1, 15)), "{tasks:#?}");
    }
}

#[tokio::test]
async fn fault_04_never_answers_the_handshake() {
    let mut asr = Asr::down();
    let mut service = Scripted::listen(&asr).await;
    let gateway = Gateway::start(settings(&asr).set("ASR_TIMEOUT_MS", START_MS)).await;
    let session = "fault-04-handshake";
    let mut teacher = Recorded::new(session, "teacher", TEACHER);
    let mut socket = gateway.open(session, "teacher").await;
    teacher.store(&mut socket, 1..=4).await;
    let mut silent = service.accept_tcp().await;
    teacher.store(&mut socket, 5..=8).await;

    // Beside the handshake nothing comes, and then the end.
    let mut request = Vec::new();
    let reading = in_time(
        "it is given up and closed",
        silent.read_to_end(&mut request),
    );
    // A reset is an end, too.
    let _ = reading.await;
    assert!(request.starts_with(b"GET "), "a handshake");
    assert!(request.ends_with(b"\r\n\r\n"), "and nothing else");
    eventually("the state says that it failed", async || {
        let asr = gateway.asr_of(session, "teacher").await;
        if error(&asr).is_empty() {
            Err(asr)
        } else {
            Ok(())
        }
    })
    .await;

    drop(service);
    asr.up().await;
    socket.close().await;
    audit(&gateway, &[teacher], Expect::AllTranscribed).await;
}
