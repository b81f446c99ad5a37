//! Virtual time, the queue of what is going to happen, chance, and the run from the first event to
//! rest. Everything random comes from the one generator of the run, everything waits in the one
//! queue; so a seed says all.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Arguments;

use crate::client::{Client, ClientSocket};
use crate::host::Host;
use crate::mutant::Mutant;
use crate::oracle::Oracle;
use crate::outbound::{Outbound, Outcome};
use crate::profile::Profile;
use crate::service::Connection;
use crate::stores::Stores;
use crate::trace::Trace;

/// The host's clock when a run begins: 2025, as epoch ms.
const EPOCH_MS: u64 = 1_750_000_000_000;
/// A run that has not come to rest after so much time, when nothing fails any more, never will.
const REST_LIMIT_MS: u64 = 2 * 60 * 60 * 1000;
/// The same in events.
const EVENT_LIMIT: u64 = 200_000;

/// What [`Stop::Failed`] says of a trap.
pub const TRAP: &str = "a trap";

/// Why the component stops in the middle of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It traps, or says that the batch failed.
    Failed(&'static str),
    /// The process is killed.
    Crash,
}

/// Something that is going to happen.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "handled where the name says")]
pub enum Happening {
    LaneRuns { life: u32 },
    TimerRings { life: u32, setting: u64 },
    Crash,
    Restart,
    StoresGone { for_ms: u64 },
    ServiceGone { for_ms: u64 },
    ClockIsSet,
    Flush,
    Reset,
    Calm,
    ClientWakes(usize),
    ClientConnects(usize),
    ClientIsTold(u32),
    ClientLosesConnection(u32),
    ToHost(u32),
    ClientIsGone(u32),
    Handshake(u32, Outcome),
    ToService(u32),
    FromService(u32),
    OutboundEnds(u32),
    TaskStarts(u32),
    Recognises(u32),
    TaskFinishes(u32),
    HearsNothing(u32, usize),
}

#[derive(Debug)]
struct Entry {
    at: u64,
    /// What happens at the same time happens in any order.
    tie: u32,
    number: u64,
    what: Happening,
}

impl Entry {
    fn key(&self) -> (u64, u32, u64) {
        (self.at, self.tie, self.number)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// The bug that is switched on.
    pub mutant: Mutant,
    /// What may fail.
    pub profile: Profile,
    /// What happened.
    pub trace: Trace,
    /// What survives a crash.
    pub stores: Stores,
    /// What must hold.
    pub oracle: Oracle,
    pub(crate) host: Host,
    pub(crate) outbound: BTreeMap<u32, Outbound>,
    pub(crate) connections: BTreeMap<u32, Connection>,
    pub(crate) service_gone_until: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) client_sockets: BTreeMap<u32, ClientSocket>,
    rng: fastrand::Rng,
    clock: u64,
    /// What the host's clock shows at the beginning of the run, as it is set.
    epoch_ms: u64,
    calm: bool,
    queue: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    names: u32,
    violation: Option<String>,
}

impl World {
    /// A stream that nothing was sent to yet.
    pub fn new(seed: u64, profile: Profile, mutant: Mutant, keeps_all: bool) -> World {
        World {
            mutant,
            profile,
            trace: Trace::new(keeps_all),
            stores: Stores::default(),
            oracle: Oracle::default(),
            host: Host::default(),
            outbound: BTreeMap::new(),
            connections: BTreeMap::new(),
            service_gone_until: 0,
            clients: Vec::new(),
            client_sockets: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            clock: 0,
            epoch_ms: EPOCH_MS,
            calm: false,
            queue: BinaryHeap::new(),
            entries: 0,
            names: 0,
            violation: None,
        }
    }

    /// Runs until nothing is left to happen. What was found to be wrong, if anything.
    pub fn run(&mut self) -> Option<String> {
        self.plan();
        self.run_to_rest();
        if self.violation.is_none() {
            self.oracle_sees_rest();
        }
        if self.violation.is_none() {
            self.call_flush();
            self.run_to_rest();
        }
        if self.violation.is_none() {
            self.oracle_sees_rest();
        }
        self.violation.take()
    }

    fn plan(&mut self) {
        self.host.start();
        let end = self.plan_clients();
        for _ in 0..self.profile.idle_crashes {
            if self.is_heads() {
                let at = self.below(end + 40_000);
                self.later(at, Happening::Crash);
            }
        }
        for _ in 0..self.profile.store_outages {
            if self.is_heads() {
                let (at, for_ms) = (self.below(end + 20_000), self.below(12_000));
                self.later(at, Happening::StoresGone { for_ms });
            }
        }
        for _ in 0..self.profile.clock_steps {
            if self.is_heads() {
                let at = self.below(end + 20_000);
                self.later(at, Happening::ClockIsSet);
            }
        }
        for _ in 0..self.profile.asr_outages {
            if self.is_heads() {
                let (at, for_ms) = (self.below(end), self.below(60_000));
                self.later(at, Happening::ServiceGone { for_ms });
            }
        }
        for _ in 0..self.profile.flushes {
            if self.is_heads() {
                let at = self.below(end + 20_000);
                self.later(at, Happening::Flush);
            }
        }
        for _ in 0..self.profile.resets {
            if self.is_heads() {
                let at = self.below(end + 20_000);
                self.later(at, Happening::Reset);
            }
        }
        let calm_at = end + 10_000 + self.below(90_000);
        self.later(calm_at, Happening::Calm);
    }

    fn run_to_rest(&mut self) {
        let began = self.clock;
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.clock = self.clock.max(entry.at);
            self.happen(entry.what);
            if self.violation.is_some() {
                return;
            }
            if self.entries > EVENT_LIMIT || self.clock > began + REST_LIMIT_MS {
                self.violation("it does not come to rest".into());
                return;
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::LaneRuns { life } => self.lane_runs(life),
            Happening::TimerRings { life, setting } => self.timer_rings(life, setting),
            Happening::Crash => {
                if self.host.is_up() && !self.calm {
                    self.trace.reach("crash: between batches");
                    self.crash();
                }
            }
            Happening::Restart => self.restart(),
            Happening::StoresGone { for_ms } => {
                self.stores.gone_until = self.clock + for_ms;
                self.trace.reach("the stores are gone");
                self.write(format_args!("the stores are gone for {for_ms} ms"));
            }
            Happening::ServiceGone { for_ms } => self.service_goes(for_ms),
            Happening::ClockIsSet => {
                let by = self.between(1, 3_600_000);
                let ahead = self.is_heads();
                self.epoch_ms = if ahead {
                    self.epoch_ms + by
                } else {
                    self.epoch_ms - by
                };
                self.trace.reach("the clock is set");
                self.write(format_args!("the clock is set, ahead: {ahead}, by {by} ms"));
                self.oracle.clock_is_set();
            }
            Happening::Flush => self.call_flush(),
            Happening::Reset => self.call_reset(),
            Happening::Calm => {
                self.calm = true;
                self.write(format_args!("calm: nothing fails from here on"));
            }
            Happening::ClientWakes(client) => self.client_wakes(client),
            Happening::ClientConnects(client) => self.client_connects(client),
            Happening::ClientIsTold(socket) => self.client_is_told(socket),
            Happening::ClientLosesConnection(socket) => self.client_loses(socket),
            Happening::ToHost(socket) => self.host_reads(socket),
            Happening::ClientIsGone(socket) => self.client_is_gone(socket),
            Happening::Handshake(socket, outcome) => self.handshake(socket, outcome),
            Happening::ToService(socket) => self.frame_reaches_service(socket),
            Happening::FromService(socket) => self.frame_reaches_host(socket),
            Happening::OutboundEnds(socket) => self.outbound_ends(socket),
            Happening::TaskStarts(socket) => self.task_starts(socket),
            Happening::Recognises(socket) => self.recognises(socket),
            Happening::TaskFinishes(socket) => self.task_finishes(socket),
            Happening::HearsNothing(socket, heard) => self.hears_nothing(socket, heard),
        }
    }

    /// Something must not be. The first one counts.
    pub fn violation(&mut self, what: String) {
        if self.violation.is_none() {
            self.write(format_args!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    /// Virtual time, ms from the beginning.
    pub fn now(&self) -> u64 {
        self.clock
    }

    /// The host's clock.
    pub fn epoch_ms(&self) -> u64 {
        self.epoch_ms + self.clock
    }

    /// Nothing fails any more.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    pub(crate) fn write(&mut self, text: Arguments<'_>) {
        self.trace.write(self.clock, text);
    }

    pub(crate) fn later(&mut self, in_ms: u64, what: Happening) {
        self.entries += 1;
        let entry = Entry {
            at: self.clock + in_ms,
            tie: self.rng.u32(..),
            number: self.entries,
            what,
        };
        self.queue.push(Reverse(entry));
    }

    pub(crate) fn next_name(&mut self) -> u32 {
        self.names += 1;
        self.names
    }

    /// What the host gives the component for ids and jitter.
    pub fn random(&mut self) -> u64 {
        self.rng.u64(..)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.rng.u64(..limit.max(1))
    }

    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        self.rng.u64(from..=to)
    }

    pub(crate) fn is_heads(&mut self) -> bool {
        self.rng.bool()
    }

    /// Whether a fault of this chance happens now.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && !self.calm && self.rng.u32(..1000) < per_mille
    }

    pub(crate) fn chance_fine(&mut self, per_100_000: u32) -> bool {
        per_100_000 > 0 && !self.calm && self.rng.u32(..100_000) < per_100_000
    }

    /// Which of some faults happens now: its index.
    pub(crate) fn pick(&mut self, per_mille: &[u32]) -> Option<usize> {
        if self.calm {
            return None;
        }
        let mut roll = self.rng.u32(..1000);
        for (index, chance) in per_mille.iter().enumerate() {
            match roll.checked_sub(*chance) {
                None => return Some(index),
                Some(rest) => roll = rest,
            }
        }
        None
    }

    /// A delay of at most this: mostly short, sometimes all of it.
    pub(crate) fn delay(&mut self, most_ms: u64) -> u64 {
        let most = if self.calm { most_ms.min(50) } else { most_ms };
        let most = if self.rng.u32(..10) == 0 {
            most
        } else {
            most / 8
        };
        self.rng.u64(..=most)
    }
}
