//! A gateway: the host's process with a state directory of its own. It is killed when it is dropped,
//! and its log is shown when the test that used it fails.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use crate::asr::Asr;
use crate::blobs::Blobs;
use crate::build;
use crate::store::{Kind, Store};
use crate::wait::eventually;

/// What the line on standard output begins with.
const LISTENING: [&str; 2] = ["listening on http://", "listening on https://"];
/// How long a start may take: it may have to compile the components.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// Lines of the log that are kept.
const LOG_LINES: usize = 4_000;

/// Variables of the app. Nothing else of the test's environment reaches the gateway.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// An ASR service that knows any key.
    #[must_use]
    pub fn with_asr(asr: &Asr) -> Self {
        Self::with_asr_url(&asr.url())
    }

    /// An ASR service that may be there or not.
    #[must_use]
    pub fn with_asr_url(url: &str) -> Self {
        Self::default()
            .set("ASR_WS_URL", url)
            .set("ALIYUN_DASHSCOPE_API_KEY", "a-key")
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// How to start the host: gives the command for a state directory.
type Start = dyn Fn(&Path) -> Command + Send + Sync;

/// A running gateway.
pub struct Gateway {
    start: Box<Start>,
    state: TempDir,
    store: Store,
    blobs: Blobs,
    log: Log,
    process: Option<Process>,
    /// Where it listens now; none while it does not run.
    listens_at: watch::Sender<Option<SocketAddr>>,
    /// Then everyone who uses it shows its log.
    is_shared: bool,
    /// What requests and sockets show that show nothing else.
    key: Option<String>,
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts one: `trigger-websocket up`.
    pub async fn start(settings: Settings) -> Self {
        Self::start_by(move |state| {
            let mut command = up(state);
            command.envs(&settings.0);
            command
        })
        .await
    }

    /// As [`Gateway::start`], with options of `trigger-websocket up` besides.
    pub async fn start_with_options(settings: Settings, options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Self::start_by(move |state| {
            let mut command = up(state);
            command.args(&options).envs(&settings.0);
            command
        })
        .await
    }

    /// As [`Gateway::start`], at an address that stays the same over restarts, for clients that know but
    /// one.
    pub async fn start_at_one_address(settings: Settings) -> Self {
        // Others take their ports on 127.0.0.1: this one stays free.
        let address = SocketAddr::from((Ipv4Addr::new(127, 78, 0, 1), 0));
        let listen = TcpListener::bind(address).and_then(|listener| listener.local_addr());
        let listen = listen.expect("a free port");
        Self::start_by(move |state| {
            let mut command = up_at(state, listen);
            command.envs(&settings.0);
            command
        })
        .await
    }

    /// Starts one by a command of the caller's, which is given the state directory.
    pub async fn start_by(start: impl Fn(&Path) -> Command + Send + Sync + 'static) -> Self {
        Self::start_with_store(Kind::of_this_run(), start).await
    }

    /// As [`Gateway::start_by`], with a store of this kind, whatever the run asks for.
    pub async fn start_with_store(
        kind: Kind,
        start: impl Fn(&Path) -> Command + Send + Sync + 'static,
    ) -> Self {
        let state = tempfile::tempdir().expect("a state directory");
        let (store, blobs) = (Store::new(kind, state.path()), Blobs::new(state.path()));
        Self::start_in(state, store, blobs, Box::new(start)).await
    }

    /// As [`Gateway::start`], on a Redis server of its own, to start others beside it.
    pub async fn start_on_redis(settings: Settings) -> Self {
        Self::start_on(Kind::Redis, settings).await
    }

    /// As [`Gateway::start`], with a store of this kind, whatever the run asks for.
    pub async fn start_on(kind: Kind, settings: Settings) -> Self {
        Self::start_with_store(kind, move |state| {
            let mut command = up(state);
            command.envs(&settings.0);
            command
        })
        .await
    }

    /// As [`Gateway::start_on_redis`], with its objects on S3 whatever the others do.
    pub async fn start_on_redis_and_s3(settings: Settings) -> Self {
        let state = tempfile::tempdir().expect("a state directory");
        let start = move |state: &Path| {
            let mut command = up(state);
            command.envs(&settings.0);
            command
        };
        let store = Store::new(Kind::Redis, state.path());
        Self::start_in(state, store, Blobs::on_s3(), Box::new(start)).await
    }

    /// Another host for the sessions of this one: with the same key-value store and the same blobs.
    pub async fn start_beside(&self, settings: Settings) -> Self {
        let state = tempfile::tempdir().expect("a state directory");
        if let Blobs::Directory(blobs) = &self.blobs {
            let link = state.path().join("blobs");
            std::os::unix::fs::symlink(blobs, link).expect("a link to the blobs");
        }
        let start = move |state: &Path| {
            let mut command = up(state);
            command.envs(&settings.0);
            command
        };
        let (store, blobs) = (self.store.clone(), self.blobs.clone());
        Self::start_in(state, store, blobs, Box::new(start)).await
    }

    /// As [`Gateway::start`], with its objects on S3 whatever the others do.
    pub async fn start_on_s3(settings: Settings) -> Self {
        Self::start_with_blobs(settings, |_| Blobs::on_s3()).await
    }

    /// As [`Gateway::start`], with its objects in a directory whatever the others do.
    pub async fn start_in_a_directory(settings: Settings) -> Self {
        Self::start_with_blobs(settings, Blobs::in_directory).await
    }

    async fn start_with_blobs(settings: Settings, blobs: impl Fn(&Path) -> Blobs) -> Self {
        let state = tempfile::tempdir().expect("a state directory");
        let start = move |state: &Path| {
            let mut command = up(state);
            command.envs(&settings.0);
            command
        };
        let store = Store::new(Kind::of_this_run(), state.path());
        let blobs = blobs(state.path());
        Self::start_in(state, store, blobs, Box::new(start)).await
    }

    /// Starts the app that keeps its objects on S3 itself, on a host that has no part in it.
    pub async fn start_with_objects_of_its_own(settings: Settings) -> Self {
        let state = tempfile::tempdir().expect("a state directory");
        let start = move |state: &Path| {
            let mut command = host();
            command.arg("up").arg("--from").arg(build::manifest_of_s3());
            command.args(["--listen", "127.0.0.1:0", "--state-dir"]);
            command.arg(state).envs(&settings.0);
            // The host keeps objects in a directory, if anybody gives it any.
            command.env("SPIN_VARIABLE_BLOB_STORE", "directory");
            command
        };
        let store = Store::new(Kind::of_this_run(), state.path());
        Self::start_in(state, store, Blobs::on_s3(), Box::new(start)).await
    }

    async fn start_in(state: TempDir, store: Store, blobs: Blobs, start: Box<Start>) -> Self {
        share_compiled_code(state.path());
        let mut gateway = Self {
            start,
            store,
            blobs,
            state,
            log: Log::default(),
            process: None,
            listens_at: watch::Sender::new(None),
            is_shared: false,
            key: None,
        };
        gateway.run().await;
        gateway
    }

    /// Starts it again on the same state directory, with the settings it had.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.run().await;
    }

    /// Starts it again, which must not work; gives the status it ended with.
    pub async fn restart_in_vain(&mut self) -> ExitStatus {
        assert!(self.process.is_none(), "it still runs");
        let (mut child, _) = self.spawn();
        wait(&mut child).await
    }

    /// Starts it again and kills it with -9 so long after that, listening or not.
    pub async fn restart_and_kill(&mut self, after: Duration) {
        assert!(self.process.is_none(), "it still runs");
        let (mut child, listening) = self.spawn();
        let told = async {
            if let Ok(address) = listening.await {
                self.listens_at.send_replace(address.parse().ok());
            }
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(after, told).await;
        self.listens_at.send_replace(None);
        child.kill().expect("it can be killed");
        let status = wait(&mut child).await;
        assert_eq!(status.code(), None, "it ended by itself: {}", self.log());
    }

    async fn run(&mut self) {
        // The first one compiles the components for all: many at once would do it many times.
        static COMPILED: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
        let mut is_compiled = COMPILED.lock().await;
        if *is_compiled {
            drop(is_compiled);
            return self.start_now().await;
        }
        self.start_now().await;
        *is_compiled = true;
    }

    async fn start_now(&mut self) {
        let (mut child, listening) = self.spawn();
        let Ok(Ok(address)) = tokio::time::timeout(START_PATIENCE, listening).await else {
            let _ = child.kill();
            let status = child.wait();
            panic!(
                "the gateway ended before it listened, or took longer than {START_PATIENCE:?}: \
                 {status:?}\n{}",
                self.log.text()
            );
        };
        let address = address.parse().expect("an address and a port");
        self.process = Some(Process { child, address });
        self.listens_at.send_replace(Some(address));
    }

    /// Begins a start; the receiver is told when it listens.
    fn spawn(&self) -> (Child, oneshot::Receiver<String>) {
        let mut command = (self.start)(self.state.path());
        command
            .envs(self.store.variables(self.state.path()))
            .envs(self.blobs.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the host can be started");
        let (said, listening) = oneshot::channel();
        let mut said = Some(said);
        self.log
            .follow(child.stdout.take().expect("its output"), move |line| {
                let address = LISTENING.iter().find_map(|said| line.strip_prefix(said));
                if let Some(address) = address
                    && let Some(said) = said.take()
                {
                    let _ = said.send(address.to_owned());
                }
            });
        self.log
            .follow(child.stderr.take().expect("its log"), |_| ());
        (child, listening)
    }

    /// From now on requests, sockets and recorders show this key where they show nothing else.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The key that is shown.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.process.as_ref().expect("it runs").address
    }

    /// Where it listens, over all its runs; none between them.
    #[must_use]
    pub fn addresses(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.listens_at.subscribe()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// The directory with its stores.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// Where it keeps its sessions.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The objects of its blob store.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// All that it said so far, in all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it has said this. What it writes is read beside the test, also after its end, so
    /// that one look at [`Self::log`] shows only what is *not* there.
    pub async fn says(&self, text: &str) {
        eventually(&format!("the log says {text:?}"), async || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        let Process { mut child, .. } = self.process.take().expect("it runs");
        self.listens_at.send_replace(None);
        child.kill().expect("it can be killed");
        wait(&mut child).await;
    }

    /// It stands still until it is thawed: what it had sent is out, what comes to it waits.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on where it was.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(&process.child), signal).expect("it can be sent a signal");
    }

    /// SIGTERM; gives the status it ended with.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.end_by(&[Signal::TERM]).await
    }

    /// These signals, one right after the other; gives the status it ended with.
    pub async fn end_by(&mut self, signals: &[Signal]) -> ExitStatus {
        let Process { mut child, .. } = self.process.take().expect("it runs");
        self.listens_at.send_replace(None);
        let pid = Pid::from_child(&child);
        for signal in signals {
            kill_process(pid, *signal).expect("it can be sent a signal");
        }
        wait(&mut child).await
    }

    /// A signal that is not to end it.
    pub fn send_signal(&self, signal: Signal) {
        self.signal(signal);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(Process { mut child, .. }) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !self.is_shared {
            self.log.show_if_failing();
        }
    }
}

/// `trigger-websocket up` on a free port, with an environment that has nothing of this process's but
/// what programs need.
#[must_use]
pub fn up(state: &Path) -> Command {
    up_at(state, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

fn up_at(state: &Path, listen: SocketAddr) -> Command {
    let mut command = host();
    command.arg("up").arg("--from").arg(build::manifest());
    command.args(["--listen", &listen.to_string(), "--state-dir"]);
    command.arg(state);
    command
}

/// The host without arguments, in an environment as for [`up`].
#[must_use]
pub fn host() -> Command {
    let mut command = Command::new(build::host());
    command.env_clear().env("NO_COLOR", "1");
    // Whatever is beside the manifest on this machine.
    command.env("HOST_ENV_FILE", "/dev/null");
    for name in ["PATH", "HOME", "TMPDIR", "RUST_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Compiling the components takes most of a start: all gateways use one cache.
pub fn share_compiled_code(state: &Path) {
    let shared = build::target_dir().join("end-to-end-cache");
    std::fs::create_dir_all(&shared).expect("a directory for compiled components");
    std::os::unix::fs::symlink(shared, state.join("cache")).expect("a link to it");
}

async fn wait(child: &mut Child) -> ExitStatus {
    eventually("the gateway ends", async || {
        child.try_wait().expect("its status").ok_or("it runs")
    })
    .await
}

/// A gateway with its ASR service, and all settings at their defaults, that several tests use at the
/// same time, each with sessions of its own.
pub struct Shared(Arc<Running>);

struct Running {
    gateway: Gateway,
    asr: Asr,
}

impl Shared {
    /// The one that another test uses now, or a new one.
    pub async fn gateway() -> Self {
        // Nothing drops a static, and a process must not be left behind: only those who use it keep it.
        static RUNNING: tokio::sync::Mutex<Weak<Running>> =
            tokio::sync::Mutex::const_new(Weak::new());
        let mut slot = RUNNING.lock().await;
        if let Some(running) = slot.upgrade() {
            return Self(running);
        }
        let asr = Asr::start().await;
        let mut gateway = Gateway::start(Settings::with_asr(&asr)).await;
        gateway.is_shared = true;
        let running = Arc::new(Running { gateway, asr });
        *slot = Arc::downgrade(&running);
        Self(running)
    }

    /// Its ASR service.
    #[must_use]
    pub fn asr(&self) -> &Asr {
        &self.0.asr
    }
}

impl Deref for Shared {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0.gateway
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.gateway.log.show_if_failing();
    }
}

/// What a process says, line by line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn follow(
        &self,
        pipe: impl Read + Send + 'static,
        mut told: impl FnMut(&str) + Send + 'static,
    ) {
        let log = self.clone();
        // A thread, since the process may outlive the runtime of the test that started it.
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                told(&line);
                let mut lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == LOG_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn show_if_failing(&self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's log:\n{}--- end of the log", self.text());
        }
    }
}
