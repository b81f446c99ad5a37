//! The same final heard twice is one utterance; the same words said again are two.

use crate::range::Range;
use crate::utterance::Utterance;

/// Whether a final is the last utterance of its stream once more: the same text over the same audio
/// (the same range, or one that shares more than half of the longer of the two). The same text over
/// new audio is no repeat: raw utterances are never dropped for their text alone.
pub fn is_repeat(last: &Utterance, next_start_ms: u64, next_end_ms: u64, text: &str) -> bool {
    last.text == text.trim()
        && Range::new(last.start_ms, last.end_ms)
            .is_mostly_same(Range::new(next_start_ms, next_end_ms))
}
