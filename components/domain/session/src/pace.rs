//! How fast a stream may bring audio: a multiple of real time, after a burst for what a network that was
//! away held back. It knows no sockets: whoever reads them leaves them alone for as long as it says.
//!
//! One number is stored: until when all that came is paid for, if every second of audio is paid for with
//! `1 / rate` seconds. It may lie as far ahead as the burst is long.

use crate::time::EpochMs;

/// Chunks beyond the burst that are counted. More can hardly come before the reading stops; and a clock
/// that was set back costs no more than their time.
pub const MAX_BEYOND: u64 = 256;

/// Frames at once that may be refused in a stream of no session. Of it nothing is stored, so that what came
/// before is not known: without this a client whose every frame is refused would never wait.
pub const UNKEPT_BURST: u32 = 4;

/// Milliseconds that a batch of frames which are no chunks is charged with, and each frame in it: so many
/// come in a second, fewer where each is sent after the answer to the last. Each batch reads the stream's
/// records, and may write them.
pub const CONTROL_BATCH_MS: u64 = 50;
/// See [`CONTROL_BATCH_MS`].
pub const CONTROL_FRAME_MS: u64 = 1;

/// How much of that may come at once, in milliseconds.
pub const CONTROL_AHEAD_MS: u64 = 1_000;

/// What a batch with so many frames of a client that are no chunks is charged with, in milliseconds.
#[must_use]
pub const fn control_cost_ms(frames: u64) -> u64 {
    match frames {
        0 => 0,
        some => CONTROL_BATCH_MS.saturating_add(some.saturating_mul(CONTROL_FRAME_MS)),
    }
}

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Seconds of audio in a second; 0: no limit.
    pub rate: u32,
    /// Seconds of audio at once.
    pub burst_seconds: u32,
}

impl Pace {
    /// The same rate for a stream of which nothing is stored.
    #[must_use]
    pub const fn unkept(self) -> Self {
        Self {
            burst_seconds: UNKEPT_BURST,
            ..self
        }
    }

    /// What is to be stored when a chunk came; `paid_until` is what is stored now, 0 at the beginning. In
    /// microseconds since 1970.
    #[must_use]
    pub fn arrived(self, paid_until: u64, now: EpochMs) -> u64 {
        let Some(cost) = self.cost() else {
            return 0;
        };
        let now = now.0.saturating_mul(1000);
        let most = now
            .saturating_add(self.ahead(cost))
            .saturating_add(cost.saturating_mul(MAX_BEYOND));
        paid_until.max(now).saturating_add(cost).min(most)
    }

    /// For how many milliseconds nothing more may come; 0 while it may.
    #[must_use]
    pub fn wait_ms(self, paid_until: u64, now: EpochMs) -> u64 {
        let Some(cost) = self.cost() else {
            return 0;
        };
        let free = now.0.saturating_mul(1000).saturating_add(self.ahead(cost));
        paid_until.saturating_sub(free).div_ceil(1000)
    }

    /// Of one chunk.
    fn cost(self) -> Option<u64> {
        MICROS_PER_SECOND.checked_div(self.rate.into())
    }

    /// How far ahead the burst goes.
    fn ahead(self, cost: u64) -> u64 {
        cost.saturating_mul(self.burst_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000;

    /// Sends as fast as it may for so many seconds; gives how much came.
    fn sent(pace: Pace, seconds: u64) -> u64 {
        let (mut paid_until, mut now, mut count) = (0, NOW, 0);
        while now < NOW + seconds * 1000 {
            paid_until = pace.arrived(paid_until, EpochMs(now));
            count += 1;
            now += pace.wait_ms(paid_until, EpochMs(now));
        }
        count
    }

    #[test]
    fn a_burst_comes_at_once_and_the_rest_at_the_rate() {
        let pace = Pace {
            rate: 10,
            burst_seconds: 60,
        };
        assert_eq!(sent(pace, 0), 0);
        // The one with which the waiting begins, too.
        assert_eq!(sent(pace, 20), 60 + 20 * 10);
        let steady = (0..10_000).fold(0, |paid, at| {
            let now = EpochMs(NOW + at * 100);
            let paid = pace.arrived(paid, now);
            assert_eq!(pace.wait_ms(paid, now), 0, "at its rate nobody waits");
            paid
        });
        assert!(steady > 0);
    }

    #[test]
    fn where_nothing_is_kept_a_few_may_come_at_once() {
        let pace = Pace {
            rate: 10,
            burst_seconds: 60,
        };
        let now = EpochMs(NOW);
        let paid = |frames: u32| (0..frames).fold(0, |paid, _| pace.arrived(paid, now));
        assert_eq!(pace.unkept().wait_ms(paid(UNKEPT_BURST), now), 0);
        assert_eq!(pace.unkept().wait_ms(paid(UNKEPT_BURST + 3), now), 300);
    }

    #[test]
    fn frames_that_are_no_chunks_cost_their_batch_and_themselves() {
        assert_eq!(control_cost_ms(0), 0);
        assert_eq!(control_cost_ms(1), 51);
        assert_eq!(control_cost_ms(16), 66);
        assert_eq!(control_cost_ms(u64::MAX), u64::MAX);
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        let pace = Pace {
            rate: 0,
            burst_seconds: 1,
        };
        assert_eq!(pace.arrived(NOW * 1000, EpochMs(NOW)), 0);
        assert_eq!(pace.wait_ms(u64::MAX, EpochMs(NOW)), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_costs_little() {
        let pace = Pace {
            rate: 100,
            burst_seconds: 3600,
        };
        let paid = pace.arrived(0, EpochMs(NOW));
        let an_hour_before = EpochMs(NOW - 3_600_000);
        let paid = pace.arrived(paid, an_hour_before);
        assert!(pace.wait_ms(paid, an_hour_before) <= 2_560);
    }

    proptest! {
        #[test]
        fn whatever_is_stored_and_whenever_it_is(
            rate in 0_u32..2000, burst_seconds in any::<u32>(), paid in any::<u64>(), now in any::<u64>(),
        ) {
            let (pace, now) = (Pace { rate, burst_seconds }, EpochMs(now));
            let paid = pace.arrived(paid, now);
            if rate > 0 {
                let most = (MAX_BEYOND * MICROS_PER_SECOND / u64::from(rate)).div_ceil(1000);
                prop_assert!(pace.wait_ms(paid, now) <= most);
            }
        }
    }
}
