//! A line of the log that others can cause as often as they like: it is written once in a while, with how
//! often it was left out.

use interview_session::time::EpochMs;

/// From one line to the next, in milliseconds.
pub const SELDOM_MS: u64 = 60_000;

/// When the next line may be written.
#[derive(Debug, Default)]
pub struct Seldom {
    next: EpochMs,
    left_out: u64,
}

impl Seldom {
    /// Nothing was written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: EpochMs(0),
            left_out: 0,
        }
    }

    /// The line that is due now, if one is. A clock that was set back delays it by [`SELDOM_MS`] at most.
    pub fn line(&mut self, now: EpochMs, text: impl FnOnce() -> String) -> Option<String> {
        let is_early = now < self.next && self.next.0 - now.0 <= SELDOM_MS;
        if is_early {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.next = EpochMs(now.0.saturating_add(SELDOM_MS));
        let left_out = std::mem::take(&mut self.left_out);
        Some(match left_out {
            0 => text(),
            _ => format!("{} ({left_out} more since the last such line)", text()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_tells_how_many_were_left_out() {
        let mut seldom = Seldom::new();
        let mut line = |now| seldom.line(EpochMs(now), || "refused".to_owned());
        assert_eq!(line(1_000_000).as_deref(), Some("refused"));
        for now in [1_000_000, 1_000_001, 1_059_999] {
            assert_eq!(line(now), None);
        }
        let told = "refused (3 more since the last such line)";
        assert_eq!(line(1_060_000).as_deref(), Some(told));
        assert_eq!(line(1_060_001), None);
        // The clock was set back by an hour.
        let told = "refused (1 more since the last such line)";
        assert_eq!(line(1_000).as_deref(), Some(told));
    }
}
