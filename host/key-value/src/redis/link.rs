//! The connection to a server: it is made, looked after and made again when it breaks, in a task of its
//! own; calls share it, and wait for it within their time.
//!
//! Each connection first says in the host's presence that it is the newest. What an older one may have left
//! on its way, and a server that stood still executes late, finds that and does nothing: so a write whose
//! answer was lost either was done before the next connection's first command, or never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisError, Value, cmd};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::address::Address;
use super::scripts::{GUARD_KEYS, PRESENT, Script};
use crate::KvError;
use crate::limits::{HEARTBEAT, IN_FLIGHT, MAX_RECONNECT_PAUSE, PRESENCE};

/// Before a second attempt to connect; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// Before a call is tried again that the server could not take now.
const RETRY: Duration = Duration::from_millis(50);

/// Commands that wait to be written.
const WRITE_QUEUE: usize = 64;

/// What a link is made with.
pub(super) struct Plan {
    pub(super) address: Address,
    /// The key of the presence of this run of the host.
    pub(super) presence: String,
    /// The key of the claims.
    pub(super) claims: String,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
}

/// A link; its connection ends when it is dropped.
pub(super) struct Link {
    plan: Arc<Plan>,
    state: watch::Receiver<State>,
    in_flight: Semaphore,
    keeper: AbortHandle,
}

#[derive(Clone)]
enum State {
    Up(Arc<Live>),
    /// Why.
    Down(Arc<str>),
}

/// One connection.
struct Live {
    connection: MultiplexedConnection,
    /// What the presence says while this is the newest.
    nonce: String,
    /// The server's names of [`Script::ALL`].
    scripts: Vec<String>,
    /// It is of no use any more.
    broken: CancellationToken,
    _driver: DropGuard,
}

/// Whether a call may be made again when nobody knows if it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Done twice is done once.
    Yes,
    No,
}

/// A script with what it works on.
pub(super) struct Run<'a> {
    pub(super) script: Script,
    /// Field and token.
    pub(super) claim: Option<(&'a str, &'a str)>,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<&'a [u8]>,
}

/// What is asked of the server.
enum Task<'a> {
    Read(&'a Cmd),
    Run(&'a Run<'a>),
}

/// What a failure means.
enum Failure {
    /// Nothing was done; it can be tried again on this connection.
    NotNow(String),
    /// Nothing was done, and this connection does nothing more.
    Outdated(String),
    /// Nobody knows.
    Lost(String),
    /// The server has forgotten the script.
    NoScript,
    /// Nothing was done, and trying again is of no use.
    Refused(KvError),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// The server did not take us in time, or not at all. The text says why.
    pub(super) async fn open(plan: Plan) -> Result<Self, String> {
        let plan = Arc::new(plan);
        let deadline = Instant::now() + plan.connect_timeout;
        let numbers = AtomicU64::new(0);
        let mut pause = FIRST_PAUSE;
        let first = loop {
            match plan.connect(&numbers).await {
                Ok(live) => break live,
                Err(error) if error.is_final || Instant::now() + pause > deadline => {
                    return Err(error.why);
                }
                Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(MAX_RECONNECT_PAUSE);
        };
        let first = Arc::new(first);
        let (sender, state) = watch::channel(State::Up(Arc::clone(&first)));
        let keeper = tokio::spawn(keep(Arc::clone(&plan), first, sender, numbers));
        Ok(Self {
            plan,
            state,
            in_flight: Semaphore::new(IN_FLIGHT),
            keeper: keeper.abort_handle(),
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether there is a connection, without asking the server.
    pub(super) fn check(&self) -> Result<(), KvError> {
        match &*self.state.borrow() {
            State::Up(_) => Ok(()),
            State::Down(why) => Err(self.over(None, why.to_string())),
        }
    }

    /// A command that reads.
    pub(super) async fn read(&self, command: &Cmd) -> Result<Value, KvError> {
        self.call(Again::Yes, Task::Read(command)).await
    }

    /// A script that writes.
    pub(super) async fn run(&self, run: &Run<'_>, again: Again) -> Result<Value, KvError> {
        self.call(again, Task::Run(run)).await
    }

    /// Tries a call until it is answered or its time is over.
    async fn call(&self, again: Again, task: Task<'_>) -> Result<Value, KvError> {
        let deadline = Instant::now() + self.plan.response_timeout;
        // Whether the server lost its scripts.
        let mut is_unknown = false;
        // What is known of the attempts so far: something may have been done, or nothing was.
        let mut lost: Option<String> = None;
        let mut not_done = String::from("no connection");
        let is_read = matches!(task, Task::Read(_));
        loop {
            if Instant::now() >= deadline {
                return Err(self.over(lost.filter(|_| !is_read), not_done));
            }
            let ready = timeout_at(deadline, async {
                let permit = self.in_flight.acquire().await;
                let live = self.live().await;
                (permit, live)
            });
            let Ok((_permit, live)) = ready.await else {
                if let State::Down(why) = &*self.state.borrow() {
                    not_done = why.to_string();
                }
                return Err(self.over(lost.filter(|_| !is_read), not_done));
            };
            let attempt = live.attempt(&self.plan, &task, is_unknown);
            let failure = match timeout_at(deadline, attempt).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => judge(&error, &self.plan.address.shown),
                Err(_) => {
                    let seconds = self.plan.response_timeout.as_secs_f64();
                    let why = format!("no answer within {seconds} s");
                    // A read has done nothing, whatever becomes of it.
                    return Err(match is_read {
                        true => self.over(None, why),
                        false => self.unanswered(why),
                    });
                }
            };
            match failure {
                Failure::NoScript if !is_unknown => is_unknown = true,
                Failure::NoScript => {
                    return Err(self.over(lost, "it forgets its scripts".to_owned()));
                }
                Failure::NotNow(why) => {
                    not_done = why;
                    let _ = timeout_at(deadline, sleep(RETRY)).await;
                }
                Failure::Outdated(why) => {
                    not_done = why;
                    live.broken.cancel();
                    self.is_replaced(&live, deadline).await;
                }
                Failure::Lost(why) => {
                    live.broken.cancel();
                    lost = Some(why.clone());
                    if again == Again::No {
                        return Err(self.unanswered(why));
                    }
                    self.is_replaced(&live, deadline).await;
                }
                Failure::Refused(error) => return Err(error),
            }
        }
    }

    /// The connection, when there is one.
    async fn live(&self) -> Arc<Live> {
        let mut state = self.state.clone();
        loop {
            if let State::Up(live) = &*state.borrow_and_update()
                && !live.broken.is_cancelled()
            {
                return Arc::clone(live);
            }
            // A keeper that is gone leaves the call to its time-out.
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns when another connection has taken the place of this one, or the time is over.
    async fn is_replaced(&self, live: &Arc<Live>, deadline: Instant) {
        let mut state = self.state.clone();
        let replaced = state.wait_for(|state| match state {
            State::Up(other) => !Arc::ptr_eq(other, live),
            State::Down(_) => false,
        });
        let _ = timeout_at(deadline, replaced).await;
    }

    fn over(&self, lost: Option<String>, not_done: String) -> KvError {
        match lost {
            Some(why) => self.unanswered(why),
            None => KvError::Unavailable {
                place: self.plan.address.shown.clone(),
                message: not_done,
            },
        }
    }

    fn unanswered(&self, message: String) -> KvError {
        KvError::Unanswered {
            place: self.plan.address.shown.clone(),
            message,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Live {
    async fn attempt(
        &self,
        plan: &Plan,
        task: &Task<'_>,
        is_unknown: bool,
    ) -> Result<Value, RedisError> {
        match task {
            Task::Read(command) => self.send(command).await,
            Task::Run(run) => self.send(&self.command(plan, run, is_unknown)).await,
        }
    }

    async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async(&mut self.connection.clone()).await
    }

    fn command(&self, plan: &Plan, run: &Run<'_>, is_unknown: bool) -> Cmd {
        let name = self.scripts.get(run.script as usize);
        let mut command = match name {
            Some(name) if !is_unknown => {
                let mut command = cmd("EVALSHA");
                command.arg(name);
                command
            }
            _ => {
                let mut command = cmd("EVAL");
                command.arg(run.script.text());
                command
            }
        };
        let (field, token) = run.claim.unwrap_or_default();
        command
            .arg(GUARD_KEYS + run.keys.len())
            .arg(&plan.presence)
            .arg(&plan.claims);
        for key in &run.keys {
            command.arg(key);
        }
        command.arg(&self.nonce).arg(field).arg(token);
        for argument in &run.arguments {
            command.arg(*argument);
        }
        command
    }
}

/// Why no connection was made.
struct NotConnected {
    why: String,
    /// It will not be otherwise the next time, unless an operator does something.
    is_final: bool,
}

impl Plan {
    async fn connect(&self, numbers: &AtomicU64) -> Result<Live, NotConnected> {
        let limit = self.connect_timeout;
        let connected = timeout(limit, self.connect_now(numbers)).await;
        connected.unwrap_or_else(|_| {
            Err(NotConnected {
                why: format!("no connection within {} s", limit.as_secs_f64()),
                is_final: false,
            })
        })
    }

    async fn connect_now(&self, numbers: &AtomicU64) -> Result<Live, NotConnected> {
        let stream = self.address.connect().await.map_err(|error| NotConnected {
            // A certificate that is not trusted today is not tomorrow.
            is_final: error.kind() == std::io::ErrorKind::InvalidData,
            why: error.to_string(),
        })?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WRITE_QUEUE);
        let made =
            MultiplexedConnection::new_with_config(&self.address.login, stream, config).await;
        let (connection, driver) = made.map_err(|error| refused(&error))?;
        let broken = CancellationToken::new();
        let end = CancellationToken::new();
        let (ended, stop) = (broken.clone(), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = driver => {}
                () = stop.cancelled() => {}
            }
            ended.cancel();
        });
        let mut live = Live {
            connection,
            nonce: numbers.fetch_add(1, Ordering::Relaxed).to_string(),
            scripts: Vec::new(),
            broken,
            _driver: end.drop_guard(),
        };
        for script in Script::ALL {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script.text());
            let name = live.send(&load).await.map_err(|error| refused(&error))?;
            let name: String = redis::from_redis_value(name).map_err(|error| NotConnected {
                why: error.to_string(),
                is_final: false,
            })?;
            live.scripts.push(name);
        }
        let mut present = cmd("EVAL");
        present
            .arg(PRESENT)
            .arg(1)
            .arg(&self.presence)
            .arg(&live.nonce)
            .arg(millis(PRESENCE));
        live.send(&present).await.map_err(|error| refused(&error))?;
        Ok(live)
    }
}

fn refused(error: &RedisError) -> NotConnected {
    let is_final = error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(
            error.code(),
            Some("WRONGPASS" | "NOAUTH" | "NOPERM" | "MOVED" | "CROSSSLOT")
        );
    NotConnected {
        why: explained(error),
        is_final,
    }
}

/// Looks after the connection, and makes it again.
async fn keep(plan: Arc<Plan>, first: Arc<Live>, state: watch::Sender<State>, numbers: AtomicU64) {
    let mut live = first;
    loop {
        let why = tend(&plan, &live).await;
        live.broken.cancel();
        tracing::warn!(server = plan.address.shown, "the connection is lost: {why}");
        state.send_replace(State::Down(Arc::from(why)));
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        live = loop {
            match plan.connect(&numbers).await {
                Ok(live) => break Arc::new(live),
                Err(error) => {
                    if pause == MAX_RECONNECT_PAUSE {
                        tracing::debug!(
                            server = plan.address.shown,
                            "no connection: {}",
                            error.why
                        );
                    } else {
                        tracing::warn!(server = plan.address.shown, "no connection: {}", error.why);
                    }
                    state.send_replace(State::Down(Arc::from(error.why)));
                }
            }
            sleep(pause.mul_f64(jitter())).await;
            pause = (pause * 2).min(MAX_RECONNECT_PAUSE);
        };
        tracing::info!(
            server = plan.address.shown,
            after_ms = since.elapsed().as_millis() as u64,
            "connected again"
        );
        state.send_replace(State::Up(Arc::clone(&live)));
    }
}

/// From a half to one: hosts that lost one server do not all come back in the same moment.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u8;
    0.5 + f64::from(random) / 512.0
}

/// Shows life until it cannot be shown any more; gives the reason.
async fn tend(plan: &Plan, live: &Live) -> String {
    let for_long = millis(PRESENCE).to_string();
    let renew = Run {
        script: Script::Renew,
        claim: None,
        keys: Vec::new(),
        arguments: vec![for_long.as_bytes()],
    };
    loop {
        tokio::select! {
            () = live.broken.cancelled() => return "it was closed or is not the newest".to_owned(),
            () = sleep(HEARTBEAT) => {}
        }
        // A server that has forgotten its scripts gets them with the text.
        for is_unknown in [false, true] {
            let command = live.command(plan, &renew, is_unknown);
            match timeout(plan.response_timeout, live.send(&command)).await {
                Ok(Ok(_)) => break,
                Ok(Err(error)) if error.code() == Some("NOSCRIPT") && !is_unknown => {}
                Ok(Err(error)) => match judge(&error, &plan.address.shown) {
                    // It is there, and busy.
                    Failure::NotNow(_) => break,
                    _ => return explained(&error),
                },
                Err(_) => {
                    let seconds = plan.response_timeout.as_secs_f64();
                    return format!("no sign of life for {seconds} s");
                }
            }
        }
    }
}

fn judge(error: &RedisError, place: &str) -> Failure {
    let why = explained(error);
    let unavailable = |message: String| {
        Failure::Refused(KvError::Unavailable {
            place: place.to_owned(),
            message,
        })
    };
    let Some(code) = error.code() else {
        return Failure::Lost(why);
    };
    match code {
        "NOSCRIPT" => Failure::NoScript,
        "LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN" | "CLUSTERDOWN" => Failure::NotNow(why),
        // Another server may be the one that takes writes now.
        "STALE" | "READONLY" | "UNBLOCKED" => Failure::Outdated(why),
        "LOST" => Failure::Refused(KvError::ClaimLost),
        "OOM" => Failure::Refused(KvError::Full {
            place: place.to_owned(),
        }),
        "WRONGTYPE" => Failure::Refused(KvError::Damaged {
            place: place.to_owned(),
            message: "another program keeps something else at this key; give each app a \
                      REDIS_KEY_PREFIX of its own"
                .to_owned(),
        }),
        "MOVED" | "ASK" | "CROSSSLOT" => {
            unavailable("it is a cluster; name a server that has all keys".to_owned())
        }
        // Before Redis 7 a script's error hides the code of the command's.
        _ if why.contains("OOM command not allowed") => Failure::Refused(KvError::Full {
            place: place.to_owned(),
        }),
        _ => unavailable(why),
    }
}

/// The server's or the system's own words. No command is in them.
fn explained(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
