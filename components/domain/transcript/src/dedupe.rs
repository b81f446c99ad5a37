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

#[cfg(test)]
mod tests {
    use super::is_repeat;
    use crate::utterance::tests::utterance;

    #[test]
    fn the_same_final_twice_is_one() {
        let last = utterance(1000, 3000, "Yes, I do.");
        assert!(is_repeat(&last, 1000, 3000, "Yes, I do."));
        assert!(is_repeat(&last, 1000, 3000, " Yes, I do.\n"));
        // Heard again after a reconnect, with times that differ a little.
        assert!(is_repeat(&last, 1100, 3050, "Yes, I do."));
    }

    #[test]
    fn the_same_text_for_new_audio_is_another() {
        let last = utterance(1000, 3000, "Yes, I do.");
        assert!(!is_repeat(&last, 3000, 5000, "Yes, I do."));
        assert!(!is_repeat(&last, 2000, 4000, "Yes, I do."));
    }

    #[test]
    fn another_text_is_another_whatever_its_audio() {
        let last = utterance(1000, 3000, "Yes, I do.");
        assert!(!is_repeat(&last, 1000, 3000, "Yes, I do"));
        assert!(!is_repeat(&last, 1000, 3000, ""));
    }
}
