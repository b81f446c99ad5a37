//! What a server needs of its process, whatever it serves: standard output and standard error that never
//! block it ([`Output`]), and signals that end it in order ([`Signals`]).
//!
//! It must know nothing of what is served, and no async task may wait for an output.

mod end_request;
mod output;
mod panics;
mod signals;

pub use end_request::IMPATIENCE;
pub use output::{FLUSH_TIME, FlushAtEnd, Output, QUEUED_BYTES, RETRY_PAUSE};
pub use panics::log_panics;
pub use signals::Signals;
