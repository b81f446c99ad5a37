//! What the connection and the service's frames do to the window in hand, and how a window ends.

use super::phase::{Heard, Phase};
use super::settings::{MAX_SENTENCES, MAX_TEXT_BYTES, backoff_ms};
use super::{Action, Machine, State};
use crate::failure::Failure;
use crate::machine::service::refusal;
use crate::message::{self, AudioFormat, ServiceEvent, repeatable};

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
            self.note(format!("a frame of the old task {task} is ignored"));
            return;
        }
        let (named, event) = message::parse(text);
        if named.is_some_and(|named| named != task) {
            self.note("a frame that names another task is ignored".into());
            return;
        }
        match event {
            ServiceEvent::Started => self.started(),
            ServiceEvent::Result(Some(heard)) => self.sentence(heard),
            ServiceEvent::Result(None) | ServiceEvent::Partial(_) => {}
            ServiceEvent::Finished(heard) => self.finished(heard),
            ServiceEvent::Failed(why) => {
                self.fail(Failure::Failed, format!("the ASR task failed: {why}"));
            }
            ServiceEvent::Unknown(why) => self.note(format!("the ASR service: {why}")),
        }
    }

    fn started(&mut self) {
        let Phase::Starting { task, socket } = &self.state.phase else {
            self.note("task-started came at the wrong time".into());
            return;
        };
        self.state.phase = Phase::Sending {
            task: task.clone(),
            socket: socket.clone(),
            next_byte: 0,
            next_at: self.now,
        };
    }

    /// Every sentence counts but one that came before: with the same times, or with no times and the
    /// same text.
    fn sentence(&mut self, heard: message::Heard) {
        let Some(task) = self.state.phase.hearing() else {
            self.note("a result before task-started is ignored".into());
            return;
        };
        let heard = Heard {
            begin_ms: heard.begin_ms,
            end_ms: heard.end_ms,
            text: heard.text,
        };
        let has_times = heard.begin_ms.is_some() || heard.end_ms.is_some();
        let came_before = |old: &Heard| match has_times {
            true => (old.begin_ms, old.end_ms) == (heard.begin_ms, heard.end_ms),
            false => old.text == heard.text,
        };
        if heard.text.is_empty() || task.heard.iter().any(came_before) {
            return;
        }
        let bytes: usize = task.heard.iter().map(|old| old.text.len() + 1).sum();
        if task.heard.len() >= MAX_SENTENCES || bytes + heard.text.len() > MAX_TEXT_BYTES {
            self.note("the text of a window is too long: a sentence is left out".into());
            return;
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
        self.close_socket();
        let Phase::Finishing { task, .. } = std::mem::take(&mut self.state.phase) else {
            return;
        };
        let text = task.text();
        self.heard(&task);
        self.state.failures = 0;
        self.state.last_error = None;
        let with_text = !text.is_empty();
        self.actions.push(Action::Window {
            range: task.range,
            text,
            took_ms: self.now.saturating_sub(task.began),
        });
        self.credit(with_text);
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

    /// Nothing of the window counts; the cursor stays.
    pub(super) fn fail(&mut self, failure: Failure, why: String) {
        self.close_socket();
        self.fail_without_socket(failure, why);
    }

    fn fail_without_socket(&mut self, failure: Failure, why: String) {
        let why = repeatable(why.trim(), &self.settings.service);
        self.actions.push(Action::Failed {
            failure,
            why: format!("{why}; the window will be begun again"),
        });
        self.keep_missed();
        self.state.failures = self.state.failures.saturating_add(1);
        self.answer_all_failed(&why);
        self.state.last_error = Some(why);
        self.state.phase = match self.settings.automatic {
            true => Phase::Waiting {
                until: self.now.saturating_add(backoff_ms(self.state.failures)),
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
