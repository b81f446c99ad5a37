//! What the user sees while audio is streamed: a bar for each stream with text above them on a
//! terminal, else plain lines.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::api::Utterance;
use crate::session::Role;
use crate::stream::Observer;

/// Without a terminal a line says every so many acknowledged chunks how far a stream is.
const LINE_EVERY: u32 = 10;

/// Shows all streams. Everything goes to stderr, so that stdout is the result's alone.
#[derive(Debug, Clone)]
pub struct Display {
    /// None without a terminal.
    bars: Option<MultiProgress>,
}

impl Display {
    /// Bars where stderr is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bars: std::io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// A line of its own.
    pub fn line(&self, text: &str) {
        // A terminal that is gone is no reason to stop streaming.
        let _ = self.bars.as_ref().map(|bars| bars.println(text));
        if self.bars.is_none() {
            eprintln!("{text}");
        }
    }

    /// Something was said.
    pub fn utterance(&self, role: Role, utterance: &Utterance) {
        let (start, end) = (clock(utterance.start_ms), clock(utterance.end_ms));
        self.line(&format!("[{role:<8} {start}-{end}] {}", utterance.text));
    }

    /// A stream of so many chunks begins.
    #[must_use]
    pub fn stream(&self, role: Role, chunks: u32) -> StreamDisplay {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template(
                "{prefix:<8} {wide_bar} {pos}/{len} s acked, {msg} sent, {elapsed}",
            );
            let bar = bars.add(ProgressBar::new(chunks.into()));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(role.as_str());
            bar.set_message("0");
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        StreamDisplay {
            role,
            chunks,
            bar,
            display: self.clone(),
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows one stream.
#[derive(Debug)]
pub struct StreamDisplay {
    role: Role,
    chunks: u32,
    bar: Option<ProgressBar>,
    display: Display,
}

impl Observer for StreamDisplay {
    fn progress(&self, sent: u32, acked: u32) {
        if let Some(bar) = &self.bar {
            bar.set_position(acked.into());
            bar.set_message(sent.to_string());
            if acked == self.chunks {
                bar.finish();
            }
        } else if acked == sent && (acked.is_multiple_of(LINE_EVERY) || acked == self.chunks) {
            let (role, chunks) = (self.role, self.chunks);
            eprintln!("{role}: {acked}/{chunks} s acked");
        }
    }

    fn note(&self, text: &str) {
        self.display.line(&format!("{}: {text}", self.role));
    }
}

/// Minutes and seconds.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_and_seconds() {
        assert_eq!(clock(0), "00:00");
        assert_eq!(clock(3_725_999), "62:05");
    }
}
