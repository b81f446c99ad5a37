//! Counts the seconds of a task's audio that are nothing but zeros, as a client sends them for audio
//! that it does not have. Seconds are those of the task's clock.

use crate::mark::SECOND_BYTES;

/// The second under way.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    bytes: usize,
    has_sound: bool,
}

impl Silence {
    /// How many silent seconds end in this piece.
    pub(crate) fn push(&mut self, mut pcm: &[u8]) -> u64 {
        let mut silent = 0;
        while !pcm.is_empty() {
            let (head, rest) = pcm.split_at(pcm.len().min(SECOND_BYTES - self.bytes));
            self.bytes += head.len();
            self.has_sound |= head.iter().any(|byte| *byte != 0);
            if self.bytes == SECOND_BYTES {
                silent += u64::from(!self.has_sound);
                *self = Self::default();
            }
            pcm = rest;
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::mark::second;

    #[test]
    fn whole_seconds_of_zeros_are_counted_however_they_are_cut() {
        let mut half = second(1, 1);
        half[..SECOND_BYTES / 2].fill(0);
        let quiet = vec![0; 2 * SECOND_BYTES];
        let pcm = [second(1, 1), quiet, half, vec![0; SECOND_BYTES - 1]].concat();
        for cut in [1000, 3200, SECOND_BYTES, 70_001] {
            let mut silence = Silence::default();
            let counts = pcm.chunks(cut).map(|piece| silence.push(piece));
            assert_eq!(counts.sum::<u64>(), 2, "{cut}");
        }
    }
}
