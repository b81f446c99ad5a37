//! A final sentence whose end the service does not say, or says wrongly. It is held until something says
//! where it ends at the latest: the next sentence that begins, or the end of the task. What it would take
//! for itself before that may be the next sentence's. A task that dies takes it along: it was not told
//! yet, and its audio is heard again.

use serde::{Deserialize, Serialize};

use super::Machine;
use crate::settings::MAX_OPEN_END_BYTES;

/// Such a sentence, in session time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEnd {
    /// Where the service said that it begins.
    begin_ms: Option<u64>,
    start_ms: u64,
    /// So much audio was sent when it came: it ends there at the latest.
    sent_ms: u64,
    text: String,
}

impl OpenEnd {
    /// Whether it begins before this time.
    pub fn is_before(&self, begin_ms: u64) -> bool {
        self.start_ms < begin_ms
    }
}

/// What tells where a held sentence ends.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    /// A sentence with these times, as far as they are known.
    Sentence {
        begin_ms: Option<u64>,
        end_ms: Option<u64>,
    },
    /// The task is over.
    Nothing,
}

impl Machine<'_> {
    /// A final sentence without a usable end; `begin_ms` lies within what was sent. Begins rise: one that does
    /// not begin after the last of its kind is that one, or an earlier one, said again.
    pub(super) fn hold(&mut self, begin_ms: Option<u64>, text: String) {
        let (final_ms, sent_ms) = (self.state.final_ms, self.sent_ms());
        let is_heard = begin_ms
            .zip(self.state.last_open_begin_ms)
            .is_some_and(|(begin, last)| begin <= last);
        if sent_ms <= final_ms || is_heard {
            return self.odd("a final result for audio that is final already", None);
        }
        if let Some(held) = &mut self.state.open_end {
            let is_same = match begin_ms {
                Some(_) => begin_ms == held.begin_ms,
                None => held.begin_ms.is_none() && held.text == text && held.sent_ms == sent_ms,
            };
            if is_same {
                held.text = text;
                return;
            }
        }
        self.end_held(Next::Sentence {
            begin_ms,
            end_ms: None,
        });
        let final_ms = self.state.final_ms;
        let start_ms = begin_ms.unwrap_or(final_ms).max(final_ms);
        if start_ms >= sent_ms {
            return self.odd("a final result for audio that is final already", None);
        }
        if text.len() > MAX_OPEN_END_BYTES {
            self.state.last_open_begin_ms = Some(begin_ms.unwrap_or(start_ms));
            return self.tell(start_ms, sent_ms, text);
        }
        self.extend_finish_limit();
        self.state.open_end = Some(OpenEnd {
            begin_ms,
            start_ms,
            sent_ms,
            text,
        });
    }

    /// Tells the sentence that is held, if `next` ends it.
    pub(super) fn end_held(&mut self, next: Next) {
        let sent_ms = self.sent_ms();
        let Some(held) = &self.state.open_end else {
            return;
        };
        let start_ms = held.start_ms.max(self.state.final_ms);
        let between = |end: u64| start_ms + end.saturating_sub(start_ms) / 2;
        let end_ms = match next {
            Next::Nothing => held.sent_ms,
            Next::Sentence {
                begin_ms: Some(begin),
                ..
            } if begin > start_ms => begin.min(held.sent_ms),
            // It lies before it.
            Next::Sentence {
                end_ms: Some(end), ..
            } if end <= start_ms => return,
            // Where one ends and the other begins nobody knows: both get some of it.
            Next::Sentence { end_ms, .. } => {
                let end = end_ms.unwrap_or(sent_ms);
                if end > held.sent_ms {
                    held.sent_ms
                } else {
                    between(end)
                }
            }
        };
        let end_ms = end_ms.max(start_ms + 1).min(sent_ms);
        if let Some(held) = self.state.open_end.take()
            && start_ms < end_ms
        {
            self.state.last_open_begin_ms = Some(held.begin_ms.unwrap_or(start_ms));
            self.tell(start_ms, end_ms, held.text);
        }
    }

    /// Forgets the one that is held, if it is the sentence that begins there: that one has come with its end.
    pub(super) fn forget_held(&mut self, begin_ms: Option<u64>) {
        let held = self.state.open_end.as_ref();
        if begin_ms.is_some() && held.is_some_and(|held| held.begin_ms == begin_ms) {
            self.state.open_end = None;
        }
    }
}
