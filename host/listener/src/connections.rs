//! How many connections there are, for whoever shows figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::OwnedSemaphorePermit;

/// The connections of a listener, counted. Clones count the same ones.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    refused: AtomicU64,
}

impl Connections {
    /// Open now, those that have become WebSockets included.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.open.load(Ordering::Relaxed)
    }

    /// For which there was no place, since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Place {
            _permit: permit,
            connections: self.clone(),
        }
    }
}

/// A connection's place among those that are permitted. A WebSocket keeps its connection's.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    connections: Connections,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
