//! Who waits for windows: runs, which want one more each, and flushes, which want all of them. They
//! are answered exactly once, but for those of a process that died: nobody awaits these.

use serde::{Deserialize, Serialize};

use super::settings::MAX_RUNS;
use super::{Action, Machine, Ran};

/// A run or a flush.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    id: String,
    /// It wants all windows and not only one.
    all: bool,
    /// A last, shorter window will do.
    flush: bool,
    windows: u32,
    generated: u32,
}

impl Request {
    pub fn run(id: String, flush: bool) -> Request {
        Request {
            id,
            all: false,
            flush,
            windows: 0,
            generated: 0,
        }
    }

    pub fn flush(id: String) -> Request {
        Request {
            all: true,
            ..Request::run(id, true)
        }
    }

    fn count(&mut self, with_text: bool) {
        self.windows = self.windows.saturating_add(1);
        self.generated = self.generated.saturating_add(u32::from(with_text));
    }

    fn ran(self, at_end: bool, failed: Option<String>) -> Action {
        Action::Ran(Ran {
            id: self.id,
            windows: self.windows,
            generated: self.generated,
            at_end,
            failed,
        })
    }
}

impl Machine<'_> {
    /// Those of this step wait from now on.
    pub(super) fn take_requests(&mut self) {
        for request in std::mem::take(&mut self.requests) {
            if self.state.waiting.len() >= MAX_RUNS {
                let why = "too many runs wait: try again".to_owned();
                self.actions.push(request.ran(false, Some(why)));
            } else {
                self.state.waiting.push(request);
            }
        }
    }

    /// Whether the next window may be a last, shorter one; none when nobody waits.
    pub(super) fn wants_short(&self) -> Option<bool> {
        let first = self.state.waiting.first()?;
        Some(first.flush || self.state.waiting.iter().any(|request| request.all))
    }

    /// One more window is done: it is the first run's, and every flush's.
    pub(super) fn credit(&mut self, with_text: bool) {
        let wants_short = self.state.waiting.iter().any(|request| request.all);
        for request in self.state.waiting.iter_mut().filter(|request| request.all) {
            request.count(with_text);
        }
        let Some(run) = self.state.waiting.iter().position(|request| !request.all) else {
            return;
        };
        let mut run = self.state.waiting.remove(run);
        run.count(with_text);
        let at_end = self.next_window(run.flush || wants_short).is_none();
        self.actions.push(run.ran(at_end, None));
    }

    /// There is no window for the first one who waits.
    pub(super) fn answer_first(&mut self) {
        if !self.state.waiting.is_empty() {
            let first = self.state.waiting.remove(0);
            self.actions.push(first.ran(true, None));
        }
    }

    pub(super) fn answer_all_failed(&mut self, why: &str) {
        for request in std::mem::take(&mut self.state.waiting) {
            self.actions.push(request.ran(false, Some(why.to_owned())));
        }
    }
}
