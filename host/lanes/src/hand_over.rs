//! A lane that goes on at another host: what this one has of it is given up, so that nobody serves it
//! twice. The peers are told; nothing that they still send is handled. Messages that wait are left: they are
//! not of what the other host goes on with.

use std::sync::Arc;

use crate::{
    close_frame::{self, sendable},
    handle::Side,
    lane::Lane,
    registry::Registry,
    stats::Counters,
};

/// What clients are told.
const CONNECT_AGAIN: &str = "this stream goes on at another server: connect again";

impl Registry {
    pub(crate) fn hand_over(&self, lane: &Lane) {
        let (clients, outbound) = {
            let mut state = lane.state();
            state.timers.clear();
            state.retry = None;
            state.queue.keep_messages();
            // Under the lane's lock no socket comes or goes.
            let mut clients = self.sockets(Side::Client);
            clients.retain(|socket| std::ptr::eq(Arc::as_ptr(&socket.lane), lane));
            let outbound: Vec<_> = state.outbound.values().cloned().collect();
            let tokens = clients.iter().chain(&outbound);
            let tokens = tokens.map(|socket| Arc::clone(&socket.token));
            state.detached.extend(tokens);
            state.strangers.clear();
            (clients, outbound)
        };
        Counters::add(&self.counters.handed_over);
        tracing::info!(lane = %lane.name, clients = clients.len(), "the lane goes on at another host");
        for client in clients {
            // What waits for it is true: it was stored. Closing already: that will do.
            let _ = client.close(sendable(close_frame::RESTART, CONNECT_AGAIN));
        }
        for socket in outbound {
            socket.abandon(sendable(close_frame::GOING_AWAY, "another server goes on"));
        }
    }
}
