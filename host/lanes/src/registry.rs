//! What all lanes share: who exists, and what the process is about to do.
//!
//! Locks are taken in this order: lanes, one lane, sockets. None is held across an await.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Limits, Mailbox, Observer, OutboundPolicy, Over, Standing, Stats,
    accounts::{Account, Accounts, Full},
    calls::Calls,
    events::{Event, SocketToken},
    handle::{Side, Socket},
    lane::{Lane, State},
    stats::Counters,
};

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Phase {
    Running = 0,
    /// No new sockets.
    Draining = 1,
    /// Nothing at all.
    Stopped = 2,
}

/// Why there is no place for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// There are as many as may be of this.
    TooMany(Over),
    /// The account has as many as it may.
    AccountFull(Full),
    TooLarge,
    Stopping,
}

impl NoPlace {
    /// What there are too many of.
    pub(crate) fn over(self) -> Option<Over> {
        match self {
            Self::TooMany(over) => Some(over),
            Self::AccountFull(_) => Some(Over::AccountPlaces),
            Self::TooLarge | Self::Stopping => None,
        }
    }
}

/// All lanes and sockets of a process.
pub(crate) struct Registry {
    pub(crate) limits: Limits,
    pub(crate) policy: Arc<dyn OutboundPolicy>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) runtime: Handle,
    pub(crate) calls: Calls,
    pub(crate) counters: Counters,
    accounts: Accounts,
    pub(crate) observer: OnceLock<Arc<dyn Observer>>,
    /// Of outbound sockets, until their connections are closed.
    pub(crate) outbound_places: Arc<Semaphore>,
    pub(crate) socket_prefix: OnceLock<Arc<str>>,
    /// Told when a socket or a lane's work has ended.
    pub(crate) ended: Notify,
    /// Cuts off every connection.
    pub(crate) cut_off: CancellationToken,
    mailbox: Mutex<Option<Arc<dyn Mailbox>>>,
    lanes: Mutex<HashMap<Arc<str>, Arc<Lane>>>,
    sockets: Mutex<HashMap<SocketToken, Arc<Socket>>>,
    phase: AtomicU8,
}

impl Registry {
    pub(crate) fn new(
        limits: Limits,
        policy: Arc<dyn OutboundPolicy>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Self {
        let outbound = limits.outbound_sockets.min(Semaphore::MAX_PERMITS);
        Self {
            calls: Calls::new(limits.pending_calls),
            outbound_places: Arc::new(Semaphore::new(outbound)),
            limits,
            policy,
            tls,
            runtime: Handle::current(),
            counters: Counters::default(),
            accounts: Accounts::default(),
            observer: OnceLock::new(),
            socket_prefix: OnceLock::new(),
            ended: Notify::new(),
            cut_off: CancellationToken::new(),
            mailbox: Mutex::default(),
            lanes: Mutex::default(),
            sockets: Mutex::default(),
            phase: AtomicU8::new(Phase::Running as u8),
        }
    }

    pub(crate) fn start(self: &Arc<Self>, mailbox: Arc<dyn Mailbox>) {
        lock(&self.mailbox).get_or_insert(mailbox);
        for lane in self.all_lanes() {
            lane.wake(self, &mut lane.state());
        }
    }

    /// Forgets the mailbox: nothing is handled from now on, and what it holds of us is let go.
    pub(crate) fn stop(&self) {
        self.phase.store(Phase::Stopped as u8, Ordering::SeqCst);
        let mailbox = lock(&self.mailbox).take();
        drop(mailbox);
        self.cut_off.cancel();
        for lane in self.all_lanes() {
            let mut state = lane.state();
            state.timers.clear();
            state.retry = None;
        }
    }

    pub(crate) fn begin_drain(&self) {
        self.phase
            .fetch_max(Phase::Draining as u8, Ordering::SeqCst);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    pub(crate) fn mailbox(&self) -> Option<Arc<dyn Mailbox>> {
        lock(&self.mailbox).clone()
    }

    /// The time, for whoever observes; nobody else pays for it.
    pub(crate) fn queued_now(&self) -> Option<Instant> {
        self.observer.get().map(|_| Instant::now())
    }

    /// Does something with a lane, which is made if need be, and then has it handle what waits.
    pub(crate) fn in_lane<T>(
        self: &Arc<Self>,
        name: &str,
        act: impl FnOnce(&Arc<Lane>, &mut State) -> T,
    ) -> Result<T, NoPlace> {
        if self.phase() == Phase::Stopped {
            return Err(NoPlace::Stopping);
        }
        if name.len() > self.limits.name_bytes {
            return Err(NoPlace::TooLarge);
        }
        loop {
            let lane = self.lane(name)?;
            let mut state = lane.state();
            // It was retired between the two locks. It is out of the map by now.
            if state.retired {
                continue;
            }
            let result = act(&lane, &mut state);
            lane.wake(self, &mut state);
            let idle = state.is_idle();
            drop(state);
            if idle {
                self.retire_if_idle(&lane);
            }
            return Ok(result);
        }
    }

    fn lane(&self, name: &str) -> Result<Arc<Lane>, NoPlace> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get(name) {
            return Ok(Arc::clone(lane));
        }
        if lanes.len() >= self.limits.lanes {
            return Err(NoPlace::TooMany(Over::Lanes));
        }
        let lane = Arc::new(Lane::new(name, &self.limits));
        lanes.insert(Arc::clone(&lane.name), Arc::clone(&lane));
        Ok(lane)
    }

    /// A lane that exists.
    pub(crate) fn existing_lane(&self, name: &str) -> Option<Arc<Lane>> {
        lock(&self.lanes).get(name).cloned()
    }

    pub(crate) fn retire_if_idle(&self, lane: &Arc<Lane>) {
        {
            let mut lanes = lock(&self.lanes);
            let mut state = lane.state();
            if state.is_idle() && !state.retired {
                state.retired = true;
                lanes.remove(&lane.name);
            }
        }
        self.ended.notify_waiters();
    }

    pub(crate) fn all_lanes(&self) -> Vec<Arc<Lane>> {
        lock(&self.lanes).values().cloned().collect()
    }

    /// Makes a socket known under a new token.
    pub(crate) fn register(
        self: &Arc<Self>,
        side: Side,
        lane: &str,
        context: &str,
        standing: &Standing,
    ) -> Result<Registration, NoPlace> {
        if self.phase() != Phase::Running {
            return Err(NoPlace::Stopping);
        }
        let is_long = |account: &Account| {
            account.name.len().max(account.group.len()) > self.limits.name_bytes
        };
        let has_long_name = matches!(standing, Standing::Counted(account) if is_long(account));
        if context.len() > self.limits.context_bytes || has_long_name {
            return Err(NoPlace::TooLarge);
        }
        self.in_lane(lane, |lane, state| {
            let limits = &self.limits;
            let is_unknown = *standing == Standing::Unknown;
            let (taken, most, over) = match side {
                Side::Client if is_unknown => (
                    state.unknown_sockets,
                    limits.unknown_sockets_per_lane,
                    Over::UnknownPlaces,
                ),
                Side::Client => (
                    state.client_sockets,
                    limits.client_sockets_per_lane,
                    Over::LanePlaces,
                ),
                Side::Outbound => (
                    state.outbound.len(),
                    limits.outbound_sockets_per_lane,
                    Over::LanePlaces,
                ),
            };
            if taken >= most {
                return Err(NoPlace::TooMany(over));
            }
            let place = match standing {
                Standing::Counted(account) => {
                    let place = self.accounts.take(account);
                    Some(place.map_err(NoPlace::AccountFull)?)
                }
                Standing::Plain | Standing::Unknown => None,
            };
            let socket = Socket::new(self.new_token(), Arc::clone(lane), context, side, limits);
            socket.stand(is_unknown, place);
            let socket = Arc::new(socket);
            match side {
                Side::Client if is_unknown => {
                    state.unknown_sockets += 1;
                    state.strangers.insert(Arc::clone(&socket.token));
                }
                Side::Client => state.client_sockets += 1,
                Side::Outbound => {
                    let token = Arc::clone(&socket.token);
                    state.outbound.insert(token, Arc::clone(&socket));
                }
            }
            lock(&self.sockets).insert(Arc::clone(&socket.token), Arc::clone(&socket));
            Ok(Registration {
                registry: Arc::clone(self),
                last_event: None,
                socket,
            })
        })?
    }

    /// Gives an unknown socket a place among the others of its lane, and in an account.
    pub(crate) fn settle_once(
        &self,
        socket: &Socket,
        account: Option<&Account>,
    ) -> Result<(), NoPlace> {
        let mut state = socket.lane.state();
        if !socket.is_unknown() {
            return Ok(());
        }
        if state.client_sockets >= self.limits.client_sockets_per_lane {
            return Err(NoPlace::TooMany(Over::LanePlaces));
        }
        let place = match account {
            Some(account) => {
                let place = self.accounts.take(account);
                Some(place.map_err(NoPlace::AccountFull)?)
            }
            None => None,
        };
        socket.stand(false, place);
        state.unknown_sockets -= 1;
        state.client_sockets += 1;
        state.strangers.remove(&socket.token);
        Ok(())
    }

    fn new_token(&self) -> SocketToken {
        let prefix = self.socket_prefix.get().map_or("", |prefix| prefix);
        Arc::from(format!("{prefix}{}", uuid::Uuid::new_v4()))
    }

    pub(crate) fn socket(&self, token: &str) -> Option<Arc<Socket>> {
        lock(&self.sockets).get(token).cloned()
    }

    pub(crate) fn sockets(&self, side: Side) -> Vec<Arc<Socket>> {
        let sockets = lock(&self.sockets);
        let of_side = sockets.values().filter(|one| one.side == side);
        of_side.cloned().collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats {
            pending_calls: self.calls.len() as u64,
            frames_in: Counters::get(&self.counters.frames_in),
            frames_out: Counters::get(&self.counters.frames_out),
            batches: Counters::get(&self.counters.batches),
            retries: Counters::get(&self.counters.retries),
            failed_batches: Counters::get(&self.counters.failed_batches),
            handed_over: Counters::get(&self.counters.handed_over),
            ..Stats::default()
        };
        for lane in self.all_lanes() {
            let (events, bytes) = lane.used();
            let state = lane.state();
            stats.lanes += 1;
            stats.sockets_in += (state.client_sockets + state.unknown_sockets) as u64;
            stats.sockets_out += state.outbound.len() as u64;
            stats.timers += state.timers.len() as u64;
            stats.queued_events += events as u64;
            stats.queued_bytes += bytes as u64;
            stats.longest_queue = stats.longest_queue.max(events as u64);
        }
        stats
    }
}

/// A socket's place in the registry. When it is dropped, however that comes about, the socket is
/// forgotten and its last event is queued: exactly one.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    pub(crate) socket: Arc<Socket>,
    last_event: Option<Event>,
}

impl Registration {
    /// What the lane is told when this is dropped. A client socket of which the lane was never told
    /// has no last event.
    pub(crate) fn set_last_event(&mut self, event: Event) {
        self.last_event = Some(event);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let lane = &self.socket.lane;
        {
            let mut state = lane.state();
            match self.socket.side {
                Side::Client if self.socket.is_displaced() => {}
                Side::Client if self.socket.is_unknown() => state.unknown_sockets -= 1,
                Side::Client => state.client_sockets -= 1,
                Side::Outbound => drop(state.outbound.remove(&self.socket.token)),
            }
            // It may be held a little longer by whoever sends to it; its place is free now.
            self.socket.stand(false, None);
            lock(&self.registry.sockets).remove(&self.socket.token);
            let is_detached = state.detached.remove(&self.socket.token);
            match self.last_event.take().filter(|_| !is_detached) {
                // Without space: there is one per socket, and it must always get in.
                Some(event) => state.queue.push(event, None, self.registry.queued_now()),
                None => drop(state.strangers.remove(&self.socket.token)),
            }
            lane.wake(&self.registry, &mut state);
        }
        self.registry.retire_if_idle(lane);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
