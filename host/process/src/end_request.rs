//! What a signal asks for, given those that came before: a state machine without signals and clocks.

use std::time::{Duration, Instant};

/// The same signal again means "now" only so long after it came first. One request often arrives as
/// several signals: a terminal signals a whole process group and the launcher in it passes the signal
/// on, `timeout` signals both the program and its group, a supervisor sends SIGTERM and SIGHUP together.
pub const IMPATIENCE: Duration = Duration::from_secs(2);

/// A signal that ends a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndSignal {
    Terminate,
    Interrupt,
    Hangup,
}

impl EndSignal {
    pub(crate) const ALL: [Self; 3] = [Self::Terminate, Self::Interrupt, Self::Hangup];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }
}

/// What to do about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// The first one: end in order.
    End,
    /// Part of the same request.
    Same,
    /// The sender does not want to wait any longer: end at once.
    CutOff,
}

/// Which signals came, and when each came first.
#[derive(Debug, Default)]
pub(crate) struct EndRequests([Option<Instant>; EndSignal::ALL.len()]);

impl EndRequests {
    /// What this signal asks for, which came `now`.
    pub(crate) fn came(&mut self, signal: EndSignal, now: Instant) -> Request {
        let is_first = self.0.iter().all(Option::is_none);
        let Some(first) = self.0.get_mut(signal as usize) else {
            return Request::Same;
        };
        match first {
            Some(first) if now.saturating_duration_since(*first) >= IMPATIENCE => Request::CutOff,
            Some(_) => Request::Same,
            None => {
                *first = Some(now);
                if is_first {
                    Request::End
                } else {
                    Request::Same
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EndSignal::{Hangup, Interrupt, Terminate};
    use super::Request::{CutOff, End, Same};
    use super::*;

    /// What each of these signals asks for; times are in milliseconds.
    fn requests(signals: &[(EndSignal, u64)]) -> Vec<Request> {
        let start = Instant::now();
        let mut requests = EndRequests::default();
        let came = |&(signal, at)| requests.came(signal, start + Duration::from_millis(at));
        signals.iter().map(came).collect()
    }

    #[test]
    fn the_first_signal_asks_for_the_end_whichever_it_is() {
        for signal in EndSignal::ALL {
            assert_eq!(requests(&[(signal, 0)]), [End]);
        }
    }

    #[test]
    fn another_signal_is_the_same_request_however_late() {
        let together = [(Interrupt, 0), (Terminate, 0), (Hangup, 1)];
        assert_eq!(requests(&together), [End, Same, Same]);
        assert_eq!(
            requests(&[(Interrupt, 0), (Terminate, 60_000)]),
            [End, Same]
        );
    }

    #[test]
    fn the_same_signal_is_impatience_after_two_seconds() {
        let soon = [(Terminate, 0), (Terminate, 1), (Terminate, 1_999)];
        assert_eq!(requests(&soon), [End, Same, Same]);
        let late = [(Terminate, 0), (Terminate, 1_000), (Terminate, 2_000)];
        assert_eq!(requests(&late), [End, Same, CutOff]);
    }

    #[test]
    fn each_signal_has_a_time_of_its_own() {
        let signals = [
            (Interrupt, 0),
            (Terminate, 5_000),
            (Terminate, 6_999),
            (Terminate, 7_000),
        ];
        assert_eq!(requests(&signals), [End, Same, Same, CutOff]);
        let first_again = [(Interrupt, 0), (Terminate, 1_900), (Interrupt, 2_000)];
        assert_eq!(requests(&first_again), [End, Same, CutOff]);
    }

    #[test]
    fn a_clock_that_stands_still_is_no_impatience() {
        assert_eq!(requests(&[(Hangup, 5), (Hangup, 5)]), [End, Same]);
    }
}
