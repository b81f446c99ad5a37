//! For how long one batch goes on storing chunks. The call that handles a batch has a time, and one that
//! is broken off leaves its clients without a word even of what it has stored: so the batch gives up
//! long before, and asks for the rest to be sent again. It knows no store and no clock.

use std::time::Duration;

use crate::seq::Seq;

/// For how long a batch stores chunks, one after the other; the one that is under way then is waited for.
/// With the longest time that one may take (`S3_TIMEOUT_MS`, 40 s at most) it stays below the 60 s of a
/// call.
pub const STORING_TIME: Duration = Duration::from_secs(15);

/// How storing went so far, in one batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Storing {
    spent: Duration,
    failed: Option<NotStored>,
}

/// Why a chunk is not stored, as its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStored {
    /// For now.
    Failed,
    /// There is no space left. Whoever records hears of it, and can tell the operator.
    Full,
}

impl NotStored {
    /// What the client is told of this chunk.
    #[must_use]
    pub fn detail(self, seq: Seq) -> String {
        match self {
            Self::Failed => format!("chunk {seq} could not be stored: send it again"),
            Self::Full => format!(
                "chunk {seq} could not be stored: the gateway has no space left for audio: send it again once \
                 its operator has made room"
            ),
        }
    }
}

impl Storing {
    /// Why one more chunk is not to be stored; none: it is. Once there is a reason it stays.
    #[must_use]
    pub fn ends(&self) -> Option<NotStored> {
        let is_over = self.spent >= STORING_TIME;
        self.failed.or(is_over.then_some(NotStored::Failed))
    }

    /// A chunk was stored, or refused for what it is, and took so long.
    pub fn took(&mut self, time: Duration) {
        self.spent = self.spent.saturating_add(time);
    }

    /// The store could not do it, after all the attempts that it has: it will do no better for the next.
    pub fn failed(&mut self, why: NotStored) {
        self.failed = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_store_is_given_up_when_the_time_is_over() {
        let mut storing = Storing::default();
        let chunk = Duration::from_secs(4);
        for _ in 0..4 {
            assert_eq!(storing.ends(), None, "{storing:?}");
            storing.took(chunk);
        }
        assert_eq!(storing.ends(), Some(NotStored::Failed));
    }

    #[test]
    fn a_fast_store_is_never_given_up() {
        let mut storing = Storing::default();
        for _ in 0..16 {
            storing.took(Duration::from_millis(200));
        }
        assert_eq!(storing.ends(), None);
    }

    #[test]
    fn a_store_that_failed_once_is_not_asked_again() {
        let mut storing = Storing::default();
        storing.failed(NotStored::Full);
        storing.took(STORING_TIME);
        assert_eq!(storing.ends(), Some(NotStored::Full));
    }
}
