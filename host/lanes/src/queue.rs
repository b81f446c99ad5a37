//! The order of a lane's events and how they are cut into batches. No I/O, no clock, no locks.
//!
//! `S` stands for the space that an event takes in its lane; it is handed on with the batch, so that
//! it is given back only when the batch is done.

use std::{
    collections::{HashSet, VecDeque},
    time::Instant,
};

use crate::events::{Event, SocketToken};

/// The events of one lane that wait, oldest first.
#[derive(Debug)]
pub(crate) struct Queue<S> {
    waiting: VecDeque<Entry<S>>,
}

#[derive(Debug)]
struct Entry<S> {
    event: Event,
    bytes: usize,
    space: Option<S>,
    queued: Option<Instant>,
}

/// Events to be handled together.
#[derive(Debug)]
pub(crate) struct Batch<S> {
    pub(crate) events: Vec<Event>,
    /// Kept until the batch is done.
    pub(crate) space: Vec<S>,
    /// When the oldest of them was queued, where somebody wants to know.
    pub(crate) queued: Option<Instant>,
}

impl<S> Default for Queue<S> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
        }
    }
}

impl<S> Queue<S> {
    /// Adds the newest event. Only terminal events come without space: there is one per socket.
    pub(crate) fn push(&mut self, event: Event, space: Option<S>, queued: Option<Instant>) {
        let bytes = bytes_of(&event);
        self.waiting.push_back(Entry {
            event,
            bytes,
            space,
            queued,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the oldest events: at least one, at most `max_events`, and more than one only while
    /// they have at most `max_bytes` together. Messages of one socket that follow each other become
    /// one event.
    pub(crate) fn take(&mut self, max_events: usize, max_bytes: usize) -> Option<Batch<S>> {
        let mut batch = Batch {
            events: Vec::new(),
            space: Vec::new(),
            queued: self.waiting.front().and_then(|oldest| oldest.queued),
        };
        let (mut count, mut bytes) = (0, 0);
        while let Some(next) = self.waiting.front() {
            if count > 0 && (count >= max_events || bytes + next.bytes > max_bytes) {
                break;
            }
            let Some(entry) = self.waiting.pop_front() else {
                break;
            };
            count += 1;
            bytes += entry.bytes;
            batch.space.extend(entry.space);
            append(&mut batch.events, entry.event);
        }
        (count > 0).then_some(batch)
    }

    /// Removes all that waits but messages, and gives up its space.
    pub(crate) fn keep_messages(&mut self) {
        self.waiting
            .retain(|entry| matches!(entry.event, Event::Message { .. }));
    }

    /// Removes the frames of these sockets, which will never be handled, and gives up their space.
    pub(crate) fn drop_frames(&mut self, sockets: &HashSet<SocketToken>) {
        self.waiting.retain(|entry| {
            !matches!(&entry.event, Event::Frames { socket, .. } if sockets.contains(socket))
        });
    }
}

/// Adds an event, into the last one where that is possible.
fn append(events: &mut Vec<Event>, event: Event) {
    if let (
        Some(Event::Frames {
            socket,
            first,
            payloads,
            ..
        }),
        Event::Frames {
            socket: next_socket,
            first: next_first,
            payloads: next_payloads,
            ..
        },
    ) = (events.last_mut(), &event)
        && socket == next_socket
        && *first + payloads.len() as u64 == *next_first
    {
        payloads.extend(next_payloads.iter().cloned());
        return;
    }
    events.push(event);
}

/// What an event counts for in bytes: what came from outside.
pub(crate) fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Frames { payloads, .. } => payloads.iter().map(crate::Payload::len).sum(),
        Event::Message { body, .. } => body.len(),
        Event::Timer { name } => name.len(),
        Event::Retry => 0,
        Event::Accepted { context, .. } | Event::Opened { context, .. } => context.len(),
        Event::Closed {
            context, reason, ..
        }
        | Event::Failed {
            context, reason, ..
        } => context.len() + reason.len(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::{collections::HashMap, rc::Rc, sync::Arc};

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Payload;

    fn frame(socket: &str, number: u64, length: usize) -> Event {
        Event::Frames {
            socket: Arc::from(socket),
            context: Arc::from(""),
            first: number,
            payloads: vec![Payload::Binary(Bytes::from(vec![number as u8; length]))],
        }
    }

    fn message(number: u8) -> Event {
        Event::Message {
            call: None,
            body: Bytes::from(vec![number]),
        }
    }

    #[test]
    fn frames_that_follow_each_other_become_one_event() {
        let mut queue = Queue::<()>::default();
        queue.push(frame("a", 1, 10), None, None);
        queue.push(frame("a", 2, 10), None, None);
        queue.push(frame("b", 1, 10), None, None);
        queue.push(frame("a", 3, 10), None, None);
        let batch = queue.take(16, 1000).unwrap();
        let shape: Vec<_> = batch
            .events
            .iter()
            .map(|event| match event {
                Event::Frames {
                    socket,
                    first,
                    payloads,
                    ..
                } => (socket.to_string(), *first, payloads.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            shape,
            [("a".into(), 1, 2), ("b".into(), 1, 1), ("a".into(), 3, 1)]
        );
        assert!(queue.take(16, 1000).is_none());
    }

    #[test]
    fn an_event_over_the_byte_limit_makes_a_batch_of_its_own() {
        let mut queue = Queue::<()>::default();
        queue.push(message(1), None, None);
        queue.push(frame("a", 1, 5000), None, None);
        queue.push(message(2), None, None);
        assert_eq!(queue.take(16, 100).unwrap().events, [message(1)]);
        assert_eq!(queue.take(16, 100).unwrap().events, [frame("a", 1, 5000)]);
        assert_eq!(queue.take(16, 100).unwrap().events, [message(2)]);
    }

    #[test]
    fn a_batch_is_as_old_as_its_oldest_event() {
        let first = Instant::now();
        let later = first + std::time::Duration::from_secs(1);
        let mut queue = Queue::<()>::default();
        for queued in [first, later, later] {
            queue.push(message(1), None, Some(queued));
        }
        assert_eq!(queue.take(2, 100).unwrap().queued, Some(first));
        assert_eq!(queue.take(2, 100).unwrap().queued, Some(later));
    }

    #[test]
    fn frames_of_a_failed_socket_are_dropped_with_their_space() {
        let space = Rc::new(());
        let mut queue = Queue::default();
        for number in 1..=3 {
            queue.push(frame("a", number, 1), Some(Rc::clone(&space)), None);
        }
        queue.push(frame("b", 1, 1), Some(Rc::clone(&space)), None);
        queue.drop_frames(&HashSet::from([Arc::from("a")]));
        assert_eq!(queue.waiting.len(), 1);
        assert_eq!(Rc::strong_count(&space), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Frame { socket: u8, length: usize },
        Message,
        Take { events: usize, bytes: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3u8, 0..300usize).prop_map(|(socket, length)| Step::Frame { socket, length }),
            1 => Just(Step::Message),
            2 => (1..8usize, 1..600usize).prop_map(|(events, bytes)| Step::Take { events, bytes }),
        ]
    }

    proptest! {
        /// Whatever the interleaving: every event once, in the order in which it came, within the
        /// limits, and all space is given back.
        #[test]
        fn in_order_exactly_once_within_the_limits(steps in prop::collection::vec(step(), 0..120)) {
            let space = Rc::new(());
            let mut queue = Queue::default();
            let mut numbers = HashMap::<u8, u64>::new();
            let mut sent = Vec::new();
            let mut received = Vec::new();
            let mut messages = 0;
            let collect = |batch: Batch<Rc<()>>, received: &mut Vec<(String, u64)>| {
                let (mut count, mut bytes) = (0, 0);
                for event in &batch.events {
                    bytes += bytes_of(event);
                    match event {
                        Event::Frames { socket, first, payloads, .. } => {
                            for (offset, _) in payloads.iter().enumerate() {
                                received.push((socket.to_string(), first + offset as u64));
                                count += 1;
                            }
                        }
                        Event::Message { body, .. } => {
                            received.push(("message".to_owned(), u64::from(body[0])));
                            count += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(count, batch.space.len());
                (count, bytes)
            };
            for step in steps {
                match step {
                    Step::Frame { socket, length } => {
                        let number = numbers.entry(socket).or_insert(0);
                        *number += 1;
                        queue.push(frame(&socket.to_string(), *number, length), Some(Rc::clone(&space)), None);
                        sent.push((socket.to_string(), *number));
                    }
                    Step::Message => {
                        messages += 1;
                        queue.push(message(messages), Some(Rc::clone(&space)), None);
                        sent.push(("message".to_owned(), u64::from(messages)));
                    }
                    Step::Take { events, bytes } => {
                        if let Some(batch) = queue.take(events, bytes) {
                            let (count, taken) = collect(batch, &mut received);
                            prop_assert!(count >= 1 && count <= events);
                            prop_assert!(count == 1 || taken <= bytes);
                        }
                    }
                }
            }
            while let Some(batch) = queue.take(5, 500) {
                collect(batch, &mut received);
            }
            prop_assert_eq!(sent, received);
            prop_assert_eq!(Rc::strong_count(&space), 1);
        }
    }
}
