//! The host: one lane whose batches may be repeated once, and one timer. It mirrors `host/lanes`: what a
//! failed batch does to sockets, calls and queued frames, and what dies with the process.

use std::collections::{BTreeSet, VecDeque};

use crate::lane::{self, Event};
use crate::mutant::Mutant;
use crate::outbound::name;
use crate::world::{Happening, Stop, TRAP, World};

/// `host/lanes/src/limits.rs`.
const BATCH_EVENTS: u64 = 16;
/// How long whoever calls `flush` waits at most.
const CALL_TIMEOUT_MS: u64 = 20_000;

/// What dies with the process.
#[derive(Debug, Default)]
pub struct Host {
    up: bool,
    life: u32,
    lane: VecDeque<Event>,
    is_running: bool,
    timer: Option<u64>,
    settings: u64,
    /// A batch is being repeated. It does not trap again: a component that always traps is lost.
    is_second_attempt: bool,
}

impl Host {
    pub(crate) fn start(&mut self) {
        self.up = true;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up
    }
}

// What the component calls.
impl World {
    /// A moment inside a batch: what may go wrong just then.
    pub(crate) fn poke(&mut self, crash: &'static str) -> Result<(), Stop> {
        if self.chance_fine(self.profile.socket_dies_pcm) {
            let open = |one: &&u32| {
                self.outbound
                    .get(one)
                    .is_some_and(|one| one.is_open && !one.is_closing)
            };
            if let Some(socket) = self.outbound.keys().find(open).copied() {
                self.write(format_args!("the network takes {}", name(socket)));
                self.trace.reach("a socket dies in a batch");
                self.outbound_dies(socket);
            }
        }
        if self.chance_fine(self.profile.crash_pcm) {
            self.trace.reach(crash);
            self.write(format_args!("{crash}"));
            return Err(Stop::Crash);
        }
        if !self.host.is_second_attempt && self.chance_fine(self.profile.trap_pcm) {
            self.trace.reach("a trap");
            return Err(Stop::Failed(TRAP));
        }
        Ok(())
    }

    /// There is one timer.
    pub fn set_timer(&mut self, delay_ms: u64) -> Result<(), Stop> {
        self.poke("crash: while sending")?;
        self.host.settings += 1;
        let setting = self.host.settings;
        self.host.timer = Some(setting);
        let life = self.host.life;
        let late = self.delay(self.profile.delay_ms / 4);
        self.later(delay_ms + late, Happening::TimerRings { life, setting });
        Ok(())
    }

    /// Answers a call of `flush`.
    pub fn reply_flush(&mut self, call: &str, untranscribed: u32) -> Result<(), Stop> {
        self.poke("crash: while sending")?;
        self.write(format_args!("flushed {call}, {untranscribed} left"));
        self.oracle_sees_flushed(call, untranscribed);
        Ok(())
    }

    /// Answers a call of `reset`.
    pub fn reply_reset(&mut self, call: &str, removed: u32) {
        self.write(format_args!("reset {call}, {removed} removed"));
    }
}

// What happens to the host.
impl World {
    pub(crate) fn push(&mut self, event: Event) {
        if !self.host.up {
            return;
        }
        self.host.lane.push_back(event);
        if !std::mem::replace(&mut self.host.is_running, true) {
            self.run_lane_later();
        }
    }

    fn run_lane_later(&mut self) {
        let life = self.host.life;
        let after = self.delay(self.profile.delay_ms);
        self.later(after, Happening::LaneRuns { life });
    }

    pub(crate) fn lane_runs(&mut self, life: u32) {
        if !self.host.up || life != self.host.life {
            return;
        }
        let most = self.between(1, BATCH_EVENTS) as usize;
        let count = most.min(self.host.lane.len());
        let batch: Vec<Event> = self.host.lane.drain(..count).collect();
        if batch.is_empty() {
            self.host.is_running = false;
            return;
        }
        if batch.len() > 1 {
            self.trace.reach("a batch of several events");
        }
        self.deliver(batch);
        if self.host.up && self.host.life == life {
            self.run_lane_later();
        }
    }

    fn deliver(&mut self, batch: Vec<Event>) {
        for event in &batch {
            self.write_event(event);
        }
        let mut result = self.attempt(batch.clone());
        if let Err(Stop::Failed(why)) = result {
            self.write(format_args!("the batch fails ({why}) and is tried again"));
            self.trace.reach("a batch is repeated");
            self.oracle_sees_failure();
            if self.mutant != Mutant::RepeatsWithSocketsOpen {
                self.abandon_outbound();
            }
            self.host.is_second_attempt = true;
            result = self.attempt(batch.clone());
            self.host.is_second_attempt = false;
        }
        match result {
            Ok(()) => self.oracle_sees_handled(&batch),
            Err(Stop::Crash) => self.crash(),
            Err(Stop::Failed(why)) => {
                self.write(format_args!("the batch fails ({why}) and is given up"));
                self.trace.reach("a batch is given up");
                self.oracle_sees_failure();
                self.give_up(&batch);
            }
        }
    }

    fn attempt(&mut self, batch: Vec<Event>) -> Result<(), Stop> {
        lane::handle(self, batch)
    }

    fn give_up(&mut self, batch: &[Event]) {
        self.abandon_outbound();
        let mut sockets = BTreeSet::new();
        for event in batch {
            match event {
                Event::Accepted { socket }
                | Event::Chunk { socket, .. }
                | Event::CloseFrame { socket } => {
                    sockets.insert(socket.clone());
                    self.close_client(socket, 1011);
                }
                Event::ClientClosed { socket } => {
                    sockets.insert(socket.clone());
                }
                Event::Text { task, .. }
                | Event::Opened { task, .. }
                | Event::Closed { task, .. }
                | Event::OpenFailed { task, .. } => {
                    sockets.insert(task.clone());
                }
                Event::Timer | Event::Resume => self.trace.reach("a timer's batch is given up"),
                Event::Flush { .. } | Event::Reset { .. } => {}
            }
        }
        self.host.lane.retain(|event| match event {
            Event::Chunk { socket, .. } | Event::CloseFrame { socket } => !sockets.contains(socket),
            Event::Text { task, .. } => !sockets.contains(task),
            _ => true,
        });
    }

    fn write_event(&mut self, event: &Event) {
        match event {
            Event::Chunk { socket, chunk } => self.write(format_args!(
                "{socket}: chunk {} #{}",
                chunk.seq, chunk.content
            )),
            Event::Text { task, text } => {
                let end = text
                    .char_indices()
                    .nth(240)
                    .map_or(text.len(), |(at, _)| at);
                let text = text.get(..end).unwrap_or_default();
                self.write(format_args!("of {task}: {text}"));
            }
            event => self.write(format_args!("{event:?}")),
        }
    }

    pub(crate) fn timer_rings(&mut self, life: u32, setting: u64) {
        if self.host.life == life && self.host.timer == Some(setting) {
            self.host.timer = None;
            self.push(Event::Timer);
        }
    }

    pub(crate) fn crash(&mut self) {
        self.write(format_args!("KILLED"));
        self.host = Host {
            life: self.host.life + 1,
            settings: self.host.settings,
            ..Host::default()
        };
        self.outbound.clear();
        self.connections.clear();
        self.clients_see_crash();
        self.oracle_sees_crash();
        let down = self.between(50, 1_000) + self.delay(20_000);
        self.later(down, Happening::Restart);
    }

    pub(crate) fn restart(&mut self) {
        self.write(format_args!("RESTARTED"));
        self.host.up = true;
        if self.has_work() {
            self.trace.reach("a stream goes on after a restart");
            self.push(Event::Resume);
        }
    }

    /// `components/audio-stream/src/resume.rs`.
    fn has_work(&self) -> bool {
        let Ok(state) = lane::read_state(self.stores.records.bridge.as_deref()) else {
            return false;
        };
        let status = state.status();
        let has_backlog = u64::from(status.stored) * 1000 > status.final_ms;
        status.connection != funasr::Connection::Disconnected || has_backlog
    }

    pub(crate) fn call_flush(&mut self) {
        if self.host.up {
            let call = format!("f{}", self.next_name());
            self.write(format_args!("call flush {call}, for {CALL_TIMEOUT_MS} ms"));
            self.push(Event::Flush { call });
        }
    }

    pub(crate) fn call_reset(&mut self) {
        if self.host.up && !self.is_calm() {
            let call = format!("r{}", self.next_name());
            self.push(Event::Reset { call });
        }
    }
}
