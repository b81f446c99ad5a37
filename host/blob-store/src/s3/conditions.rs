//! Whether the server knows conditional writes. One that answers once that it does not (501) may have been
//! a proxy before it, or it learns: so it is asked again after a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long writes go without a condition after a server said that it knows none.
pub(crate) const WITHOUT: Duration = Duration::from_secs(600);

/// What it said last.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Mutex<Option<Instant>>);

impl Conditions {
    /// Whether a write is to say which object it replaces.
    pub(crate) fn are_known(&self, now: Instant) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| now >= until)
    }

    /// The server said that it knows no conditions.
    pub(crate) fn unknown(&self, now: Instant) {
        tracing::warn!(
            "this S3 server knows no conditional writes: a write that is late can undo a newer one; it \
             is asked again in {} s",
            WITHOUT.as_secs()
        );
        let until = Some(now + WITHOUT);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_tried_again_after_a_while() {
        let (conditions, start) = (Conditions::default(), Instant::now());
        assert!(conditions.are_known(start));
        conditions.unknown(start);
        assert!(!conditions.are_known(start));
        assert!(!conditions.are_known(start + WITHOUT / 2));
        assert!(conditions.are_known(start + WITHOUT));
    }
}
