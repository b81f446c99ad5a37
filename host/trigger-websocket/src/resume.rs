//! After a start: asks the app which lanes have work that an earlier process left
//! (`realtime:sockets/startup.resume`), and leaves it the messages that it names. Where several hosts share
//! a store it is done again when one of them is gone, and only for lanes that no living host has. What the
//! work is, the host does not know.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use key_value_store::KvError;
use lanes::{LaneError, Lanes};
use tokio::sync::Notify;

use crate::bindings::exports::realtime::sockets::startup::{Errand, Errands};
use crate::lane_claims::{LaneClaims, Seen};

/// From one message to the next.
const PACE: Duration = Duration::from_millis(10);
/// Lanes that are at a long errand at a time: all that an earlier run left, sent at once, would be a burst for
/// the service that they connect to.
pub const LONG_ERRANDS: usize = 8;
/// One that takes longer than this keeps no other waiting.
const LONGEST: Duration = Duration::from_secs(600);
/// How often it is looked whether one of them is done.
const LOOK_AT_LONG: Duration = Duration::from_millis(250);
/// From one look after the claims to the next.
const LOOK: Duration = Duration::from_secs(5);
/// How often in a row another run is seen under this host's name before it is no earlier one of this host, which
/// shows life for [`key_value_store::PRESENCE`] after its end.
const NAMESAKE_LOOKS: u32 = 4;
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
    let Some(claims) = claims else {
        wake(&app, &lanes, None).await;
        return;
    };
    // Told when lanes that were this host's have become nobody's.
    let vacant = Notify::new();
    // Side by side: waking all that is left may take long, and what was lost is to be given up meanwhile.
    tokio::select! {
        () = look(&lanes, &claims, &vacant) => {}
        () = resume(&app, &lanes, &claims, &vacant) => {}
    }
}

/// Looks after this host's claims, for ever.
async fn look(lanes: &Lanes, claims: &LaneClaims, vacant: &Notify) {
    let mut met = Namesakes::default();
    loop {
        tokio::time::sleep(LOOK).await;
        match claims.look(lanes).await {
            Ok(Seen::Vacant) => vacant.notify_one(),
            Ok(Seen::Nothing) => {}
            Err(error) => {
                tracing::warn!("the lanes' claims cannot be looked at: {error}");
                continue;
            }
        }
        match claims.store().namesake().await {
            Ok(namesake) => met.note(namesake, claims),
            Err(error) => tracing::debug!("the host's name cannot be looked at: {error}"),
        }
    }
}

/// Other hosts that have this one's name.
#[derive(Default)]
struct Namesakes {
    /// Which it was the last times, and how often.
    seen: Option<(String, u32)>,
}

impl Namesakes {
    fn note(&mut self, namesake: Option<String>, claims: &LaneClaims) {
        let before = self.seen.take();
        self.seen = namesake.map(|run| match before {
            Some((other, times)) if other == run => (run, times.saturating_add(1)),
            _ => (run, 1),
        });
        if matches!(self.seen, Some((_, NAMESAKE_LOOKS))) {
            tracing::error!(
                "another host that runs has this one's name: was its state directory copied? Remove \
                 the file host-id in one of them and start that host again"
            );
            claims.store().has_namesake();
        }
    }
}

/// Wakes what an earlier run left, then what hosts leave that are gone. Ends when the lanes take nothing any
/// more.
async fn resume(app: &impl App, lanes: &Lanes, claims: &LaneClaims, vacant: &Notify) {
    if !wake(app, lanes, Some(claims)).await {
        return;
    }
    // What is left of an earlier run's claims is of lanes without work.
    if let Err(error) = claims.store().forget_earlier_runs().await {
        tracing::warn!("what an earlier run had claimed is not cleared away: {error}");
    }
    let mut missed = BTreeSet::new();
    loop {
        let is_vacant = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = vacant.notified() => true,
        };
        match take_over(app, lanes, claims, &missed, is_vacant).await {
            Ok(Some(dead)) => missed = dead,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("it cannot be seen which hosts are gone: {error}");
                if is_vacant {
                    vacant.notify_one();
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
            }
        }
    }
}

/// Gives the runs of hosts that seem dead; with those that seemed so the last time too it is true. None: the
/// lanes take nothing any more.
async fn take_over(
    app: &impl App,
    lanes: &Lanes,
    claims: &LaneClaims,
    missed: &BTreeSet<String>,
    is_vacant: bool,
) -> Result<Option<BTreeSet<String>>, KvError> {
    let dead = claims.store().dead_holders().await?;
    // Not at the first sight: when the store itself was away, all hosts come back in the same moment.
    let gone: BTreeSet<String> = match is_vacant {
        // Asked earlier than the others, it would be too early.
        true => BTreeSet::new(),
        false => dead.intersection(missed).cloned().collect(),
    };
    if !gone.is_empty() {
        tracing::info!(hosts = gone.len(), "hosts are gone: their lanes go on here");
    }
    if !gone.is_empty() || is_vacant {
        if !wake(app, lanes, Some(claims)).await {
            return Ok(None);
        }
        claims.store().forget(&gone).await?;
    }
    Ok(Some(if is_vacant { missed.clone() } else { dead }))
}

/// Leaves all messages, with claims only those for lanes that no living host has: first those whose errand is
/// short, so that they do not wait for the others. False: the lanes take none any more.
async fn wake(app: &impl App, lanes: &Lanes, claims: Option<&LaneClaims>) -> bool {
    let mut woken = 0;
    for is_long in [false, true] {
        match wake_those(app, lanes, claims, is_long).await {
            Some(more) => woken += more,
            None => return false,
        }
    }
    if woken > 0 {
        tracing::info!(lanes = woken, "work of an earlier run goes on");
    }
    true
}

/// Leaves the messages of the one kind of errands; gives how many. As long as a page cannot be had, because the
/// store is away, it is asked for again. None: the lanes take none any more.
async fn wake_those(
    app: &impl App,
    lanes: &Lanes,
    claims: Option<&LaneClaims>,
    is_long: bool,
) -> Option<u64> {
    let mut cursor = None;
    let mut pause = FIRST_PAUSE;
    let mut woken = 0_u64;
    let mut at_work: Vec<(String, Instant)> = Vec::new();
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
            if errand.is_long != is_long {
                continue;
            }
            if is_long {
                has_room(lanes, &mut at_work).await;
                at_work.push((errand.lane.clone(), Instant::now()));
            }
            if let Some(claims) = claims
                && !take(claims, &errand.lane).await
            {
                continue;
            }
            if !leave(lanes, errand).await {
                return None;
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
    Some(woken)
}

/// Waits until another lane may be at a long errand.
async fn has_room(lanes: &Lanes, at_work: &mut Vec<(String, Instant)>) {
    loop {
        at_work.retain(|(lane, since)| since.elapsed() < LONGEST && lanes.is_at_work(lane));
        if at_work.len() < LONG_ERRANDS {
            return;
        }
        tokio::time::sleep(LOOK_AT_LONG).await;
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::{Mutex, OnceLock};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use lanes::{Batch, Event, HandleError, Limits, Mailbox, OutboundPolicy};

    use super::*;

    const LANES: usize = 30;

    /// Long and short errands in turn, some on each page; the first page cannot be had at first.
    struct Left(Mutex<bool>);

    impl App for Left {
        async fn resume(&self, cursor: Option<u64>) -> Result<Errands, String> {
            if !std::mem::replace(&mut *self.0.lock().unwrap(), true) {
                return Err("the store is away".into());
            }
            let page = cursor.unwrap_or(0);
            let items = (page * 10..page * 10 + 10).map(|n| Errand {
                lane: format!("lane {n}"),
                body: b"go on".to_vec(),
                is_long: n % 3 > 0,
            });
            Ok(Errands {
                items: items.collect(),
                cursor: (page < 2).then_some(page + 1),
            })
        }
    }

    /// Each message keeps its lane at work for a moment.
    #[derive(Default)]
    struct Work {
        lanes: OnceLock<Lanes>,
        /// Of each message its lane, and how many lanes there were.
        seen: Mutex<Vec<(String, u64)>>,
    }

    impl Mailbox for Work {
        fn handle(&self, batch: Batch) -> BoxFuture<'static, Result<(), HandleError>> {
            let lanes = self.lanes.get().unwrap();
            if matches!(batch.events.first(), Some(Event::Message { .. })) {
                let time = Duration::from_millis(100);
                lanes.set_timer(&batch.lane, "work", time).unwrap();
                let seen = (batch.lane.to_string(), lanes.stats().lanes);
                self.seen.lock().unwrap().push(seen);
            }
            async { Ok(()) }.boxed()
        }
    }

    struct Nowhere;

    impl OutboundPolicy for Nowhere {
        fn allows(&self, _: &url::Url) -> bool {
            false
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_many_lanes_are_at_a_long_errand_and_short_ones_do_not_wait() {
        let lanes = Lanes::new(Limits::default(), Arc::new(Nowhere)).unwrap();
        let work = Arc::new(Work::default());
        assert!(work.lanes.set(lanes.clone()).is_ok());
        lanes.start(Arc::clone(&work) as Arc<dyn Mailbox>);
        assert!(wake(&Left(Mutex::new(false)), &lanes, None).await);
        while lanes.stats().lanes > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seen = work.seen.lock().unwrap();
        let mut each: Vec<_> = seen.iter().map(|(lane, _)| lane.as_str()).collect();
        let number = |lane: &str| lane.trim_start_matches("lane ").parse::<usize>().unwrap();
        let is_long = |lane: &str| number(lane) % 3 > 0;
        assert!(each[..10].iter().all(|lane| !is_long(lane)), "{each:?}");
        // The short ones are done soon; from then on only long ones are there.
        let most = seen.iter().rev().take(10).map(|(_, lanes)| *lanes).max();
        assert!(most.unwrap() <= LONG_ERRANDS as u64, "{seen:?}");
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), LANES, "each once");
        assert_eq!(seen.len(), LANES);
    }
}
