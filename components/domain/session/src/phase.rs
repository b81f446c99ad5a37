//! How far a session is: idle, recording, finalizing, finalized. Derived from what is stored and from
//! who is connected, never stored itself, so it cannot be out of step with either.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::EpochMs;

/// How often a `finalize` says that it still runs.
pub const FINALIZE_RENEWAL: Duration = Duration::from_secs(2);

/// One that has not said so for this long has died with its process: five renewals were missed.
pub const FINALIZE_LEASE: Duration = Duration::from_secs(10);

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// None of the others; also a session that was never seen.
    Idle,
    /// A client of one of its streams is connected.
    Recording,
    /// Somebody waits for a `finalize`.
    Finalizing,
    /// `result.json` was written, and no chunk came since.
    Finalized,
}

/// What the phase depends on, but for the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PhaseFacts {
    /// When a `finalize` that has not ended last said that it runs.
    pub finalizing_at: Option<EpochMs>,
    /// When `result.json` was last written.
    pub finalized_at: Option<EpochMs>,
    /// Chunks received by all streams when it was.
    pub finalized_chunks: u64,
    /// Chunks received by all streams up to now.
    pub received_chunks: u64,
}

/// The phase at `now`. `is_connected`, which is asked only if it matters, says whether a client of one
/// of the streams is connected.
pub fn phase(facts: &PhaseFacts, now: EpochMs, is_connected: impl FnOnce() -> bool) -> Phase {
    let is_finalizing = facts
        .finalizing_at
        .is_some_and(|at| u128::from(now.since(at)) <= FINALIZE_LEASE.as_millis());
    let is_finalized =
        facts.finalized_at.is_some() && facts.finalized_chunks == facts.received_chunks;
    if is_finalizing {
        Phase::Finalizing
    } else if is_finalized {
        Phase::Finalized
    } else if is_connected() {
        Phase::Recording
    } else {
        Phase::Idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: EpochMs = EpochMs(1_000_000);
    const LEASE_MS: u64 = 10_000;

    fn at(facts: PhaseFacts, connected: bool) -> Phase {
        phase(&facts, NOW, || connected)
    }

    #[test]
    fn a_session_never_seen_is_idle() {
        assert_eq!(at(PhaseFacts::default(), false), Phase::Idle);
    }

    #[test]
    fn a_client_makes_it_a_recording() {
        let facts = PhaseFacts {
            received_chunks: 5,
            ..PhaseFacts::default()
        };
        assert_eq!(at(facts, true), Phase::Recording);
        assert_eq!(at(facts, false), Phase::Idle);
    }

    #[test]
    fn a_finalize_counts_until_it_must_have_died() {
        let said = |ms| PhaseFacts {
            finalizing_at: Some(EpochMs(ms)),
            ..PhaseFacts::default()
        };
        assert_eq!(at(said(NOW.0), true), Phase::Finalizing);
        assert_eq!(at(said(NOW.0 - LEASE_MS), true), Phase::Finalizing);
        assert_eq!(at(said(NOW.0 - LEASE_MS - 1), true), Phase::Recording);
        // The clock stepped back.
        assert_eq!(at(said(NOW.0 + 5000), false), Phase::Finalizing);
        // Also the second one.
        let again = PhaseFacts {
            finalized_at: Some(EpochMs(1)),
            ..said(NOW.0)
        };
        assert_eq!(at(again, false), Phase::Finalizing);
    }

    #[test]
    fn a_result_counts_until_a_chunk_comes() {
        let facts = PhaseFacts {
            finalized_at: Some(EpochMs(1)),
            finalized_chunks: 7,
            received_chunks: 7,
            ..PhaseFacts::default()
        };
        assert_eq!(at(facts, true), Phase::Finalized);
        let more = PhaseFacts {
            received_chunks: 8,
            ..facts
        };
        assert_eq!(at(more, true), Phase::Recording);
        assert_eq!(at(more, false), Phase::Idle);
        // One without any audio is as finalized.
        let empty = PhaseFacts {
            finalized_chunks: 0,
            received_chunks: 0,
            ..facts
        };
        assert_eq!(at(empty, false), Phase::Finalized);
    }

    proptest! {
        #[test]
        fn clients_are_asked_only_where_they_matter(
            finalizing_at in prop::option::of(0u64..2_000_000),
            finalized_at in prop::option::of(0u64..2_000_000),
            finalized_chunks in 0u64..3,
            received_chunks in 0u64..3,
        ) {
            let facts = PhaseFacts {
                finalizing_at: finalizing_at.map(EpochMs),
                finalized_at: finalized_at.map(EpochMs),
                finalized_chunks,
                received_chunks,
            };
            let mut asked = false;
            let found = phase(&facts, NOW, || { asked = true; true });
            prop_assert_eq!(asked, found == Phase::Recording);
            prop_assert_eq!(at(facts, false) == Phase::Idle, found == Phase::Recording);
        }
    }
}
