//! How a listener ended.

use std::time::Duration;

/// How [`Listener::run`](crate::Listener::run) ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were open when the shutdown began.
    pub open: u64,
    /// Those of them that were cut off when the time was up.
    pub cut_off: u64,
    /// How long it took.
    pub took: Duration,
}
