//! Audio in, sentences out. What comes out depends on the audio only, not on how it was cut into
//! pieces nor on when they came.
//!
//! Marked seconds ([`crate::mark`]) are one word each, from the first of their tenths that is heard
//! to the last; one tenth is enough. A second is under way until its time is over, or until another
//! mark is heard, and it is always whole in one sentence: a sentence does not end within it. The
//! same second again, later or with its tenths starting anew, is another word.
//! Unmarked voice is words too (by energy alone, see `voice.rs`).
//!
//! A sentence ends after `sentence_seconds` marked seconds, after a pause of `max_silence_ms` and,
//! when none of these comes, after [`MAX_SENTENCE_MS`]. Silence is no sentence.
//!
//! In dense speech every marked second is several sentences instead, see `recognizer/dense.rs`.

mod dense;

use dense::Dense;

use crate::mark::{self, Heard, TENTH_BYTES};
use crate::task_log::HeardSecond;
use crate::voice::Voice;

/// The longest that a sentence of unmarked voice gets.
pub const MAX_SENTENCE_MS: u64 = 15_000;
/// The pause that ends a sentence, unless the client asks for another. The real service's is 1300.
pub const DEFAULT_SILENCE_MS: u32 = 800;
/// The pauses a client can ask for, in ms.
pub const SILENCE_RANGE_MS: std::ops::RangeInclusive<u32> = 200..=6000;
/// What can be asked for `sentence_seconds`.
pub const SENTENCE_SECONDS_RANGE: std::ops::RangeInclusive<u32> = 1..=60;

/// The most that `sentences_per_second` can be.
pub const MAX_SENTENCES_PER_SECOND: u32 = 8;

/// Audio is taken in steps of this much, so that cutting does not show in the results.
const STEP_BYTES: usize = TENTH_BYTES;
/// Intermediate results are at least this far apart, in bytes of audio: 200 ms.
const INTERMEDIATE_BYTES: u64 = 2 * STEP_BYTES as u64;
const BYTES_PER_MS: u64 = 32;

/// A word; its times are bytes from the start of the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Where it begins.
    pub begin: u64,
    /// Where it ends.
    pub end: u64,
    /// Without punctuation.
    pub text: String,
}

impl Word {
    /// Where it begins, in ms.
    #[must_use]
    pub fn begin_ms(&self) -> u64 {
        self.begin / BYTES_PER_MS
    }

    /// Where it ends, in ms.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        self.end / BYTES_PER_MS
    }
}

/// A sentence as far as it is known. It has at least one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Counted from 1 in each task.
    pub id: u64,
    /// Oldest first.
    pub words: Vec<Word>,
    /// False: more words may follow.
    pub is_final: bool,
}

/// How to cut sentences.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Brought into [`SILENCE_RANGE_MS`].
    pub max_silence_ms: u32,
    /// Brought into [`SENTENCE_SECONDS_RANGE`].
    pub sentence_seconds: u32,
    /// 0: not dense. At most [`MAX_SENTENCES_PER_SECOND`], more is as that.
    pub sentences_per_second: u32,
}

/// What a piece of audio led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// In the order they are to be sent.
    pub sentences: Vec<Sentence>,
    /// Marked seconds that are over.
    pub heard: Vec<HeardSecond>,
}

/// A marked second under way.
#[derive(Debug, Clone, Copy)]
struct MarkedSecond {
    first: Heard,
    last_tenth: u8,
    /// A bit for each that was heard.
    tenths: u16,
    last_tenth_end: u64,
    /// Where the second is over, heard or not.
    end: u64,
}

#[derive(Debug)]
struct Open {
    words: Vec<Word>,
    marked: u32,
}

/// The recognition of one task.
#[derive(Debug)]
pub struct Recognizer {
    max_silence: u64,
    sentence_seconds: u32,
    dense: Option<Dense>,
    /// Less than a step of audio.
    pending: Vec<u8>,
    position: u64,
    marks: mark::Reader,
    voice: Voice,
    second: Option<MarkedSecond>,
    sentence: Option<Open>,
    sentence_id: u64,
    /// How many words the last intermediate result had, and where it was made.
    shown: (usize, u64),
    results: Results,
}

impl Recognizer {
    /// Starts at ms 0 of a task.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let silence = settings
            .max_silence_ms
            .clamp(*SILENCE_RANGE_MS.start(), *SILENCE_RANGE_MS.end());
        Self {
            max_silence: u64::from(silence) * BYTES_PER_MS,
            sentence_seconds: settings.sentence_seconds.clamp(
                *SENTENCE_SECONDS_RANGE.start(),
                *SENTENCE_SECONDS_RANGE.end(),
            ),
            dense: Dense::new(settings.sentences_per_second),
            pending: Vec::new(),
            position: 0,
            marks: mark::Reader::default(),
            voice: Voice::default(),
            second: None,
            sentence: None,
            sentence_id: 1,
            shown: (0, 0),
            results: Results::default(),
        }
    }

    /// How much audio came, in whole seconds, a begun one counted.
    #[must_use]
    pub fn duration_seconds(&self) -> u64 {
        (self.position + self.pending.len() as u64).div_ceil(mark::SECOND_BYTES as u64)
    }

    /// Takes s16le audio at 16000 Hz, mono, cut anywhere.
    pub fn push(&mut self, mut pcm: &[u8]) -> Results {
        if !self.pending.is_empty() {
            let missing = STEP_BYTES - self.pending.len();
            let (head, rest) = pcm.split_at(missing.min(pcm.len()));
            self.pending.extend_from_slice(head);
            pcm = rest;
            if self.pending.len() == STEP_BYTES {
                let step = std::mem::take(&mut self.pending);
                self.step(&step);
            }
        }
        let mut steps = pcm.chunks_exact(STEP_BYTES);
        for step in &mut steps {
            self.step(step);
        }
        self.pending.extend_from_slice(steps.remainder());
        std::mem::take(&mut self.results)
    }

    /// The audio is over: what is under way becomes final.
    pub fn finish(&mut self) -> Results {
        let rest = std::mem::take(&mut self.pending);
        self.step(&rest);
        self.end_second();
        if let Some(word) = self.voice.finish() {
            self.add_word(word);
        }
        self.end_sentence();
        std::mem::take(&mut self.results)
    }

    fn step(&mut self, pcm: &[u8]) {
        for heard in self.marks.push(pcm) {
            self.hear(heard);
        }
        for word in self.voice.push(pcm) {
            self.add_word(word);
        }
        self.position += pcm.len() as u64;
        if self
            .second
            .is_some_and(|second| second.end <= self.position)
        {
            self.end_second();
        }
        if self.is_sentence_over() {
            self.end_sentence();
        }
        self.show();
    }

    fn hear(&mut self, heard: Heard) {
        let tenth_end = heard.offset_bytes + TENTH_BYTES as u64;
        if let Some(second) = &mut self.second
            && (second.first.stream, second.first.seq) == (heard.stream, heard.seq)
            && heard.tenth > second.last_tenth
            && heard.offset_bytes < second.end
        {
            second.last_tenth = heard.tenth;
            second.tenths |= 1 << heard.tenth;
            second.last_tenth_end = tenth_end;
            return;
        }
        self.end_second();
        self.second = Some(MarkedSecond {
            first: heard,
            last_tenth: heard.tenth,
            tenths: 1 << heard.tenth,
            last_tenth_end: tenth_end,
            end: heard.offset_bytes + u64::from(10 - heard.tenth) * TENTH_BYTES as u64,
        });
    }

    fn end_second(&mut self) {
        let Some(second) = self.second.take() else {
            return;
        };
        self.results.heard.push(HeardSecond {
            stream: second.first.stream,
            seq: second.first.seq,
            begin_ms: second.first.offset_bytes / BYTES_PER_MS,
            // At most ten.
            tenths: second.tenths.count_ones() as u8,
        });
        if let Some(dense) = &mut self.dense {
            let words = dense.words(&second);
            self.end_sentence();
            for word in words {
                self.add_word(word);
                self.end_sentence();
            }
            return;
        }
        self.add_word(second.word());
        let sentence = self.open_sentence();
        sentence.marked += 1;
        if sentence.marked >= self.sentence_seconds {
            self.end_sentence();
        }
    }

    fn open_sentence(&mut self) -> &mut Open {
        self.sentence.get_or_insert_with(|| Open {
            words: Vec::new(),
            marked: 0,
        })
    }

    fn add_word(&mut self, word: Word) {
        self.open_sentence().words.push(word);
    }

    fn is_sentence_over(&self) -> bool {
        let Some(words) = self.sentence.as_ref().map(|open| &open.words) else {
            return false;
        };
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return false;
        };
        let sound_end = self.voice.voice_end().unwrap_or(0).max(last.end);
        self.second.is_none()
            && (self.position.saturating_sub(sound_end) >= self.max_silence
                || self.position.saturating_sub(first.begin) >= MAX_SENTENCE_MS * BYTES_PER_MS)
    }

    fn end_sentence(&mut self) {
        let Some(open) = self.sentence.take() else {
            return;
        };
        self.results.sentences.push(Sentence {
            id: self.sentence_id,
            words: open.words,
            is_final: true,
        });
        self.sentence_id += 1;
        self.shown = (0, self.position);
    }

    /// An intermediate result, when there is a new word and the last result is old enough.
    fn show(&mut self) {
        let under_way = self.second.map(|second| match &self.dense {
            Some(dense) => dense.under_way(&second),
            None => second.word(),
        });
        let words = self.sentence.as_ref().map_or(&[][..], |open| &open.words);
        let count = words.len() + usize::from(under_way.is_some());
        if count <= self.shown.0 || self.position - self.shown.1 < INTERMEDIATE_BYTES {
            return;
        }
        self.shown = (count, self.position);
        self.results.sentences.push(Sentence {
            id: self.sentence_id,
            words: words.iter().cloned().chain(under_way).collect(),
            is_final: false,
        });
    }
}

impl MarkedSecond {
    fn word(self) -> Word {
        Word {
            begin: self.first.offset_bytes,
            end: self.last_tenth_end,
            text: mark::word(self.first.stream, self.first.seq),
        }
    }
}

#[cfg(test)]
mod tests;
