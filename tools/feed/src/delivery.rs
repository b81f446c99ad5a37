//! What to send next, and what to send again, until every chunk of a stream was acknowledged. Time
//! comes in as the time since the start; nothing here sends or waits.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// At most this many chunks are on their way without an answer.
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
    /// Nothing to send before an answer comes or this time is reached; without a time, only an
    /// answer helps.
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

/// The state of one stream's chunks, `1..=total`.
#[derive(Debug)]
pub struct Delivery {
    total: u32,
    pace: Pace,
    /// The first chunk that was never sent.
    unsent: u32,
    /// Sent before, and to be sent again.
    again: BTreeSet<u32>,
    /// Nothing is sent again before this.
    again_from: Duration,
    /// Sent on this connection and not answered, in the order of sending, which is the order of
    /// the answers.
    in_flight: VecDeque<Sent>,
    acked: Vec<bool>,
    rejections: Vec<u8>,
    acked_count: u32,
    resent_count: u32,
}

impl Delivery {
    /// Nothing sent yet.
    #[must_use]
    pub fn new(total: u32, pace: Pace) -> Self {
        Self {
            total,
            pace,
            unsent: 1,
            again: BTreeSet::new(),
            again_from: Duration::ZERO,
            in_flight: VecDeque::new(),
            acked: vec![false; index(total) + 1],
            rejections: vec![0; index(total) + 1],
            acked_count: 0,
            resent_count: 0,
        }
    }

    /// What to do at this time.
    pub fn next(&mut self, now: Duration) -> Step {
        if self.acked_count == self.total {
            return Step::Done;
        }
        let ack_due = self.in_flight.front().map(|sent| sent.at + ACK_TIMEOUT);
        if ack_due.is_some_and(|due| due <= now) {
            return Step::Stalled;
        }
        if self.in_flight.len() >= WINDOW {
            return Step::Wait(ack_due);
        }
        let again = self.again.first().map(|seq| (*seq, self.again_from));
        let first_time = (self.unsent <= self.total).then(|| (self.unsent, self.due(self.unsent)));
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

    /// The gateway has this chunk, stored now or before. False when that was known already or the
    /// chunk was never sent.
    pub fn acked(&mut self, seq: u32) -> bool {
        self.in_flight.retain(|sent| sent.seq != seq);
        if !(1..self.unsent).contains(&seq) {
            return false;
        }
        self.again.remove(&seq);
        match self.acked.get_mut(index(seq)) {
            Some(acked) if !*acked => {
                *acked = true;
                self.acked_count += 1;
                true
            }
            _ => false,
        }
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
        if let Some(rejections) = self.rejections.get_mut(index(seq)) {
            *rejections += 1;
            if *rejections >= MAX_REJECTIONS {
                return Err(GivenUp { seq });
            }
        }
        self.send_again(seq);
        self.again_from = now + REJECTION_PAUSE;
        Ok(Some(seq))
    }

    /// The connection is gone: what was not answered on it goes out again on the next.
    pub fn disconnected(&mut self) {
        for sent in std::mem::take(&mut self.in_flight) {
            self.send_again(sent.seq);
        }
    }

    /// How many chunks there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// How many chunks were sent at least once.
    #[must_use]
    pub fn sent_count(&self) -> u32 {
        self.unsent - 1
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

    fn send_again(&mut self, seq: u32) {
        if !self.acked.get(index(seq)).copied().unwrap_or(true) {
            self.again.insert(seq);
        }
    }

    fn due(&self, seq: u32) -> Duration {
        match self.pace {
            Pace::RealTime => Duration::from_secs(u64::from(seq) - 1),
            Pace::Fast => Duration::ZERO,
        }
    }
}

fn index(seq: u32) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
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

    #[test]
    fn real_time_is_one_chunk_a_second_and_delays_do_not_add_up() {
        let mut delivery = Delivery::new(4, Pace::RealTime);
        assert_eq!(delivery.next(ms(7)), Step::Send(1));
        assert_eq!(delivery.next(ms(7)), Step::Wait(Some(ms(1000))));
        assert_eq!(delivery.next(ms(2300)), Step::Send(2));
        assert_eq!(delivery.next(ms(2300)), Step::Send(3));
        assert_eq!(delivery.next(ms(2300)), Step::Wait(Some(ms(3000))));
    }

    #[test]
    fn fast_is_bounded_by_the_window() {
        let mut delivery = Delivery::new(100, Pace::Fast);
        for seq in 1..=WINDOW as u32 {
            assert_eq!(delivery.next(START), Step::Send(seq));
        }
        assert_eq!(delivery.next(START), Step::Wait(Some(ACK_TIMEOUT)));
        assert!(delivery.acked(1));
        assert_eq!(delivery.next(START), Step::Send(WINDOW as u32 + 1));
        assert_eq!(delivery.next(ACK_TIMEOUT), Step::Stalled);
    }

    #[test]
    fn a_second_ack_and_an_ack_for_nothing_do_not_count() {
        let mut delivery = Delivery::new(2, Pace::Fast);
        assert!(!delivery.acked(1));
        delivery.next(START);
        assert!(delivery.acked(1) && !delivery.acked(1));
        assert!(!delivery.acked(0) && !delivery.acked(2) && !delivery.acked(9));
        assert_eq!(delivery.acked_count(), 1);
    }

    #[test]
    fn what_was_not_answered_goes_first_after_a_reconnect() {
        let mut delivery = Delivery::new(9, Pace::Fast);
        for _ in 0..3 {
            delivery.next(START);
        }
        delivery.acked(2);
        delivery.disconnected();
        let sent: Vec<_> = (0..3).map(|_| delivery.next(START)).collect();
        assert_eq!(sent, [Step::Send(1), Step::Send(3), Step::Send(4)]);
        assert_eq!(delivery.resent_count(), 2);
    }

    #[test]
    fn a_rejected_chunk_is_tried_again_after_a_pause_and_given_up_in_the_end() {
        let mut delivery = Delivery::new(1, Pace::Fast);
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
        assert_eq!(Delivery::new(0, Pace::Fast).next(START), Step::Done);
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
            let mut delivery = Delivery::new(total, pace);
            let mut now = START;
            let mut stored = BTreeSet::new();
            let mut acked = Vec::new();
            let mut on_the_way = VecDeque::new();
            // Then everything goes well.
            let calm = std::iter::repeat([Chance::Answer(40), Chance::Wait(1000)]).flatten();
            let mut chances = chances.into_iter().chain(calm);
            for _ in 0..2000 {
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
                            if delivery.acked(seq) {
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
