//! One step of the state machine: inputs are applied one by one, then what time and cursors demand
//! is done once. It must not look inside the transport: sockets are names here.

use crate::SECOND_MS;
use crate::message::{self, Heard, ServiceEvent, shorten};
use crate::phase::{Phase, Running};
use crate::settings::{
    FINISH_TIMEOUT_MS, IDLE_FINISH_MS, MAX_FLUSHES, QUIET_TASK_MS, RETRY_CAP_MS, RETRY_FIRST_MS,
    Settings,
};
use crate::state::State;

/// What happened. `task` is the context that was given to the socket.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Input {
    /// Seconds are stored up to `seq`, which arrived at this time (epoch ms).
    Stored { seq: u32, arrived: u64 },
    /// The connection for `task` is up.
    Opened { task: String, socket: String },
    /// It could not be made; `status` is the HTTP status of a refused handshake.
    OpenFailed {
        task: String,
        status: Option<u16>,
        reason: String,
    },
    /// A text frame of the service.
    Text { task: String, text: String },
    /// The connection is gone.
    Closed {
        task: String,
        code: u16,
        reason: String,
    },
    /// The timer set by [`Action::SetTimer`] ran out.
    Timer,
    /// A send was refused and nothing was sent: the socket is unknown or does not drain.
    SendFailed(String),
    /// All that is stored shall become final; answered by [`Action::Flushed`] with this id.
    Flush(String),
}

/// What to do, in this order, once the new state is stored.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Action {
    /// Connect, with `task` as the context.
    Open {
        task: String,
        url: String,
        headers: Vec<(String, String)>,
        timeout_ms: u64,
    },
    /// Send a text frame.
    SendText { socket: String, text: String },
    /// Send the PCM of seconds `first..=last`, silence for a missing one; the first `mute_ms` of the
    /// first second are silenced, because their text is final already.
    SendSeconds {
        socket: String,
        first: u32,
        last: u32,
        mute_ms: u32,
    },
    /// Close the connection.
    Close { socket: String },
    /// Set the stream's one timer anew, in so many milliseconds.
    SetTimer(u64),
    /// A sentence is final.
    Sentence(Sentence),
    /// The flush is over; so many stored seconds are not final.
    Flushed { id: String, untranscribed: u32 },
    /// Worth a line in the log.
    Note(String),
}

/// A final sentence in session time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sentence {
    /// Where it begins; never before the end of the sentence before it.
    pub start_ms: u64,
    /// Where it ends; after `start_ms`.
    pub end_ms: u64,
    /// Not blank.
    pub text: String,
    /// When its last second was stored, if that is still known.
    pub arrived: Option<u64>,
}

/// How long to wait when the socket takes nothing more, in ms.
const ROOM_RETRY_MS: u64 = 250;
/// A timer that is this much overdue died with an earlier process.
const TIMER_LOST_MS: u64 = 1_000;

/// Applies `inputs` to `state` at `now` (epoch ms). `room` is how many frames the open socket takes;
/// `random` makes task ids and jitter.
pub fn step(
    state: State,
    settings: &Settings,
    now: u64,
    random: u64,
    room: u32,
    inputs: impl IntoIterator<Item = Input>,
) -> (State, Vec<Action>) {
    let mut machine = Machine {
        state,
        settings,
        now,
        random,
        room,
        actions: Vec::new(),
    };
    for input in inputs {
        machine.apply(input);
    }
    machine.check_deadlines();
    machine.pump();
    machine.answer_flushes();
    machine.arm_timer();
    (machine.state, machine.actions)
}

struct Machine<'a> {
    state: State,
    settings: &'a Settings,
    now: u64,
    random: u64,
    room: u32,
    actions: Vec<Action>,
}

impl Machine<'_> {
    fn apply(&mut self, input: Input) {
        match input {
            Input::Stored { seq, arrived } => {
                if seq > self.state.stored {
                    self.state.stored = seq;
                    self.state.arrivals.push(seq, arrived);
                }
            }
            Input::Opened { task, socket } => self.opened(task, socket),
            Input::OpenFailed {
                task,
                status,
                reason,
            } => {
                if self.is_current(&task) {
                    self.fail(refusal(status, &reason));
                }
            }
            Input::Text { task, text } => self.text(&task, &text),
            Input::Closed { task, code, reason } => self.closed(&task, code, &reason),
            Input::Timer => self.state.timer_at = None,
            Input::SendFailed(reason) => {
                if self.state.phase.socket().is_some() {
                    self.fail(format!("the ASR connection takes no frames: {reason}"));
                }
            }
            Input::Flush(id) => {
                // It may be the first to come after a restart, with which the timer died.
                self.state.timer_at = None;
                if self.state.flushes.len() >= MAX_FLUSHES {
                    let untranscribed = self.state.untranscribed();
                    self.actions.push(Action::Flushed { id, untranscribed });
                } else {
                    self.state.flushes.push(id);
                }
            }
        }
    }

    fn is_current(&self, task: &str) -> bool {
        self.state.phase.task() == Some(task)
    }

    fn opened(&mut self, task: String, socket: String) {
        if !matches!(&self.state.phase, Phase::Connecting { task: current, .. } if *current == task)
        {
            // Of a task that was given up meanwhile.
            self.actions.push(Action::Close { socket });
            return;
        }
        let text = message::run_task(&task, self.settings);
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

    fn text(&mut self, task: &str, text: &str) {
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
            ServiceEvent::Result(None) => self.extend_finish(),
            ServiceEvent::Result(Some(heard)) => {
                self.extend_finish();
                self.sentence(heard);
            }
            ServiceEvent::Finished(heard) => self.finished(heard),
            ServiceEvent::Failed(why) => self.fail(format!("the ASR task failed: {why}")),
            ServiceEvent::Unknown(why) => self.note(format!("the ASR service: {why}")),
        }
    }

    fn started(&mut self) {
        let Phase::Starting { task, socket, .. } = &self.state.phase else {
            self.note("task-started came twice".into());
            return;
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
        self.state.last_error = None;
    }

    /// The service is still working on the task's end: let it.
    fn extend_finish(&mut self) {
        if let Phase::Finishing { deadline, .. } = &mut self.state.phase {
            *deadline = self.now + FINISH_TIMEOUT_MS;
        }
    }

    fn sentence(&mut self, heard: Heard) {
        let (Phase::Running(running) | Phase::Finishing { running, .. }) = &self.state.phase else {
            self.note("a result before task-started is ignored".into());
            return;
        };
        let base_ms = u64::from(running.base - 1) * SECOND_MS;
        let sent_ms = u64::from(self.state.sent) * SECOND_MS;
        let end_ms = heard
            .end_ms
            .map_or(sent_ms, |end| (base_ms + end).min(sent_ms));
        if end_ms <= self.state.final_ms {
            self.note("a final result for audio that is final already is ignored".into());
            return;
        }
        // Times are the service's, but ranges must rise and must not be empty.
        let begin_ms = heard
            .begin_ms
            .map_or(self.state.final_ms, |begin| base_ms + begin);
        let start_ms = begin_ms.min(end_ms - 1).max(self.state.final_ms);
        self.state.final_ms = end_ms;
        self.state.failures = 0;
        let last = u32::try_from(end_ms.div_ceil(SECOND_MS)).unwrap_or(u32::MAX);
        let arrived = self.state.arrivals.of(last);
        self.state.arrivals.forget_before(self.state.next_base());
        if !heard.text.is_empty() {
            let sentence = Sentence {
                start_ms,
                end_ms,
                text: heard.text,
                arrived,
            };
            self.actions.push(Action::Sentence(sentence));
        }
    }

    fn finished(&mut self, heard: Option<Heard>) {
        if !matches!(
            self.state.phase,
            Phase::Running(_) | Phase::Finishing { .. }
        ) {
            self.fail("the ASR service finished a task that had not begun".into());
            return;
        }
        if let Some(heard) = heard {
            self.sentence(heard);
        }
        let complete = matches!(self.state.phase, Phase::Finishing { .. });
        if !complete {
            // Nobody asked it to: what it did not make final is sent again.
            self.fail("the ASR service finished the task by itself".into());
            return;
        }
        self.state.final_ms = self
            .state
            .final_ms
            .max(u64::from(self.state.sent) * SECOND_MS);
        self.state.arrivals.forget_before(self.state.next_base());
        self.state.failures = 0;
        self.state.finished_tasks = self.state.finished_tasks.saturating_add(1);
        self.close_socket();
        self.state.phase = Phase::Idle;
    }

    fn closed(&mut self, task: &str, code: u16, reason: &str) {
        if !self.is_current(task) {
            return;
        }
        let all_final = self.state.final_ms >= u64::from(self.state.sent) * SECOND_MS;
        let took_audio = matches!(
            self.state.phase,
            Phase::Running(_) | Phase::Finishing { .. }
        );
        if took_audio && all_final {
            // It owes nothing: an end like any other.
            self.state.phase = Phase::Idle;
            return;
        }
        let reason = shorten(reason);
        self.fail_without_socket(format!(
            "the ASR connection was closed (code {code}) {reason}"
        ));
    }

    fn close_socket(&mut self) {
        if let Some(socket) = self.state.phase.socket() {
            let socket = socket.to_owned();
            self.actions.push(Action::Close { socket });
        }
    }

    fn fail(&mut self, why: String) {
        self.close_socket();
        self.fail_without_socket(why);
    }

    fn fail_without_socket(&mut self, why: String) {
        let why = shorten(why.trim());
        self.note(format!("{why}; what was not final will be sent again"));
        self.state.failures = self.state.failures.saturating_add(1);
        self.state.last_error = Some(why);
        let until = self.now + backoff_ms(self.state.failures, self.random);
        self.state.phase = Phase::Waiting { until };
    }

    fn note(&mut self, text: String) {
        self.actions.push(Action::Note(text));
    }

    fn check_deadlines(&mut self) {
        let late = match &self.state.phase {
            Phase::Connecting { deadline, .. } if *deadline <= self.now => "no connection in time",
            Phase::Starting { deadline, .. } if *deadline <= self.now => "no task-started in time",
            Phase::Finishing { deadline, .. } if *deadline <= self.now => {
                "no task-finished in time"
            }
            _ => return,
        };
        self.fail(format!("the ASR service gave {late}"));
    }

    /// Moves what the cursors allow: opens, sends, finishes.
    fn pump(&mut self) {
        if let Phase::Waiting { until } = self.state.phase
            && until <= self.now
        {
            self.state.phase = Phase::Idle;
        }
        match &self.state.phase {
            Phase::Idle if self.settings.enabled && self.state.untranscribed() > 0 => self.open(),
            Phase::Running(_) => {
                self.send_audio();
                self.finish_if_due();
            }
            _ => {}
        }
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
        let Phase::Running(running) = &mut self.state.phase else {
            return;
        };
        let waiting = self.state.stored.saturating_sub(self.state.sent);
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
        let mute_ms = self.state.final_ms.saturating_sub(first_ms).min(SECOND_MS) as u32;
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
        let wanted = all_sent && !self.state.flushes.is_empty();
        let quiet = sent_ms.saturating_sub(self.state.final_ms) >= QUIET_TASK_MS;
        if !(idle || wanted || quiet) {
            return;
        }
        let text = message::finish_task(&running.task);
        self.actions.push(Action::SendText {
            socket: running.socket.clone(),
            text,
        });
        let deadline = self.now + FINISH_TIMEOUT_MS;
        self.state.phase = Phase::Finishing {
            running: running.clone(),
            deadline,
        };
    }

    fn answer_flushes(&mut self) {
        let untranscribed = self.state.untranscribed();
        if untranscribed > 0 && self.settings.enabled {
            return;
        }
        for id in std::mem::take(&mut self.state.flushes) {
            self.actions.push(Action::Flushed { id, untranscribed });
        }
    }

    /// Sets the timer only when it must ring earlier than it will: one that rings too early finds
    /// nothing to do and is set anew, which is cheaper than setting it with every chunk.
    fn arm_timer(&mut self) {
        let due = match &self.state.phase {
            Phase::Idle => return,
            Phase::Waiting { until } => *until,
            Phase::Connecting { deadline, .. }
            | Phase::Starting { deadline, .. }
            | Phase::Finishing { deadline, .. } => *deadline,
            Phase::Running(_) if self.state.sent < self.state.stored && self.room == 0 => {
                self.now + ROOM_RETRY_MS
            }
            Phase::Running(_) if self.state.sent < self.state.stored => {
                self.state.pace.next_at(self.settings.catch_up_speed)
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

fn refusal(status: Option<u16>, reason: &str) -> String {
    match status {
        Some(status @ (401 | 403)) => format!(
            "the ASR service refused the key (HTTP {status}): check ALIYUN_DASHSCOPE_API_KEY"
        ),
        Some(status) => format!("the ASR service refused the connection (HTTP {status})"),
        None => format!("the ASR service cannot be reached: {reason}"),
    }
}

/// Doubling pauses with a cap; the second half of each is random so that many streams do not come
/// back at once.
fn backoff_ms(failures: u32, random: u64) -> u64 {
    let full = RETRY_FIRST_MS
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(RETRY_CAP_MS);
    full / 2 + random % (full / 2 + 1)
}

/// A version 4 UUID from one random number, stretched by splitmix64.
fn task_uuid(random: u64) -> String {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let (high, low) = (mix(random), mix(!random));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0x0fff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff,
    )
}

#[cfg(test)]
pub(crate) mod tests_support;

#[cfg(test)]
mod tests;
