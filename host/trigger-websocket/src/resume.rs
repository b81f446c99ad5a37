//! After a start: asks the app which lanes have work that an earlier process left
//! (`realtime:sockets/startup.resume`), and leaves it the messages that it names. Where several hosts share
//! a store it is done again when one of them is gone, and only for lanes that no living host has. What the
//! work is, the host does not know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use key_value_store::KvError;
use lanes::{LaneError, Lanes};

use crate::bindings::exports::realtime::sockets::startup::{Errand, Errands};
use crate::lane_claims::LaneClaims;

/// From one message to the next: so many streams that begin again at once would be a burst for the
/// service that they connect to.
const PACE: Duration = Duration::from_millis(10);
/// From one look after the claims to the next.
const LOOK: Duration = Duration::from_secs(5);
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

/// Ends when all messages are left, or the lanes take none any more; with claims it goes on to look after
/// them until then.
pub async fn run(app: impl App, lanes: Lanes, claims: Option<Arc<LaneClaims>>) {
    if !wake(&app, &lanes, claims.as_deref()).await {
        return;
    }
    let Some(claims) = claims else { return };
    let mut missed = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        match look(&app, &lanes, &claims, &missed).await {
            Ok(Some(dead)) => missed = dead,
            Ok(None) => return,
            Err(error) => tracing::warn!("the lanes' claims cannot be looked at: {error}"),
        }
    }
}

/// Gives the hosts that seem dead; with those that seemed so the last time too it is true. None: the lanes
/// take nothing any more.
async fn look(
    app: &impl App,
    lanes: &Lanes,
    claims: &LaneClaims,
    missed: &BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, KvError> {
    claims.look(lanes).await?;
    let dead = claims.store().dead_holders().await?;
    // Not at the first sight: when the store itself was away, all hosts come back in the same moment.
    let gone: BTreeSet<String> = dead.intersection(missed).cloned().collect();
    if !gone.is_empty() {
        tracing::info!(hosts = gone.len(), "hosts are gone: their lanes go on here");
        if !wake(app, lanes, Some(claims)).await {
            return Ok(None);
        }
        claims.store().forget(&gone).await?;
    }
    Ok(Some(dead))
}

/// Leaves all messages, with claims only those for lanes that no living host has. As long as a page cannot
/// be had, because the store is away, it is asked for again. False: the lanes take none any more.
async fn wake(app: &impl App, lanes: &Lanes, claims: Option<&LaneClaims>) -> bool {
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
            if let Some(claims) = claims
                && !take(claims, &errand.lane).await
            {
                continue;
            }
            if !leave(lanes, errand).await {
                return false;
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
    true
}

/// Whether the lane is this host's now, and was nobody's.
async fn take(claims: &LaneClaims, lane: &str) -> bool {
    let mut pause = FIRST_PAUSE;
    loop {
        match claims.take_abandoned(lane).await {
            Ok(taken) => return taken,
            Err(error) => {
                tracing::warn!(lane, "a lane cannot be claimed, trying again: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
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
