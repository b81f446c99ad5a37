//! Figures for a health page or a log: counters since the start and what there is now.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::over::Counts;

/// Is told what cannot be counted afterwards. It must not block.
pub trait Observer: Send + Sync + 'static {
    /// A batch is handed to the mailbox: its oldest event has waited for so long.
    fn waited(&self, time: Duration);
}

/// What a [`Lanes`](crate::Lanes) holds now and has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lanes that exist now.
    pub lanes: u64,
    /// Client sockets now.
    pub sockets_in: u64,
    /// Outbound sockets now, those that connect included.
    pub sockets_out: u64,
    /// Events queued or being handled now, frames counted singly.
    pub queued_events: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// The most that one lane has of `queued_events`.
    pub longest_queue: u64,
    /// Timers set now.
    pub timers: u64,
    /// Calls waiting for their answer now.
    pub pending_calls: u64,
    /// Frames received since the start.
    pub frames_in: u64,
    /// Messages sent since the start.
    pub frames_out: u64,
    /// Batches handled since the start, retries not counted.
    pub batches: u64,
    /// Batches given to the mailbox a second time.
    pub retries: u64,
    /// Batches that failed twice.
    pub failed_batches: u64,
    /// Lanes that were given up because they go on at another host.
    pub handed_over: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
    pub(crate) handed_over: AtomicU64,
    pub(crate) over: Counts,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
