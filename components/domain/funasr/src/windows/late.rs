//! Seconds that came late: which window may have missed them, and the windows that make up for it.

use super::Machine;
use super::phase::{Phase, Task};
use super::settings::{RETRY_CAP_MS, ROOM_RETRY_MS};
use super::stretch::{Next, Range};
use crate::late::Late;
use crate::settings::REJECTED_RETRY_CAP_MS;

impl Machine<'_> {
    /// A second was stored behind others. One that is ahead of the cursor will be heard in its turn.
    pub(super) fn late(&mut self, seq: u32) {
        if !self.stretches.iter().any(|stretch| stretch.holds(seq)) {
            return;
        }
        let last_end = self.state.last_end;
        match self.state.phase.task_mut() {
            Some(task) if task.range.holds(seq) => task.missed.insert(seq),
            // The cursor will step over it when this window is done.
            Some(task) if !task.is_late && last_end < seq && seq < task.range.first => {
                task.missed.insert(seq);
            }
            _ if seq <= self.state.last_end => self.state.late.insert(seq),
            _ => {}
        }
    }

    /// A window is done: what it heard is not late any more, but for what came while it ran.
    pub(super) fn heard(&mut self, task: &Task) {
        let Range { first, last } = task.range;
        self.state.late.remove(first, last);
        self.bridge_late.remove(first, last);
        self.state.late.extend(&task.missed);
        if !task.is_late {
            self.state.last_end = last;
            self.state.from = task.from;
        }
    }

    /// A window is given up. What came while it ran and is ahead of the cursor is heard in the next one.
    pub(super) fn keep_missed(&mut self) {
        let last_end = self.state.last_end;
        if let Some(task) = self.state.phase.task() {
            let behind = task.missed.up_to(last_end);
            self.state.late.extend(&behind);
        }
    }

    /// Of both paths, oldest first, without what is missing between them.
    pub(super) fn all_late(&self) -> impl Iterator<Item = Range> {
        let mut all: Late = self.bridge_late.clone();
        all.extend(&self.state.late);
        let ranges: Vec<_> = all.ranges().collect();
        let missing = self.missing;
        ranges
            .into_iter()
            .flat_map(move |(first, last)| missing.split(first, last, 0))
            .filter_map(|(first, last)| Range::new(first, last))
    }

    /// The first late seconds, as many as a window has.
    pub(super) fn next_late_window(&self) -> Option<Next> {
        let late = self.all_late().next()?;
        let longest = late
            .first
            .saturating_add(self.settings.window().saturating_sub(1));
        Some(Next {
            range: Range::new(late.first, late.last.min(longest))?,
            from: self.state.from,
            is_late: true,
        })
    }

    /// The clock may have been set back: nothing that is waited for is then further away than it could
    /// have been.
    pub(super) fn check_clock(&mut self) {
        let (now, timeout_ms) = (self.now, self.settings.timeout_ms);
        if let Phase::Waiting { until } = &mut self.state.phase {
            let longest = match self.state.rejected {
                None => RETRY_CAP_MS,
                Some(rejected) if rejected.is_outdated(&self.settings.service) => 0,
                Some(_) => REJECTED_RETRY_CAP_MS,
            };
            *until = (*until).min(now.saturating_add(longest));
        }
        let pause = self.settings.pacing_ms.max(ROOM_RETRY_MS);
        if let Phase::Sending { next_at, .. } = &mut self.state.phase {
            *next_at = (*next_at).min(now.saturating_add(pause));
        }
        if let Some(task) = self.state.phase.task_mut() {
            task.deadline = task.deadline.min(now.saturating_add(timeout_ms));
        }
    }
}
