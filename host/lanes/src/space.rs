//! How much may wait in a lane, counted in events and in bytes.
//!
//! Space is given back when it is dropped, so it cannot leak; whoever waits for it gets it in the
//! order of asking.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The space of one lane for one kind of events.
#[derive(Debug)]
pub(crate) struct Budget {
    events: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    max_events: usize,
    max_bytes: u32,
}

/// The space of one event.
#[derive(Debug)]
pub(crate) struct Space {
    _event: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX);
        Self {
            events: Arc::new(Semaphore::new(max_events)),
            bytes: Arc::new(Semaphore::new(max_bytes as usize)),
            max_events,
            max_bytes,
        }
    }

    /// Waits for space. An event larger than the whole waits for all of it.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<Space> {
        let event = Arc::clone(&self.events).acquire_owned().await.ok()?;
        let bytes = self.clamp(bytes);
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(bytes)
            .await
            .ok()?;
        Some(Space {
            _event: event,
            _bytes: bytes,
        })
    }

    /// Takes space if there is some.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Space> {
        let event = Arc::clone(&self.events).try_acquire_owned().ok()?;
        let bytes = self.clamp(bytes);
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?;
        Some(Space {
            _event: event,
            _bytes: bytes,
        })
    }

    /// Whether an event would have to wait now.
    pub(crate) fn is_full_for(&self, bytes: usize) -> bool {
        self.events.available_permits() == 0
            || self.bytes.available_permits() < self.clamp(bytes) as usize
    }

    /// The events and bytes that are taken.
    pub(crate) fn used(&self) -> (usize, usize) {
        (
            self.max_events - self.events.available_permits().min(self.max_events),
            self.max_bytes as usize - self.bytes.available_permits().min(self.max_bytes as usize),
        )
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max_bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_larger_than_the_whole_waits_for_all_of_it() {
        let budget = Budget::new(4, 100);
        let small = budget.try_reserve(1).unwrap();
        assert!(budget.try_reserve(1000).is_none());
        assert!(budget.is_full_for(1000) && !budget.is_full_for(99));
        drop(small);
        let large = budget.try_reserve(1000).unwrap();
        assert!(budget.try_reserve(1).is_none());
        drop(large);
        assert_eq!(budget.used(), (0, 0));
    }

    proptest! {
        /// Never over the limits; nothing leaks, waiters that gave up included.
        #[test]
        fn never_over_and_never_lost(steps in prop::collection::vec((0..60usize, any::<bool>(), 0..4usize), 0..100)) {
            let budget = Budget::new(5, 100);
            let mut held = Vec::new();
            for (bytes, wait, release) in steps {
                let space = if wait {
                    // Polled once, then given up.
                    budget.reserve(bytes).now_or_never().flatten()
                } else {
                    budget.try_reserve(bytes)
                };
                held.extend(space.map(|space| (space, bytes)));
                let total: usize = held.iter().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(budget.used(), (held.len(), total));
                prop_assert!(held.len() <= 5 && total <= 100);
                for _ in 0..release.min(held.len()) {
                    held.remove(0);
                }
            }
            drop(held);
            prop_assert_eq!(budget.used(), (0, 0));
        }
    }
}
