//! Frames of the ASR service that mean nothing to a task: how many there were, and what the first one was.
//! They are told when the task ends, in one line, so that no peer fills the log with them.

use serde::{Deserialize, Serialize};

use crate::message::{evidence, repeatable};
use crate::settings::{MAX_ODD_FRAMES, Settings};

/// The odd frames of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odd {
    count: u32,
    first: String,
}

impl Odd {
    /// One more. `text` is the frame where it may be shown.
    pub fn add(&mut self, why: &str, text: Option<&str>, settings: &Settings) {
        if self.count == 0 {
            let what = text.map(|text| format!(": {}", evidence(text, settings)));
            self.first = repeatable(&format!("{why}{}", what.unwrap_or_default()), settings);
        }
        self.count = self.count.saturating_add(1).min(MAX_ODD_FRAMES);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of it, once.
    pub fn take(&mut self) -> Option<String> {
        let odd = std::mem::take(self);
        let more = if odd.count >= MAX_ODD_FRAMES {
            " or more"
        } else {
            ""
        };
        match odd.count {
            0 => None,
            1 => Some(format!(
                "the service sent a frame that means nothing here: {}",
                odd.first
            )),
            count => Some(format!(
                "the service sent {count}{more} frames that mean nothing here, the first: {}",
                odd.first
            )),
        }
    }
}
