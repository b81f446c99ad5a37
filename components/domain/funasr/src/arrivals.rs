//! When the seconds that are not final yet were stored, for the latency figures. It is a memory of
//! bounded size, not a queue: forgetting an entry costs a figure, never audio.

use serde::{Deserialize, Serialize};

use crate::settings::MAX_ARRIVALS;

/// Times of arrival of consecutive seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrivals(Vec<(u32, u64)>);

impl Arrivals {
    /// Second `seq` was stored at `at`; seconds come in rising order.
    pub fn push(&mut self, seq: u32, at: u64) {
        if self.0.last().is_some_and(|(last, _)| *last >= seq) {
            return;
        }
        if self.0.len() >= MAX_ARRIVALS {
            self.0.remove(0);
        }
        self.0.push((seq, at));
    }

    /// When `seq` was stored. A second that was missing counts as stored with the next one.
    pub fn of(&self, seq: u32) -> Option<u64> {
        let first_known = self.0.first()?.0;
        if seq < first_known {
            return None;
        }
        self.0.iter().find(|(s, _)| *s >= seq).map(|(_, at)| *at)
    }

    /// Forgets the seconds before `seq`.
    pub fn forget_before(&mut self, seq: u32) {
        self.0.retain(|(s, _)| *s >= seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_second_or_the_next_that_came_and_forgets_old_ones() {
        let mut a = Arrivals::default();
        for (seq, at) in [(1, 10), (2, 20), (5, 50)] {
            a.push(seq, at);
        }
        assert_eq!((a.of(2), a.of(3), a.of(6)), (Some(20), Some(50), None));
        a.forget_before(5);
        assert_eq!((a.of(2), a.of(5)), (None, Some(50)));
        a.push(4, 99);
        assert_eq!(a.of(4), None, "a late second is not remembered");
    }

    #[test]
    fn stays_within_its_limit() {
        let mut a = Arrivals::default();
        for seq in 1..=(MAX_ARRIVALS as u32 + 7) {
            a.push(seq, u64::from(seq));
        }
        assert_eq!(a.0.len(), MAX_ARRIVALS);
        assert_eq!(a.of(7), None);
        assert_eq!(a.of(8), Some(8));
    }
}
