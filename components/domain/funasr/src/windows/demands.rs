//! What time and cursor demand once all inputs are applied: to give up, to begin, to send, to be woken.

use super::phase::{Phase, Task};
use super::settings::ROOM_RETRY_MS;
use super::stretch::{self, Next};
use super::{Action, Machine};
use crate::chance::task_uuid;
use crate::failure::Failure;
use crate::late::Late;
use crate::message;
use crate::odd::Odd;

/// What a run is told where there is no service to ask.
const DISABLED: &str = "ASR disabled or API key missing";

impl Machine<'_> {
    pub(super) fn next_window(&self, flush: bool) -> Option<Next> {
        stretch::next_window(&self.state, &self.stretches, self.settings, flush)
            .or_else(|| self.next_late_window())
    }

    /// Gives the window in hand up when its seconds are not left to windows any more: the mode changed
    /// with a restart.
    pub(super) fn check_seconds(&mut self) {
        let Some((range, is_late)) = self.state.phase.task().map(|t| (t.range, t.is_late)) else {
            return;
        };
        let is_ours = match is_late {
            true => self.all_late().any(|of| of.contains(range)),
            false => self.stretches.iter().any(|of| of.contains(range)),
        };
        if !self.settings.service.enabled || !is_ours {
            self.note("a window is given up: its seconds are not for windows any more".into());
            self.close_socket();
            self.keep_missed();
            self.state.phase = Phase::Idle;
        }
    }

    pub(super) fn check_deadline(&mut self) {
        let is_gone = self.state.phase.task().is_some_and(|task| task.is_gone);
        let (failure, missing) = match &self.state.phase {
            Phase::Starting { .. } | Phase::Sending { .. } | Phase::Finishing { .. } if is_gone => {
                (Failure::SendRefused, "no end of a connection that is gone")
            }
            Phase::Connecting { .. } => (Failure::Unreachable, "no connection"),
            Phase::Starting { .. } => (Failure::StartTimeout, "no task-started"),
            Phase::Sending { .. } => (Failure::SendRefused, "not enough room for the audio"),
            Phase::Finishing { .. } => (Failure::FinishTimeout, "no task-finished"),
            Phase::Idle | Phase::Waiting { .. } => return,
        };
        let deadline = self.state.phase.task().map(|task| task.deadline);
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.fail(failure, format!("the ASR service gave {missing} in time"));
        }
    }

    /// Moves what can be moved: begins a window, sends its file, answers who waits for none.
    pub(super) fn pump(&mut self) {
        if !self.settings.service.enabled {
            self.answer_all_failed(DISABLED);
            self.state.phase = Phase::Idle;
            return;
        }
        match self.state.phase {
            Phase::Sending { .. } => self.send(),
            Phase::Idle => self.begin(),
            // Who asks does not wait for the pause to end.
            Phase::Waiting { until }
                if until <= self.now
                    || !self.settings.automatic
                    || !self.state.waiting.is_empty() =>
            {
                self.state.phase = Phase::Idle;
                self.begin();
            }
            Phase::Waiting { .. }
            | Phase::Connecting { .. }
            | Phase::Starting { .. }
            | Phase::Finishing { .. } => {}
        }
    }

    fn begin(&mut self) {
        while let Some(flush) = self.wants_short() {
            match self.next_window(flush) {
                Some(next) => return self.open(next),
                None => self.answer_first(),
            }
        }
        if self.settings.automatic
            && !self.was_reset
            && let Some(next) = self.next_window(false)
        {
            self.open(next);
        }
    }

    fn open(&mut self, next: Next) {
        let service = &self.settings.service;
        let id = format!("{}{}", service.task_prefix, task_uuid(self.random));
        let timeout_ms = self.settings.timeout_ms;
        self.actions.push(Action::Open {
            task: id.clone(),
            url: service.url.clone(),
            headers: vec![(
                "Authorization".into(),
                format!("bearer {}", service.api_key),
            )],
            timeout_ms,
        });
        let task = Task {
            id,
            range: next.range,
            from: next.from,
            is_late: next.is_late,
            missed: Late::default(),
            is_gone: false,
            odd: Odd::default(),
            began: self.now,
            deadline: self.now.saturating_add(timeout_ms),
            heard: Vec::new(),
        };
        self.state.phase = Phase::Connecting { task };
    }

    fn send(&mut self) {
        let Phase::Sending {
            task,
            socket,
            next_byte,
            next_at,
        } = &mut self.state.phase
        else {
            return;
        };
        if task.is_gone {
            return;
        }
        let pacing_ms = self.settings.pacing_ms;
        let frames = match pacing_ms {
            0 => self.room,
            _ if *next_at <= self.now => self.room.min(1),
            _ => 0,
        };
        let file_bytes = task.file_bytes();
        let bytes = (frames.saturating_mul(self.settings.piece_bytes.max(1)))
            .min(file_bytes.saturating_sub(*next_byte));
        if bytes > 0 {
            self.actions.push(Action::SendPiece {
                socket: socket.clone(),
                range: task.range,
                first_byte: *next_byte,
                bytes,
            });
            *next_byte += bytes;
            *next_at = self.now.saturating_add(pacing_ms);
        }
        if *next_byte >= file_bytes {
            let (task, socket) = (task.clone(), socket.clone());
            let text = message::finish_task(&task.id);
            self.actions.push(Action::SendText {
                socket: socket.clone(),
                text,
            });
            self.state.phase = Phase::Finishing { task, socket };
        }
    }

    /// The timer is set with every step while something is awaited: steps are few, and one that died
    /// with its process needs no second thought.
    pub(super) fn arm_timer(&mut self) {
        let due = match &self.state.phase {
            Phase::Idle => return,
            Phase::Waiting { until } => *until,
            Phase::Connecting { task }
            | Phase::Starting { task, .. }
            | Phase::Finishing { task, .. } => task.deadline,
            Phase::Sending { task, .. } if task.is_gone => task.deadline,
            Phase::Sending { task, next_at, .. } => {
                let again = match self.settings.pacing_ms {
                    0 => self.now + ROOM_RETRY_MS,
                    _ if *next_at <= self.now => self.now + ROOM_RETRY_MS,
                    _ => *next_at,
                };
                again.min(task.deadline)
            }
        };
        let delay_ms = due.saturating_sub(self.now).max(1);
        self.actions.push(Action::SetTimer(delay_ms));
    }
}
