//! What requests were over, counted for whoever shows figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit that a request was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Bytes of its body: told 413.
    BodyBytes,
    /// The time in which its body has to come: told 408.
    BodyTime,
    /// Requests at one time: told 503.
    Requests,
    /// Those of one address: told 429.
    RequestsPerAddress,
    /// Memory of all instances together: told 503. Counted where the memory is.
    Memory,
}

/// One of each.
pub const ALL: [Over; 5] = [
    Over::BodyBytes,
    Over::BodyTime,
    Over::Requests,
    Over::RequestsPerAddress,
    Over::Memory,
];

/// How often each, of all components together.
#[derive(Debug, Default)]
pub struct Overs([AtomicU64; ALL.len()]);

impl Overs {
    /// One more.
    pub fn add(&self, over: Over) {
        if let Some(count) = self.0.get(over as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often since the start.
    pub fn get(&self, over: Over) -> u64 {
        self.0
            .get(over as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
