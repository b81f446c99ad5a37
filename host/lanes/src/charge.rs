//! What a peer's messages cost, paid for with time: a socket whose peer has more done than time passes is
//! left unread for a while. No I/O, no clock, no locks; what costs how much is not known here.

use std::time::Duration;

use tokio::time::Instant;

/// The most that is charged at once.
const MOST: Duration = Duration::from_secs(3600);

/// Until when all that was charged is paid for.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    paid_until: Option<Instant>,
}

impl Charge {
    /// Charges `cost` and gives for how long nothing more is to be read: not at all as long as no more than
    /// `ahead` is charged beyond the time that passed, then until half of that is left. So what waits
    /// meanwhile is read in one go, and handled in few batches.
    pub(crate) fn add(&mut self, now: Instant, cost: Duration, ahead: Duration) -> Duration {
        let (cost, ahead) = (cost.min(MOST), ahead.min(MOST));
        let paid = self.paid_until.map_or(now, |until| until.max(now));
        // However much is charged at once, no more than ten times as much is remembered.
        let most = now + ahead.saturating_mul(10).max(cost);
        let until = (paid + cost).min(most);
        self.paid_until = Some(until);
        let unpaid = until.duration_since(now);
        match unpaid <= ahead {
            true => Duration::ZERO,
            false => unpaid - ahead / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How many pieces of work of `cost` are done in `time` by a peer that sends as fast as it is read, and in
    /// how many goes.
    fn done(cost: Duration, ahead: Duration, time: Duration) -> (u128, u128) {
        let start = Instant::now();
        let (mut charge, mut now) = (Charge::default(), start);
        let (mut count, mut pauses) = (0, 0);
        while now < start + time {
            let pause = charge.add(now, cost, ahead);
            count += 1;
            pauses += u128::from(pause > Duration::ZERO);
            now += pause;
        }
        (count, pauses)
    }

    #[test]
    fn so_much_at_once_and_the_rest_at_its_rate_in_few_goes() {
        let (count, pauses) = done(50 * MS, 1000 * MS, 20_000 * MS);
        // Twenty at once, then twenty a second.
        assert!((410..=421).contains(&count), "{count}");
        assert!(pauses <= 40, "{pauses}");
    }

    #[test]
    fn who_keeps_to_the_rate_never_waits() {
        let start = Instant::now();
        let mut charge = Charge::default();
        for at in 0..1000 {
            let now = start + at * 50 * MS;
            assert_eq!(charge.add(now, 50 * MS, 1000 * MS), Duration::ZERO);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut charge = Charge::default();
        for _ in 0..1000 {
            let pause = charge.add(now, 1000 * MS, 1000 * MS);
            assert!(pause <= 10_000 * MS, "{pause:?}");
        }
        assert!(charge.add(now, Duration::MAX / 4, MS) > Duration::ZERO);
    }
}
