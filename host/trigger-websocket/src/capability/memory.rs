//! How much memory one instance may take, and how much all instances may grow by together. An instance
//! begins with a few megabytes, of which there are so many as there may be instances; what a call makes it
//! grow by beyond that is what a flood of large requests would take without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use wasmtime::{ResourceLimiter, Result};

use crate::engine::MAX_TABLE_ELEMENTS;

/// Bytes that all instances together may have grown by, unless the operator says otherwise.
pub const MAX_GROWN_MEMORY: usize = 1 << 30;

/// What a call is expected to make its instance grow by, until it has: so many calls are not let in at one
/// moment that all of them find no room.
pub const CALL_RESERVE: usize = 1 << 20;

/// An instance that has grown by more is not used again: its memory never shrinks.
pub const MAX_KEPT_GROWTH: usize = 16 << 20;

/// All instances' memory.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    grown: AtomicUsize,
    reserved: AtomicUsize,
    hits: AtomicU64,
    freed: Notify,
}

impl Budget {
    /// So many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            grown: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            freed: Notify::new(),
        })
    }

    /// The part that calls of lanes may take: all of it.
    pub fn for_lanes(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            ceiling: self.most,
        }
    }

    /// The part that requests may take: three quarters. However many come, lanes have the rest.
    pub fn for_requests(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            ceiling: self.most / 4 * 3,
        }
    }

    /// Bytes that instances have grown by.
    pub fn grown(&self) -> usize {
        self.grown.load(Ordering::Relaxed)
    }

    /// Bytes that they may have grown by.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How often a call waited for memory, or was refused any.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Whether an instance that has grown by so much may be kept for another call. What is kept takes half
    /// of the memory at most, so that it keeps no call out.
    pub fn may_keep(&self, grown: usize) -> bool {
        grown <= MAX_KEPT_GROWTH && self.grown() <= self.most / 2
    }

    fn take(&self, bytes: usize, ceiling: usize) -> bool {
        let grow = |grown: usize| grown.checked_add(bytes).filter(|sum| *sum <= ceiling);
        self.grown
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.grown.fetch_sub(bytes, Ordering::Relaxed);
            self.freed.notify_waiters();
        }
    }
}

/// The part of all memory that one kind of call may take.
#[derive(Clone, Debug)]
pub struct Share {
    budget: Arc<Budget>,
    ceiling: usize,
}

/// The room that a call was let in with, until it is dropped.
#[derive(Debug)]
pub struct Room(Arc<Budget>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(CALL_RESERVE, Ordering::Relaxed);
        self.0.freed.notify_waiters();
    }
}

impl Share {
    /// All memory.
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Waits until a call may begin: there is a quarter left of this part for those that have begun. While
    /// there is none, `make_room` is asked to give up what it can.
    pub async fn room(&self, make_room: impl Fn()) -> Room {
        let mut is_first = true;
        loop {
            let mut freed = std::pin::pin!(self.budget.freed.notified());
            // From here on nothing that is given back is missed.
            freed.as_mut().enable();
            if let Some(room) = self.try_room() {
                return room;
            }
            if std::mem::take(&mut is_first) {
                self.budget.hits.fetch_add(1, Ordering::Relaxed);
            }
            make_room();
            if let Some(room) = self.try_room() {
                return room;
            }
            freed.await;
        }
    }

    fn try_room(&self) -> Option<Room> {
        let budget = &self.budget;
        let most = self.ceiling / 4 * 3;
        let reserve = |reserved: usize| {
            let all = reserved.checked_add(CALL_RESERVE)?;
            // The first call always finds room: without one, nothing would ever be given back.
            (all == CALL_RESERVE || all.saturating_add(budget.grown()) <= most).then_some(all)
        };
        budget
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .ok()?;
        Some(Room(Arc::clone(budget)))
    }
}

/// How much an instance has grown by, for whoever decides whether it is used again.
#[derive(Clone, Debug, Default)]
pub struct Grown(Arc<AtomicUsize>);

impl Grown {
    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Set when memory was refused because all instances together have too much: then trying again helps.
pub type Refused = Arc<AtomicBool>;

/// The memory of one instance: that of all its composed parts together.
#[derive(Debug)]
pub struct Limit {
    /// Bytes granted so far. Memories never shrink.
    granted: usize,
    most: usize,
    /// What of it was taken from all instances' memory.
    grown: Grown,
    share: Share,
    refused: Refused,
}

/// Why an instance ended.
#[derive(Debug, thiserror::Error)]
pub enum TooMuchMemory {
    /// It is over its own limit.
    #[error("the component asked for more than {} MiB of memory", .0 >> 20)]
    Own(usize),
    /// All are over theirs.
    #[error(
        "all instances together have grown by more than {} MiB: fewer calls at a time, or a larger \
         --limit-total-memory-mib",
        .0 >> 20
    )]
    Total(usize),
}

impl Limit {
    /// At most so many bytes, of which those beyond what it begins with are taken from this share.
    pub fn new(most: usize, share: Share) -> Self {
        Self {
            granted: 0,
            most,
            grown: Grown::default(),
            share,
            refused: Refused::default(),
        }
    }

    /// How much it has grown by.
    pub fn grown(&self) -> Grown {
        self.grown.clone()
    }

    /// Where it is noted from now on that memory was refused.
    pub fn note_refusals(&mut self, refused: Refused) {
        self.refused = refused;
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.share.budget.give_back(self.grown.bytes());
    }
}

impl ResourceLimiter for Limit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let growth = desired.saturating_sub(current);
        let granted = self.granted.saturating_add(growth);
        // A trap, not a refusal: what a guest does after a refused growth is to abort anyway,
        // and "unreachable" in the log explains nothing.
        if granted > self.most {
            return Err(wasmtime::Error::new(TooMuchMemory::Own(self.most)));
        }
        // What it begins with is bounded by how many instances there may be.
        if current > 0 {
            let budget = &self.share.budget;
            if !budget.take(growth, self.share.ceiling) {
                budget.hits.fetch_add(1, Ordering::Relaxed);
                self.refused.store(true, Ordering::Release);
                return Err(wasmtime::Error::new(TooMuchMemory::Total(
                    self.share.ceiling,
                )));
            }
            self.grown.0.fetch_add(growth, Ordering::Relaxed);
        }
        self.granted = granted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_parts_share_one_limit() {
        let most = 256 << 20;
        let mut limit = Limit::new(most, Budget::new(most).for_lanes());
        let half = most / 2;
        assert!(limit.memory_growing(0, half, None).unwrap());
        assert!(limit.memory_growing(0, half, None).unwrap());
        let error = limit.memory_growing(half, half + 65_536, None).unwrap_err();
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn all_instances_share_what_they_grow_by_and_requests_leave_some_to_lanes() {
        let budget = Budget::new(64 * MIB);
        let limit = |share: &Share| Limit::new(1 << 30, share.clone());
        let mut requests = [limit(&budget.for_requests()), limit(&budget.for_requests())];
        for request in &mut requests {
            assert!(request.memory_growing(0, 30 * MIB, None).unwrap());
            assert_eq!(request.grown().bytes(), 0, "what it begins with");
            assert!(request.memory_growing(MIB, 21 * MIB, None).unwrap());
        }
        assert_eq!(budget.grown(), 40 * MIB);
        let refused = Refused::default();
        requests[0].note_refusals(Arc::clone(&refused));
        let error = requests[0].memory_growing(MIB, 10 * MIB, None).unwrap_err();
        assert!(error.to_string().contains("more than 48 MiB"), "{error}");
        assert!(error.root_cause().is::<TooMuchMemory>());
        assert!(refused.load(Ordering::Acquire));
        // A lane has the quarter that is left.
        let mut lane = limit(&budget.for_lanes());
        assert!(lane.memory_growing(MIB, 25 * MIB, None).unwrap());
        assert!(lane.memory_growing(MIB, 2 * MIB, None).is_err());
        assert_eq!((budget.grown(), budget.hits()), (64 * MIB, 2));
        drop(requests);
        assert_eq!(budget.grown(), 24 * MIB);
        assert!(lane.memory_growing(MIB, 2 * MIB, None).unwrap());
        drop(lane);
        assert_eq!(budget.grown(), 0, "all is given back");
    }

    #[test]
    fn what_is_kept_is_small_and_leaves_half() {
        let budget = Budget::new(64 * MIB);
        assert!(budget.may_keep(MAX_KEPT_GROWTH));
        assert!(!budget.may_keep(MAX_KEPT_GROWTH + 1));
        let mut limit = Limit::new(1 << 30, budget.for_lanes());
        assert!(limit.memory_growing(MIB, 34 * MIB, None).unwrap());
        assert!(!budget.may_keep(0));
    }

    #[tokio::test]
    async fn a_call_waits_until_memory_is_given_back() {
        let budget = Budget::new(64 * MIB);
        let share = budget.for_lanes();
        let mut large = Limit::new(1 << 30, share.clone());
        assert!(large.memory_growing(MIB, 50 * MIB, None).unwrap());
        // Nothing else is at work: it may try.
        let first = share.room(|| {}).await;
        let (_second, ()) = tokio::join!(share.room(|| {}), async {
            tokio::task::yield_now().await;
            drop(large);
        });
        assert_eq!(budget.hits(), 1);
        drop(first);
        // What is kept for other calls makes room.
        let kept = std::sync::Mutex::new(Some(Limit::new(1 << 30, share.clone())));
        let grown = kept
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .memory_growing(MIB, 50 * MIB, None);
        assert!(grown.unwrap());
        let _third = share.room(|| drop(kept.lock().unwrap().take())).await;
        assert_eq!((budget.grown(), budget.hits()), (0, 2));
    }

    #[tokio::test]
    async fn so_many_calls_are_let_in_at_one_moment() {
        let budget = Budget::new(64 * MIB);
        let share = budget.for_requests();
        let mut rooms = Vec::new();
        for _ in 0..36 {
            rooms.push(share.try_room().unwrap());
        }
        assert!(share.try_room().is_none());
        assert!(budget.for_lanes().try_room().is_some(), "lanes have more");
        rooms.pop();
        assert!(share.try_room().is_some());
    }

    #[test]
    fn a_table_has_a_limit() {
        let mut limit = Limit::new(0, Budget::new(0).for_lanes());
        assert!(limit.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(
            !limit
                .table_growing(0, MAX_TABLE_ELEMENTS + 1, None)
                .unwrap()
        );
    }
}
