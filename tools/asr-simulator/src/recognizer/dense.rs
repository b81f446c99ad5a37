//! Dense speech: a marked second is several sentences, one word each, side by side in its time.
//!
//! A part is said when a tenth that begins in it was heard. So a second whose start was silenced up
//! to the end of one of its parts, as it is when it is sent again, says exactly the parts after it.

use super::{BYTES_PER_MS, MAX_SENTENCES_PER_SECOND, MarkedSecond, Word};
use crate::mark::{self, SECOND_BYTES, TENTH_BYTES};

/// How dense, and where the last part ended.
#[derive(Debug)]
pub(super) struct Dense {
    per_second: u8,
    said_until: u64,
}

impl Dense {
    pub(super) fn new(sentences_per_second: u32) -> Option<Self> {
        let per_second = sentences_per_second.min(MAX_SENTENCES_PER_SECOND);
        let per_second = u8::try_from(per_second).ok().filter(|count| *count > 0)?;
        Some(Self {
            per_second,
            said_until: 0,
        })
    }

    /// The parts of a second that were heard: their times rise and do not meet.
    pub(super) fn words(&mut self, second: &MarkedSecond) -> Vec<Word> {
        let first = second.first;
        let missed = u64::from(first.tenth) * TENTH_BYTES as u64;
        // Of a second that was cut, not silenced, the start may lie before the audio.
        let at = |part: u8| {
            let offset = u64::from(part) * SECOND_BYTES as u64 / u64::from(self.per_second);
            (first.offset_bytes + offset).saturating_sub(missed)
        };
        let is_heard = |part: u8| {
            (0..10).any(|tenth| second.tenths & (1 << tenth) != 0 && self.part_of(tenth) == part)
        };
        let mut words = Vec::new();
        let mut said_until = self.said_until;
        for part in (0..self.per_second).filter(|part| is_heard(*part)) {
            let begin = at(part).max(said_until);
            let end = at(part + 1).min(second.last_tenth_end);
            said_until = end.max(begin + BYTES_PER_MS);
            words.push(Word {
                begin,
                end: said_until,
                text: mark::part_word(first.stream, first.seq, part + 1),
            });
        }
        self.said_until = said_until;
        words
    }

    /// What is heard of a second that is not over.
    pub(super) fn under_way(&self, second: &MarkedSecond) -> Word {
        let first = second.first;
        let part = self.part_of(first.tenth) + 1;
        Word {
            text: mark::part_word(first.stream, first.seq, part),
            ..second.word()
        }
    }

    /// Which part, counted from 0, a tenth begins in.
    fn part_of(&self, tenth: u8) -> u8 {
        tenth * self.per_second / 10
    }
}
