//! How fast a backlog is sent: a leaky bucket that lets a burst through and then a stated multiple
//! of real time. It knows no sockets and no cursors.

use serde::{Deserialize, Serialize};

use crate::settings::BURST_SECONDS;

/// The bucket. It holds the time at which, at the stated speed, all that was sent would be due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pace {
    due_ms: f64,
}

impl Pace {
    /// How many seconds of audio may be sent at `now`.
    pub fn allowance(&self, now: u64, speed: f64) -> u32 {
        let interval = interval_ms(speed);
        let ahead = (self.due_ms - now as f64).max(0.0);
        let burst = BURST_SECONDS as f64 * interval;
        ((burst - ahead) / interval).floor().max(0.0) as u32
    }

    /// Notes that `seconds` of audio were sent at `now`.
    pub fn sent(&mut self, now: u64, speed: f64, seconds: u32) {
        self.due_ms = self.due_ms.max(now as f64) + f64::from(seconds) * interval_ms(speed);
    }

    /// After the clock was set back: nobody has to wait longer than after a full burst.
    pub fn check_clock(&mut self, now: u64, speed: f64) {
        let burst = BURST_SECONDS as f64 * interval_ms(speed);
        self.due_ms = self.due_ms.min(now as f64 + burst);
    }

    /// When the next second may be sent; `now` or earlier means at once.
    pub fn next_at(&self, speed: f64) -> u64 {
        let interval = interval_ms(speed);
        let free = self.due_ms - (BURST_SECONDS as f64 - 1.0) * interval;
        free.max(0.0).ceil() as u64
    }
}

/// Milliseconds between two seconds of audio. A speed under real time would never catch up.
fn interval_ms(speed: f64) -> f64 {
    1000.0
        / if speed.is_finite() {
            speed.max(1.0)
        } else {
            1.0
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_stated_speed_holds() {
        let mut pace = Pace::default();
        let speed = 4.0;
        let mut now = 1_000_000;
        assert_eq!(u64::from(pace.allowance(now, speed)), BURST_SECONDS);
        let mut sent = 0u64;
        for _ in 0..400 {
            let n = pace.allowance(now, speed);
            pace.sent(now, speed, n);
            sent += u64::from(n);
            now += 25;
        }
        // 10 s of clock at 4x, and the burst.
        assert!(sent <= 40 + BURST_SECONDS, "{sent}");
        assert!(sent >= 40 + BURST_SECONDS - 2, "{sent}");
    }

    #[test]
    fn next_at_names_the_moment_at_which_one_second_is_allowed() {
        let mut pace = Pace::default();
        pace.sent(5_000, 8.0, BURST_SECONDS as u32);
        assert_eq!(pace.allowance(5_000, 8.0), 0);
        let at = pace.next_at(8.0);
        assert!(at > 5_000);
        assert_eq!(pace.allowance(at, 8.0), 1);
        assert_eq!(pace.allowance(at - 2, 8.0), 0);
    }

    #[test]
    fn a_useless_speed_counts_as_real_time() {
        for speed in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            let mut pace = Pace::default();
            pace.sent(0, speed, BURST_SECONDS as u32);
            assert_eq!(pace.next_at(speed), 1000, "{speed}");
        }
    }
}
