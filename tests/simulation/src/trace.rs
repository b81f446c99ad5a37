//! What happened in a run: lines, their hash, and counts of what was reached. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Arguments, Write};

/// How many of the last lines are kept of a run that is not replayed.
pub const LAST_LINES: usize = 60;

/// Lines of a run, and what it reached.
#[derive(Debug)]
pub struct Trace {
    lines: VecDeque<String>,
    keeps_all: bool,
    hash: u64,
    line: String,
    /// How often each kind of thing happened.
    pub reached: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// An empty one; it keeps [`LAST_LINES`] lines or all.
    pub fn new(keeps_all: bool) -> Trace {
        Trace {
            lines: VecDeque::new(),
            keeps_all,
            // FNV-1a.
            hash: 0xcbf2_9ce4_8422_2325,
            line: String::new(),
            reached: BTreeMap::new(),
        }
    }

    /// Adds a line. `at` is virtual time, ms.
    pub fn write(&mut self, at: u64, text: Arguments<'_>) {
        let mut line = if !self.keeps_all && self.lines.len() >= LAST_LINES {
            self.lines.pop_front().unwrap_or_default()
        } else {
            std::mem::take(&mut self.line)
        };
        line.clear();
        // Writing into a String does not fail.
        let _ = write!(line, "{:>9.3} {text}", at as f64 / 1000.0);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.lines.push_back(line);
    }

    /// Counts that this kind of thing happened.
    pub fn reach(&mut self, kind: &'static str) {
        *self.reached.entry(kind).or_default() += 1;
    }

    /// Of all lines.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines that are kept.
    pub fn lines(self) -> Vec<String> {
        self.lines.into()
    }
}
