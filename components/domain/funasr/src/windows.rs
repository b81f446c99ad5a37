//! Stored seconds transcribed in windows, for backfill and for the windowed mode: each window is a
//! task of its own that gets one WAV file. Like the realtime machine it is pure: [`step`] takes state,
//! time and what happened, and gives actions; it must not do I/O and never sees audio.
//!
//! One window at a time. The cursor is the end of the last window that is done; a window that fails
//! moves nothing, so that the next attempt is the same window again. Which seconds are left to windows
//! is read from the realtime path's state.
//!
//! Seconds that came late, after either path had passed over them, get windows of their own when no other
//! window is left. These move no cursor.

mod demands;
mod late;
mod phase;
mod requests;
mod settings;
mod state;
mod stretch;
mod task;

use crate::late::Late;
use crate::message::repeatable;
use crate::{Failure, Missing, State as Bridge};
pub use settings::{MAX_RUNS, WindowSettings};
pub use state::{State, Status};
pub use stretch::{Range, uncovered};

use requests::Request;

/// What happened. `task` is the context that was given to the socket.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum Input {
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
    /// A send was refused and nothing was sent. Also where it is known that the socket died with an earlier
    /// process.
    SendFailed(String),
    /// The host does not know the open socket any more. What the service said last, and the end of the
    /// connection, may be still to come.
    Gone,
    /// Somebody wants one more window. When no whole one is left, a shorter one will do if `flush`.
    Run { id: String, flush: bool },
    /// All that is stored shall be covered, the last, shorter window included.
    Flush(String),
    /// A second was stored after a later one had been: a window may have heard silence for it. To be told
    /// once it is in the state of the realtime path.
    Late(u32),
    /// Forget cursor and connection; runs are answered. What comes after it finds a new stream, but
    /// nothing is begun in its own step unless somebody asks for it.
    Reset,
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
    /// Send bytes `first_byte..first_byte + bytes` of the WAV file of these seconds (silence for a
    /// missing one), in frames of [`WindowSettings::piece_bytes`].
    SendPiece {
        socket: String,
        range: Range,
        first_byte: u32,
        bytes: u32,
    },
    /// Close the connection.
    Close { socket: String },
    /// Set the one timer of the stream's windows anew, in so many milliseconds.
    SetTimer(u64),
    /// A window is done. `text` is all its sentences, empty when nothing was said. The realtime path
    /// must be told before the next step ([`crate::Input::Recovered`]): late seconds of its own may be
    /// among those that were heard.
    ///
    /// Windows that end after all before them have no `number`. Another one, which makes up for seconds that
    /// came late, may end with the same second as one before it: its number tells them apart, and no two of a
    /// stream have the same until it is reset.
    Window {
        range: Range,
        number: Option<u32>,
        text: String,
        took_ms: u64,
    },
    /// A run or a flush is over.
    Ran(Ran),
    /// The connection or its task failed, and the window will be begun again: worth a line in the log,
    /// and a count.
    Failed { failure: Failure, why: String },
    /// Worth a line in the log.
    Note(String),
}

/// What became of a run or a flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// As it was given.
    pub id: String,
    /// Windows done since it was asked for.
    pub windows: u32,
    /// Those of them that gave text.
    pub generated: u32,
    /// Nothing is left, or, for a run without `flush`, no whole window.
    pub at_end: bool,
    /// Why it stopped early.
    pub failed: Option<String>,
}

/// Applies `inputs` to `state` at `now` (epoch ms); none at all means: look whether there is something
/// to do. `bridge` is the state of the same stream's realtime path, and `realtime` says whether that
/// path runs; `missing` are the seconds that are not stored. `room` is how many frames the open socket takes; `random` makes task ids.
#[expect(
    clippy::too_many_arguments,
    reason = "the contract's own: each is one fact of the moment, and the state is moved through"
)]
pub fn step(
    state: State,
    bridge: &Bridge,
    realtime: bool,
    missing: Missing<'_>,
    settings: &WindowSettings,
    now: u64,
    random: u64,
    room: u32,
    inputs: impl IntoIterator<Item = Input>,
) -> (State, Vec<Action>) {
    let mut machine = Machine {
        state,
        stretches: stretch::for_windows(bridge, realtime, missing),
        bridge_late: bridge.late_for_good(),
        missing,
        settings,
        now,
        random,
        room,
        requests: Vec::new(),
        was_reset: false,
        actions: Vec::new(),
    };
    machine.check_clock();
    machine.check_seconds();
    for input in inputs {
        machine.apply(input);
    }
    machine.check_deadline();
    machine.take_requests();
    machine.pump();
    machine.arm_timer();
    (machine.state, machine.actions)
}

struct Machine<'a> {
    state: State,
    /// The seconds that are left to windows, done or not.
    stretches: Vec<Range>,
    /// Late seconds of the realtime path.
    bridge_late: Late,
    missing: Missing<'a>,
    settings: &'a WindowSettings,
    now: u64,
    random: u64,
    room: u32,
    /// Asked for in this step: a failure of what ran before is not theirs.
    requests: Vec<Request>,
    was_reset: bool,
    actions: Vec<Action>,
}

impl Machine<'_> {
    fn apply(&mut self, input: Input) {
        match input {
            Input::Opened { task, socket } => self.opened(&task, socket),
            Input::OpenFailed {
                task,
                status,
                reason,
            } => self.open_failed(&task, status, &reason),
            Input::Text { task, text } => self.text(&task, &text),
            Input::Closed { task, code, reason } => self.closed(&task, code, &reason),
            Input::Timer => {}
            Input::SendFailed(reason) => self.send_failed(&reason),
            Input::Gone => self.gone(),
            Input::Run { id, flush } => self.requests.push(Request::run(id, flush)),
            Input::Flush(id) => self.requests.push(Request::flush(id)),
            Input::Late(seq) => self.late(seq),
            Input::Reset => self.reset(),
        }
    }

    fn note(&mut self, text: String) {
        let text = repeatable(&text, &self.settings.service);
        self.actions.push(Action::Note(text));
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod jump_tests;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_support;
