//! Missing seconds that are still waited for: a second that comes a little out of order is sent in its
//! place, and only one that does not come is sent as silence. Bounded in time and number, and a stream
//! that misses nothing waits for nothing.

use serde::{Deserialize, Serialize};

use crate::settings::{GAP_HOLD_MS, MAX_HELD_GAPS};

/// The gaps that are waited for, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held(Vec<Gap>);

/// Missing seconds, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Gap {
    first: u32,
    last: u32,
    /// When a later second came.
    since: u64,
}

impl Held {
    /// A second came at `now` that skips `first..=last`; beyond all that came before. One gap more than
    /// [`MAX_HELD_GAPS`] is not waited for.
    pub fn skipped(&mut self, first: u32, last: u32, now: u64) {
        if self.0.len() < MAX_HELD_GAPS {
            let since = now;
            self.0.push(Gap { first, last, since });
        }
    }

    /// A missing second came.
    pub fn came(&mut self, seq: u32) {
        let Some(at) = self.0.iter().position(|g| g.first <= seq && seq <= g.last) else {
            return;
        };
        let gap = self.0.remove(at);
        let rest = [(gap.first, seq - 1), (seq.saturating_add(1), gap.last)];
        let mut at = at;
        for (first, last) in rest {
            if first <= last && self.0.len() < MAX_HELD_GAPS {
                let since = gap.since;
                self.0.insert(at, Gap { first, last, since });
                at += 1;
            }
        }
    }

    /// Gives up what was waited for long enough. A clock that went back does not make it longer.
    pub fn release(&mut self, now: u64) {
        for gap in &mut self.0 {
            gap.since = gap.since.min(now);
        }
        self.0.retain(|gap| now < gap.since + GAP_HOLD_MS);
    }

    /// Waits for nothing any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The first second after `sent` that is waited for, and until when.
    pub fn next_after(&self, sent: u32) -> Option<(u32, u64)> {
        let gap = self.0.iter().find(|gap| gap.last > sent)?;
        let first = gap.first.max(sent.saturating_add(1));
        Some((first, gap.since + GAP_HOLD_MS))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(held: &Held, sent: u32) -> Option<u32> {
        held.next_after(sent).map(|(first, _)| first)
    }

    #[test]
    fn what_comes_is_not_waited_for_and_the_rest_is_for_its_time() {
        let mut held = Held::default();
        held.skipped(5, 8, 1_000);
        held.skipped(10, 10, 1_500);
        assert_eq!(held.next_after(3), Some((5, 1_000 + GAP_HOLD_MS)));
        held.came(6);
        assert_eq!(
            (next(&held, 4), next(&held, 5), next(&held, 8)),
            (Some(5), Some(7), Some(10))
        );
        held.came(5);
        held.came(7);
        held.came(8);
        held.came(99);
        assert_eq!(next(&held, 0), Some(10));
        held.release(1_500 + GAP_HOLD_MS - 1);
        assert_eq!(next(&held, 0), Some(10));
        held.release(1_500 + GAP_HOLD_MS);
        assert!(held.is_empty());
    }

    #[test]
    fn so_many_gaps_are_waited_for_and_no_more() {
        let mut held = Held::default();
        for n in 1..=(MAX_HELD_GAPS as u32 + 5) {
            held.skipped(10 * n, 10 * n + 5, 0);
        }
        held.came(12);
        assert!(held.0.len() <= MAX_HELD_GAPS);
        assert_eq!(next(&held, 0), Some(10));
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_wait_longer() {
        let mut held = Held::default();
        held.skipped(5, 5, 9_000_000);
        held.release(1_000);
        held.release(1_000 + GAP_HOLD_MS);
        assert!(held.is_empty());
    }
}
