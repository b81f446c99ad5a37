//! Which seconds of a stream are not stored. The caller's record of them is the only one: it comes with
//! every step, and nothing here is stored a second time.

/// Seconds before the last stored one that are missing: ranges, first and last second of each, in order,
/// disjoint and not adjacent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Missing<'a>(&'a [(u32, u32)]);

impl<'a> Missing<'a> {
    /// As the caller's record has them.
    pub const fn new(ranges: &'a [(u32, u32)]) -> Missing<'a> {
        Missing(ranges)
    }

    /// The ranges that hold a second after `seq`.
    fn after(self, seq: u32) -> impl Iterator<Item = (u32, u32)> + 'a {
        let at = self.0.partition_point(|&(_, last)| last <= seq);
        self.0.get(at..).unwrap_or_default().iter().copied()
    }

    /// The range that holds this second.
    pub(crate) fn range_of(self, seq: u32) -> Option<(u32, u32)> {
        let range = self.after(seq.saturating_sub(1)).next();
        range.filter(|&(first, last)| first <= seq && seq <= last)
    }

    /// The first range after `sent` of which more than `limit` seconds are left there.
    pub(crate) fn longer_than(self, limit: u32, sent: u32) -> Option<(u32, u32)> {
        let left = |(first, last): (u32, u32)| (first.max(sent.saturating_add(1)), last);
        let is_long = |&(first, last): &(u32, u32)| length(first, last) > limit;
        self.after(sent).map(left).find(is_long)
    }

    /// What is left of `first..=last` without the ranges of more than `limit` seconds; 0 leaves the stored
    /// seconds alone.
    pub(crate) fn split(self, first: u32, last: u32, limit: u32) -> Vec<(u32, u32)> {
        let mut pieces = Vec::new();
        let mut at = first;
        let reaches = self
            .after(first.saturating_sub(1))
            .take_while(|&(from, _)| from <= last);
        for (from, to) in reaches.filter(|&(from, to)| length(from, to) > limit) {
            if at < from {
                pieces.push((at, from - 1));
            }
            let Some(next) = to.checked_add(1) else {
                return pieces;
            };
            at = at.max(next);
        }
        if at <= last {
            pieces.push((at, last));
        }
        pieces
    }

    /// How many of the seconds `first..=last` are missing.
    pub(crate) fn count(self, first: u32, last: u32) -> u32 {
        self.after(first.saturating_sub(1))
            .take_while(|&(from, _)| from <= last)
            .map(|(from, to)| length(from.max(first), to.min(last)))
            .fold(0, u32::saturating_add)
    }
}

fn length(first: u32, last: u32) -> u32 {
    match last.checked_sub(first) {
        Some(more) => more.saturating_add(1),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const RANGES: &[(u32, u32)] = &[(4, 6), (10, 30), (40, 40)];

    #[test]
    fn ranges_are_found_by_a_second_and_by_their_length() {
        let missing = Missing::new(RANGES);
        assert_eq!(missing.range_of(6), Some((4, 6)));
        assert_eq!((missing.range_of(7), missing.range_of(41)), (None, None));
        assert_eq!(missing.longer_than(3, 0), Some((10, 30)));
        assert_eq!(missing.longer_than(2, 0), Some((4, 6)));
        // What silence was sent for already does not count.
        assert_eq!(missing.longer_than(10, 19), Some((20, 30)));
        assert_eq!(missing.longer_than(10, 20), None);
        assert_eq!(missing.longer_than(1, 41), None);
    }

    #[test]
    fn long_ranges_split_and_short_ones_stay() {
        let missing = Missing::new(RANGES);
        assert_eq!(missing.split(1, 50, 10), [(1, 9), (31, 50)]);
        assert_eq!(
            missing.split(1, 50, 0),
            [(1, 3), (7, 9), (31, 39), (41, 50)]
        );
        assert_eq!(missing.split(12, 20, 10), []);
        assert_eq!(missing.split(5, 20, 0), [(7, 9)]);
        let whole = &[(3, u32::MAX)];
        assert_eq!(Missing::new(whole).split(1, u32::MAX, 0), [(1, 2)]);
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_its_seconds(
            seconds in proptest::collection::btree_set(1u32..60, 0..40), first in 1u32..60, more in 0u32..60,
        ) {
            let mut ranges: Vec<(u32, u32)> = Vec::new();
            for &seq in &seconds {
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == seq => *last = seq,
                    _ => ranges.push((seq, seq)),
                }
            }
            let (missing, last) = (Missing::new(&ranges), first + more);
            let there = seconds.range(first..=last).count() as u32;
            prop_assert_eq!(missing.count(first, last), there);
            prop_assert_eq!(missing.range_of(first).is_some(), seconds.contains(&first));
            let left: BTreeSet<u32> = missing
                .split(first, last, 0)
                .into_iter()
                .flat_map(|(first, last)| first..=last)
                .collect();
            let stored: BTreeSet<u32> = (first..=last).filter(|seq| !seconds.contains(seq)).collect();
            prop_assert_eq!(left, stored);
        }
    }
}
