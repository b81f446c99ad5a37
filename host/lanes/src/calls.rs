//! Calls that wait for their answer. A call that is no longer awaited is forgotten at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{LaneError, events::CallId};

type Answer = Result<Bytes, LaneError>;

/// The calls that wait.
#[derive(Debug)]
pub(crate) struct Calls {
    waiting: Mutex<HashMap<CallId, oneshot::Sender<Answer>>>,
    max: usize,
}

/// A call that waits; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    calls: &'a Calls,
    pub(crate) id: CallId,
    answer: oneshot::Receiver<Answer>,
}

impl Calls {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            max,
        }
    }

    pub(crate) fn begin(&self) -> Result<Call<'_>, LaneError> {
        let (sender, answer) = oneshot::channel();
        let id: CallId = Arc::from(uuid::Uuid::new_v4().to_string());
        let mut waiting = self.waiting();
        if waiting.len() >= self.max {
            return Err(LaneError::Full);
        }
        waiting.insert(Arc::clone(&id), sender);
        Ok(Call {
            calls: self,
            id,
            answer,
        })
    }

    pub(crate) fn reply(&self, id: &str, body: Bytes) -> Result<(), LaneError> {
        self.end(id, Ok(body))
    }

    /// Ends a call that nobody will answer any more.
    pub(crate) fn fail(&self, id: &str, reason: &str) {
        // Answered already: then it did not fail.
        let _ = self.end(id, Err(LaneError::Failed(reason.to_owned())));
    }

    pub(crate) fn fail_all(&self, reason: &str) {
        for (_, sender) in self.waiting().drain() {
            let _ = sender.send(Err(LaneError::Failed(reason.to_owned())));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting().len()
    }

    fn end(&self, id: &str, answer: Answer) -> Result<(), LaneError> {
        let sender = self.waiting().remove(id).ok_or(LaneError::UnknownCall)?;
        sender.send(answer).map_err(|_| LaneError::UnknownCall)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<CallId, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call<'_> {
    /// Waits for the answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        (&mut self.answer)
            .await
            .unwrap_or_else(|_| Err(LaneError::Failed("the call was lost".to_owned())))
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.waiting().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[tokio::test]
    async fn an_answer_arrives_once() {
        let calls = Calls::new(2);
        let mut call = calls.begin().unwrap();
        let id = Arc::clone(&call.id);
        calls.reply(&id, Bytes::from_static(b"yes")).unwrap();
        assert_eq!(calls.reply(&id, Bytes::new()), Err(LaneError::UnknownCall));
        assert_eq!(call.answer().await, Ok(Bytes::from_static(b"yes")));
    }

    #[test]
    fn calls_are_bounded_and_forgotten_when_given_up() {
        let calls = Calls::new(2);
        let first = calls.begin().unwrap();
        let _second = calls.begin().unwrap();
        assert_eq!(calls.begin().unwrap_err(), LaneError::Full);
        let id = Arc::clone(&first.id);
        drop(first);
        assert_eq!(calls.len(), 1);
        assert_eq!(calls.reply(&id, Bytes::new()), Err(LaneError::UnknownCall));
        assert!(calls.begin().is_ok());
    }

    #[tokio::test]
    async fn all_fail_at_the_end() {
        let calls = Calls::new(2);
        let mut call = calls.begin().unwrap();
        calls.fail_all("stopping");
        assert_eq!(
            call.answer().await,
            Err(LaneError::Failed("stopping".into()))
        );
    }
}
