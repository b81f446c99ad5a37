//! Frames that wait for their time, in order. Bounded: while it is full the client is not read.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::conversation::Outgoing;

/// How many frames may wait; what one more input brings is taken on top.
pub(super) const MAX_WAITING_FRAMES: usize = 4096;
/// How large they may be together.
pub(super) const MAX_WAITING_BYTES: usize = 16 << 20;

/// The frames of one connection that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Due times never decrease.
    waiting: VecDeque<(Instant, Outgoing)>,
    bytes: usize,
}

impl Outbox {
    /// Adds frames behind those that wait, none due before an earlier one.
    pub(super) fn push(&mut self, now: Instant, frames: Vec<Outgoing>) {
        for outgoing in frames {
            let due = now + outgoing.delay;
            let due = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
            self.bytes += outgoing.frame.len();
            self.waiting.push_back((due, outgoing));
        }
    }

    /// When the first is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// The first, if it is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Outgoing> {
        let (_, outgoing) = self.waiting.pop_front_if(|(due, _)| *due <= now)?;
        self.bytes -= outgoing.frame.len();
        Some(outgoing)
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING_FRAMES || self.bytes >= MAX_WAITING_BYTES
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Duration;

    use super::*;

    fn frame(text: &str, ms: u64) -> Outgoing {
        Outgoing::from(text.to_owned()).after(Duration::from_millis(ms))
    }

    #[test]
    fn frames_keep_their_order_whatever_their_delays() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.push(now, vec![frame("a", 50), frame("b", 0)]);
        outbox.push(now, vec![frame("c", 10)]);
        assert_eq!(outbox.due(), Some(now + Duration::from_millis(50)));
        assert_eq!(outbox.pop(now + Duration::from_millis(49)), None);
        let later = now + Duration::from_millis(50);
        for text in ["a", "b", "c"] {
            let expected = crate::conversation::Frame::Text(text.to_owned());
            assert_eq!(outbox.pop(later).unwrap().frame, expected);
        }
        assert_eq!(outbox.due(), None);
    }

    #[test]
    fn it_is_full_at_its_limit() {
        let mut outbox = Outbox::default();
        let many = |count| (0..count).map(|_| frame("", 1)).collect();
        outbox.push(Instant::now(), many(MAX_WAITING_FRAMES - 1));
        assert!(!outbox.is_full());
        outbox.push(Instant::now(), many(1));
        assert!(outbox.is_full());
        outbox.clear();
        assert!(!outbox.is_full());
    }

    #[test]
    fn large_frames_fill_it_and_leave_it_empty() {
        let mut outbox = Outbox::default();
        let now = Instant::now();
        outbox.push(now, vec![frame(&"x".repeat(MAX_WAITING_BYTES), 0)]);
        assert!(outbox.is_full());
        assert!(outbox.pop(now).is_some());
        assert!(!outbox.is_full());
    }
}
