//! Starts the host on the echo guest, in a folder of its own, and stops it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The longest that a test waits for anything.
pub const WAIT: Duration = Duration::from_secs(60);

/// A client's socket.
pub type Ws = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "echo"
[variables]
greeting = { default = "hello" }
at_start = { default = "" }
errands = { default = "" }
secret = { default = "not for the component" }
[[trigger.websocket]]
route = "/..."
component = "echo"
[component.echo]
source = "echo_guest.wasm"
key_value_stores = ["default"]
allowed_outbound_hosts = ["ws://127.0.0.1:2"]
environment = { COLOUR = "green" }
[component.echo.variables]
greeting = "{{ greeting }}"
at_start = "{{ at_start }}"
errands = "{{ errands }}"
"#;

static GUEST: LazyLock<PathBuf> = LazyLock::new(build_guest);

/// A running host; killed when dropped.
pub struct Host {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

/// A host that was told to end.
pub struct Ending(Host);

impl Host {
    /// Starts it, with more options, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(
            app_folder(),
            arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
        )
    }

    /// Starts it, with more options, when it must not come as far as to listen. Waits until it ended.
    pub fn refused(arguments: &[&str]) -> Output {
        let folder = app_folder();
        let child = up(&folder)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, output) = std::sync::mpsc::channel();
        let id = child.id().to_string();
        std::thread::spawn(move || said.send(child.wait_with_output()));
        output.recv_timeout(WAIT).map_or_else(
            |_| {
                let _ = Command::new("kill").args(["-9", &id]).status();
                panic!("it does not end");
            },
            Result::unwrap,
        )
    }

    fn start_in(folder: tempfile::TempDir, arguments: Vec<String>) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = up(&folder)
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| {
                panic!(
                    "{line}: {}",
                    std::fs::read_to_string(folder.path().join("log")).unwrap()
                )
            });
        Self {
            child,
            address: address.to_owned(),
            folder,
            arguments,
        }
    }

    /// A WebSocket.
    pub async fn connect(&self, path: &str) -> Ws {
        let url = format!("ws://{}{path}", self.address);
        tokio::time::timeout(WAIT, tokio_tungstenite::connect_async(url))
            .await
            .unwrap()
            .unwrap()
            .0
    }

    /// A plain request on a connection of its own; the whole answer as text.
    pub fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        self.request_to(&self.address, method, path, headers, body)
    }

    /// The same to another port.
    pub fn request_to(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let length = if headers.contains("content-length") || body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", body.len())
        };
        // 1.0 knows no chunks, and ends with the connection.
        let version = if headers.contains("upgrade") {
            "1.1"
        } else {
            "1.0"
        };
        let head =
            format!("{method} {path} HTTP/{version}\r\nhost: {address}\r\n{headers}{length}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until its log has this.
    pub fn logs(&self, part: &str) {
        let start = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            if log.contains(part) {
                return;
            }
            assert!(start.elapsed() < WAIT, "no {part:?} in {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What its log has between these two.
    pub fn logged(&self, before: &str, after: &str) -> String {
        self.logs(before);
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let (_, rest) = log.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.to_owned()
    }

    /// Sends SIGTERM.
    pub fn terminate(self) -> Ending {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        Ending(self)
    }

    /// Ends it in order, and gives its log.
    pub fn stop(self) -> String {
        self.terminate().log()
    }
}

impl Ending {
    fn finished(mut self) -> Host {
        let start = Instant::now();
        loop {
            match self.0.child.try_wait().unwrap() {
                Some(status) => {
                    assert!(status.success(), "{status}");
                    return self.0;
                }
                None => assert!(start.elapsed() < WAIT, "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGTERM again and again until it ended; then its status.
    pub fn insist(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < WAIT, "it does not end");
            Command::new("kill")
                .arg(self.0.child.id().to_string())
                .status()
                .unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ended with status 0; then its log.
    pub fn log(self) -> String {
        std::fs::read_to_string(self.finished().folder.path().join("log")).unwrap()
    }

    /// Waits until it ended, and starts it again on what it left.
    pub fn restart(self) -> Host {
        let mut host = self.finished();
        let folder = std::mem::replace(&mut host.folder, tempfile::tempdir().unwrap());
        Host::start_in(folder, std::mem::take(&mut host.arguments))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An app of which the guest is all.
fn app_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spin.toml"), MANIFEST).unwrap();
    std::os::unix::fs::symlink(&*GUEST, folder.path().join("echo_guest.wasm")).unwrap();
    // Compiled once for all tests.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("echo-guest-compiled");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::create_dir(folder.path().join(".spin")).unwrap();
    std::os::unix::fs::symlink(cache, folder.path().join(".spin/cache")).unwrap();
    folder
}

fn up(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trigger-websocket"));
    command
        .args(["up", "--listen", "127.0.0.1:0", "--from"])
        .arg(folder.path())
        .env_remove("RUST_LOG");
    command
}

/// Builds the guest into the target folder of the host, which has most of what it needs.
fn build_guest() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_trigger-websocket"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/echo-guest/Cargo.toml");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "--target",
            "wasm32-wasip2",
            "--manifest-path",
        ])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(status.success(), "the echo guest cannot be built");
    target.join("wasm32-wasip2/release/echo_guest.wasm")
}
