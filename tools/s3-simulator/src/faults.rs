//! What the server is told to do wrong: for the next requests of a kind, or for all until it is told to
//! stop.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::watch;

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and this code of S3's, and not done.
    Refuse(u16, &'static str),
    /// It is not done, and the answer is a 200 whose body says so with this code of S3's: of a removal of many
    /// objects for the first of them, of anything else as a whole.
    RefuseWithin(&'static str),
    /// It is answered after this time.
    Delay(Duration),
    /// It is never answered, and not done.
    Stall,
    /// It is done and never answered.
    StallWhenDone,
    /// The connection is closed without an answer, and nothing is done.
    Cut,
    /// It is done, and the connection closed without an answer.
    CutWhenDone,
    /// The answer breaks off after so many bytes of its body.
    CutBody(usize),
    /// The answer stalls after so many bytes of its body.
    StallBody(usize),
    /// It is never answered, and done much later: when [`Faults::release`] is called.
    Hold,
}

#[derive(Debug, Default)]
struct State {
    next: VecDeque<(Option<Method>, Fault)>,
    always: Option<(Option<Method>, Fault)>,
    seen: Vec<(Method, String)>,
    under_way: usize,
    most_at_once: usize,
}

/// The faults to come, and what was asked so far.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
    /// How often held requests were released.
    released: watch::Sender<u64>,
    /// How many held requests are done since.
    done: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            released: watch::Sender::new(0),
            done: watch::Sender::new(0),
        }
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request with this method (any without one) meets this fault; called again, the one
    /// after it.
    pub fn next(&self, method: Option<Method>, fault: Fault) {
        self.state().next.push_back((method, fault));
    }

    /// All requests with this method (any without one) meet this fault until [`Faults::clear`].
    pub fn always(&self, method: Option<Method>, fault: Fault) {
        self.state().always = Some((method, fault));
    }

    /// No more faults.
    pub fn clear(&self) {
        let mut state = self.state();
        state.next.clear();
        state.always = None;
    }

    /// Lets the requests that are held be done, and waits until so many are.
    pub async fn release(&self, requests: u64) {
        let mut done = self.done.subscribe();
        let before = *done.borrow_and_update();
        self.released.send_modify(|released| *released += 1);
        let _ = done.wait_for(|done| *done >= before + requests).await;
    }

    /// Method and path, with the query, of all requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<(Method, String)> {
        self.state().seen.clone()
    }

    /// How many requests with this method there were.
    #[must_use]
    pub fn count(&self, method: &Method) -> usize {
        let state = self.state();
        state.seen.iter().filter(|(seen, _)| seen == method).count()
    }

    pub(crate) fn take(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut state = self.state();
        state.seen.push((method.clone(), path.to_owned()));
        let meets = |wanted: &Option<Method>| wanted.as_ref().is_none_or(|wanted| wanted == method);
        let place = state.next.iter().position(|(wanted, _)| meets(wanted));
        if let Some(place) = place {
            return state.next.remove(place).map(|(_, fault)| fault);
        }
        let always = state.always.as_ref();
        always
            .filter(|(wanted, _)| meets(wanted))
            .map(|(_, fault)| fault.clone())
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Counts a request until what is given back is dropped.
    pub(crate) fn begins(&self) -> UnderWay<'_> {
        let mut state = self.state();
        state.under_way += 1;
        state.most_at_once = state.most_at_once.max(state.under_way);
        UnderWay(self)
    }

    pub(crate) async fn held(&self) {
        let mut released = self.released.subscribe();
        released.borrow_and_update();
        let _ = released.changed().await;
    }

    pub(crate) fn held_is_done(&self) {
        self.done.send_modify(|done| *done += 1);
    }
}

/// A request that is not answered yet.
pub(crate) struct UnderWay<'a>(&'a Faults);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}
