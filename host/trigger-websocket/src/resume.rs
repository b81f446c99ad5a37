//! After a start: asks the app which lanes have work that an earlier process left
//! (`realtime:sockets/startup.resume`), and leaves it the messages that it names. What the work is, the
//! host does not know.

use std::time::Duration;

use bytes::Bytes;
use lanes::{LaneError, Lanes};

use crate::bindings::exports::realtime::sockets::startup::{Errand, Errands};

/// From one message to the next: so many streams that begin again at once would be a burst for the
/// service that they connect to.
const PACE: Duration = Duration::from_millis(10);
/// From one page to the next.
const PAGE_PAUSE: Duration = Duration::from_millis(1);
/// After a first failure; it doubles with each one, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// Who knows what is left.
pub trait App {
    /// A page of it.
    ///
    /// # Errors
    /// It cannot be said now.
    fn resume(&self, cursor: Option<u64>) -> impl Future<Output = Result<Errands, String>> + Send;
}

/// Ends when all messages are left, or the lanes take none any more. As long as a page cannot be had,
/// because the store is away, it is asked for again.
pub async fn run(app: impl App, lanes: Lanes) {
    let mut cursor = None;
    let mut pause = FIRST_PAUSE;
    let mut woken = 0_u64;
    loop {
        let errands = match app.resume(cursor).await {
            Ok(errands) => errands,
            Err(reason) => {
                tracing::warn!("what is left to do cannot be found out, trying again: {reason}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
        };
        pause = FIRST_PAUSE;
        for errand in errands.items {
            if !leave(&lanes, errand).await {
                return;
            }
            woken += 1;
            tokio::time::sleep(PACE).await;
        }
        match errands.cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
        tokio::time::sleep(PAGE_PAUSE).await;
    }
    if woken > 0 {
        tracing::info!(lanes = woken, "work of an earlier run goes on");
    }
}

/// False: the lanes take nothing any more.
async fn leave(lanes: &Lanes, errand: Errand) -> bool {
    let body = Bytes::from(errand.body);
    let mut pause = FIRST_PAUSE;
    loop {
        match lanes.post(&errand.lane, body.clone()) {
            Ok(()) => return true,
            Err(LaneError::Full) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            Err(LaneError::TooLarge) => {
                tracing::error!(lane = errand.lane, "a message to resume with is too large");
                return true;
            }
            Err(_) => return false,
        }
    }
}
