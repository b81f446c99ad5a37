//! What passes: partials and states of the way to the ASR service. They are in no log but the live
//! one, and there only while somebody listens: of what nobody was sent no trace is kept.

use interview_session::asr::WsState;
use interview_session::lane::LiveKind;
use interview_session::role::StreamRole;

use crate::entry::Entry;
use crate::lane::LiveLane;
use crate::limits::PARTIAL_INTERVAL_MS;
use crate::record::{Numbered, Partial, SentPartial, Span};

impl Numbered {
    /// An utterance got its number.
    pub fn finalized(&mut self, span: Span) {
        if self
            .last_final
            .is_none_or(|last| last.end_ms <= span.end_ms)
        {
            self.last_final = Some(span);
        }
    }

    /// What was heard of a sentence that is final by now says nothing new.
    fn is_old(&self, partial: &Partial) -> bool {
        self.last_final
            .is_some_and(|last| partial.start_ms < last.end_ms || partial.start_ms <= last.start_ms)
    }

    fn was_sent(&self, partial: &Partial) -> bool {
        matches!(&self.partial, Some(sent) if sent.partial == *partial)
    }
}

impl LiveLane {
    pub(crate) fn heard(&mut self, role: StreamRole, start_ms: u64, text: String) {
        if !self.listening().partials || text.trim().is_empty() {
            return;
        }
        let partial = Partial { text, start_ms };
        let numbered = self.record.roles.get_mut(role);
        // The same as before: nothing newer is left to be sent.
        let news = !numbered.was_sent(&partial) && !numbered.is_old(&partial);
        numbered.next_partial = news.then_some(partial);
    }

    pub(crate) fn state_changed(&mut self, role: StreamRole, state: WsState) {
        if self.record.viewers.is_empty() {
            return;
        }
        let numbered = self.record.roles.get_mut(role);
        numbered.next_state = (numbered.asr_state != Some(state)).then_some(state);
    }

    /// What is due of all that passes. Of what comes quicker than it is sent only the last is.
    pub(crate) fn due(&mut self) -> Vec<Entry> {
        let mut due = Vec::new();
        for role in StreamRole::ALL {
            let numbered = self.record.roles.get_mut(role);
            if let Some(state) = numbered.next_state.take() {
                numbered.asr_state = Some(state);
                due.push(Entry::AsrState {
                    role,
                    asr_ws_state: state,
                });
            }
            let Some(partial) = numbered.next_partial.take() else {
                continue;
            };
            if numbered.is_old(&partial) {
                continue;
            }
            if wait_ms(numbered, self.now.0) > 0 {
                numbered.next_partial = Some(partial);
                continue;
            }
            numbered.partial = Some(SentPartial {
                partial: partial.clone(),
                at: self.now,
            });
            due.push(Entry::Partial {
                role,
                text: partial.text,
                start_ms: partial.start_ms,
            });
        }
        due
    }

    /// When the next partial has its turn.
    pub(crate) fn partial_due_ms(&self) -> Option<u64> {
        let roles = StreamRole::ALL
            .into_iter()
            .map(|role| self.record.roles.get(role));
        roles
            .filter(|numbered| numbered.next_partial.is_some())
            .map(|numbered| wait_ms(numbered, self.now.0))
            .min()
    }

    /// Drops what nobody listens to any more; whoever comes next is told of all anew.
    pub(crate) fn forget_what_passes(&mut self) {
        let partials = self
            .record
            .viewers
            .iter()
            .any(|viewer| viewer.listens_to(LiveKind::Partials));
        let watched = !self.record.viewers.is_empty();
        for role in StreamRole::ALL {
            let numbered = self.record.roles.get_mut(role);
            if !partials {
                (numbered.partial, numbered.next_partial) = (None, None);
            }
            if !watched {
                (numbered.asr_state, numbered.next_state) = (None, None);
            }
        }
    }
}

fn wait_ms(numbered: &Numbered, now: u64) -> u64 {
    let Some(sent) = &numbered.partial else {
        return 0;
    };
    // A clock that stepped back does not hold anything up.
    match now.checked_sub(sent.at.0) {
        Some(passed) => PARTIAL_INTERVAL_MS.saturating_sub(passed),
        None => 0,
    }
}
