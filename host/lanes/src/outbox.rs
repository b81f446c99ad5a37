//! What waits to be sent to one peer. No I/O, no clock, no locks.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::{Limits, Payload, SocketError};

/// Messages for one peer, oldest first, and the close frame after them.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: VecDeque<Payload>,
    bytes: usize,
    close: Close,
    max_messages: usize,
    max_bytes: usize,
    max_message_bytes: usize,
}

#[derive(Debug)]
enum Close {
    NotAsked,
    Asked(CloseFrame),
    Taken,
}

/// What is to be sent next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Message(Payload),
    /// The last thing of all.
    Close(CloseFrame),
    Nothing,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            close: Close::NotAsked,
            max_messages: limits.outbox_messages,
            max_bytes: limits.outbox_bytes,
            max_message_bytes: limits.outbound_message_bytes,
        }
    }

    /// Adds messages, all or none.
    pub(crate) fn push(&mut self, payloads: Vec<Payload>) -> Result<(), SocketError> {
        if self.is_closing() {
            return Err(SocketError::UnknownSocket);
        }
        let bytes: usize = payloads.iter().map(Payload::len).sum();
        if payloads
            .iter()
            .any(|one| one.len() > self.max_message_bytes)
        {
            return Err(SocketError::TooLarge);
        }
        // Alone over the limit: it could never be taken.
        if bytes > self.max_bytes || payloads.len() > self.max_messages {
            return Err(SocketError::TooLarge);
        }
        if payloads.len() > self.room() {
            return Err(SocketError::Full);
        }
        self.bytes += bytes;
        self.messages.extend(payloads);
        Ok(())
    }

    /// How many messages `push` would take. The bytes are looked at before, not after: the promise
    /// holds for messages of any size, and at most twice the limit can wait.
    pub(crate) fn room(&self) -> usize {
        if self.is_closing() || self.bytes >= self.max_bytes {
            0
        } else {
            self.max_messages - self.messages.len()
        }
    }

    /// Whether so much waits that nothing more should be read from this peer.
    pub(crate) fn is_over_half(&self) -> bool {
        self.messages.len() > self.max_messages / 2 || self.bytes > self.max_bytes / 2
    }

    pub(crate) fn is_closing(&self) -> bool {
        !matches!(self.close, Close::NotAsked)
    }

    /// Asks for the close frame after what waits. Whether it was the first to ask.
    pub(crate) fn close(&mut self, frame: CloseFrame) -> bool {
        if self.is_closing() {
            return false;
        }
        self.close = Close::Asked(frame);
        true
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.bytes = 0;
    }

    pub(crate) fn next(&mut self) -> Next {
        if let Some(payload) = self.messages.pop_front() {
            self.bytes -= payload.len();
            return Next::Message(payload);
        }
        match std::mem::replace(&mut self.close, Close::Taken) {
            Close::Asked(frame) => Next::Close(frame),
            other => {
                self.close = other;
                Next::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::close_frame::sendable;

    fn limits() -> Limits {
        Limits {
            outbox_messages: 8,
            outbox_bytes: 100,
            outbound_message_bytes: 40,
            ..Limits::default()
        }
    }

    fn payload(length: usize) -> Payload {
        Payload::Binary(Bytes::from(vec![0; length]))
    }

    #[test]
    fn all_or_none() {
        let mut outbox = Outbox::new(&limits());
        outbox.push(vec![payload(1); 6]).unwrap();
        assert_eq!(outbox.room(), 2);
        assert_eq!(outbox.push(vec![payload(1); 3]), Err(SocketError::Full));
        assert_eq!(outbox.room(), 2);
        assert_eq!(outbox.push(vec![payload(41)]), Err(SocketError::TooLarge));
        assert_eq!(outbox.push(vec![payload(1); 9]), Err(SocketError::TooLarge));
        outbox.push(vec![payload(1); 2]).unwrap();
        assert_eq!(outbox.room(), 0);
    }

    #[test]
    fn the_close_frame_comes_last_and_once() {
        let mut outbox = Outbox::new(&limits());
        outbox.push(vec![payload(3)]).unwrap();
        assert!(outbox.close(sendable(1000, "done")));
        assert!(!outbox.close(sendable(1011, "again")));
        assert_eq!(
            outbox.push(vec![payload(1)]),
            Err(SocketError::UnknownSocket)
        );
        assert_eq!(outbox.next(), Next::Message(payload(3)));
        assert_eq!(outbox.next(), Next::Close(sendable(1000, "done")));
        assert_eq!(outbox.next(), Next::Nothing);
        assert!(outbox.is_closing());
    }

    proptest! {
        /// `room` is a promise, the bytes are never more than twice the limit, and what was taken
        /// comes out in order.
        #[test]
        fn bounded_and_in_order(steps in prop::collection::vec((0..4usize, 0..41usize, any::<bool>()), 0..100)) {
            let limits = limits();
            let mut outbox = Outbox::new(&limits);
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            for (count, length, take) in steps {
                let payloads = vec![payload(length); count];
                let fits = count * length <= limits.outbox_bytes;
                let room = outbox.room();
                match outbox.push(payloads.clone()) {
                    Ok(()) => sent.extend(payloads),
                    Err(SocketError::Full) => prop_assert!(count > room),
                    Err(error) => prop_assert!(!fits, "{error}"),
                }
                prop_assert!(outbox.bytes <= 2 * limits.outbox_bytes);
                prop_assert!(outbox.messages.len() <= limits.outbox_messages);
                if take && let Next::Message(one) = outbox.next() {
                    received.push(one);
                }
            }
            while let Next::Message(one) = outbox.next() {
                received.push(one);
            }
            prop_assert_eq!(outbox.bytes, 0);
            prop_assert_eq!(sent, received);
        }
    }
}
