//! Waiting for the file, or for another caller's turn at it, without standing in the way of everybody else: the
//! thread that waits may be one of a runtime's few workers.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::sleep;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::limits::BUSY_TIMEOUT;

/// How long is waited before the file is asked for again: the first times, then the last one again and again.
const PAUSES_MS: [u64; 9] = [1, 2, 5, 10, 15, 20, 25, 50, 100];

/// Does what may take long. A worker of a runtime hands its other tasks to another thread first.
fn at_leisure<T>(work: impl FnOnce() -> T) -> T {
    let is_worker = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    match is_worker {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}

/// The lock, whoever has it; one that is free costs nothing more.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            at_leisure(|| mutex.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

/// SQLite asks it when another process holds the file, and how often it has asked before; false: it is to give
/// up, which is after [`BUSY_TIMEOUT`].
pub(super) fn wait_for_file(asked: i32) -> bool {
    let asked = usize::try_from(asked).unwrap_or(usize::MAX);
    let Some(pause) = pause(asked) else {
        return false;
    };
    at_leisure(|| sleep(pause));
    true
}

/// The pause after so many; none when the time is over.
fn pause(asked: usize) -> Option<Duration> {
    let last = PAUSES_MS.last().copied().unwrap_or(1);
    let first: u64 = PAUSES_MS.iter().take(asked).sum();
    let later = asked.saturating_sub(PAUSES_MS.len()) as u64;
    let waited = first.saturating_add(later.saturating_mul(last));
    let next = PAUSES_MS.get(asked).copied().unwrap_or(last);
    (u128::from(waited) < BUSY_TIMEOUT.as_millis()).then(|| Duration::from_millis(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_end_after_the_time_that_is_set() {
        let all: Duration = (0..).map_while(pause).sum();
        assert!((BUSY_TIMEOUT..BUSY_TIMEOUT * 2).contains(&all), "{all:?}");
        assert_eq!(pause(usize::MAX), None);
    }
}
