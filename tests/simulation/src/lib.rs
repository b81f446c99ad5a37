//! A deterministic simulation of one audio stream: the real ingest, the real ASR bridge and the real
//! transcript under a seeded scheduler that reorders, delays, drops, doubles, crashes and restarts,
//! against a model that says at every step what must hold.
//!
//! There are no threads, no wall clock, no files and no sockets in a run: a [`World`] has
//! one clock, one queue of what is going to happen, and one generator of random numbers. So a seed is a
//! run, and a run that fails can be had again (`README.md`).
//!
//! | module | what it is |
//! |---|---|
//! | [`world`] | virtual time, the queue, chance |
//! | [`lane`] | the component's glue, mirrored: what is loaded, stepped, committed and sent, in that order |
//! | [`host`] | the host, mirrored: batches and their repetition, the timer, crashes |
//! | [`outbound`] | its outbound sockets |
//! | [`stores`] | blobs and records: they survive crashes, and fail |
//! | [`client`] | recorders |
//! | [`service`] | the ASR service |
//! | [`oracle`] | what must hold |
//! | [`profile`] | which faults a run has |
//! | [`mutant`] | bugs that can be switched on, to see that they are found |
//! | [`coverage`] | what all seeds together must have reached |
//!
//! The two mirrors are the price of running without WebAssembly: whoever changes the order of things in
//! `components/audio-stream` or what `host/lanes` does with a failed batch changes it there too. What is
//! not mirrored (windows, identity, live push, deletion) is tested elsewhere.

pub mod client;
pub mod coverage;
pub mod host;
pub mod lane;
pub mod mutant;
pub mod oracle;
pub mod outbound;
pub mod profile;
pub mod service;
pub mod stores;
pub mod trace;
pub mod world;

use std::collections::BTreeMap;

use mutant::Mutant;
use profile::Profile;
use world::World;

/// What one run came to.
#[derive(Debug)]
pub struct Run {
    /// What must not be and was.
    pub violation: Option<String>,
    /// Of all lines of its trace.
    pub hash: u64,
    /// The trace, or its last lines.
    pub lines: Vec<String>,
    /// How often each kind of thing happened.
    pub reached: BTreeMap<&'static str, u64>,
}

/// Runs one seed. The trace is kept whole, or the last [`trace::LAST_LINES`] lines of it.
pub fn run(seed: u64, profile: &Profile, mutant: Mutant, keeps_all: bool) -> Run {
    let mut world = World::new(seed, profile.clone(), mutant, keeps_all);
    let violation = world.run();
    let mut trace = world.trace;
    Run {
        violation,
        hash: trace.hash(),
        reached: std::mem::take(&mut trace.reached),
        lines: trace.lines(),
    }
}
