//! Whoever reads the log goes away or stands still, or its disk is full: lines are lost and counted, and
//! nothing else happens.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use end_to_end::gateway::{host, share_compiled_code, up};
use end_to_end::http::{request, try_send};
use end_to_end::wait::eventually;
use end_to_end::{Asr, Expect, Gateway, Pace, Recorded, Recorder, audit, build};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::after;
use crate::metrics::exposition::Scrape;
use crate::metrics::shows;

/// What an end takes at most here: nothing that is served takes long.
const END: Duration = Duration::from_secs(15);
/// Lines by the thousand, but none of the compiler's.
const CHATTY: &str = "trace,cranelift_codegen=info,regalloc2=info,wasmtime=info";

/// A gateway whose standard error is this file.
async fn logging_to(asr: &Asr, file: impl Fn(&Path) -> String + Send + Sync + 'static) -> Gateway {
    let url = asr.url();
    Gateway::start_by(move |state| {
        let mut command = up(state);
        command.envs([
            ("ASR_WS_URL", url.as_str()),
            ("ALIYUN_DASHSCOPE_API_KEY", "a-key"),
            ("RUST_LOG", CHATTY),
        ]);
        after(&format!("exec 2>'{}'", file(state)), command)
    })
    .await
}

fn is_lossy(scrape: &Scrape) -> bool {
    scrape.value("host_log_lines_lost_total", &[]) > 0.0
}

#[tokio::test]
async fn a_log_on_a_full_disk_costs_nobody_anything() {
    let asr = Asr::start().await;
    let mut gateway = logging_to(&asr, |_| "/dev/full".to_owned()).await;
    let stream = Recorded::new("log-full", "teacher", 1);
    let mut client = Recorder::start(&gateway, stream, Pace::Times(20.0));
    client.acked(30).await;
    shows(&gateway, "lost lines are counted", is_lossy).await;
    assert_eq!(client.ends(), []);
    let recorded = [client.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Makes a pipe with a name and keeps it open, so that its reader is there and stands still.
fn stuck_pipe(state: &Path) -> File {
    let path = pipe(state);
    if !path.exists() {
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
    }
    let open = File::options().read(true).write(true).open(path);
    open.expect("a pipe")
}

fn pipe(state: &Path) -> PathBuf {
    state.join("log.pipe")
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_nobody_up_and_is_told_what_is_missing() {
    let asr = Asr::start().await;
    let reader: Arc<Mutex<Option<File>>> = Arc::default();
    let kept = Arc::clone(&reader);
    let mut gateway = logging_to(&asr, move |state| {
        kept.lock()
            .unwrap()
            .get_or_insert_with(|| stuck_pipe(state));
        pipe(state).display().to_string()
    })
    .await;
    let stream = Recorded::new("log-stuck", "teacher", 1);
    let mut client = Recorder::start(&gateway, stream, Pace::Times(50.0));
    shows(&gateway, "lost lines are counted", is_lossy).await;
    // Acks and requests go on.
    client.acked_more(30).await;
    assert_eq!(gateway.get("/health").await.status, 200);
    assert_eq!(client.ends(), []);

    // So does the end.
    let asked = Instant::now();
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(asked.elapsed() < END, "it took {:?}", asked.elapsed());

    gateway.restart().await;
    client.acked_more(30).await;
    shows(&gateway, "lost lines are counted", is_lossy).await;
    // It reads on.
    let log: Arc<Mutex<String>> = Arc::default();
    let read = Arc::clone(&log);
    let lines = BufReader::new(File::open(pipe(gateway.state_dir())).unwrap());
    drop(reader.lock().unwrap().take());
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            let mut log = read.lock().unwrap();
            if line.contains("lines of the log are missing here") {
                *log = line;
            }
        }
    });
    eventually("the log says what is missing", async || {
        let said = log.lock().unwrap().clone();
        if said.contains("lines=") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    let recorded = [client.finish().await];
    audit(&gateway, &recorded, Expect::AllTranscribed).await;
    let status = gateway.terminate().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A host that was started without waiting for what it says; it is killed when this is dropped.
struct Started {
    child: Child,
    address: SocketAddr,
    state: TempDir,
}

impl Started {
    /// Starts it with these outputs, at an address that is free: the other tests take theirs on 127.0.0.1.
    fn new(rust_log: &str, outputs: impl FnOnce(&mut Command, &Path)) -> Self {
        let state = tempfile::tempdir().unwrap();
        share_compiled_code(state.path());
        let listener = TcpListener::bind("127.79.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let mut command = host();
        command.arg("up").arg("--from").arg(build::manifest());
        command.args(["--listen", &address.to_string(), "--state-dir"]);
        command.arg(state.path()).env("RUST_LOG", rust_log);
        outputs(&mut command, state.path());
        Self {
            child: command.spawn().unwrap(),
            address,
            state,
        }
    }

    /// Waits until it has answered so often.
    async fn answers(&mut self, times: u32) {
        let mut answered = 0;
        eventually("it serves", async || {
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended");
            let health = request("GET", "/health", None);
            match try_send(self.address, health).await {
                Ok(answer) if answer.status == 200 => answered += 1,
                other => return Err(format!("{other:?}")),
            }
            if answered >= times {
                Ok(())
            } else {
                Err(answered.to_string())
            }
        })
        .await;
    }

    /// Ends it by SIGTERM; it ends with status 0.
    async fn ends(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = eventually("it ends", async || {
            self.child.try_wait().unwrap().ok_or("it runs")
        })
        .await;
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As `trigger-websocket up 2>&1 | head -3`: both outputs are one pipe, which is closed after three lines.
#[tokio::test]
async fn a_reader_of_both_outputs_that_leaves_after_three_lines_ends_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    let mut host = Started::new(CHATTY, |command, _| {
        let both = writer.try_clone().unwrap();
        command.stdout(both).stderr(writer);
    });
    let mut lines = BufReader::new(reader);
    let mut said = String::new();
    for _ in 0..3 {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    drop(lines);
    host.answers(50).await;
    host.ends().await;
}

/// Standard output is a pipe that is full before the first line: the line that says where it listens is not
/// waited for.
#[tokio::test]
async fn an_output_that_is_full_from_the_start_is_not_waited_for() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    // It ends when there is no more room.
    Command::new("dd")
        .args([
            "if=/dev/zero",
            "of=/dev/stdout",
            "oflag=nonblock",
            "bs=4096",
        ])
        .stdout(writer.try_clone().unwrap())
        .stderr(Stdio::null())
        .status()
        .expect("dd");
    let mut host = Started::new("info", |command, state| {
        command.stdout(writer);
        command.stderr(File::create(state.join("log")).unwrap());
    });
    host.answers(1).await;
    host.ends().await;
    let log = std::fs::read_to_string(host.state.path().join("log")).unwrap();
    assert!(log.contains("stopped"), "{log}");
    let mut there = Vec::new();
    reader.read_to_end(&mut there).unwrap();
    assert!(!there.is_empty() && there.iter().all(|byte| *byte == 0));
}
