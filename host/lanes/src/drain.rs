//! The orderly end: what was left when it was reached, or when the time was up.

use std::time::Duration;

/// How [`Lanes::drain`](crate::Lanes::drain) went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Everything ended in time.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// Client sockets that were open at the start.
    pub client_sockets: u64,
    /// Outbound sockets that were open when the clients' were gone.
    pub outbound_sockets: u64,
    /// Sockets that were cut off at the deadline.
    pub sockets_cut_off: u64,
    /// Events that were never handled.
    pub events_left: u64,
}
