//! When clients came, and how they were answered: the evidence of how a client reconnects. Bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::task_log::unix_ms;

/// How many handshakes are kept; the oldest goes first.
pub const MAX_LOGGED_HANDSHAKES: usize = 4096;

/// A WebSocket handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Which connection it is, counted from 1; tasks name it, too.
    pub connection: u64,
    /// When, in ms since 1970.
    pub at_unix_ms: u64,
    /// 101 when it was granted; none when the connection was closed without an answer.
    pub status: Option<u16>,
}

/// The handshakes of a simulator; clones share them.
#[derive(Debug, Clone, Default)]
pub struct HandshakeLog(Arc<Mutex<VecDeque<Handshake>>>);

impl HandshakeLog {
    /// All that are kept, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<Handshake> {
        self.lock().iter().copied().collect()
    }

    pub(crate) fn add(&self, connection: u64, status: Option<u16>) {
        let mut records = self.lock();
        if records.len() == MAX_LOGGED_HANDSHAKES {
            records.pop_front();
        }
        records.push_back(Handshake {
            connection,
            at_unix_ms: unix_ms(),
            status,
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Handshake>> {
        // Nothing that holds the lock leaves the log half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let log = HandshakeLog::default();
        for connection in 0..=MAX_LOGGED_HANDSHAKES as u64 {
            log.add(connection, Some(101));
        }
        let records = log.records();
        assert_eq!(records.len(), MAX_LOGGED_HANDSHAKES);
        assert_eq!(records[0].connection, 1);
    }
}
