//! A server that does not answer is not waited for by each call of a batch: for a moment after one was
//! given up, the others fail at once. This lives as long as the instance does, which has a batch at
//! least.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long nobody asks after a call was given up.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    static ASK_AGAIN_AT: Cell<Option<Instant>> = const { Cell::new(None) };
    static IS_DOWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether, and how, a call may go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// As often as there is time for.
    Free,
    /// Once, to see whether it is back.
    Once,
    /// Not at all.
    Not,
}

pub fn ask() -> Leave {
    match ASK_AGAIN_AT.get() {
        Some(at) if Instant::now() < at => Leave::Not,
        _ if IS_DOWN.get() => Leave::Once,
        _ => Leave::Free,
    }
}

pub fn answered() {
    IS_DOWN.set(false);
    ASK_AGAIN_AT.set(None);
}

pub fn given_up() {
    IS_DOWN.set(true);
    ASK_AGAIN_AT.set(Some(Instant::now() + PAUSE));
}
