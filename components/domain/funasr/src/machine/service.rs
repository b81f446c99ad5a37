//! What the connection and the service's frames do to the state.

use super::open_end::Next;
use super::{Action, Machine, Sentence};
use crate::SECOND_MS;
use crate::failure::Failure;
use crate::message::{self, AudioFormat, Heard, ServiceEvent, repeatable};
use crate::phase::{Phase, Running};
use crate::settings::{FINISH_LIMIT_MS, FINISH_TIMEOUT_MS};

impl Machine<'_> {
    pub(super) fn opened(&mut self, task: String, socket: String) {
        if !matches!(&self.state.phase, Phase::Connecting { task: current, .. } if *current == task)
        {
            // Of a task that was given up meanwhile.
            self.actions.push(Action::Close { socket });
            return;
        }
        let text = message::run_task(&task, AudioFormat::Pcm, self.settings);
        self.actions.push(Action::SendText {
            socket: socket.clone(),
            text,
        });
        let deadline = self.now + self.settings.start_timeout_ms;
        self.state.phase = Phase::Starting {
            task,
            socket,
            deadline,
        };
    }

    pub(super) fn text(&mut self, task: &str, text: &str) {
        if self.settings.notes_events {
            self.note(message::describe(text));
        }
        if !self.is_current(task) {
            if self.state.refused.as_deref() == Some(task)
                && let (_, ServiceEvent::Failed(why)) = message::parse(text)
            {
                let why = format!("the ASR task failed: {why}");
                self.state.last_error = Some(repeatable(&why, self.settings));
            }
            if self.settings.notes_events {
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
            ServiceEvent::Result(None) => self.extend_finish(),
            ServiceEvent::Result(Some(heard)) => {
                self.extend_finish();
                self.sentence(heard);
            }
            ServiceEvent::Partial(heard) => {
                self.extend_finish();
                self.partial(heard);
            }
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

    fn started(&mut self) {
        let Phase::Starting { task, socket, .. } = &self.state.phase else {
            return self.odd("task-started came twice", None);
        };
        let base = self.state.next_base();
        let running = Running {
            task: task.clone(),
            socket: socket.clone(),
            base,
            sent_at: self.now,
        };
        self.state.phase = Phase::Running(running);
        self.state.sent = base - 1;
        self.state.open_end = None;
        self.state.last_open_begin_ms = None;
        self.state.last_error = None;
    }

    /// The service is still working on the task's end: let it.
    fn extend_finish(&mut self) {
        if let Phase::Finishing {
            deadline, limit, ..
        } = &mut self.state.phase
        {
            *deadline = (self.now + FINISH_TIMEOUT_MS).min(*limit);
        }
    }

    fn sentence(&mut self, heard: Heard) {
        let (Phase::Running(running) | Phase::Finishing { running, .. }) = &self.state.phase else {
            return self.odd("a result came before task-started", None);
        };
        if heard.text.is_empty() {
            // It makes nothing final: what was said there may be told yet, and silence is heard again
            // at no cost.
            return;
        }
        let base_ms = u64::from(running.base - 1) * SECOND_MS;
        let sent_ms = self.sent_ms();
        // Times beyond what was sent say nothing: all that was sent may be another sentence's as well.
        let begin_ms = heard.begin_ms.map(|begin| base_ms + begin);
        let begin_ms = begin_ms.filter(|begin| *begin < sent_ms);
        let end_ms = heard.end_ms.map(|end| base_ms + end);
        let Some(end_ms) = end_ms.filter(|end| *end <= sent_ms) else {
            return self.hold(begin_ms, heard.text);
        };
        if end_ms <= self.state.final_ms {
            return self.odd("a final result for audio that is final already", None);
        }
        self.forget_held(begin_ms);
        self.end_held(Next::Sentence {
            begin_ms,
            end_ms: Some(end_ms),
        });
        if end_ms <= self.state.final_ms {
            return;
        }
        // Times are the service's, but ranges must rise and must not be empty.
        let begin_ms = begin_ms.unwrap_or(self.state.final_ms);
        let start_ms = begin_ms.min(end_ms - 1).max(self.state.final_ms);
        self.tell(start_ms, end_ms, heard.text);
    }

    /// All that was sent, in session time.
    pub(super) fn sent_ms(&self) -> u64 {
        u64::from(self.state.sent) * SECOND_MS
    }

    /// A sentence is final, and with it all up to its end.
    pub(super) fn tell(&mut self, start_ms: u64, end_ms: u64, text: String) {
        self.state.final_ms = end_ms;
        self.state.failures = 0;
        self.state.rejected = None;
        self.extend_finish_limit();
        let last = u32::try_from(end_ms.div_ceil(SECOND_MS)).unwrap_or(u32::MAX);
        let arrived = self.state.arrivals.of(last);
        self.state.arrivals.forget_before(self.state.next_base());
        self.actions.push(Action::Sentence(Sentence {
            start_ms,
            end_ms,
            text,
            arrived,
        }));
    }

    /// The service makes progress with a task's end.
    pub(super) fn extend_finish_limit(&mut self) {
        if let Phase::Finishing { limit, .. } = &mut self.state.phase {
            *limit = self.now + FINISH_LIMIT_MS;
        }
        self.extend_finish();
    }

    fn partial(&mut self, heard: Heard) {
        let (Phase::Running(running) | Phase::Finishing { running, .. }) = &self.state.phase else {
            return;
        };
        let base_ms = u64::from(running.base - 1) * SECOND_MS;
        let sent_ms = self.sent_ms();
        let begin_ms = heard.begin_ms.map(|begin| base_ms + begin);
        let held = self.state.open_end.as_ref();
        if begin_ms.is_some_and(|begin| begin < sent_ms && held.is_some_and(|h| h.is_before(begin)))
        {
            self.end_held(Next::Sentence {
                begin_ms,
                end_ms: None,
            });
        }
        if !self.settings.wants_partials {
            return;
        }
        let final_ms = self.state.final_ms;
        // A sentence may be said to begin a little before what is final, but not to end there.
        let is_final_already = match heard.end_ms {
            Some(end) => base_ms + end <= final_ms,
            None => begin_ms.is_some_and(|begin| begin < final_ms),
        };
        if !is_final_already {
            let start_ms = begin_ms.unwrap_or(final_ms).min(sent_ms).max(final_ms);
            let text = heard.text;
            self.actions.push(Action::Partial { start_ms, text });
        }
    }

    fn finished(&mut self, heard: Option<Heard>) {
        if !self.takes_audio() {
            self.fail(
                Failure::Unasked,
                "the ASR service finished a task that had not begun".into(),
            );
            return;
        }
        if let Some(heard) = heard {
            self.sentence(heard);
        }
        self.end_held(Next::Nothing);
        let was_asked = matches!(self.state.phase, Phase::Finishing { .. });
        if !was_asked && !self.owes_nothing() {
            // Nobody asked it to: what it did not make final is sent again.
            self.fail(
                Failure::Unasked,
                "the ASR service finished the task by itself".into(),
            );
            return;
        }
        self.finished_as_asked();
    }

    /// The task is over, and there was nothing to hear in what it did not make final.
    fn finished_as_asked(&mut self) {
        if !self.takes_audio() {
            return self.fail(
                Failure::Unasked,
                "the ASR service finished a task that had not begun".into(),
            );
        }
        self.end_held(Next::Nothing);
        self.state.final_ms = self
            .state
            .final_ms
            .max(u64::from(self.state.sent) * SECOND_MS);
        self.state.arrivals.forget_before(self.state.next_base());
        self.state.failures = 0;
        self.state.rejected = None;
        self.state.finished_tasks = self.state.finished_tasks.saturating_add(1);
        self.close_socket();
        self.end_task();
    }

    /// Whether a task has made all final that it was sent. One that was sent nothing has only done what
    /// it should when there is nothing to send: else a service that ends every task at once would be
    /// called again without a pause.
    pub(super) fn owes_nothing(&self) -> bool {
        let (Phase::Running(running) | Phase::Finishing { running, .. }) = &self.state.phase else {
            return false;
        };
        let did_something = self.state.sent >= running.base || self.state.untranscribed() == 0;
        did_something && self.state.final_ms >= u64::from(self.state.sent) * SECOND_MS
    }

    pub(super) fn closed(&mut self, task: &str, code: u16, reason: &str) {
        if !self.is_current(task) {
            return;
        }
        if self.owes_nothing() {
            // An end like any other.
            self.end_task();
            return;
        }
        self.fail_without_socket(
            Failure::Closed,
            format!("the ASR connection was closed (code {code}) {reason}"),
        );
    }
}

/// Why a connection could not be made, and what to do about it.
pub(crate) fn refusal(status: Option<u16>, reason: &str) -> String {
    match status {
        Some(status @ (401 | 403)) => format!(
            "the ASR service refused the key (HTTP {status}): check ALIYUN_DASHSCOPE_API_KEY"
        ),
        Some(status) => format!("the ASR service refused the connection (HTTP {status})"),
        None => format!("the ASR service cannot be reached: {reason}"),
    }
}
