//! What a stored second means: audio to send, a gap before it, or a second that came late.

use super::Machine;
use crate::phase::Phase;

impl Machine<'_> {
    pub(super) fn stored(&mut self, seq: u32, arrived: u64) {
        let before = self.state.stored;
        self.state.ended = false;
        if seq > before {
            if seq - before > 1 {
                self.state.held.skipped(before + 1, seq - 1, self.now);
            }
            self.state.stored = seq;
            self.state.arrivals.push(seq, arrived);
            return;
        }
        self.state.held.came(seq);
        // What is not this path's is not late here: windows hear it, or know that they did not.
        if seq > self.state.given_up() && self.is_passed(seq) {
            if self.state.late.is_empty() {
                self.note(format!(
                    "second {seq} came after silence was sent for it: it is listed as not transcribed"
                ));
            }
            self.state.late.insert(seq);
        }
    }

    /// Whether silence was sent for a second that was missing, and the task that got it lives or has
    /// made some of it final.
    fn is_passed(&self, seq: u32) -> bool {
        seq < self.state.first_open() || (self.takes_audio() && seq <= self.state.sent)
    }

    pub(super) fn takes_audio(&self) -> bool {
        matches!(
            self.state.phase,
            Phase::Running(_) | Phase::Finishing { .. }
        )
    }

    /// A task that is over takes its silence with it, and what it had not told: what of it is not final is
    /// read from the store and sent again, with the seconds that came meanwhile.
    pub(super) fn forget_what_is_sent_again(&mut self) {
        if !self.takes_audio() {
            self.state.open_end = None;
            self.state.last_open_begin_ms = None;
            let open = self.state.first_open();
            self.state.late.remove(open, u32::MAX);
        }
    }
}
