//! What to send next, and what to send again, until every chunk of a stream was acknowledged. Time
//! comes in as the time since the start; nothing here reads, sends or waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// At most this many chunks are held: read from the file and not acknowledged.
pub const WINDOW: usize = 32;
/// A connection that leaves a chunk unanswered for this long is given up.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(15);
/// A chunk that was answered with an error is sent again after this long,
pub const REJECTION_PAUSE: Duration = Duration::from_secs(1);
/// and given up when it was answered so this often.
pub const MAX_REJECTIONS: u8 = 5;

/// When a chunk may be sent for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One each second, the first at once; counted from the start, so that delays do not add up.
    RealTime,
    /// As fast as answers come.
    Fast,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this chunk. It counts as sent.
    Send(u32),
    /// Nothing to send before an answer comes, a chunk is provided, or this time is reached.
    Wait(Option<Duration>),
    /// The oldest chunk has been unanswered for [`ACK_TIMEOUT`]: connect anew.
    Stalled,
    /// Everything is acknowledged.
    Done,
}

/// A chunk was answered with an error [`MAX_REJECTIONS`] times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    /// Which chunk.
    pub seq: u32,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    seq: u32,
    at: Duration,
}

/// What is known of a chunk that is not acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    times_sent: u32,
    rejections: u8,
}

/// The state of one stream's chunks, from the first on. It holds [`WINDOW`] of them at most.
#[derive(Debug)]
pub struct Delivery {
    first: u32,
    pace: Pace,
    /// The next chunk that the file gives.
    unread: u32,
    has_ended: bool,
    /// The first chunk that was never sent.
    unsent: u32,
    /// Provided and not acknowledged.
    open: BTreeMap<u32, Open>,
    /// Sent before, and to be sent again.
    again: BTreeSet<u32>,
    /// Nothing is sent again before this.
    again_from: Duration,
    /// Sent on this connection and not answered, in the order of sending, which is the order of
    /// the answers.
    in_flight: VecDeque<Sent>,
    acked_count: u32,
    resent_count: u32,
}

impl Delivery {
    /// Nothing provided yet; the first chunk will be `first`.
    #[must_use]
    pub fn new(first: u32, pace: Pace) -> Self {
        Self {
            first,
            pace,
            unread: first,
            has_ended: false,
            unsent: first,
            open: BTreeMap::new(),
            again: BTreeSet::new(),
            again_from: Duration::ZERO,
            in_flight: VecDeque::new(),
            acked_count: 0,
            resent_count: 0,
        }
    }

    /// Whether there is room for one more chunk of the file.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.has_ended && self.open.len() < WINDOW
    }

    /// The file has one more chunk: its number.
    pub fn provide(&mut self) -> u32 {
        let seq = self.unread;
        self.open.insert(seq, Open::default());
        self.unread = seq.saturating_add(1);
        seq
    }

    /// The file has no more chunks.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Nothing is sent any more that was not sent yet. What was sent is still waited for.
    pub fn stop(&mut self) {
        self.end();
        self.unread = self.unsent;
        let _ = self.open.split_off(&self.unsent);
    }

    /// What to do at this time.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.has_ended && self.open.is_empty() {
            return Step::Done;
        }
        let ack_due = self.in_flight.front().map(|sent| sent.at + ACK_TIMEOUT);
        if ack_due.is_some_and(|due| due <= now) {
            return Step::Stalled;
        }
        let again = self.again.first().map(|seq| (*seq, self.again_from));
        let first_time = (self.unsent < self.unread).then(|| (self.unsent, self.due(self.unsent)));
        // What is due longest goes first; of two that are due, the older chunk.
        match [again, first_time]
            .into_iter()
            .flatten()
            .min_by_key(|(seq, due)| (*due.max(&now), *seq))
        {
            Some((seq, due)) if due <= now => {
                if self.again.remove(&seq) {
                    self.resent_count += 1;
                } else {
                    self.unsent += 1;
                }
                if let Some(open) = self.open.get_mut(&seq) {
                    open.times_sent += 1;
                }
                self.in_flight.push_back(Sent { seq, at: now });
                Step::Send(seq)
            }
            later => Step::Wait(
                [later.map(|(_, due)| due), ack_due]
                    .into_iter()
                    .flatten()
                    .min(),
            ),
        }
    }

    /// The gateway has this chunk, stored now or before. Gives how often it was sent; none when the
    /// ack is known already or the chunk was never sent.
    pub fn acked(&mut self, seq: u32) -> Option<u32> {
        self.in_flight.retain(|sent| sent.seq != seq);
        if seq >= self.unsent {
            return None;
        }
        self.again.remove(&seq);
        let open = self.open.remove(&seq)?;
        self.acked_count += 1;
        Some(open.times_sent)
    }

    /// The oldest unanswered chunk was answered with an error; none when there is no such chunk.
    /// It will be sent again.
    ///
    /// # Errors
    /// When that happened too often.
    pub fn rejected(&mut self, now: Duration) -> Result<Option<u32>, GivenUp> {
        let Some(Sent { seq, .. }) = self.in_flight.pop_front() else {
            return Ok(None);
        };
        if let Some(open) = self.open.get_mut(&seq) {
            open.rejections += 1;
            if open.rejections >= MAX_REJECTIONS {
                return Err(GivenUp { seq });
            }
            self.again.insert(seq);
        }
        self.again_from = now + REJECTION_PAUSE;
        Ok(Some(seq))
    }

    /// The connection is gone: what was not answered on it goes out again on the next.
    pub fn disconnected(&mut self) {
        for sent in std::mem::take(&mut self.in_flight) {
            if self.open.contains_key(&sent.seq) {
                self.again.insert(sent.seq);
            }
        }
    }

    /// How many chunks were sent at least once.
    #[must_use]
    pub fn sent_count(&self) -> u32 {
        self.unsent - self.first
    }

    /// How many are acknowledged.
    #[must_use]
    pub fn acked_count(&self) -> u32 {
        self.acked_count
    }

    /// How often a chunk was sent again.
    #[must_use]
    pub fn resent_count(&self) -> u32 {
        self.resent_count
    }

    fn due(&self, seq: u32) -> Duration {
        match self.pace {
            Pace::RealTime => Duration::from_secs(u64::from(seq - self.first)),
            Pace::Fast => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const START: Duration = Duration::ZERO;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Of a file of so many chunks, as far as there is room for them.
    fn delivery(total: u32, pace: Pace) -> Delivery {
        let mut delivery = Delivery::new(1, pace);
        provide(&mut delivery, total);
        delivery
    }

    fn provide(delivery: &mut Delivery, total: u32) {
        while delivery.wants_more() {
            match delivery.unread {
                seq if seq > total => delivery.end(),
                seq => assert_eq!(delivery.provide(), seq),
            }
        }
    }

    #[test]
    fn real_time_is_one_chunk_a_second_and_delays_do_not_add_up() {
        let mut delivery = delivery(4, Pace::RealTime);
        assert_eq!(delivery.next(ms(7)), Step::Send(1));
        assert_eq!(delivery.next(ms(7)), Step::Wait(Some(ms(1000))));
        assert_eq!(delivery.next(ms(2300)), Step::Send(2));
        assert_eq!(delivery.next(ms(2300)), Step::Send(3));
        assert_eq!(delivery.next(ms(2300)), Step::Wait(Some(ms(3000))));
    }

    #[test]
    fn fast_is_bounded_by_the_window() {
        let mut delivery = delivery(100, Pace::Fast);
        for seq in 1..=WINDOW as u32 {
            assert_eq!(delivery.next(START), Step::Send(seq));
        }
        assert_eq!(delivery.next(START), Step::Wait(Some(ACK_TIMEOUT)));
        assert_eq!(delivery.acked(1), Some(1));
        provide(&mut delivery, 100);
        assert_eq!(delivery.next(START), Step::Send(WINDOW as u32 + 1));
        assert_eq!(delivery.next(ACK_TIMEOUT), Step::Stalled);
    }

    #[test]
    fn a_second_ack_and_an_ack_for_nothing_do_not_count() {
        let mut delivery = delivery(2, Pace::Fast);
        assert_eq!(delivery.acked(1), None);
        delivery.next(START);
        assert_eq!([delivery.acked(1), delivery.acked(1)], [Some(1), None]);
        assert_eq!([0, 2, 9].map(|seq| delivery.acked(seq)), [None; 3]);
        assert_eq!(delivery.acked_count(), 1);
    }

    #[test]
    fn what_was_not_answered_goes_first_after_a_reconnect() {
        let mut delivery = delivery(9, Pace::Fast);
        for _ in 0..3 {
            delivery.next(START);
        }
        delivery.acked(2);
        delivery.disconnected();
        let sent: Vec<_> = (0..3).map(|_| delivery.next(START)).collect();
        assert_eq!(sent, [Step::Send(1), Step::Send(3), Step::Send(4)]);
        assert_eq!(delivery.resent_count(), 2);
        assert_eq!([1, 4].map(|seq| delivery.acked(seq)), [Some(2), Some(1)]);
    }

    #[test]
    fn numbers_go_on_after_what_the_stream_has() {
        let mut delivery = Delivery::new(301, Pace::RealTime);
        assert_eq!(delivery.provide(), 301);
        assert_eq!(delivery.next(ms(5)), Step::Send(301));
        assert_eq!(delivery.provide(), 302);
        assert_eq!(delivery.next(ms(5)), Step::Wait(Some(ms(1000))));
        assert_eq!(delivery.sent_count(), 1);
    }

    #[test]
    fn a_stop_waits_only_for_what_was_sent() {
        let mut delivery = delivery(9, Pace::RealTime);
        assert_eq!(delivery.next(START), Step::Send(1));
        delivery.stop();
        assert_eq!(delivery.next(ms(3000)), Step::Wait(Some(ACK_TIMEOUT)));
        assert_eq!(delivery.acked(1), Some(1));
        assert_eq!(delivery.next(ms(3000)), Step::Done);
        let mut delivery = Delivery::new(1, Pace::Fast);
        delivery.stop();
        assert_eq!(delivery.next(START), Step::Done);
    }

    #[test]
    fn no_more_than_the_window_is_held_however_much_is_rejected() {
        let mut delivery = delivery(1000, Pace::Fast);
        for _ in 0..WINDOW {
            assert!(matches!(delivery.next(START), Step::Send(_)));
            assert!(delivery.rejected(START).unwrap().is_some());
        }
        assert!(!delivery.wants_more());
        assert_eq!(delivery.next(START), Step::Wait(Some(REJECTION_PAUSE)));
    }

    #[test]
    fn a_rejected_chunk_is_tried_again_after_a_pause_and_given_up_in_the_end() {
        let mut delivery = delivery(1, Pace::Fast);
        let mut now = START;
        for _ in 1..MAX_REJECTIONS {
            assert_eq!(delivery.next(now), Step::Send(1));
            assert_eq!(delivery.rejected(now), Ok(Some(1)));
            now += REJECTION_PAUSE;
            assert_eq!(delivery.next(now - ms(1)), Step::Wait(Some(now)));
        }
        assert_eq!(delivery.next(now), Step::Send(1));
        assert_eq!(delivery.rejected(now), Err(GivenUp { seq: 1 }));
    }

    #[test]
    fn nothing_to_send_is_done() {
        assert_eq!(delivery(0, Pace::Fast).next(START), Step::Done);
    }

    #[derive(Debug, Clone)]
    enum Chance {
        Answer(u8),
        Reject,
        /// The connection drops; the gateway had taken in this many more.
        Drop(u8),
        Wait(u16),
    }

    fn chance() -> impl Strategy<Value = Chance> {
        prop_oneof![
            4 => (1u8..40).prop_map(Chance::Answer),
            1 => Just(Chance::Reject),
            2 => any::<u8>().prop_map(Chance::Drop),
            3 => (0u16..3000).prop_map(Chance::Wait),
        ]
    }

    proptest! {
        #[test]
        fn every_chunk_is_acked_exactly_once_whatever_drops(
            total in 0u32..120,
            real_time: bool,
            chances in proptest::collection::vec(chance(), 0..200),
        ) {
            let pace = if real_time { Pace::RealTime } else { Pace::Fast };
            let mut delivery = delivery(total, pace);
            let mut now = START;
            let mut stored = BTreeSet::new();
            let mut acked = Vec::new();
            let mut on_the_way = VecDeque::new();
            // Then everything goes well.
            let calm = std::iter::repeat([Chance::Answer(40), Chance::Wait(1000)]).flatten();
            let mut chances = chances.into_iter().chain(calm);
            for _ in 0..2000 {
                provide(&mut delivery, total);
                prop_assert!(delivery.open.len() <= WINDOW);
                match delivery.next(now) {
                    Step::Done => break,
                    Step::Send(seq) => {
                        on_the_way.push_back(seq);
                        prop_assert!(on_the_way.len() <= WINDOW);
                        prop_assert!(!acked.contains(&seq), "{} was acked", seq);
                        prop_assert!(!real_time || now >= ms(u64::from(seq - 1) * 1000));
                        continue;
                    }
                    Step::Stalled => {
                        on_the_way.clear();
                        delivery.disconnected();
                        continue;
                    }
                    Step::Wait(until) => prop_assert!(until.is_none_or(|until| until > now)),
                }
                match chances.next().unwrap() {
                    Chance::Wait(time) => now += ms(time.into()),
                    Chance::Answer(count) => {
                        for _ in 0..count {
                            let Some(seq) = on_the_way.pop_front() else { break };
                            stored.insert(seq);
                            if delivery.acked(seq).is_some() {
                                acked.push(seq);
                            }
                        }
                    }
                    Chance::Reject => {
                        let expected = on_the_way.pop_front();
                        match delivery.rejected(now) {
                            Ok(rejected) => prop_assert_eq!(rejected, expected),
                            Err(GivenUp { seq }) => {
                                prop_assert_eq!(Some(seq), expected);
                                return Ok(());
                            }
                        }
                    }
                    Chance::Drop(taken) => {
                        stored.extend(on_the_way.drain(..).take(taken.into()));
                        delivery.disconnected();
                    }
                }
            }
            prop_assert_eq!(delivery.next(now), Step::Done);
            acked.sort_unstable();
            let all: Vec<_> = (1..=total).collect();
            prop_assert_eq!(&acked, &all);
            prop_assert_eq!(stored.into_iter().collect::<Vec<_>>(), all);
        }
    }
}
