//! What the connection and the service's frames do to the window in hand, and how a window ends.

use super::phase::{Heard, Phase};
use super::settings::{MAX_SENTENCES, MAX_TEXT_BYTES, backoff_ms};
use super::{Action, Machine, State};
use crate::failure::Failure;
use crate::machine::service::refusal;
use crate::message::{self, AudioFormat, ServiceEvent, repeatable};
use crate::rejected::Rejected;
use crate::settings::GONE_WAIT_MS;

impl Machine<'_> {
    pub(super) fn is_current(&self, task: &str) -> bool {
        self.state
            .phase
            .task()
            .is_some_and(|current| current.id == task)
    }

    pub(super) fn opened(&mut self, task: &str, socket: String) {
        let current = match &self.state.phase {
            Phase::Connecting { task: current } if current.id == task => current.clone(),
            _ => {
                // Of a window that was given up meanwhile.
                self.actions.push(Action::Close { socket });
                return;
            }
        };
        let text = message::run_task(task, AudioFormat::Wav, &self.settings.service);
        self.actions.push(Action::SendText {
            socket: socket.clone(),
            text,
        });
        self.state.phase = Phase::Starting {
            task: current,
            socket,
        };
    }

    pub(super) fn open_failed(&mut self, task: &str, status: Option<u16>, reason: &str) {
        if self.is_current(task) {
            self.fail(Failure::of_open(status), refusal(status, reason));
        }
    }

    pub(super) fn text(&mut self, task: &str, text: &str) {
        if self.settings.service.notes_events {
            self.note(message::describe(text));
        }
        if !self.is_current(task) {
            if self.settings.service.notes_events {
                self.note(format!("a frame of the old task {task} is ignored"));
            }
            return;
        }
        let (named, event) = message::parse(text);
        if named.is_some_and(|named| named != task) {
            return self.odd("a frame names another task", Some(text));
        }
        match event {
            ServiceEvent::Started => self.started(),
            ServiceEvent::Result(Some(heard)) => self.sentence(heard),
            ServiceEvent::Result(None) | ServiceEvent::Partial(_) => {}
            ServiceEvent::Finished(heard) => self.finished(heard),
            ServiceEvent::NoSpeech => self.finished_as_asked(),
            ServiceEvent::Failed(why) => {
                let failure = match message::is_lasting(&why) {
                    true => Failure::Rejected,
                    false => Failure::Failed,
                };
                self.fail(failure, format!("the ASR task failed: {why}"));
            }
            ServiceEvent::Unknown(why) => self.odd(&why, Some(text)),
        }
    }

    /// A frame of the window in hand that means nothing; `text` is the frame where it may be shown.
    fn odd(&mut self, why: &str, text: Option<&str>) {
        let service = &self.settings.service;
        if let Some(task) = self.state.phase.task_mut() {
            task.odd.add(why, text, service);
        }
    }

    fn started(&mut self) {
        let Phase::Starting { task, socket } = &self.state.phase else {
            return self.odd("task-started came at the wrong time", None);
        };
        self.state.phase = Phase::Sending {
            task: task.clone(),
            socket: socket.clone(),
            next_byte: 0,
            next_at: self.now,
        };
    }

    /// Every sentence counts but one that came before: with the same times, with no times and the same text,
    /// or, where one of them is not known, with the same times and text.
    fn sentence(&mut self, heard: message::Heard) {
        let Some(task) = self.state.phase.hearing() else {
            return self.odd("a result came before task-started", None);
        };
        let heard = Heard {
            begin_ms: heard.begin_ms,
            end_ms: heard.end_ms,
            text: heard.text,
        };
        let has_same_times =
            |old: &Heard| (old.begin_ms, old.end_ms) == (heard.begin_ms, heard.end_ms);
        let came_before = |old: &Heard| match (heard.begin_ms, heard.end_ms) {
            (Some(_), Some(_)) => has_same_times(old),
            (None, None) => old.text == heard.text,
            _ => has_same_times(old) && old.text == heard.text,
        };
        if heard.text.is_empty() || task.heard.iter().any(came_before) {
            return;
        }
        let bytes: usize = task.heard.iter().map(|old| old.text.len() + 1).sum();
        if task.heard.len() >= MAX_SENTENCES || bytes + heard.text.len() > MAX_TEXT_BYTES {
            return self.odd(
                "the text of the window is too long: a sentence is left out",
                None,
            );
        }
        task.heard.push(heard);
    }

    fn finished(&mut self, heard: Option<message::Heard>) {
        if !matches!(self.state.phase, Phase::Finishing { .. }) {
            self.fail(
                Failure::Unasked,
                "the ASR service finished the task by itself".into(),
            );
            return;
        }
        if let Some(heard) = heard {
            self.sentence(heard);
        }
        self.finished_as_asked();
    }

    /// The window is done: what it heard is all there was to hear.
    fn finished_as_asked(&mut self) {
        let (Phase::Sending { task, socket, .. } | Phase::Finishing { task, socket }) =
            &self.state.phase
        else {
            return self.fail(
                Failure::Unasked,
                "the ASR service finished a task that had not begun".into(),
            );
        };
        let (mut task, socket) = (task.clone(), socket.clone());
        self.state.phase = Phase::Idle;
        self.actions.push(Action::Close { socket });
        if let Some(odd) = task.odd.take() {
            self.note(odd);
        }
        let text = task.text();
        let number = self.number(task.range.last);
        self.heard(&task);
        self.state.failures = 0;
        self.state.rejected = None;
        self.state.last_error = None;
        let with_text = !text.is_empty();
        self.actions.push(Action::Window {
            range: task.range,
            number,
            text,
            took_ms: self.now.saturating_sub(task.began),
        });
        self.credit(with_text);
    }

    /// What tells a window apart that is done now and does not end after all before it.
    fn number(&mut self, last: u32) -> Option<u32> {
        let furthest = self.state.furthest.max(self.state.last_end);
        self.state.done = self.state.done.saturating_add(1);
        self.state.furthest = furthest.max(last);
        (last <= furthest).then_some(self.state.done)
    }

    pub(super) fn closed(&mut self, task: &str, code: u16, reason: &str) {
        if self.is_current(task) {
            self.fail_without_socket(
                Failure::Closed,
                format!("the ASR connection was closed (code {code}) {reason}"),
            );
        }
    }

    pub(super) fn send_failed(&mut self, reason: &str) {
        if self.state.phase.socket().is_some() {
            self.fail(
                Failure::SendRefused,
                format!("the ASR connection takes no frames: {reason}"),
            );
        }
    }

    /// The end of the connection is waited for a little, and nothing is sent any more.
    pub(super) fn gone(&mut self) {
        if self.state.phase.socket().is_none() {
            return;
        }
        let until = self.now.saturating_add(GONE_WAIT_MS);
        if let Some(task) = self.state.phase.task_mut()
            && !std::mem::replace(&mut task.is_gone, true)
        {
            task.deadline = task.deadline.min(until);
        }
    }

    /// Nothing of the window counts; the cursor stays.
    pub(super) fn fail(&mut self, failure: Failure, why: String) {
        self.close_socket();
        self.fail_without_socket(failure, why);
    }

    fn fail_without_socket(&mut self, failure: Failure, why: String) {
        let task = self.state.phase.task_mut();
        let odd = task.and_then(|task| task.odd.take());
        let odd = odd.map(|odd| format!("; {odd}")).unwrap_or_default();
        let why = repeatable(&format!("{}{odd}", why.trim()), &self.settings.service);
        self.actions.push(Action::Failed {
            failure,
            why: format!("{why}; the window will be begun again"),
        });
        self.keep_missed();
        self.state.failures = self.state.failures.saturating_add(1);
        self.answer_all_failed(&why);
        self.state.last_error = Some(why);
        let mut pause_ms = backoff_ms(self.state.failures);
        if failure.is_lasting() {
            let (before, service) = (self.state.rejected, &self.settings.service);
            let (rejected, lasting_ms) = Rejected::again(before, service, self.random);
            self.state.rejected = Some(rejected);
            pause_ms = pause_ms.max(lasting_ms);
        }
        self.state.phase = match self.settings.automatic {
            true => Phase::Waiting {
                until: self.now.saturating_add(pause_ms),
            },
            // The next run tries at once.
            false => Phase::Idle,
        };
    }

    pub(super) fn reset(&mut self) {
        self.close_socket();
        let earlier = std::mem::take(&mut self.requests);
        self.state.waiting.extend(earlier);
        self.answer_all_failed("the stream was reset");
        self.state = State::default();
        self.was_reset = true;
    }

    pub(super) fn close_socket(&mut self) {
        if let Some(socket) = self.state.phase.socket() {
            let socket = socket.to_owned();
            self.actions.push(Action::Close { socket });
        }
    }
}
