//! What sockets and lanes were over, or did wrong, counted for whoever shows figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit of the lanes, or a rule of RFC 6455, that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// [`Limits::inbound_message_bytes`](crate::Limits::inbound_message_bytes): closed with 1009.
    MessageBytes,
    /// [`Limits::queue_events`](crate::Limits::queue_events) or `queue_bytes`: the socket was not read
    /// until there was room.
    LaneQueue,
    /// [`Limits::lanes`](crate::Limits::lanes): a client's socket would have needed one more, and was closed
    /// with 1013.
    Lanes,
    /// [`Limits::client_sockets_per_lane`](crate::Limits::client_sockets_per_lane): closed with 1013.
    LanePlaces,
    /// [`Limits::unknown_sockets_per_lane`](crate::Limits::unknown_sockets_per_lane): closed with 1013.
    UnknownPlaces,
    /// The sockets or groups of an [`Account`](crate::Account): closed with 1013.
    AccountPlaces,
    /// [`Limits::outbound_sockets`](crate::Limits::outbound_sockets): a service was not connected to.
    OutboundPlaces,
    /// [`Limits::unknown_bytes`](crate::Limits::unknown_bytes): closed with 1009.
    UnknownBytes,
    /// [`Limits::outbox_messages`](crate::Limits::outbox_messages) or `outbox_bytes`: what was to be sent
    /// was not taken.
    Unread,
    /// [`Limits::write_stall`](crate::Limits::write_stall): cut off.
    WriteStall,
    /// [`Limits::silence`](crate::Limits::silence): closed with 1008.
    Silence,
    /// [`Limits::control_frame_cost`](crate::Limits::control_frame_cost): the socket was not read for a while.
    ControlFrames,
    /// [`Limits::displace_after`](crate::Limits::displace_after): closed with 1008, for another's sake.
    Displaced,
    /// [`Limits::queue_messages`](crate::Limits::queue_messages) or `queue_message_bytes`: a message to a
    /// lane was not taken.
    LaneMessages,
    /// A frame that RFC 6455 forbids: closed with 1002.
    Protocol,
    /// Text that is not UTF-8: closed with 1007.
    Utf8,
}

/// One of each.
const ALL: [Over; 16] = [
    Over::MessageBytes,
    Over::LaneQueue,
    Over::Lanes,
    Over::LanePlaces,
    Over::UnknownPlaces,
    Over::AccountPlaces,
    Over::OutboundPlaces,
    Over::UnknownBytes,
    Over::Unread,
    Over::WriteStall,
    Over::Silence,
    Over::ControlFrames,
    Over::Displaced,
    Over::LaneMessages,
    Over::Protocol,
    Over::Utf8,
];

/// How often each.
#[derive(Debug, Default)]
pub(crate) struct Counts([AtomicU64; ALL.len()]);

impl Counts {
    pub(crate) fn add(&self, over: Over) {
        if let Some(count) = self.0.get(over as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self, over: Over) -> u64 {
        self.0
            .get(over as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (times, over) in ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.add(over));
        }
        for (times, over) in ALL.into_iter().enumerate() {
            assert_eq!(counts.get(over), times as u64, "{over:?}");
        }
    }
}
