//! What time and the cursors demand once all inputs are applied: to give up, to open, to send, to
//! finish, to answer, to be woken.

use super::{Action, Machine};
use crate::SECOND_MS;
use crate::chance::task_uuid;
use crate::failure::Failure;
use crate::message;
use crate::phase::Phase;
use crate::settings::{
    FINISH_LIMIT_MS, FINISH_TIMEOUT_MS, IDLE_FINISH_MS, MAX_SILENCE_SECONDS, QUIET_TASK_MS,
};

/// How long to wait when the socket takes nothing more, in ms.
pub(super) const ROOM_RETRY_MS: u64 = 250;
/// A timer that is this much overdue died with an earlier process.
const TIMER_LOST_MS: u64 = 1_000;

impl Machine<'_> {
    pub(super) fn check_deadlines(&mut self) {
        if self.state.gone_until.is_some_and(|until| until <= self.now) {
            self.send_failed("it is gone");
        }
        let (failure, missing, deadline) = match &self.state.phase {
            Phase::Connecting { deadline, .. } => (Failure::Unreachable, "connection", deadline),
            Phase::Starting { deadline, .. } => (Failure::StartTimeout, "task-started", deadline),
            Phase::Finishing { deadline, .. } => {
                (Failure::FinishTimeout, "task-finished", deadline)
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Running(_) => return,
        };
        if *deadline <= self.now {
            self.fail(
                failure,
                format!("the ASR service gave no {missing} in time"),
            );
        }
    }

    /// Moves what the cursors allow: opens, sends, finishes.
    pub(super) fn pump(&mut self) {
        if matches!(self.state.phase, Phase::Idle) && self.state.untranscribed() == 0 {
            self.state.ended = false;
        }
        if let Phase::Waiting { until } = self.state.phase
            && until <= self.now
        {
            self.state.phase = Phase::Idle;
            if self.state.untranscribed() == 0 {
                // What failed owed nothing, and nobody will try again: there is no error to show.
                self.state.failures = 0;
                self.state.last_error = None;
            }
        }
        match &self.state.phase {
            Phase::Idle if self.settings.enabled && self.state.untranscribed() > 0 => self.open(),
            Phase::Running(_) if self.state.gone_until.is_none() => {
                self.begin_with_a_stored_second();
                self.send_audio();
                self.finish_if_due();
            }
            _ => {}
        }
    }

    /// Missing seconds are waited for only so long, and not at all when somebody wants the end.
    pub(super) fn release_gaps(&mut self) {
        if self.state.is_to_finish() {
            self.state.held.clear();
        } else {
            self.state.held.release(self.now);
        }
    }

    /// The last second that may be sent: what comes before the first one that is waited for, or before more
    /// missing ones than silence is sent for.
    fn ready(&self) -> u32 {
        let held = self.state.held.next_after(self.state.sent);
        let held = held.map_or(self.state.stored, |(first, _)| first - 1);
        let jump = self
            .missing
            .longer_than(MAX_SILENCE_SECONDS, self.state.sent);
        jump.map_or(held, |(first, _)| held.min(first - 1))
    }

    /// Whether the next seconds are missing, are not waited for, and are too many to send silence for.
    fn is_at_jump(&self) -> bool {
        let next = self.state.sent.saturating_add(1);
        let is_next = |range: Option<(u32, u64)>| range.is_some_and(|(first, _)| first == next);
        let jump = self
            .missing
            .longer_than(MAX_SILENCE_SECONDS, self.state.sent);
        jump.is_some_and(|(first, _)| first == next)
            && !is_next(self.state.held.next_after(self.state.sent))
    }

    /// Silence is sent between stored seconds and never before the first one: a task that was sent nothing
    /// yet begins with the next stored second, and what is missing before it is not this path's any more.
    fn begin_with_a_stored_second(&mut self) {
        let Phase::Running(running) = &mut self.state.phase else {
            return;
        };
        if self.state.sent >= running.base {
            return;
        }
        let Some((_, last)) = self.missing.range_of(running.base) else {
            return;
        };
        let held = self.state.held.next_after(self.state.sent);
        let last = held.map_or(last, |(first, _)| last.min(first - 1));
        // Whatever the caller's record says, the last stored second is stored.
        let last = last.min(self.state.stored.saturating_sub(1));
        if last < running.base {
            return;
        }
        running.base = last + 1;
        self.state.sent = last;
        self.state.final_ms = u64::from(last) * SECOND_MS;
        self.state.arrivals.forget_before(last + 1);
    }

    fn open(&mut self) {
        let task = format!("{}{}", self.settings.task_prefix, task_uuid(self.random));
        let timeout_ms = self.settings.start_timeout_ms;
        self.actions.push(Action::Open {
            task: task.clone(),
            url: self.settings.url.clone(),
            headers: vec![(
                "Authorization".into(),
                format!("bearer {}", self.settings.api_key),
            )],
            timeout_ms,
        });
        // The host reports its own time-out first; this one is for a host that was restarted.
        let deadline = self.now + timeout_ms + SECOND_MS;
        self.state.phase = Phase::Connecting { task, deadline };
    }

    fn send_audio(&mut self) {
        let waiting = self.ready().saturating_sub(self.state.sent);
        let Phase::Running(running) = &mut self.state.phase else {
            return;
        };
        let allowed = self
            .state
            .pace
            .allowance(self.now, self.settings.catch_up_speed);
        let count = waiting.min(allowed).min(self.room);
        if count == 0 {
            return;
        }
        let first = self.state.sent + 1;
        let last = self.state.sent + count;
        let first_ms = u64::from(first - 1) * SECOND_MS;
        let final_part = self.state.final_ms.saturating_sub(first_ms).min(SECOND_MS);
        // A second that came late is a window's: half of it must not be heard twice.
        let is_late = final_part > 0 && self.state.late.contains(first);
        let mute_ms = if is_late { SECOND_MS } else { final_part } as u32;
        running.sent_at = self.now;
        self.actions.push(Action::SendSeconds {
            socket: running.socket.clone(),
            first,
            last,
            mute_ms,
        });
        self.state.sent = last;
        self.state
            .pace
            .sent(self.now, self.settings.catch_up_speed, count);
    }

    fn finish_if_due(&mut self) {
        let Phase::Running(running) = &self.state.phase else {
            return;
        };
        let sent_ms = u64::from(self.state.sent) * SECOND_MS;
        let all_sent = self.state.sent >= self.state.stored;
        let idle = all_sent && self.now >= running.sent_at + IDLE_FINISH_MS;
        let wanted = all_sent && self.state.is_to_finish();
        let jump = self.is_at_jump();
        let quiet = sent_ms.saturating_sub(self.state.final_ms) >= QUIET_TASK_MS;
        if !(idle || wanted || quiet || jump) {
            return;
        }
        let text = message::finish_task(&running.task);
        self.actions.push(Action::SendText {
            socket: running.socket.clone(),
            text,
        });
        self.state.phase = Phase::Finishing {
            running: running.clone(),
            deadline: self.now + FINISH_TIMEOUT_MS,
            limit: self.now + FINISH_LIMIT_MS,
        };
    }

    pub(super) fn answer_flushes(&mut self) {
        // A task that has made all final is still to be ended: who asked will say that all is over.
        let is_under_way = self.state.untranscribed() > 0 || self.takes_audio();
        if is_under_way && self.settings.enabled {
            return;
        }
        let untranscribed = self.state.not_transcribed(self.missing);
        for id in std::mem::take(&mut self.state.flushes) {
            self.actions.push(Action::Flushed { id, untranscribed });
        }
    }

    /// Sets the timer only when it must ring earlier than it will: one that rings too early finds
    /// nothing to do and is set anew, which is cheaper than setting it with every chunk.
    pub(super) fn arm_timer(&mut self) {
        if self.state.phase.socket().is_none() {
            self.state.gone_until = None;
        }
        let due = match &self.state.phase {
            Phase::Idle => return,
            Phase::Waiting { until } => *until,
            Phase::Connecting { deadline, .. }
            | Phase::Starting { deadline, .. }
            | Phase::Finishing { deadline, .. } => {
                let gone = self.state.gone_until;
                gone.map_or(*deadline, |until| until.min(*deadline))
            }
            Phase::Running(_) if self.state.gone_until.is_some() => {
                self.state.gone_until.unwrap_or(self.now)
            }
            Phase::Running(_) if self.state.sent < self.state.stored && self.room == 0 => {
                self.now + ROOM_RETRY_MS
            }
            Phase::Running(_) if self.state.sent < self.state.stored => {
                let paced = self.state.pace.next_at(self.settings.catch_up_speed);
                match self.state.held.next_after(self.state.sent) {
                    Some((first, until)) if first == self.state.sent + 1 => paced.max(until),
                    _ => paced,
                }
            }
            Phase::Running(running) => running.sent_at + IDLE_FINISH_MS,
        };
        let due = due.max(self.now + 1);
        let rings_in_time = self
            .state
            .timer_at
            .is_some_and(|at| at <= due && at + TIMER_LOST_MS >= self.now);
        if !rings_in_time {
            self.actions.push(Action::SetTimer(due - self.now));
            self.state.timer_at = Some(due);
        }
    }
}
