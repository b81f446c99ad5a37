//! Words for unmarked audio, by its energy alone: stable for the same audio, and invented.

use crate::recognizer::Word;

/// The audio is judged in frames of 10 ms.
pub(crate) const FRAME_BYTES: usize = 320;
/// How loud a frame is that counts as voice: a root mean square of -40 dB full scale. Marked audio
/// is quieter.
const VOICE_RMS: u64 = 328;
/// A word is this much voice,
const WORD_FRAMES: u32 = 35;
/// or ends at a pause of this many frames.
const PAUSE_FRAMES: u32 = 20;
/// Less voice than this is a click and no word.
const CLICK_FRAMES: u32 = 8;

const VOCABULARY: [&str; 64] = [
    "about",
    "account",
    "after",
    "again",
    "always",
    "answer",
    "audio",
    "because",
    "before",
    "begin",
    "better",
    "build",
    "carefully",
    "certain",
    "change",
    "clearly",
    "common",
    "company",
    "database",
    "decide",
    "design",
    "early",
    "engineer",
    "enough",
    "every",
    "example",
    "experience",
    "explain",
    "first",
    "follow",
    "found",
    "general",
    "happen",
    "however",
    "important",
    "interview",
    "large",
    "later",
    "learn",
    "little",
    "maybe",
    "measure",
    "memory",
    "network",
    "never",
    "often",
    "people",
    "perhaps",
    "problem",
    "project",
    "question",
    "really",
    "reason",
    "service",
    "simple",
    "small",
    "software",
    "system",
    "team",
    "think",
    "together",
    "usually",
    "week",
    "years",
];

#[derive(Debug)]
struct Open {
    begin: u64,
    /// Where its last voiced frame ends.
    end: u64,
    voiced: u32,
    hash: u64,
}

/// Listens for voice. Offsets are bytes from the start of the audio.
#[derive(Debug, Default)]
pub(crate) struct Voice {
    position: u64,
    open: Option<Open>,
}

impl Voice {
    /// The words that end in this piece. A piece is whole frames, or the last one.
    pub(crate) fn push(&mut self, pcm: &[u8]) -> Vec<Word> {
        let mut words = Vec::new();
        for frame in pcm.chunks(FRAME_BYTES) {
            words.extend(self.push_frame(frame));
        }
        words
    }

    /// The word that was under way.
    pub(crate) fn finish(&mut self) -> Option<Word> {
        self.open.take().and_then(Open::into_word)
    }

    /// Where the last voice ended, while a word is under way.
    pub(crate) fn voice_end(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.end)
    }

    fn push_frame(&mut self, frame: &[u8]) -> Option<Word> {
        let begin = self.position;
        self.position += frame.len() as u64;
        if !is_voice(frame) {
            let open = self.open.as_ref()?;
            let pause = u64::from(PAUSE_FRAMES) * FRAME_BYTES as u64;
            return (self.position - open.end >= pause)
                .then(|| self.finish())
                .flatten();
        }
        let open = self.open.get_or_insert(Open {
            begin,
            end: begin,
            voiced: 0,
            hash: 0xCBF2_9CE4_8422_2325,
        });
        open.end = self.position;
        open.voiced += 1;
        open.hash = frame.iter().fold(open.hash, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        });
        (open.voiced == WORD_FRAMES)
            .then(|| self.finish())
            .flatten()
    }
}

impl Open {
    fn into_word(self) -> Option<Word> {
        if self.voiced < CLICK_FRAMES {
            return None;
        }
        // The low bits of FNV mix least.
        let choice = usize::try_from(self.hash >> 58).unwrap_or(0);
        Some(Word {
            begin: self.begin,
            end: self.end,
            text: VOCABULARY[choice % VOCABULARY.len()].to_owned(),
        })
    }
}

fn is_voice(frame: &[u8]) -> bool {
    let samples = (frame.len() / 2) as u64;
    let energy: u64 = frame
        .chunks_exact(2)
        .map(|s| i64::from(i16::from_le_bytes([s[0], s[1]])))
        .map(|sample| (sample * sample).unsigned_abs())
        .sum();
    energy > 0 && energy >= VOICE_RMS * VOICE_RMS * samples
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn tone(ms: usize, pitch: usize) -> Vec<u8> {
        (0..ms * 16)
            .flat_map(|i| {
                (if (i / pitch).is_multiple_of(2) {
                    4000i16
                } else {
                    -4000
                })
                .to_le_bytes()
            })
            .collect()
    }

    #[test]
    fn voice_makes_a_word_every_350_ms() {
        let mut voice = Voice::default();
        let words = voice.push(&tone(1400, 40));
        assert_eq!(words.len(), 4);
        assert_eq!((words[1].begin, words[1].end), (350 * 32, 700 * 32));
        assert!(voice.finish().is_none());
    }

    #[test]
    fn a_pause_ends_a_word_and_a_click_is_none() {
        let mut voice = Voice::default();
        assert!(voice.push(&tone(100, 40)).is_empty());
        assert_eq!(voice.voice_end(), Some(100 * 32));
        let words = voice.push(&vec![0; 200 * 32]);
        assert_eq!(words.len(), 1);
        assert_eq!((words[0].begin, words[0].end), (0, 100 * 32));
        assert!(voice.push(&tone(70, 40)).is_empty());
        assert!(voice.push(&vec![0; 200 * 32]).is_empty());
        assert_eq!(voice.voice_end(), None);
    }

    #[test]
    fn the_same_audio_is_the_same_word_and_other_audio_mostly_another() {
        let words = |pitch| Voice::default().push(&tone(350, pitch))[0].text.clone();
        assert_eq!(words(40), words(40));
        let different: std::collections::HashSet<_> = (20..60).map(words).collect();
        assert!(different.len() > 10, "{different:?}");
    }

    #[test]
    fn silence_and_marked_audio_are_no_voice() {
        assert!(Voice::default().push(&vec![0; 32_000]).is_empty());
        let mut voice = Voice::default();
        assert!(
            voice
                .push(&crate::mark::second(u16::MAX, u32::MAX))
                .is_empty()
        );
        assert_eq!(voice.voice_end(), None);
    }
}
