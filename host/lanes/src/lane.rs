//! One lane: its queue, what keeps it alive, and the task that hands its batches to the mailbox.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::FutureExt;

use crate::{
    Batch, HandleError, Limits, Mailbox,
    close_frame::{self, sendable},
    events::{CallId, Event, SocketToken},
    handle::{Side, Socket},
    queue::Queue,
    registry::{Phase, Registry},
    space::{Budget, Space},
    stats::Counters,
    timers::Timer,
};

/// A lane, as long as it has anything.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Arc<str>,
    /// For what sockets bring.
    pub(crate) frames: Budget,
    /// For timers, messages and calls: peers that send without end must not keep these out.
    pub(crate) messages: Budget,
    state: Mutex<State>,
}

/// What is under the lane's lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) queue: Queue<Space>,
    /// There is a task that handles batches.
    running: bool,
    /// No longer in the registry: look the name up again.
    pub(crate) retired: bool,
    pub(crate) client_sockets: usize,
    /// Client sockets of which nobody knows yet whose they are; not among the others.
    pub(crate) unknown_sockets: usize,
    /// Those, and those that went without ever being known, as long as something of them waits.
    pub(crate) strangers: HashSet<SocketToken>,
    pub(crate) outbound: HashMap<SocketToken, Arc<Socket>>,
    /// Sockets that still close after the lane was handed over, or they were displaced: nothing of them is
    /// handled.
    pub(crate) detached: HashSet<SocketToken>,
    pub(crate) timers: HashMap<Arc<str>, Timer>,
    /// Tells one setting of a timer from the next.
    pub(crate) timer_settings: u64,
    /// What wakes the lane after a batch was given up.
    pub(crate) retry: Option<Timer>,
    /// Batches that were given up since the last one that was handled.
    pub(crate) given_up: u32,
}

impl State {
    pub(crate) fn is_idle(&self) -> bool {
        self.is_quiet()
            && !self.holds_sockets()
            && self.detached.is_empty()
            && self.timers.is_empty()
            && self.retry.is_none()
    }

    pub(crate) fn holds_sockets(&self) -> bool {
        self.client_sockets > 0 || self.unknown_sockets > 0 || !self.outbound.is_empty()
    }

    /// All of these are a stranger's, or a timer's of a lane that has nothing but strangers.
    fn are_strangers(&self, events: &[Event]) -> bool {
        self.client_sockets == 0
            && self.outbound.is_empty()
            && events.iter().all(|event| match event {
                Event::Timer { .. } => true,
                Event::Message { .. } | Event::Retry => false,
                of_socket => of_socket
                    .socket()
                    .is_some_and(|socket| self.strangers.contains(socket)),
            })
    }

    /// Nothing waits and nothing is being handled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.queue.is_empty() && !self.running
    }
}

impl Lane {
    pub(crate) fn new(name: &str, limits: &Limits) -> Self {
        Self {
            name: Arc::from(name),
            frames: Budget::new(limits.queue_events, limits.queue_bytes),
            messages: Budget::new(limits.queue_messages, limits.queue_message_bytes),
            state: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events and bytes that wait or are being handled.
    pub(crate) fn used(&self) -> (usize, usize) {
        let (frames, frame_bytes) = self.frames.used();
        let (messages, message_bytes) = self.messages.used();
        (frames + messages, frame_bytes + message_bytes)
    }

    /// Queues an event. The caller keeps the lane alive: it has a socket or a timer of it.
    pub(crate) fn push(self: &Arc<Self>, registry: &Arc<Registry>, event: Event, space: Space) {
        let queued = registry.queued_now();
        let mut state = self.state();
        if event
            .socket()
            .is_some_and(|socket| state.detached.contains(socket))
        {
            return;
        }
        state.queue.push(event, Some(space), queued);
        self.wake(registry, &mut state);
    }

    /// Sees to it that what waits is handled.
    pub(crate) fn wake(self: &Arc<Self>, registry: &Arc<Registry>, state: &mut State) {
        if state.running || state.queue.is_empty() {
            return;
        }
        let Some(mailbox) = registry.mailbox() else {
            return;
        };
        state.running = true;
        let (lane, task_registry) = (Arc::clone(self), Arc::clone(registry));
        registry.runtime.spawn(async move {
            lane.run(&task_registry, mailbox.as_ref()).await;
            task_registry.retire_if_idle(&lane);
        });
    }

    /// Handles batches until nothing waits.
    async fn run(self: &Arc<Self>, registry: &Arc<Registry>, mailbox: &dyn Mailbox) {
        loop {
            let batch = {
                let mut state = self.state();
                let limits = &registry.limits;
                let stopped = registry.phase() == Phase::Stopped;
                match state.queue.take(limits.batch_events, limits.batch_bytes) {
                    Some(batch) if !stopped => batch,
                    _ => {
                        state.running = false;
                        return;
                    }
                }
            };
            if let (Some(observer), Some(queued)) = (registry.observer.get(), batch.queued) {
                observer.waited(queued.elapsed());
            }
            let ended: Vec<_> = batch.events.iter().filter_map(ended).cloned().collect();
            self.deliver(registry, mailbox, batch.events).await;
            if !ended.is_empty() {
                let mut state = self.state();
                for socket in &ended {
                    state.strangers.remove(socket);
                }
            }
            Counters::add(&registry.counters.batches);
            drop(batch.space);
        }
    }

    /// Hands over one batch: twice if need be, never three times. Of one that is another host's lane's only
    /// the messages are handed over again.
    async fn deliver(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        mailbox: &dyn Mailbox,
        events: Vec<Event>,
    ) {
        let Err(first) = self.attempt(mailbox, events.clone()).await else {
            self.state().given_up = 0;
            return;
        };
        if first == HandleError::Moved {
            return self.is_moved(registry, mailbox, events).await;
        }
        tracing::warn!(lane = %self.name, events = events.len(), reason = %first, "a batch failed and is tried again");
        // What the failed attempt sent to them is unknown.
        self.abandon_outbound();
        Counters::add(&registry.counters.retries);
        let concerned = Concerned::of(&events);
        let Err(second) = self.attempt(mailbox, events.clone()).await else {
            self.state().given_up = 0;
            return;
        };
        if second == HandleError::Moved {
            return self.is_moved(registry, mailbox, events).await;
        }
        tracing::error!(lane = %self.name, reason = %second, "a batch failed twice and is given up");
        Counters::add(&registry.counters.failed_batches);
        self.abandon_outbound();
        for call in &concerned.calls {
            registry.calls.fail(call, "the lane failed to handle it");
        }
        for socket in &concerned.sockets {
            if let Some(socket) = registry
                .socket(socket)
                .filter(|one| one.side == Side::Client)
            {
                let reason = "the gateway could not handle this, reconnect and resend";
                let _ = socket.close(sendable(close_frame::INTERNAL, reason));
            }
        }
        // Nothing that came after a lost frame is handled: a lane sees a socket's frames from the
        // first on without a hole.
        self.state().queue.drop_frames(&concerned.sockets);
        registry.retry_later(self);
    }

    /// One call of the mailbox. A panic in it is a failure like any other.
    async fn attempt(&self, mailbox: &dyn Mailbox, events: Vec<Event>) -> Result<(), HandleError> {
        let is_call = |event: &Event| matches!(event, Event::Message { call: Some(_), .. });
        let (holds_sockets, is_of_strangers) = {
            let state = self.state();
            (state.holds_sockets(), state.are_strangers(&events))
        };
        let batch = Batch {
            lane: Arc::clone(&self.name),
            is_awaited: holds_sockets || events.iter().any(is_call),
            is_of_strangers,
            events,
        };
        let handled = AssertUnwindSafe(async { mailbox.handle(batch).await });
        handled
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(HandleError::Failed("the mailbox panicked".to_owned())))
    }

    /// The lane has become another host's: what it had here is given up. Who left a message here did not
    /// mean that host, and nobody tells it: those are handled here all the same, if the lane can be had.
    async fn is_moved(&self, registry: &Registry, mailbox: &dyn Mailbox, mut events: Vec<Event>) {
        registry.hand_over(self);
        events.retain(|event| matches!(event, Event::Message { .. }));
        if events.is_empty() {
            return;
        }
        let calls = Concerned::of(&events).calls;
        let Err(error) = self.attempt(mailbox, events).await else {
            return;
        };
        let why = match error {
            HandleError::Moved => {
                registry.hand_over(self);
                MOVED
            }
            HandleError::Failed(reason) => {
                tracing::error!(lane = %self.name, reason, "messages are given up");
                Counters::add(&registry.counters.failed_batches);
                self.abandon_outbound();
                "the lane failed to handle it"
            }
        };
        for call in &calls {
            registry.calls.fail(call, why);
        }
    }

    fn abandon_outbound(&self) {
        let sockets: Vec<_> = self.state().outbound.values().cloned().collect();
        for socket in sockets {
            socket.abandon(sendable(close_frame::INTERNAL, "the application failed"));
        }
    }
}

/// The socket that this event is the last one of.
fn ended(event: &Event) -> Option<&SocketToken> {
    match event {
        Event::Closed { socket, .. } => Some(socket),
        _ => None,
    }
}

/// Why a call fails whose lane is another host's.
const MOVED: &str = "the lane goes on at another host";

/// Whom the failure of a batch concerns.
struct Concerned {
    sockets: HashSet<SocketToken>,
    calls: Vec<CallId>,
}

impl Concerned {
    fn of(events: &[Event]) -> Self {
        Self {
            sockets: events.iter().filter_map(Event::socket).cloned().collect(),
            calls: events
                .iter()
                .filter_map(|event| match event {
                    Event::Message { call, .. } => call.clone(),
                    _ => None,
                })
                .collect(),
        }
    }
}
