//! The orderly end: what was left when it was reached, or when the time was up.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::{
    close_frame::{self, sendable},
    handle::Side,
    registry::Registry,
};

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

impl Registry {
    pub(crate) async fn drain(self: &Arc<Self>, deadline: Duration) -> DrainReport {
        let start = Instant::now();
        let until = start + deadline;
        self.begin_drain();
        let mut report = DrainReport::default();

        let clients = self.sockets(Side::Client);
        report.client_sockets = clients.len() as u64;
        for socket in clients {
            let frame = sendable(close_frame::GOING_AWAY, "server is stopping, reconnect");
            // Closing already: that will do.
            let _ = socket.close(frame);
        }
        let mut complete = self.quiet(Side::Client, until).await;

        // Only now: what the clients sent last was still to be handled with them.
        let outbound = self.sockets(Side::Outbound);
        report.outbound_sockets = outbound.len() as u64;
        for socket in outbound {
            let _ = socket.close(sendable(close_frame::NORMAL, "server is stopping"));
        }
        complete &= self.quiet(Side::Outbound, until).await;

        let sides = [Side::Client, Side::Outbound];
        report.sockets_cut_off = sides
            .map(|side| self.sockets(side).len() as u64)
            .iter()
            .sum();
        report.events_left = self.stats().queued_events;
        self.stop();
        self.calls.fail_all("the server is stopping");
        report.complete = complete;
        report.took = start.elapsed();
        report
    }

    /// Waits until there are no sockets of this side and nothing is queued or being handled.
    /// Whether that came in time.
    async fn quiet(&self, side: Side, until: Instant) -> bool {
        loop {
            let mut ended = pin!(self.ended.notified());
            // From here on nothing that ends is missed.
            ended.as_mut().enable();
            let lanes = self.all_lanes();
            if self.sockets(side).is_empty() && lanes.iter().all(|lane| lane.state().is_quiet()) {
                return true;
            }
            if timeout_at(until, ended).await.is_err() {
                return false;
            }
        }
    }
}
