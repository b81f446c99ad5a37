//! A server that does not answer is not waited for by everyone: once a call has failed over its whole
//! time, and no other one went well meanwhile, calls fail at once but for one attempt a second. Else
//! a lane that has many chunks to store would wait the whole time for each of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a server that is down is asked whether it is back.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Whether, and how, a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// As often as there is time for.
    Free,
    /// Once, to see whether it is back.
    Once,
    /// Not at all: it has been down for so long.
    Not(Duration),
}

#[derive(Debug, Default)]
struct State {
    answered: Option<Instant>,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    next_probe: Instant,
}

/// What is known of the server from the calls of all.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<State>);

impl Outage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ask(&self, now: Instant) -> Leave {
        match &mut self.state().down {
            None => Leave::Free,
            Some(down) if now < down.next_probe => {
                Leave::Not(now.saturating_duration_since(down.since))
            }
            Some(down) => {
                down.next_probe = now + PROBE_EVERY;
                Leave::Once
            }
        }
    }

    /// It answered, whatever.
    pub(crate) fn answered(&self, now: Instant) {
        let mut state = self.state();
        state.answered = Some(now);
        if let Some(down) = state.down.take() {
            let seconds = now.saturating_duration_since(down.since).as_secs();
            tracing::info!(seconds, "S3 is back");
        }
    }

    /// A call that began at `began` is given up.
    pub(crate) fn given_up(&self, began: Instant, now: Instant, why: &str) {
        let mut state = self.state();
        if state.answered.is_some_and(|answered| answered > began) {
            return;
        }
        match &mut state.down {
            Some(down) => down.next_probe = down.next_probe.max(now + PROBE_EVERY),
            None => {
                tracing::warn!(why, "S3 does not answer: asked once a second until it does");
                state.down = Some(Down {
                    since: began,
                    next_probe: now + PROBE_EVERY,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_while_it_is_down_and_all_once_it_is_back() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(outage.ask(at(0)), Leave::Free);
        outage.given_up(at(0), at(5000), "x");
        assert_eq!(
            outage.ask(at(5500)),
            Leave::Not(Duration::from_millis(5500))
        );
        assert_eq!(outage.ask(at(6000)), Leave::Once);
        assert!(
            matches!(outage.ask(at(6001)), Leave::Not(_)),
            "one at a time"
        );
        outage.given_up(at(6000), at(6900), "x");
        assert!(
            matches!(outage.ask(at(7500)), Leave::Not(_)),
            "it just failed"
        );
        assert_eq!(outage.ask(at(7900)), Leave::Once);
        outage.answered(at(8000));
        assert_eq!(outage.ask(at(8000)), Leave::Free);
    }

    #[test]
    fn what_goes_well_for_others_is_no_outage() {
        let (outage, start) = (Outage::default(), Instant::now());
        outage.answered(start + Duration::from_secs(3));
        outage.given_up(start, start + Duration::from_secs(5), "x");
        assert_eq!(outage.ask(start + Duration::from_secs(5)), Leave::Free);
        outage.given_up(
            start + Duration::from_secs(4),
            start + Duration::from_secs(9),
            "x",
        );
        assert!(matches!(
            outage.ask(start + Duration::from_secs(9)),
            Leave::Not(_)
        ));
    }
}
