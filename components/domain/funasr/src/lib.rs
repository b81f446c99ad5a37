//! The FunASR realtime protocol (DashScope WebSocket) and the replay cursors of one audio stream, as
//! a pure state machine: [`step`] takes the state, the time and what happened, and gives actions.
//!
//! It must not do I/O, read a clock or make random numbers, and it never sees audio: it speaks of
//! seconds of session time, and its caller sends the PCM of those seconds.
//!
//! Two cursors stand for the backlog, so that nothing is queued in memory: `sent`, the last second
//! given to the current task, and `final_ms`, before which all text is final. When a task dies, the
//! next one begins at `final_ms` again.
//!
//! A missing second is waited for a little while and then sent as silence, up to so many in a row: where
//! more are missing the task ends, and the next one begins with the next stored second. One that comes
//! after that is remembered as late: it is listed as not transcribed until a window has heard it.
//!
//! Seconds that are not that path's can be transcribed in [`windows`]: a machine of its own beside it.

mod arrivals;
mod chance;
mod failure;
mod held;
mod late;
mod machine;
mod message;
mod missing;
mod odd;
mod pace;
mod phase;
mod rejected;
mod settings;
mod state;
pub mod windows;

pub use failure::Failure;
pub use machine::{Action, Input, Sentence, step};
pub use missing::Missing;
pub use phase::Connection;
pub use settings::{MAX_SILENCE_SECONDS, Settings};
pub use state::{State, Status};

/// One second of audio in session time.
pub(crate) const SECOND_MS: u64 = 1000;
