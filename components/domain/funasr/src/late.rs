//! Stored seconds that came too late: the service had been sent silence for them. They are remembered,
//! so that they are listed and can be transcribed in a window of their own. The list is bounded, and
//! nothing in it is ever forgotten: when it is full, neighbours are joined.

use serde::{Deserialize, Serialize};

use crate::settings::MAX_LATE_RANGES;

/// A set of seconds: ranges in order, disjoint and not adjacent, first and last second of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u32, u32)>")]
pub struct Late(Vec<(u32, u32)>);

/// A stored list that is damaged: nobody knows which seconds it meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("late seconds are stored as ranges from 1 on that do not end before they begin")]
pub struct NotRanges;

impl TryFrom<Vec<(u32, u32)>> for Late {
    type Error = NotRanges;

    fn try_from(stored: Vec<(u32, u32)>) -> Result<Late, NotRanges> {
        let mut late = Late::default();
        for (first, last) in stored {
            if first == 0 || first > last {
                return Err(NotRanges);
            }
            late.add(first, last);
        }
        Ok(late)
    }
}

impl Late {
    /// Adds a second. Beyond [`MAX_LATE_RANGES`] ranges the two that are nearest to each other become
    /// one: what lies between them may then be transcribed twice, but no second is lost.
    pub fn insert(&mut self, seq: u32) {
        self.add(seq, seq);
    }

    /// Adds the seconds of another set.
    pub fn extend(&mut self, other: &Late) {
        for &(first, last) in &other.0 {
            self.add(first, last);
        }
    }

    fn add(&mut self, first: u32, last: u32) {
        let (mut first, mut last) = (first, last);
        self.0.retain(|&(f, l)| {
            let touches = f <= last.saturating_add(1) && first <= l.saturating_add(1);
            if touches {
                (first, last) = (first.min(f), last.max(l));
            }
            !touches
        });
        let at = self.0.partition_point(|&(f, _)| f < first);
        self.0.insert(at, (first, last));
        if self.0.len() > MAX_LATE_RANGES {
            self.join_nearest();
        }
    }

    fn join_nearest(&mut self) {
        let between = |pair: &[(u32, u32)]| match pair {
            [(_, last), (first, _)] => first - last,
            _ => u32::MAX,
        };
        let pairs = self.0.windows(2).enumerate();
        let Some((at, _)) = pairs.min_by_key(|(_, pair)| between(pair)) else {
            return;
        };
        let (_, last) = self.0.remove(at + 1);
        if let Some(range) = self.0.get_mut(at) {
            range.1 = last;
        }
    }

    /// Takes the seconds `first..=last` out.
    pub fn remove(&mut self, first: u32, last: u32) {
        if first > last || !self.0.iter().any(|&(f, l)| f <= last && first <= l) {
            return;
        }
        let parts = |&(f, l): &(u32, u32)| {
            let before = (f < first).then(|| (f, l.min(first - 1)));
            let after = (l > last).then(|| (f.max(last + 1), l));
            before.into_iter().chain(after)
        };
        self.0 = self.0.iter().flat_map(parts).collect();
    }

    /// Those up to `last`.
    pub fn up_to(&self, last: u32) -> Late {
        let mut some = self.clone();
        if let Some(next) = last.checked_add(1) {
            some.remove(next, u32::MAX);
        }
        some
    }

    /// Whether a second is one of them.
    pub fn contains(&self, seq: u32) -> bool {
        self.0.iter().any(|&(f, l)| f <= seq && seq <= l)
    }

    /// How many seconds.
    pub fn count(&self) -> u32 {
        let seconds = self.0.iter().map(|&(f, l)| (l - f).saturating_add(1));
        seconds.fold(0, u32::saturating_add)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First and last second of each range, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Found by fuzzing: counting them went below zero.
    #[test]
    fn stored_ranges_are_in_order_or_refused() {
        let read = serde_json::from_str::<Late>;
        assert!(read("[[3,2]]").is_err());
        assert!(read("[[0,2]]").is_err());
        let late = read("[[7,9],[1,2],[3,3]]").unwrap();
        assert_eq!(late.ranges().collect::<Vec<_>>(), [(1, 3), (7, 9)]);
        assert_eq!(serde_json::to_string(&late).unwrap(), "[[1,3],[7,9]]");
    }

    fn seconds(late: &Late) -> BTreeSet<u32> {
        late.ranges().flat_map(|(f, l)| f..=l).collect()
    }

    #[test]
    fn a_full_list_joins_neighbours_and_forgets_nothing() {
        let mut late = Late::default();
        let all = (1..=2 * MAX_LATE_RANGES as u32).map(|n| n * n);
        for seq in all.clone() {
            late.insert(seq);
            assert!(late.0.len() <= MAX_LATE_RANGES);
        }
        assert!(all.clone().all(|seq| late.contains(seq)));
        // The nearest ones were joined, not the farthest.
        let last = all.max().unwrap();
        assert!(!late.contains(last - 1));
    }

    #[test]
    fn the_last_second_that_there_can_be_does_not_overflow() {
        let mut late = Late::default();
        late.insert(u32::MAX);
        late.insert(u32::MAX - 1);
        assert_eq!(late.up_to(u32::MAX).count(), 2);
        late.remove(u32::MAX, u32::MAX);
        assert_eq!(seconds(&late), [u32::MAX - 1].into());
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 1u32..60, 0u32..6), 0..80)) {
            let (mut late, mut model) = (Late::default(), BTreeSet::new());
            for (adds, first, more) in steps {
                if adds {
                    late.insert(first);
                    model.insert(first);
                } else {
                    late.remove(first, first + more);
                    model.retain(|seq| !(first..=first + more).contains(seq));
                }
                prop_assert_eq!(&seconds(&late), &model);
                prop_assert_eq!(late.count() as usize, model.len());
                let is_apart = |pair: &[(u32, u32)]| pair[0].1 + 1 < pair[1].0;
                prop_assert!(late.0.windows(2).all(is_apart), "{:?}", late);
            }
            let some = late.up_to(30);
            prop_assert_eq!(seconds(&some), model.range(..=30).copied().collect());
        }
    }
}
