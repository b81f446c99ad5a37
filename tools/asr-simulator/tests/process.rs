//! The simulator as a program: how it ends, and that it needs nobody who reads what it says.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; it is killed when this is dropped.
struct Program {
    child: Child,
    url: String,
    /// Nobody reads on.
    _stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(stderr: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_asr-simulator"))
            .args(["--listen", "127.0.0.1:0"])
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        Self {
            url: url.unwrap_or_else(|| panic!("{line}")).to_owned(),
            child,
            _stdout: stdout,
        }
    }

    async fn connect(&self) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        let mut request = self.url.as_str().into_client_request().unwrap();
        let key = "bearer k".parse().unwrap();
        request.headers_mut().insert("authorization", key);
        let connected = tokio::time::timeout(PATIENCE, connect_async(request)).await;
        connected.unwrap().unwrap().0
    }

    /// Sends these signals, one right after the other.
    fn signal(&self, signals: &[&str]) {
        for signal in signals {
            let sent = Command::new("kill")
                .args(["-s", signal, &self.child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
        }
    }

    async fn ends(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn several_signals_together_end_it_in_order() {
    for signals in [&["INT", "TERM", "HUP", "TERM"][..], &["HUP"]] {
        let mut program = Program::start(Stdio::null());
        let mut client = program.connect().await;
        program.signal(signals);
        let message = tokio::time::timeout(PATIENCE, client.next()).await.unwrap();
        match message {
            Some(Ok(Message::Close(Some(close)))) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("{other:?}"),
        }
        drop(client);
        let status = program.ends().await;
        assert_eq!(status.code(), Some(0), "{signals:?}: {status}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut program = Program::start(Stdio::from(full));
    for _ in 0..20 {
        let mut client = program.connect().await;
        client.close(None).await.unwrap();
    }
    program.signal(&["TERM"]);
    let status = program.ends().await;
    assert_eq!(status.code(), Some(0), "{status}");
}
