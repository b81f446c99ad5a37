//! Whether a peer still answers: since when a ping waits for any frame of it. No I/O, no clock, no locks.
//!
//! Only a peer that is being read can be found silent: of one that is not, a pong may wait unread.

use std::time::Duration;

use tokio::time::Instant;

/// What is known of a peer's life.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    /// Its next frame is being waited for.
    is_read: bool,
    /// The first ping after its last frame.
    asked_at: Option<Instant>,
    /// A ping is to be sent before it is due.
    is_ping_wanted: bool,
}

impl Liveness {
    /// Its next frame is being waited for from now on.
    pub(crate) fn read_begins(&mut self) {
        self.is_read = true;
        self.asked_at = None;
    }

    /// A frame came, or it is not read any more.
    pub(crate) fn read_ends(&mut self) {
        *self = Self::default();
    }

    /// It is asked for a sign of life.
    pub(crate) fn asked(&mut self, now: Instant) {
        if self.is_read {
            self.asked_at.get_or_insert(now);
        }
    }

    /// It is to be asked before the next ping is due. Whether that is so now: not of one that is asked
    /// already, or not read.
    pub(crate) fn want_ping(&mut self, now: Instant) -> bool {
        let is_wanted = self.is_read && self.asked_at.is_none();
        if is_wanted {
            self.asked_at = Some(now);
            self.is_ping_wanted = true;
        }
        is_wanted
    }

    /// Whether a ping is to be sent before it is due; once.
    pub(crate) fn take_wanted_ping(&mut self) -> bool {
        std::mem::take(&mut self.is_ping_wanted)
    }

    /// For how long it has not answered.
    pub(crate) fn unanswered_for(&self, now: Instant) -> Option<Duration> {
        let asked_at = self.asked_at?;
        Some(now.saturating_duration_since(asked_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_counts_from_the_first_ping_after_the_last_frame() {
        let start = Instant::now();
        let mut peer = Liveness::default();
        peer.read_begins();
        assert_eq!(peer.unanswered_for(start + SECOND), None, "nobody asked");
        peer.asked(start);
        peer.asked(start + SECOND);
        assert_eq!(peer.unanswered_for(start + 3 * SECOND), Some(3 * SECOND));
        peer.read_ends();
        peer.read_begins();
        assert_eq!(peer.unanswered_for(start + 3 * SECOND), None, "it answered");
    }

    #[test]
    fn who_is_not_read_is_not_silent() {
        let start = Instant::now();
        let mut peer = Liveness::default();
        peer.asked(start);
        assert!(!peer.want_ping(start));
        assert_eq!(peer.unanswered_for(start + SECOND), None);
        peer.read_begins();
        assert_eq!(peer.unanswered_for(start + SECOND), None);
    }

    #[test]
    fn a_wanted_ping_is_sent_once_and_not_to_one_that_is_asked() {
        let start = Instant::now();
        let mut peer = Liveness::default();
        peer.read_begins();
        assert!(peer.want_ping(start));
        assert!(!peer.want_ping(start + SECOND));
        assert!(peer.take_wanted_ping());
        assert!(!peer.take_wanted_ping());
        assert_eq!(peer.unanswered_for(start + SECOND), Some(SECOND));
    }
}
