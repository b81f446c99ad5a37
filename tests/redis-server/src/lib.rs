//! A real Redis server for tests: a process of the test's own, on a free port and in a directory that goes
//! with it. It can be stopped, killed, frozen and started again. It says nothing to the server; what is said
//! over a connection is the tests' business. Nothing outside of the test is touched.
// A harness fails a test by panicking; there is nobody to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod program;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::NAME;

/// What its log says when it has loaded what it kept, and listens.
const READY: &str = "Ready to accept connections";
/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has come.
const INTERVAL: Duration = Duration::from_millis(10);
/// Starts that another process's taking of the port may spoil.
const STARTS: u32 = 5;

/// How long a port that is taken is waited for.
const TAKEN: Duration = Duration::from_secs(1);

/// A server. What it has answered it keeps, also when it is killed: with `appendfsync no` each command is
/// handed to the kernel before it is answered. (`everysec` puts that off while it waits for the disk.)
pub struct RedisServer {
    directory: TempDir,
    port: u16,
    options: String,
    process: Option<Child>,
}

/// Files for TLS, PEM.
pub struct TlsFiles<'a> {
    /// The server's certificate.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

impl RedisServer {
    /// Starts one that takes everybody.
    #[must_use]
    pub fn start() -> Self {
        Self::begin("", false)
    }

    /// Starts one that wants a password.
    #[must_use]
    pub fn with_password(password: &str) -> Self {
        Self::begin(&format!("requirepass {password}\n"), false)
    }

    /// Starts one that speaks TLS only.
    #[must_use]
    pub fn with_tls(files: &TlsFiles<'_>) -> Self {
        let mut options = String::new();
        let _ = writeln!(options, "tls-cert-file {}", files.certificate.display());
        let _ = writeln!(options, "tls-key-file {}", files.key.display());
        let _ = writeln!(options, "tls-ca-cert-file {}", files.certificate.display());
        options.push_str("tls-auth-clients no\n");
        Self::begin(&options, true)
    }

    /// Starts one with further lines of its configuration.
    #[must_use]
    pub fn with_options(options: &str) -> Self {
        Self::begin(options, false)
    }

    fn begin(options: &str, is_tls: bool) -> Self {
        let mut last = String::new();
        for _ in 0..STARTS {
            let directory = tempfile::tempdir().expect("a directory");
            let port = free_port();
            let listen = match is_tls {
                false => format!("port {port}\n"),
                true => format!("port 0\ntls-port {port}\n"),
            };
            let mut server = Self {
                directory,
                port,
                options: format!("{listen}{options}"),
                process: None,
            };
            match server.try_run() {
                Ok(()) => return server,
                Err(log) => last = log,
            }
        }
        panic!("{NAME} does not start:\n{last}");
    }

    /// Where it is: `redis://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Ends it in order; it says goodbye to its clients.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Starts it again, at the same port, with what it has kept.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let mut last = String::new();
        for _ in 0..STARTS {
            match self.try_run() {
                Ok(()) => return,
                Err(log) => last = log,
            }
            // Its port is that of somebody's connection just now.
            std::thread::sleep(TAKEN);
        }
        panic!("{NAME} does not start again:\n{last}");
    }

    /// It stands still: it is there, takes what is sent and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).expect("it can be sent a signal");
    }

    fn wait(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.wait().expect("it ends");
        }
    }

    fn try_run(&mut self) -> Result<(), String> {
        let directory = self.directory.path();
        let log = directory.join("log");
        let configuration = directory.join("redis.conf");
        let text = format!(
            "bind 127.0.0.1\ndir {}\nlogfile {}\nappendonly yes\nappendfsync no\nsave \"\"\n\
             maxmemory-policy noeviction\n{}",
            directory.display(),
            log.display(),
            self.options
        );
        std::fs::write(&configuration, text).expect("its configuration can be written");
        // What it said in an earlier run.
        let _ = std::fs::remove_file(&log);
        let mut process = spawn(&configuration);
        let deadline = Instant::now() + PATIENCE;
        // Not by connecting: it could be another server that answers at this port.
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains(READY) {
                break;
            }
            let ended = process.try_wait().expect("its status").is_some();
            if ended || Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                return Err(said);
            }
            std::thread::sleep(INTERVAL);
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn spawn(configuration: &Path) -> Child {
    let spawned = program::command()
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    spawned.expect("a program that ran a moment ago")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
