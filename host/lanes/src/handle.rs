//! One socket as the rest of the process sees it: what waits to be sent, and whether it is closing.
//! The task that owns the connection is in `connection`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::sync::CancellationToken;

use crate::{
    Limits, Payload, SocketError,
    accounts::Place,
    charge::Charge,
    events::SocketToken,
    lane::Lane,
    liveness::Liveness,
    outbox::{Next, Outbox},
};

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Outbound,
}

/// A socket that is registered: it keeps its lane alive.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) token: SocketToken,
    pub(crate) lane: Arc<Lane>,
    pub(crate) context: Arc<str>,
    pub(crate) side: Side,
    standing: Mutex<Stand>,
    outbox: Mutex<Outbox>,
    liveness: Mutex<Liveness>,
    /// Nothing is read before.
    paused_until: Mutex<Option<Instant>>,
    /// What the app does for the peer.
    charged: Mutex<Charge>,
    /// There is something to send.
    to_send: Notify,
    /// So much was sent that the peer may be read again.
    to_read: Notify,
    /// Set when it is known whose it is.
    known: CancellationToken,
    /// Set when closing was asked for, by whomever.
    closing: CancellationToken,
}

/// Which place a socket has. Changed under its lane's lock.
#[derive(Debug, Default)]
struct Stand {
    /// Nobody knows yet whose it is.
    is_unknown: bool,
    /// Another socket has its place.
    is_displaced: bool,
    /// In an account.
    place: Option<Place>,
}

impl Socket {
    pub(crate) fn new(
        token: SocketToken,
        lane: Arc<Lane>,
        context: &str,
        side: Side,
        limits: &Limits,
    ) -> Self {
        Self {
            token,
            lane,
            context: Arc::from(context),
            side,
            standing: Mutex::default(),
            outbox: Mutex::new(Outbox::new(limits)),
            liveness: Mutex::default(),
            paused_until: Mutex::default(),
            charged: Mutex::default(),
            to_send: Notify::new(),
            to_read: Notify::new(),
            known: CancellationToken::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Gives it another place; the one that it had is free.
    pub(crate) fn stand(&self, is_unknown: bool, place: Option<Place>) {
        *lock(&self.standing) = Stand {
            is_unknown,
            is_displaced: false,
            place,
        };
        if !is_unknown {
            self.known.cancel();
        }
    }

    /// Frees the place that it has as one that is known. Whether it had one.
    pub(crate) fn give_up_place(&self) -> bool {
        let mut standing = lock(&self.standing);
        if standing.is_unknown || standing.is_displaced {
            return false;
        }
        standing.is_displaced = true;
        standing.place = None;
        true
    }

    /// Whether another socket has its place.
    pub(crate) fn is_displaced(&self) -> bool {
        lock(&self.standing).is_displaced
    }

    /// The group of this account that it is counted to.
    pub(crate) fn group_in(&self, account: &str) -> Option<String> {
        let standing = lock(&self.standing);
        let group = standing.place.as_ref()?.group_in(account)?;
        Some(group.to_owned())
    }

    /// Its next frame is being waited for from now on.
    pub(crate) fn read_begins(&self) {
        lock(&self.liveness).read_begins();
    }

    /// A frame came, or it is not read any more.
    pub(crate) fn read_ends(&self) {
        lock(&self.liveness).read_ends();
    }

    /// A ping is being sent.
    pub(crate) fn asked(&self) {
        lock(&self.liveness).asked(Instant::now());
    }

    /// Asks the peer for a sign of life before the next ping is due.
    pub(crate) fn ask_for_life(&self, now: Instant) {
        if lock(&self.liveness).want_ping(now) {
            self.to_send.notify_one();
        }
    }

    /// Whether the peer is to be asked for a sign of life before the next ping is due; once.
    pub(crate) fn take_wanted_ping(&self) -> bool {
        lock(&self.liveness).take_wanted_ping()
    }

    /// For how long the peer has not given a sign of life that it was asked for.
    pub(crate) fn unanswered_for(&self, now: Instant) -> Option<std::time::Duration> {
        lock(&self.liveness).unanswered_for(now)
    }

    /// Returns when it is known whose it is, or it is being closed.
    pub(crate) async fn settled(&self) {
        tokio::select! {
            () = self.known.cancelled() => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Whether nobody knows yet whose it is.
    pub(crate) fn is_unknown(&self) -> bool {
        lock(&self.standing).is_unknown
    }

    /// Nothing is read before this time, unless that is so already.
    pub(crate) fn pause(&self, until: Instant) {
        let mut paused_until = lock(&self.paused_until);
        *paused_until = (*paused_until).max(Some(until));
    }

    /// Charges what is done for the peer, and leaves it unread if that is more than time allows: for so long.
    pub(crate) fn charge(&self, cost: Duration, ahead: Duration, most: Duration) -> Duration {
        let now = Instant::now();
        let pause = lock(&self.charged).add(now, cost, ahead).min(most);
        if pause > Duration::ZERO {
            self.pause(now + pause);
        }
        pause
    }

    pub(crate) fn send(&self, payloads: Vec<Payload>) -> Result<(), SocketError> {
        self.outbox().push(payloads)?;
        self.to_send.notify_one();
        Ok(())
    }

    pub(crate) fn room(&self) -> Result<usize, SocketError> {
        let outbox = self.outbox();
        if outbox.is_closing() {
            return Err(SocketError::UnknownSocket);
        }
        Ok(outbox.room())
    }

    /// Asks for the close frame after what waits.
    pub(crate) fn close(&self, frame: CloseFrame) -> Result<(), SocketError> {
        if !self.outbox().close(frame) {
            return Err(SocketError::UnknownSocket);
        }
        self.closing.cancel();
        self.to_send.notify_one();
        Ok(())
    }

    /// Drops what waits and asks for the close frame.
    pub(crate) fn abandon(&self, frame: CloseFrame) {
        self.outbox().clear();
        // Closing already: its close frame is on its way.
        let _ = self.close(frame);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns when closing was asked for.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// The next thing to send; lets the reader go on when little enough waits.
    pub(crate) fn next(&self) -> Next {
        let mut outbox = self.outbox();
        let next = outbox.next();
        if !outbox.is_over_half() {
            self.to_read.notify_one();
        }
        next
    }

    /// Returns when there may be something to send.
    pub(crate) async fn something_to_send(&self) {
        self.to_send.notified().await;
    }

    /// Returns when the peer has taken enough of what was sent to it and no pause is on, or it is being
    /// closed.
    pub(crate) async fn may_be_read(&self) {
        loop {
            let paused_until = *lock(&self.paused_until);
            let Some(until) = paused_until.filter(|until| *until > Instant::now()) else {
                break;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.closing.cancelled() => break,
            }
        }
        while self.outbox().is_over_half() && !self.is_closing() {
            tokio::select! {
                () = self.to_read.notified() => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
