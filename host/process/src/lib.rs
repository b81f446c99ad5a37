//! What a server needs of its process, whatever it serves: standard output and standard error that never
//! block it ([`Output`]), signals that end it in order ([`Signals`]), a heap that gives back what is freed
//! ([`bound_heap`]).
//!
//! It must know nothing of what is served, and no async task may wait for an output.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod end_request;
mod heap;
mod output;
mod panics;
mod signals;

pub use end_request::IMPATIENCE;
pub use heap::bound_heap;
pub use output::{FLUSH_TIME, FlushAtEnd, Output, QUEUED_BYTES, RETRY_PAUSE};
pub use panics::log_panics;
pub use signals::Signals;
