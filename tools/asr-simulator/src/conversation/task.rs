//! One task: what it hears, and the frames that it says it with, the faults of results among them.

use std::time::Duration;

use super::{End, Ending, Outgoing, Reply, Rules};
use crate::faults::Faults;
use crate::garbage::Garbage;
use crate::protocol::{self, Failure, Format, RunTask};
use crate::recognizer::{DEFAULT_SILENCE_MS, Recognizer, Results, Sentence, Settings, Word};
use crate::silence::Silence;
use crate::task_log::{TaskKey, TaskLog, TaskRecord};
use crate::wav::Wav;

/// A task that was started.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) key: TaskKey,
    wav: Option<Wav>,
    recognizer: Recognizer,
    silence: Silence,
    /// PCM that it took.
    pub(super) audio_bytes: u64,
    /// How often garbage was sent.
    garbage_turns: usize,
    /// As it was sent.
    last_final: Option<String>,
}

impl Task {
    /// Begins one, and its record.
    pub(super) fn begin(run: RunTask, connection: u64, rules: Rules, log: &TaskLog) -> Self {
        let id = run.task_id.clone();
        let record = TaskRecord::new(
            connection,
            run.task_id,
            run.model,
            run.format,
            run.parameters,
        );
        Self {
            id,
            key: log.begin(record),
            wav: (run.format == Format::Wav).then(Wav::default),
            recognizer: Recognizer::new(Settings {
                max_silence_ms: run.max_sentence_silence.unwrap_or(DEFAULT_SILENCE_MS),
                sentence_seconds: rules.sentence_seconds,
                sentences_per_second: rules.sentences_per_second,
            }),
            silence: Silence::default(),
            audio_bytes: 0,
            garbage_turns: 0,
            last_final: None,
        }
    }

    /// Takes audio; gives what it led to.
    pub(super) fn hear(&mut self, bytes: &[u8], log: &TaskLog) -> Result<Vec<Sentence>, Failure> {
        let unwrapped = match &mut self.wav {
            Some(wav) => Some(wav.push(bytes).map_err(|error| Failure {
                code: protocol::INVALID_PARAMETER,
                message: error.to_string(),
                task_id: self.id.clone(),
            })?),
            None => None,
        };
        let pcm = unwrapped.as_deref().unwrap_or(bytes);
        self.audio_bytes += pcm.len() as u64;
        let silent_seconds = self.silence.push(pcm);
        let results = self.recognizer.push(pcm);
        log.update(self.key, |record| {
            record.audio_bytes += pcm.len() as u64;
            record.silent_seconds += silent_seconds;
        });
        Ok(self.note(results, log))
    }

    /// The client has no more audio: all that is left to say, and the end.
    pub(super) fn finish(&mut self, faults: &Faults, log: &TaskLog) -> Reply {
        let results = self.recognizer.finish();
        let sentences = self.note(results, log);
        let flush = faults.slow_flush();
        let parts = if flush.is_zero() {
            sentences
        } else {
            sentences.into_iter().flat_map(word_by_word).collect()
        };
        let steps = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
        let mut send = Vec::new();
        for (step, sentence) in (1..).zip(&parts) {
            let delay = faults.delay_results() + flush * step / steps;
            let said = self.say(std::slice::from_ref(sentence), faults);
            send.extend(said.into_iter().map(|outgoing| outgoing.after(delay)));
        }
        send.push(Outgoing {
            is_task_end: true,
            delay: flush,
            ..Outgoing::from(protocol::finished(&self.id))
        });
        let late = faults.late_close();
        if late.is_zero() {
            return Reply { send, end: None };
        }
        let over = flush + faults.delay_results();
        let stale = self.stale_final(late).into_iter();
        send.extend(stale.map(|outgoing| {
            let delay = over + outgoing.delay;
            outgoing.after(delay)
        }));
        let how = Ending::Close("late");
        let delay = over + late;
        Reply {
            send,
            end: Some(End {
                how,
                delay,
                is_abrupt: false,
            }),
        }
    }

    /// Writes down what was heard.
    fn note(&mut self, results: Results, log: &TaskLog) -> Vec<Sentence> {
        let Results { sentences, heard } = results;
        log.update(self.key, |record| {
            record.hear(heard);
            for sentence in &sentences {
                if sentence.is_final {
                    record.finals += 1;
                } else {
                    record.intermediates += 1;
                }
            }
        });
        sentences
    }

    /// The frames for these sentences.
    pub(super) fn say(&mut self, sentences: &[Sentence], faults: &Faults) -> Vec<Outgoing> {
        let mut send = Vec::with_capacity(sentences.len());
        for sentence in sentences {
            for kind in self.next_garbage(&faults.garbage) {
                let begin = sentence.words.first().map_or(0, Word::begin_ms);
                let end = sentence.words.last().map_or(0, Word::end_ms);
                let frames = kind.frames(&self.id, begin, end).into_iter();
                send.extend(frames.map(Outgoing::from));
            }
            let text = self.result(sentence);
            if sentence.is_final {
                self.last_final = Some(text.clone());
                if faults.duplicate_finals {
                    send.push(Outgoing::from(text.clone()));
                }
            }
            send.push(Outgoing::from(text));
        }
        send
    }

    /// All kinds at first, then one at a time.
    fn next_garbage(&mut self, kinds: &[Garbage]) -> Vec<Garbage> {
        if kinds.is_empty() {
            return Vec::new();
        }
        let turn = self.garbage_turns;
        self.garbage_turns += 1;
        match turn.checked_sub(1) {
            None => kinds.to_vec(),
            Some(turn) => kinds.get(turn % kinds.len()).copied().into_iter().collect(),
        }
    }

    fn result(&self, sentence: &Sentence) -> String {
        protocol::result(&self.id, sentence, self.recognizer.duration_seconds())
    }

    /// For a connection that is held for so long after its task has ended, half-way: what the task
    /// had heard and not yet said, or else what it said last.
    pub(super) fn stale_final(&mut self, held: Duration) -> Vec<Outgoing> {
        if held.is_zero() {
            return Vec::new();
        }
        let unsaid = self.recognizer.finish().sentences;
        let unsaid = unsaid.iter().filter(|sentence| sentence.is_final);
        let mut texts: Vec<String> = unsaid.map(|sentence| self.result(sentence)).collect();
        if texts.is_empty() {
            texts.extend(self.last_final.take());
        }
        let late = |text| Outgoing::from(text).after(held / 2);
        texts.into_iter().map(late).collect()
    }
}

/// A final sentence, as it grows.
fn word_by_word(sentence: Sentence) -> Vec<Sentence> {
    let mut parts: Vec<Sentence> = (1..sentence.words.len())
        .map(|count| Sentence {
            id: sentence.id,
            words: sentence.words[..count].to_vec(),
            is_final: false,
        })
        .collect();
    parts.push(sentence);
    parts
}
