//! What the user sees while audio is streamed: on a terminal a line that changes, with text above it,
//! else a line every few seconds, whatever happens or does not.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::api::Utterance;
use crate::output::Output;
use crate::session::Role;
use crate::stream::Observer;

/// Between two changes of a terminal's last line.
const REDRAW_EVERY: Duration = Duration::from_millis(500);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows all streams, on standard error: standard output is the result's alone.
#[derive(Debug, Clone)]
pub struct Display {
    output: Output,
    is_terminal: bool,
    streams: Arc<Mutex<Vec<Arc<Progress>>>>,
}

#[derive(Debug)]
struct Progress {
    role: Role,
    total: Option<u32>,
    sent: AtomicU32,
    acked: AtomicU32,
}

impl Progress {
    fn text(&self) -> String {
        let Self { role, .. } = self;
        let (sent, acked) = (
            self.sent.load(Ordering::Relaxed),
            self.acked.load(Ordering::Relaxed),
        );
        match self.total {
            Some(total) => format!("{role}: {acked} of {total} s acknowledged, {sent} sent"),
            None => format!("{role}: {acked} s acknowledged, {sent} sent"),
        }
    }
}

impl Display {
    /// On standard error.
    #[must_use]
    pub fn new(output: Output) -> Self {
        Self {
            output,
            is_terminal: std::io::stderr().is_terminal(),
            streams: Arc::default(),
        }
    }

    /// A line of its own.
    pub fn line(&self, text: &str) {
        self.output.line(text);
    }

    /// Something was said.
    pub fn utterance(&self, role: Role, utterance: &Utterance, is_invented: bool) {
        let (start, end) = (clock(utterance.start_ms), clock(utterance.end_ms));
        let mark = if is_invented { "(invented) " } else { "" };
        self.line(&format!(
            "[{role:<8} {start}-{end}] {mark}{}",
            utterance.text
        ));
    }

    /// A stream begins, of so many chunks if that is known.
    #[must_use]
    pub fn stream(&self, role: Role, total: Option<u32>) -> StreamDisplay {
        let progress = Arc::new(Progress {
            role,
            total,
            sent: AtomicU32::new(0),
            acked: AtomicU32::new(0),
        });
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push(progress.clone());
        StreamDisplay {
            progress,
            display: self.clone(),
        }
    }

    /// How far all streams are.
    #[must_use]
    pub fn progress(&self) -> String {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<String> = streams.iter().map(|progress| progress.text()).collect();
        texts.join("; ")
    }

    /// Says again and again what goes on, until it is done.
    pub async fn during<T>(&self, what: impl Fn() -> String, work: impl Future<Output = T>) -> T {
        let every = match self.is_terminal {
            true => REDRAW_EVERY,
            false => LINE_EVERY,
        };
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = ticks.tick() => match self.is_terminal {
                    true => self.output.status(&what()),
                    false => self.output.line(&what()),
                },
            }
        };
        if self.is_terminal {
            self.output.status("");
        }
        done
    }
}

/// Shows one stream.
#[derive(Debug)]
pub struct StreamDisplay {
    progress: Arc<Progress>,
    display: Display,
}

impl Observer for StreamDisplay {
    fn progress(&self, sent: u32, acked: u32) {
        self.progress.sent.store(sent, Ordering::Relaxed);
        self.progress.acked.store(acked, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        self.display
            .line(&format!("{}: {text}", self.progress.role));
    }
}

/// Minutes and seconds.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(0), "00:00");
        assert_eq!(clock(3_725_999), "62:05");
    }

    #[tokio::test]
    async fn progress_is_counted_with_a_length_and_without() {
        let display = Display::new(Output::to(std::io::sink()));
        display.stream(Role::Teacher, Some(9)).progress(3, 2);
        display.stream(Role::Students, None).progress(1, 1);
        assert_eq!(
            display.progress(),
            "teacher: 2 of 9 s acknowledged, 3 sent; students: 1 s acknowledged, 1 sent"
        );
    }
}
