//! Ranges of session time in milliseconds: how much two of them have in common.

/// `[start_ms, end_ms)` of session time. `end_ms >= start_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    start_ms: u64,
    end_ms: u64,
}

impl Range {
    /// A range that would end before it starts is empty at its start.
    pub fn new(start_ms: u64, end_ms: u64) -> Self {
        Range {
            start_ms,
            end_ms: end_ms.max(start_ms),
        }
    }

    /// Length in milliseconds.
    pub fn duration_ms(self) -> u64 {
        self.end_ms - self.start_ms
    }

    /// Milliseconds that both ranges cover.
    pub fn shared_ms(self, other: Range) -> u64 {
        self.end_ms
            .min(other.end_ms)
            .saturating_sub(self.start_ms.max(other.start_ms))
    }

    /// At least half of this range lies in `outer`. An empty range does when it starts in `outer`.
    pub fn is_mostly_within(self, outer: Range) -> bool {
        if self.duration_ms() == 0 {
            return outer.start_ms <= self.start_ms && self.start_ms < outer.end_ms;
        }
        self.shared_ms(outer) >= self.duration_ms().div_ceil(2)
    }

    /// The two are the same, or share more than half of the longer one.
    pub fn is_mostly_same(self, other: Range) -> bool {
        let longer = self.duration_ms().max(other.duration_ms());
        self == other || self.shared_ms(other) > longer / 2
    }
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn shared_time() {
        let a = Range::new(1000, 3000);
        assert_eq!(a.shared_ms(Range::new(2000, 9000)), 1000);
        assert_eq!(a.shared_ms(Range::new(3000, 9000)), 0);
        assert_eq!(a.shared_ms(Range::new(5000, 4000)), 0);
        assert_eq!(Range::new(5000, 4000).duration_ms(), 0);
    }

    #[test]
    fn mostly_within() {
        let outer = Range::new(1000, 3000);
        assert!(Range::new(2500, 3500).is_mostly_within(outer));
        assert!(!Range::new(2501, 3501).is_mostly_within(outer));
        assert!(Range::new(2999, 2999).is_mostly_within(outer));
        assert!(!Range::new(3000, 3000).is_mostly_within(outer));
        assert!(!Range::new(0, u64::MAX).is_mostly_within(outer));
    }

    #[test]
    fn mostly_same() {
        let a = Range::new(1000, 3000);
        assert!(a.is_mostly_same(a));
        assert!(a.is_mostly_same(Range::new(1900, 3000)));
        assert!(!a.is_mostly_same(Range::new(2000, 3000)));
        assert!(!a.is_mostly_same(Range::new(3000, 5000)));
        let empty = Range::new(7, 7);
        assert!(empty.is_mostly_same(empty));
        assert!(!empty.is_mostly_same(Range::new(8, 8)));
    }
}
