//! Panics in the log. Rust's own hook writes to standard error, where a reader that stands still would
//! hold up whoever panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// From now on a panic of any thread is an error in the log, with its backtrace where `RUST_BACKTRACE`
/// asks for one, and nothing on standard error besides.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(backtrace));
        tracing::error!(
            thread = std::thread::current().name(),
            location,
            backtrace,
            "panic: {}",
            message(panic)
        );
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic.payload_as_str().unwrap_or("no message")
}
