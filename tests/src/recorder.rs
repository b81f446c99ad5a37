//! A client that behaves as the desktop client does: it sends a stream second by second, connects again
//! when the connection is lost, sends again what was not acknowledged, and records what was.
//!
//! It runs beside the test until it is told to stop; what the gateway does to it is no failure here,
//! but an answer that is out of order is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use asr_simulator::mark;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::audit::Recorded;
use crate::client::{AudioSocket, Received};
use crate::gateway::Gateway;
use crate::wait::in_time;

/// At most this many seconds are on their way without an answer.
pub const WINDOW: usize = 32;
/// The pause before a new connection, and before what was answered with an error is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that are left half open at a time.
const HALF_OPEN: usize = 4;

/// How fast seconds are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// So many seconds of audio a second; 1.0 is real time.
    Times(f64),
    /// As fast as answers come.
    Fast,
}

/// What it is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Send,
    /// No new seconds, but all that were sent shall be acknowledged; then close in good order.
    Finish,
    /// Vanish: no close, and what was not acknowledged stays so.
    Vanish,
}

/// How its connections ended that it did not end itself.
type Ends = Arc<Mutex<Vec<Received>>>;

/// A client that sends one stream. Dropping it ends it at once.
pub struct Recorder {
    order: watch::Sender<Order>,
    acked: watch::Receiver<usize>,
    ends: Ends,
    task: JoinHandle<Recorded>,
}

impl Recorder {
    /// Starts to send, from the first second that was never sent.
    #[must_use]
    pub fn start(gateway: &Gateway, recorded: Recorded, pace: Pace) -> Self {
        Self::start_up_to(gateway, recorded, pace, u32::MAX)
    }

    /// As [`Recorder::start`]; there are no seconds after `last`.
    #[must_use]
    pub fn start_up_to(gateway: &Gateway, recorded: Recorded, pace: Pace, last: u32) -> Self {
        let key = gateway.key().map(str::to_owned);
        Self::start_with(gateway.addresses(), key, recorded, pace, last)
    }

    /// As [`Recorder::start_up_to`], where the addresses say, as behind a load balancer: when another one
    /// is said, it connects there, and its old connection is half open from then on. It is not closed, and
    /// what comes over it is not read.
    #[must_use]
    pub fn start_anywhere(
        addresses: watch::Receiver<Option<SocketAddr>>,
        recorded: Recorded,
        pace: Pace,
        last: u32,
    ) -> Self {
        Self::start_with(addresses, None, recorded, pace, last)
    }

    fn start_with(
        addresses: watch::Receiver<Option<SocketAddr>>,
        key: Option<String>,
        recorded: Recorded,
        pace: Pace,
        last: u32,
    ) -> Self {
        let (order, orders) = watch::channel(Order::Send);
        let (count, acked) = watch::channel(recorded.acked_count());
        let ends = Ends::default();
        let sending = Sending {
            ends: ends.clone(),
            addresses,
            key,
            address: None,
            half_open: VecDeque::new(),
            orders,
            count,
            pace,
            last,
            next: recorded.last_sent() + 1,
            began: Instant::now(),
            paced: 0,
            again: recorded.unacked().collect(),
            in_flight: VecDeque::new(),
            recorded,
        };
        Self {
            order,
            acked,
            ends,
            task: tokio::spawn(sending.run()),
        }
    }

    /// Waits until so many seconds are acknowledged, those of earlier recorders of the stream counted.
    ///
    /// # Panics
    /// It takes too long, or the client failed.
    pub async fn acked(&mut self, count: usize) {
        let reached = self.acked.wait_for(|acked| *acked >= count);
        let what = format!("{count} seconds are acknowledged");
        if in_time(&what, reached).await.is_err() {
            panic!("the client ended: it has panicked, see above");
        }
    }

    /// Waits until so many more than now are acknowledged.
    ///
    /// # Panics
    /// As [`Recorder::acked`].
    pub async fn acked_more(&mut self, count: usize) {
        let acked = *self.acked.borrow();
        self.acked(acked + count).await;
    }

    /// How its connections ended so far, those it ended itself left out.
    #[must_use]
    pub fn ends(&self) -> Vec<Received> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.clone()
    }

    /// Waits until all that was sent is acknowledged, closes the stream and gives the record.
    pub async fn finish(self) -> Recorded {
        self.end(Order::Finish).await
    }

    /// Goes away at once, without a word, and gives the record.
    pub async fn vanish(self) -> Recorded {
        self.end(Order::Vanish).await
    }

    async fn end(mut self, order: Order) -> Recorded {
        self.order.send_replace(order);
        in_time("the client ends", &mut self.task)
            .await
            .expect("the client does not panic")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sending {
    ends: Ends,
    recorded: Recorded,
    addresses: watch::Receiver<Option<SocketAddr>>,
    /// What it shows.
    key: Option<String>,
    /// Where it is connected to.
    address: Option<SocketAddr>,
    /// Connections that were left without a word.
    half_open: VecDeque<AudioSocket>,
    orders: watch::Receiver<Order>,
    count: watch::Sender<usize>,
    pace: Pace,
    /// The last second there is.
    last: u32,
    /// The next that was never sent.
    next: u32,
    /// When the first was due, and how many were since.
    began: Instant,
    paced: u32,
    /// To be sent again, oldest first.
    again: VecDeque<u32>,
    /// Sent on this connection and not answered; answers come in this order.
    in_flight: VecDeque<u32>,
}

impl Sending {
    async fn run(mut self) -> Recorded {
        loop {
            let order = *self.orders.borrow();
            if order == Order::Vanish || order == Order::Finish && self.is_done() {
                return self.recorded;
            }
            let address = *self.addresses.borrow_and_update();
            let Some(address) = address else {
                tokio::select! {
                    changed = self.addresses.changed() => {
                        assert!(changed.is_ok(), "the gateway is gone before its client");
                    }
                    _ = self.orders.changed() => {}
                }
                continue;
            };
            self.address = Some(address);
            let (session, role) = (self.recorded.session(), self.recorded.role());
            if let Ok(socket) =
                AudioSocket::try_open(address, session, role, self.key.as_deref()).await
                && self.connection(socket).await.is_break()
            {
                return self.recorded;
            }
            let unanswered = std::mem::take(&mut self.in_flight);
            self.again.extend(unanswered);
            self.again.make_contiguous().sort_unstable();
            sleep(PAUSE).await;
        }
    }

    /// Until it is lost, or there is nothing left to do.
    async fn connection(&mut self, mut socket: AudioSocket) -> ControlFlow<()> {
        socket.send(&json!({"type": "hello"})).await;
        match socket.next().await {
            Received::Frame(ready) => assert_eq!(ready["type"], "ready", "{ready}"),
            end => return self.ended(end),
        }
        loop {
            let order = *self.orders.borrow_and_update();
            match order {
                Order::Vanish => return ControlFlow::Break(()),
                Order::Finish if self.is_done() => {
                    // All is safe: whatever happens to the connection now loses nothing.
                    socket.send(&json!({"type": "close"})).await;
                    while let Received::Frame(_) = socket.next().await {}
                    return ControlFlow::Break(());
                }
                Order::Send | Order::Finish => {}
            }
            let due = self.due(order);
            if self.in_flight.len() < WINDOW && due.is_some_and(|due| due <= Instant::now()) {
                let seq = self.take_next();
                let pcm = mark::second(self.recorded.mark(), seq);
                socket.send_chunk(seq, &pcm).await;
                self.in_flight.push_back(seq);
                continue;
            }
            let is_full = self.in_flight.len() >= WINDOW;
            let pause = async {
                match due {
                    Some(due) if !is_full => sleep_until(due).await,
                    _ => std::future::pending().await,
                }
            };
            // While nothing is due and nothing is awaited, frames may be long in coming.
            let frame = async {
                if self.in_flight.is_empty() && due.is_none() {
                    socket.next_at_any_time().await
                } else {
                    socket.next().await
                }
            };
            tokio::select! {
                received = frame => match received {
                    Received::Frame(frame) if frame["type"] == "ack" => self.answered(&frame),
                    Received::Frame(frame) => {
                        assert_eq!(frame["type"], "error", "{frame}");
                        self.again.extend(self.in_flight.pop_front());
                        self.again.make_contiguous().sort_unstable();
                        sleep(PAUSE).await;
                    }
                    end => return self.ended(end),
                },
                () = pause => {}
                _ = self.orders.changed() => {}
                Ok(()) = self.addresses.changed() => {
                    let address = *self.addresses.borrow();
                    // None: the process is gone, and the connection ends by itself.
                    if address.is_some() && address != self.address {
                        self.half_open.push_back(socket);
                        if self.half_open.len() > HALF_OPEN {
                            self.half_open.pop_front();
                        }
                        return ControlFlow::Continue(());
                    }
                }
            }
        }
    }

    fn ended(&self, end: Received) -> ControlFlow<()> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.push(end);
        ControlFlow::Continue(())
    }

    fn answered(&mut self, ack: &serde_json::Value) {
        let expected = self.in_flight.pop_front();
        assert_eq!(
            ack["seq"].as_u64(),
            expected.map(u64::from),
            "acks come in the order of the chunks: {ack}"
        );
        self.recorded.take(ack);
        self.count.send_replace(self.recorded.acked_count());
    }

    /// Whether all that was sent is acknowledged.
    fn is_done(&self) -> bool {
        self.again.is_empty() && self.in_flight.is_empty()
    }

    /// When the next second may be sent; none when there is none to send.
    fn due(&self, order: Order) -> Option<Instant> {
        if !self.again.is_empty() {
            return Some(self.began);
        }
        if order != Order::Send || self.next > self.last {
            return None;
        }
        Some(match self.pace {
            Pace::Times(speed) => {
                self.began + Duration::from_secs_f64(f64::from(self.paced) / speed.max(0.01))
            }
            Pace::Fast => self.began,
        })
    }

    /// What was sent before goes first.
    fn take_next(&mut self) -> u32 {
        if let Some(seq) = self.again.pop_front() {
            return seq;
        }
        let seq = self.next;
        self.next += 1;
        self.paced += 1;
        self.recorded.sent(seq);
        seq
    }
}
