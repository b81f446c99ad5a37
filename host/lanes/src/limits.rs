//! Every limit of this crate, by name. Tests inject short ones; the host takes the defaults.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Lanes that exist at one time. A lane exists while it has sockets, timers or queued events.
pub const LANES: usize = 16 * 1024;
/// Events of sockets that wait in one lane or are being handled; every frame counts as one.
pub const QUEUE_EVENTS: usize = 128;
/// Their bytes.
pub const QUEUE_BYTES: usize = 4 * MIB;
/// Messages, calls and timers that wait in one lane or are being handled, apart from what sockets
/// bring: a peer that sends without end must not keep them out.
pub const QUEUE_MESSAGES: usize = 64;
/// Their bytes.
pub const QUEUE_MESSAGE_BYTES: usize = 2 * MIB;
/// Events in one batch; every frame counts as one.
pub const BATCH_EVENTS: usize = 16;
/// Bytes in one batch; a single event may be larger.
pub const BATCH_BYTES: usize = MIB;
/// A message from a peer.
pub const INBOUND_MESSAGE_BYTES: usize = MIB;
/// What a peer that sends a larger message is advised to do.
pub const TOO_LARGE_ADVICE: &str = "send smaller messages";
/// A message to a peer.
pub const OUTBOUND_MESSAGE_BYTES: usize = MIB;
/// Messages that wait for one peer. The half, above which the peer is no longer read, must hold
/// an answer to every frame that a lane can have queued: [`QUEUE_EVENTS`].
pub const OUTBOX_MESSAGES: usize = 512;
/// Bytes that wait for one peer before `send` answers `Full`. The last `send` may go over it by as
/// much again.
pub const OUTBOX_BYTES: usize = 2 * MIB;
/// Client sockets of one lane.
pub const CLIENT_SOCKETS_PER_LANE: usize = 16;
/// Client sockets of one lane of which nobody knows yet whose they are. They take no place from others.
pub const UNKNOWN_SOCKETS_PER_LANE: usize = 16;
/// Bytes that are read of such a socket until it is known whose it is, with the heads of its frames and its
/// pings: what says so is short. No second message is read before.
pub const UNKNOWN_BYTES: usize = 8 * KIB;
/// How long a socket may be left unread at most when it is paused.
pub const PAUSE: Duration = Duration::from_secs(60);
/// What a ping or pong of a peer is charged with: so many of them may come in a second.
pub const CONTROL_FRAME_COST: Duration = Duration::from_micros(250);
/// How much of that may come at once.
pub const CONTROL_FRAMES_AHEAD: Duration = Duration::from_millis(500);
/// Outbound sockets of one lane.
pub const OUTBOUND_SOCKETS_PER_LANE: usize = 4;
/// Outbound sockets of all lanes: as many as there are lanes. Whoever knows how many files the process may
/// have open sets fewer.
pub const OUTBOUND_SOCKETS: usize = LANES;
/// Timers of one lane.
pub const TIMERS_PER_LANE: usize = 64;
/// After a batch of a lane was given up: when the lane is told to look for what it was to do. It doubles with
/// each batch that is given up after that, up to [`RETRY_CAP`].
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest such pause.
pub const RETRY_CAP: Duration = Duration::from_secs(60);
/// How often in a row: for about a day.
pub const RETRIES: u32 = 1_440;
/// The name of a lane or of a timer.
pub const NAME_BYTES: usize = 512;
/// The context of a socket.
pub const CONTEXT_BYTES: usize = KIB;
/// The URL of an outbound socket, and all its header lines together.
pub const TARGET_BYTES: usize = 16 * KIB;
/// The body of a message to a lane and of the answer to a call.
pub const BODY_BYTES: usize = MIB;
/// Calls that wait for their answer.
pub const PENDING_CALLS: usize = 1024;
/// From one ping to the next.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);
/// Without one complete frame (pongs count) for this long, the peer is taken for gone.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Without an answer to a ping for this long, a client's socket gives up its place to one that is known and
/// finds none. Whoever is told that there is none is told to come back later than that: `inbound.rs`.
pub const DISPLACE_AFTER: Duration = Duration::from_secs(3);
/// Without the peer taking anything of what is to be sent for this long, it is taken for gone.
pub const WRITE_STALL: Duration = Duration::from_secs(60);
/// From the decision to close until the peer's close frame.
pub const CLOSE_HANDSHAKE: Duration = Duration::from_secs(5);
/// After a breach of the protocol: how long what still comes is read and thrown away, so that the
/// peer gets to read the close frame.
pub const DISCARD_TIME: Duration = Duration::from_secs(10);
/// After a breach of the protocol: how many bytes are thrown away at most.
pub const DISCARD_BYTES: usize = 64 * MIB;
/// The longest time that a target may ask for connecting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The buffer into which a socket is read, and from which one is written.
const SOCKET_BUFFER_BYTES: usize = 64 * KIB;
/// Room for pongs beside the message that is being written.
const PONG_BYTES: usize = 64 * KIB;

/// What a [`Lanes`](crate::Lanes) holds at most. The defaults are the constants of this module.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Lanes at one time.
    pub lanes: usize,
    /// Events of sockets queued in one lane, frames counted singly.
    pub queue_events: usize,
    /// Their bytes.
    pub queue_bytes: usize,
    /// Messages, calls and timers queued in one lane.
    pub queue_messages: usize,
    /// Their bytes.
    pub queue_message_bytes: usize,
    /// Events in a batch, frames counted singly.
    pub batch_events: usize,
    /// Bytes in a batch of more than one event.
    pub batch_bytes: usize,
    /// Bytes of a message from a peer; more closes the socket with 1009.
    pub inbound_message_bytes: usize,
    /// Ends the reason of that close frame: what the peer should do.
    pub too_large_advice: &'static str,
    /// Bytes of a message to a peer.
    pub outbound_message_bytes: usize,
    /// Messages queued for one peer.
    pub outbox_messages: usize,
    /// Bytes queued for one peer.
    pub outbox_bytes: usize,
    /// Client sockets of a lane.
    pub client_sockets_per_lane: usize,
    /// Those of them that are unknown, which are not counted there.
    pub unknown_sockets_per_lane: usize,
    /// Bytes that are read of one of them until it is settled; more closes it with 1009.
    pub unknown_bytes: usize,
    /// The upper bound of a pause.
    pub pause: Duration,
    /// What a ping or pong is charged with.
    pub control_frame_cost: Duration,
    /// How much of that may come at once.
    pub control_frames_ahead: Duration,
    /// Outbound sockets of a lane.
    pub outbound_sockets_per_lane: usize,
    /// Outbound sockets of all lanes; the next ones fail, and can be tried again.
    pub outbound_sockets: usize,
    /// Timers of a lane.
    pub timers_per_lane: usize,
    /// From a batch that was given up to the lane's next look.
    pub retry_first: Duration,
    /// The upper bound of that time.
    pub retry_cap: Duration,
    /// Looks in a row that end with a batch that is given up.
    pub retries: u32,
    /// Bytes of the name of a lane or timer.
    pub name_bytes: usize,
    /// Bytes of a socket's context.
    pub context_bytes: usize,
    /// Bytes of a target's URL and headers.
    pub target_bytes: usize,
    /// Bytes of a message to a lane, and of an answer.
    pub body_bytes: usize,
    /// Calls waiting for an answer.
    pub pending_calls: usize,
    /// From ping to ping.
    pub ping_interval: Duration,
    /// Without a frame for so long a peer is gone.
    pub silence: Duration,
    /// Without an answer to a ping for so long a client's socket gives up its place to another.
    pub displace_after: Duration,
    /// Without progress in writing for so long a peer is gone.
    pub write_stall: Duration,
    /// For sending a close frame, and again for the peer's.
    pub close_handshake: Duration,
    /// How long input is thrown away after a breach of the protocol.
    pub discard_time: Duration,
    /// How much of it.
    pub discard_bytes: usize,
    /// The upper bound of a target's own limit.
    pub connect_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes: LANES,
            queue_events: QUEUE_EVENTS,
            queue_bytes: QUEUE_BYTES,
            queue_messages: QUEUE_MESSAGES,
            queue_message_bytes: QUEUE_MESSAGE_BYTES,
            batch_events: BATCH_EVENTS,
            batch_bytes: BATCH_BYTES,
            inbound_message_bytes: INBOUND_MESSAGE_BYTES,
            too_large_advice: TOO_LARGE_ADVICE,
            outbound_message_bytes: OUTBOUND_MESSAGE_BYTES,
            outbox_messages: OUTBOX_MESSAGES,
            outbox_bytes: OUTBOX_BYTES,
            client_sockets_per_lane: CLIENT_SOCKETS_PER_LANE,
            unknown_sockets_per_lane: UNKNOWN_SOCKETS_PER_LANE,
            unknown_bytes: UNKNOWN_BYTES,
            pause: PAUSE,
            control_frame_cost: CONTROL_FRAME_COST,
            control_frames_ahead: CONTROL_FRAMES_AHEAD,
            outbound_sockets_per_lane: OUTBOUND_SOCKETS_PER_LANE,
            outbound_sockets: OUTBOUND_SOCKETS,
            timers_per_lane: TIMERS_PER_LANE,
            retry_first: RETRY_FIRST,
            retry_cap: RETRY_CAP,
            retries: RETRIES,
            name_bytes: NAME_BYTES,
            context_bytes: CONTEXT_BYTES,
            target_bytes: TARGET_BYTES,
            body_bytes: BODY_BYTES,
            pending_calls: PENDING_CALLS,
            ping_interval: PING_INTERVAL,
            silence: SILENCE,
            displace_after: DISPLACE_AFTER,
            write_stall: WRITE_STALL,
            close_handshake: CLOSE_HANDSHAKE,
            discard_time: DISCARD_TIME,
            discard_bytes: DISCARD_BYTES,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

impl Limits {
    /// How a WebSocket stream must be built for these limits, by whoever does the handshake.
    pub fn websocket_config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(SOCKET_BUFFER_BYTES)
            .write_buffer_size(SOCKET_BUFFER_BYTES)
            .max_write_buffer_size(SOCKET_BUFFER_BYTES + self.outbound_message_bytes + PONG_BYTES)
            .max_message_size(Some(self.inbound_message_bytes))
            .max_frame_size(Some(self.inbound_message_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_every_queued_frame_fits_above_the_mark_at_which_reading_stops() {
        let limits = Limits::default();
        assert!(limits.outbox_messages / 2 >= limits.queue_events + limits.batch_events);
    }

    #[test]
    fn a_frame_of_the_largest_size_fits_a_lane() {
        let limits = Limits::default();
        assert!(limits.inbound_message_bytes <= limits.queue_bytes);
        assert!(limits.body_bytes <= limits.queue_message_bytes);
    }
}
