//! One step of the state machine: inputs are applied one by one, then what time and cursors demand
//! is done once. It must not look inside the transport: sockets are names here.

mod clock;
mod demands;
mod given_up;
mod open_end;
pub(crate) mod service;
mod stored;

use crate::chance::backoff_ms;
use crate::failure::Failure;
use crate::message::repeatable;
use crate::missing::Missing;
use crate::phase::Phase;
use crate::rejected::Rejected;
use crate::settings::{GONE_WAIT_MS, MAX_FLUSHES, Settings};
use crate::state::State;

pub use open_end::OpenEnd;

/// What happened. `task` is the context that was given to the socket.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Input {
    /// Second `seq` is stored; it arrived at this time (epoch ms). Each second is told once: those
    /// before it that were not are missing, and one that is told after a later one comes late.
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
    /// A send was refused and nothing was sent: the socket is unknown or does not drain. Also where it is
    /// known that the socket died with an earlier process.
    SendFailed(String),
    /// The host does not know the open socket any more. What the service said last, and the end of the
    /// connection, may be still to come.
    Gone,
    /// All that is stored shall become final; answered by [`Action::Flushed`] with this id.
    Flush(String),
    /// The recording has ended in order: what is stored is sent, then the task is finished without the wait
    /// that one whose client pauses gets. A second that is stored later takes it back.
    Ended,
    /// Forget the backlog and the connection: what is stored up to now is not this path's any more.
    /// Flushes are answered.
    Reset,
    /// Seconds up to this one are transcribed elsewhere: do not send them.
    Covered(u32),
    /// A window has heard the late seconds `first..=last`.
    Recovered { first: u32, last: u32 },
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
    /// Send the PCM of seconds `first..=last`, silence for a missing one, of which there are never more than
    /// [`MAX_SILENCE_SECONDS`](crate::MAX_SILENCE_SECONDS) in a row; the first `mute_ms` of the
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
    /// A sentence that begins at `start_ms` of session time is still being heard; what it is will be
    /// revised. Only when [`Settings::wants_partials`]; not blank.
    Partial { start_ms: u64, text: String },
    /// The flush is over; so many stored seconds are not final, or came too late to be heard.
    Flushed { id: String, untranscribed: u32 },
    /// The connection or its task failed, and will be tried again: worth a line in the log, and a count.
    Failed { failure: Failure, why: String },
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

/// Applies `inputs` to `state` at `now` (epoch ms). `missing` are the seconds that are not stored once the
/// inputs are; `room` is how many frames the open socket takes; `random` makes task ids and jitter.
pub fn step(
    state: State,
    missing: Missing<'_>,
    settings: &Settings,
    now: u64,
    random: u64,
    room: u32,
    inputs: impl IntoIterator<Item = Input>,
) -> (State, Vec<Action>) {
    let mut machine = Machine {
        state,
        missing,
        settings,
        now,
        random,
        room,
        actions: Vec::new(),
    };
    machine.check_clock();
    for input in inputs {
        machine.apply(input);
    }
    machine.check_deadlines();
    machine.forget_what_is_sent_again();
    machine.release_gaps();
    machine.pump();
    machine.answer_flushes();
    machine.arm_timer();
    (machine.state, machine.actions)
}

struct Machine<'a> {
    state: State,
    missing: Missing<'a>,
    settings: &'a Settings,
    now: u64,
    random: u64,
    room: u32,
    actions: Vec<Action>,
}

impl Machine<'_> {
    fn apply(&mut self, input: Input) {
        match input {
            Input::Stored { seq, arrived } => self.stored(seq, arrived),
            Input::Opened { task, socket } => self.opened(task, socket),
            Input::OpenFailed {
                task,
                status,
                reason,
            } => {
                if self.is_current(&task) {
                    self.fail(Failure::of_open(status), service::refusal(status, &reason));
                }
            }
            Input::Text { task, text } => self.text(&task, &text),
            Input::Closed { task, code, reason } => self.closed(&task, code, &reason),
            Input::Timer => self.state.timer_at = None,
            Input::SendFailed(reason) => self.send_failed(&reason),
            Input::Gone => {
                if self.state.phase.socket().is_some() {
                    let until = self.now + GONE_WAIT_MS;
                    self.state.gone_until.get_or_insert(until);
                }
            }
            Input::Flush(id) => {
                // It may be the first to come after a restart, with which the timer died.
                self.state.timer_at = None;
                if self.state.flushes.len() >= MAX_FLUSHES {
                    let untranscribed = self.state.not_transcribed(self.missing);
                    self.actions.push(Action::Flushed { id, untranscribed });
                } else {
                    self.state.flushes.push(id);
                }
            }
            Input::Ended => {
                // As with a flush.
                self.state.timer_at = None;
                self.state.ended = true;
            }
            Input::Reset => self.reset(),
            Input::Covered(seq) => self.covered(seq),
            Input::Recovered { first, last } => self.state.late.remove(first, last),
        }
    }

    fn send_failed(&mut self, reason: &str) {
        if self.state.phase.socket().is_some() {
            self.state.refused = self.state.phase.task().map(str::to_owned);
            self.fail(
                Failure::SendRefused,
                format!("the ASR connection takes no frames: {reason}"),
            );
        }
    }

    fn is_current(&self, task: &str) -> bool {
        self.state.phase.task() == Some(task)
    }

    fn close_socket(&mut self) {
        if let Some(socket) = self.state.phase.socket() {
            let socket = socket.to_owned();
            self.actions.push(Action::Close { socket });
        }
    }

    fn fail(&mut self, failure: Failure, why: String) {
        self.close_socket();
        let is_only_an_end = matches!(failure, Failure::SendRefused | Failure::FinishTimeout);
        if is_only_an_end && self.owes_nothing() {
            // The process was killed, or the service forgot to say the last word: nothing is lost.
            self.end_task();
            return;
        }
        self.fail_without_socket(failure, why);
    }

    fn fail_without_socket(&mut self, failure: Failure, why: String) {
        let odd = self.state.odd.take();
        let odd = odd.map(|odd| format!("; {odd}")).unwrap_or_default();
        let why = repeatable(&format!("{}{odd}", why.trim()), self.settings);
        self.actions.push(Action::Failed {
            failure,
            why: format!("{why}; what was not final will be sent again"),
        });
        self.state.failures = self.state.failures.saturating_add(1);
        self.state.last_error = Some(why);
        let pause_ms = if failure.is_lasting() {
            let before = self.state.rejected;
            let (rejected, pause_ms) = Rejected::again(before, self.settings, self.random);
            self.state.rejected = Some(rejected);
            pause_ms
        } else {
            backoff_ms(self.state.failures, self.random)
        };
        let until = self.now + pause_ms;
        self.state.phase = Phase::Waiting { until };
    }

    /// A task is over and nothing went wrong.
    fn end_task(&mut self) {
        self.state.phase = Phase::Idle;
        if let Some(odd) = self.state.odd.take() {
            self.note(odd);
        }
    }

    /// A frame of the current task that means nothing; `text` is the frame where it may be shown.
    fn odd(&mut self, why: &str, text: Option<&str>) {
        self.state.odd.add(why, text, self.settings);
    }

    fn note(&mut self, text: String) {
        let text = repeatable(&text, self.settings);
        self.actions.push(Action::Note(text));
    }
}

#[cfg(test)]
mod end_tests;
#[cfg(test)]
mod ended_tests;
#[cfg(test)]
mod given_up_tests;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod jump_tests;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod open_end_tests;
#[cfg(test)]
mod partial_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;
