//! Seconds of a stream: the number that a client claims, and the number that is accepted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::js;

/// One second of a stream, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Seq(u32);

impl Seq {
    /// None for 0.
    pub const fn new(seq: u32) -> Option<Self> {
        match seq {
            0 => None,
            _ => Some(Self(seq)),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u32> for Seq {
    type Error = &'static str;

    fn try_from(seq: u32) -> Result<Self, Self::Error> {
        Self::new(seq).ok_or("a second counts from 1")
    }
}

impl From<Seq> for u32 {
    fn from(seq: Seq) -> u32 {
        seq.0
    }
}

/// Session time of the seconds `first` to `last`, both included: from its first millisecond up to,
/// not including, the second number.
pub fn second_range_ms(first: Seq, last: Seq) -> (u64, u64) {
    (
        u64::from(first.0.saturating_sub(1)) * 1000,
        u64::from(last.0) * 1000,
    )
}

/// The positive integer that a client calls its chunk's second. It may be beyond all reason (1e300):
/// only [`crate::ingest::IngestRecord::decide`] makes a [`Seq`] of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClaimedSeq(f64);

impl ClaimedSeq {
    /// None for what is no positive integer. `6.0` is one.
    pub fn new(number: f64) -> Option<Self> {
        (number.is_finite() && number >= 1.0 && number.fract() == 0.0).then_some(Self(number))
    }

    /// None for a number that no stream reaches.
    pub fn seq(self) -> Option<Seq> {
        (self.0 <= f64::from(u32::MAX)).then_some(Seq(self.0 as u32))
    }
}

impl From<Seq> for ClaimedSeq {
    fn from(seq: Seq) -> Self {
        Self(f64::from(seq.0))
    }
}

impl fmt::Display for ClaimedSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&js::number_text(self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn claims() {
        for bad in [0.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
            assert_eq!(ClaimedSeq::new(bad), None);
        }
        assert_eq!(ClaimedSeq::new(6.0).unwrap().seq(), Seq::new(6));
        assert_eq!(ClaimedSeq::new(1e300).unwrap().seq(), None);
        assert_eq!(ClaimedSeq::new(1e300).unwrap().to_string(), "1e+300");
        assert_eq!(ClaimedSeq::new(1e9).unwrap().to_string(), "1000000000");
        let max = ClaimedSeq::new(f64::from(u32::MAX)).unwrap();
        assert_eq!(max.seq(), Seq::new(u32::MAX));
    }

    #[test]
    fn seconds_to_milliseconds() {
        let (one, five) = (Seq::new(1).unwrap(), Seq::new(5).unwrap());
        assert_eq!(second_range_ms(one, one), (0, 1000));
        assert_eq!(second_range_ms(one, five), (0, 5000));
    }
}
