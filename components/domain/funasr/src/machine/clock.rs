//! The caller's clock is a wall clock, which may be set back: no time that is waited for may then be
//! further away than it could have been.

use super::Machine;
use crate::SECOND_MS;
use crate::phase::Phase;
use crate::settings::{FINISH_LIMIT_MS, FINISH_TIMEOUT_MS, RETRY_CAP_MS};

impl Machine<'_> {
    /// A clock that was set forward needs nothing: what was waited for is due, and tried again if that
    /// was too early.
    pub(super) fn check_clock(&mut self) {
        let (now, start_ms) = (self.now, self.settings.start_timeout_ms);
        match &mut self.state.phase {
            Phase::Idle => {}
            Phase::Waiting { until } => *until = (*until).min(now + RETRY_CAP_MS),
            Phase::Connecting { deadline, .. } => {
                *deadline = (*deadline).min(now + start_ms + SECOND_MS);
            }
            Phase::Starting { deadline, .. } => *deadline = (*deadline).min(now + start_ms),
            Phase::Running(running) => running.sent_at = running.sent_at.min(now),
            Phase::Finishing {
                deadline, limit, ..
            } => {
                *deadline = (*deadline).min(now + FINISH_TIMEOUT_MS);
                *limit = (*limit).min(now + FINISH_LIMIT_MS);
            }
        }
        let speed = self.settings.catch_up_speed;
        self.state.pace.check_clock(now, speed);
    }
}
