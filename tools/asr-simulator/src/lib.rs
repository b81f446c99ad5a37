//! A speech recognition service to develop and test against: the DashScope realtime protocol over
//! plain `ws`, without a model behind it.
//!
//! What it hears is decided by [`mark`]: audio that tests have marked comes back as one word for
//! each second of it, so that a test can tell from a transcript which seconds were transcribed, how
//! often and in which order. Other audio is cut at its pauses into sentences of invented words.
//! [`Simulator::log`] says what every task was sent.
//!
//! The parts: [`protocol`] reads and writes the JSON of the service, [`conversation`] is the state
//! of one connection, [`recognizer`] turns audio into sentences; none of these does I/O or reads a
//! clock. `server` gives them sockets.
//!
//! [`faults`] is what it can be told to do wrong while it runs: by [`Simulator::set_faults`], by
//! `POST /control` on its port, by a [`script`].
//! [`fault_control`] says to whom; those of the handshake are done where it is admitted
//! (`server::admit`), all others make the [`conversation::Reply`] what it is.
#![deny(clippy::print_stderr, clippy::print_stdout)]

pub mod conversation;
pub mod fault_control;
pub mod faults;
pub mod garbage;
pub mod handshake_log;
pub mod mark;
pub mod protocol;
pub mod recognizer;
pub mod script;
pub mod task_log;

mod server;
mod silence;
mod voice;
mod wav;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use server::Shared;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use fault_control::FaultControl;
pub use faults::{CloseWith, FaultError, Faults, Refusal};
pub use garbage::Garbage;
pub use handshake_log::{Handshake, HandshakeLog};
pub use script::{Script, ScriptError};
pub use server::MAX_HALF_OPEN;
pub use task_log::{HeardSecond, Outcome, TaskLog, TaskRecord};

/// The path that the service answers at, as the real one does. The last slash may be left out.
pub const PATH: &str = "/api-ws/v1/inference/";

/// How a simulator behaves. `Options::default()` is a good one.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one. Default: 127.0.0.1:0.
    pub listen: SocketAddr,
    /// The only key that is accepted. None, the default: any key that is not blank.
    pub api_key: Option<String>,
    /// Marked audio: how many marked seconds make a sentence. 1 to 60, others are brought into this
    /// range. Default: 3.
    pub sentence_seconds: u32,
    /// Dense speech: every marked second is so many final sentences of one word each
    /// ([`mark::part_word`]), and `sentence_seconds` says nothing. 0, the default: off. At most 8.
    pub sentences_per_second: u32,
    /// A connection without a task is closed after this long. Default: 60 s.
    pub idle_timeout: Duration,
    /// A task that gets no audio for this long fails. Default: 23 s.
    pub audio_timeout: Duration,
    /// Connections at a time; more are answered 503. Default: 4096.
    pub max_connections: usize,
    /// The largest message taken; a larger one ends the connection. Default: 1 MiB.
    pub max_message_bytes: usize,
    /// How many tasks the log keeps; the oldest goes first. Default: 1024.
    pub max_logged_tasks: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api_key: None,
            sentence_seconds: 3,
            sentences_per_second: 0,
            idle_timeout: Duration::from_secs(60),
            audio_timeout: Duration::from_secs(23),
            max_connections: 4096,
            max_message_bytes: 1 << 20,
            max_logged_tasks: 1024,
        }
    }
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    shared: Arc<Shared>,
    connections: TaskTracker,
    stopping: CancellationToken,
    _stops_when_dropped: DropGuard,
}

impl Simulator {
    /// Listens and serves in the background, on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            log: TaskLog::new(options.max_logged_tasks),
            options,
            faults: FaultControl::default(),
            handshakes: HandshakeLog::default(),
            came: AtomicU64::new(0),
        });
        let connections = TaskTracker::new();
        let stopping = CancellationToken::new();
        connections.spawn(server::serve(
            listener,
            Arc::clone(&shared),
            connections.clone(),
            stopping.clone(),
        ));
        connections.close();
        Ok(Self {
            addr,
            shared,
            connections,
            _stops_when_dropped: stopping.clone().drop_guard(),
            stopping,
        })
    }

    /// Where clients connect: `ws://ADDRESS:PORT/api-ws/v1/inference/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}{PATH}", self.addr)
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the tasks were sent so far, oldest first, those still running included.
    #[must_use]
    pub fn log(&self) -> Vec<TaskRecord> {
        self.shared.log.records()
    }

    /// The log of tasks itself: how many tasks it had to forget, and tasks as they end.
    #[must_use]
    pub fn task_log(&self) -> &TaskLog {
        &self.shared.log
    }

    /// Replaces what it does wrong; `Faults::default()` makes it well.
    ///
    /// # Errors
    /// The set cannot be; what is in force stays.
    pub fn set_faults(&self, faults: Faults) -> Result<(), FaultError> {
        self.shared.faults.set(faults)
    }

    /// What it does wrong, with the counts that are left; nothing when they are used up.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.faults.faults()
    }

    /// When clients came and how they were answered, oldest first.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.shared.handshakes.records()
    }

    /// Plays a script in the background, from now on.
    pub fn play(&self, script: Script) {
        let (shared, stopping) = (Arc::clone(&self.shared), self.stopping.clone());
        let start = Instant::now();
        self.connections.spawn(async move {
            for step in script.steps() {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep_until(start + step.after) => {}
                }
                tracing::info!(faults = ?step.faults, "faults are set by the script");
                // They were checked when the script was read.
                let _ = shared.faults.set(step.faults.clone());
            }
        });
    }

    /// Closes all connections and waits until they are gone.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.connections.wait().await;
    }
}
