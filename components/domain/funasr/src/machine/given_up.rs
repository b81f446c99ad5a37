//! Seconds that are not this path's any more: a reset, or what was transcribed elsewhere. Neither is a
//! failure, and neither touches what is stored.

use super::{Action, Machine};
use crate::SECOND_MS;
use crate::arrivals::Arrivals;
use crate::late::Late;

impl Machine<'_> {
    /// Everything up to the last stored second is given up, with the task that was to transcribe it.
    /// The socket of one that is still connecting is closed when it opens.
    pub(super) fn reset(&mut self) {
        self.close_socket();
        self.end_task();
        self.state.failures = 0;
        self.state.last_error = None;
        self.state.arrivals = Arrivals::default();
        self.state.held.clear();
        self.state.ended = false;
        self.state.late = Late::default();
        // Final time never goes back, whatever a stored record says is stored.
        let stored_ms = u64::from(self.state.stored) * SECOND_MS;
        self.state.final_ms = self.state.final_ms.max(stored_ms);
        self.state.from_ms = self.state.final_ms;
        for id in std::mem::take(&mut self.state.flushes) {
            let untranscribed = 0;
            self.actions.push(Action::Flushed { id, untranscribed });
        }
    }

    /// Only stored seconds can be: what is yet to come is this path's.
    pub(super) fn covered(&mut self, seq: u32) {
        let seq = seq.min(self.state.stored);
        let covered_ms = u64::from(seq) * SECOND_MS;
        if covered_ms <= self.state.final_ms {
            return;
        }
        self.state.final_ms = covered_ms;
        self.state.from_ms = covered_ms;
        self.state.arrivals.forget_before(self.state.next_base());
        if self.takes_audio() && self.state.sent < seq {
            // Its clock would miss the seconds that are left out: the next task begins after them.
            self.close_socket();
            self.end_task();
        }
    }
}
