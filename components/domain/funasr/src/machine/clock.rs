//! The caller's clock is a wall clock, which may be set back: no time that is waited for may then be
//! further away than it could have been.

use super::Machine;
use crate::SECOND_MS;
use crate::phase::Phase;
use crate::settings::{
    FINISH_LIMIT_MS, FINISH_TIMEOUT_MS, GONE_WAIT_MS, REJECTED_RETRY_CAP_MS, RETRY_CAP_MS,
};

impl Machine<'_> {
    /// Settings that were changed since they were refused are tried at once.
    ///
    /// A clock that was set forward needs nothing: what was waited for is due, and tried again if that
    /// was too early.
    pub(super) fn check_clock(&mut self) {
        let (now, start_ms) = (self.now, self.settings.start_timeout_ms);
        match &mut self.state.phase {
            Phase::Idle => {}
            Phase::Waiting { until } => {
                let longest = match self.state.rejected {
                    None => RETRY_CAP_MS,
                    Some(rejected) if rejected.is_outdated(self.settings) => 0,
                    Some(_) => REJECTED_RETRY_CAP_MS,
                };
                *until = (*until).min(now + longest);
            }
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
        if let Some(until) = &mut self.state.gone_until {
            *until = (*until).min(now + GONE_WAIT_MS);
        }
        let speed = self.settings.catch_up_speed;
        self.state.pace.check_clock(now, speed);
    }
}
